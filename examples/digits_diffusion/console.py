"""What train.py and generate.py share at the terminal: checked options, Ctrl-C, a progress bar."""

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import legato.core as mx


def whole_number(least: int):
    """An argparse type: a whole number of at least `least`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or value < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, found '{text}'"
            )
        return value

    return parse


def use_device(name: str | None) -> str:
    """Computes on `name` ("cpu", "gpu" or None: Legato's default); returns the name in use."""
    if name is not None:
        device = mx.gpu if name == "gpu" else mx.cpu
        if not mx.is_available(device):
            sys.exit("--device gpu: Legato finds no GPU on this machine; use --device cpu")
        mx.set_default_device(device)
    return "gpu" if mx.default_device() == mx.gpu else "cpu"


def writable_folder(option: str, path: Path) -> Path:
    """Makes the folder `path`; ends the program with a sentence if it cannot be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        sys.exit(
            f"{option}: cannot write into the folder '{path}': {error.strerror}. Name another."
        )
    return path


class CtrlC:
    """Inside `with`, Ctrl-C sets `pressed`, so that no step is torn; a second one interrupts."""

    def __enter__(self) -> "CtrlC":
        self.pressed = False
        self._previous = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_) -> None:
        signal.signal(signal.SIGINT, self._previous)

    def _on_signal(self, *_) -> None:
        if self.pressed:
            raise KeyboardInterrupt
        self.pressed = True


def progress_bar() -> Progress:
    """A bar with loss, images per second (the task fields `loss`, `rate`) and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.4f}"),
        TextColumn("{task.fields[rate]:5.0f} images/s"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
