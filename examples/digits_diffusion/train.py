"""Trains a diffusion model on real handwritten digits, draws new ones, measures how good they are.

    python train.py --out demo        about a minute on two processor cores

Leaves in the folder `--out`: samples.png, loss.png, metrics.json and weights.safetensors, for
generate.py.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import classifier
import data
import diffusion
import numpy as np
import pictures
from console import CtrlC, progress_bar, use_device, whole_number, writable_folder
from model import SIZES, UNet, save
from step import training_step

import legato.core as mx
from legato.utils import tree_flatten

SHOWN_PER_CLASS = 10
INTERRUPTED = 130  # the exit status that shells give to a program ended by Ctrl-C


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), help="folder for pictures and weights (demo)"
    )
    parser.add_argument(
        "--size", choices=SIZES, default="small", help="size of the network (small)"
    )
    parser.add_argument("--steps", type=whole_number(1), default=500, help="training steps (500)")
    parser.add_argument("--batch", type=whole_number(1), default=64, help="images in a step (64)")
    parser.add_argument(
        "--seed", type=whole_number(0), default=0, help="same seed, same pictures (0)"
    )
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), help="where to compute (Legato's default)"
    )
    parser.add_argument(
        "--classifier-steps", type=whole_number(1), default=300, help="the judge's training (300)"
    )
    parser.add_argument(
        "--drawn", type=whole_number(1), default=30, help="digits of each class to draw (30)"
    )
    return parser.parse_args()


def train(
    network: UNet, digits: data.Digits, steps: int, batch: int, ctrl_c: CtrlC
) -> tuple[UNet, list[float]]:
    """Trains `network` for `steps` steps, or until Ctrl-C.

    Returns:
        The network with averaged weights, and the loss of each step.
    """
    compiled_step, average, state = training_step(network, steps)
    losses: list[float] = []
    start = time.perf_counter()
    with progress_bar() as bar:
        task = bar.add_task("training", total=steps, loss=0.0, rate=0.0)
        for images, labels in digits.batches(batch):
            loss = compiled_step(images, labels)
            mx.eval(loss, state)
            losses.append(loss.item())
            images_per_second = len(losses) * batch / (time.perf_counter() - start)
            bar.update(task, advance=1, loss=mean_loss(losses), rate=images_per_second)
            if len(losses) == steps or ctrl_c.pressed:
                break
    return average, losses


def mean_loss(losses: list[float]) -> float:
    """The mean of the last 50 steps: one step's loss depends mostly on the times it drew."""
    return float(np.mean(losses[-50:]))


def nearest_distance(images: mx.array, others: mx.array) -> float:
    """Mean Euclidean distance from each of `images` to the nearest of `others`."""
    a, b = images.reshape(len(images), -1), others.reshape(len(others), -1)
    squares = mx.sum(a * a, axis=1)[:, None] + mx.sum(b * b, axis=1)[None, :] - 2 * (a @ b.T)
    return mx.mean(mx.sqrt(mx.maximum(mx.min(squares, axis=1), 0.0))).item()


def run(chosen: argparse.Namespace, out: Path, device: str) -> int:
    training, held_out = data.load()
    if chosen.batch > len(training):
        sys.exit(f"--batch {chosen.batch}: expected at most the {len(training)} training images")
    mx.random.seed(chosen.seed)
    network = UNet(SIZES[chosen.size])
    parameters = sum(p.size for _, p in tree_flatten(network.parameters()))
    weights = out / "weights.safetensors"

    with CtrlC() as ctrl_c:
        subject = f"A U-Net of {parameters:,} parameters"
        print(f"{subject} learns {len(training):,} real digits on the {device}.", flush=True)
        start = time.perf_counter()
        average, losses = train(network, training, chosen.steps, chosen.batch, ctrl_c)
        train_seconds = time.perf_counter() - start
        metrics: dict[str, float | int | str] = {
            "seed": chosen.seed,
            "device": device,
            "size": chosen.size,
            "params": parameters,
            "batch": chosen.batch,
            "steps": len(losses),
            "loss": mean_loss(losses),
            "train_seconds": train_seconds,
            "images_per_second": len(losses) * chosen.batch / train_seconds,
        }
        save(weights, average, chosen.size)
        pictures.save_loss(out / "loss.png", losses)
        save_metrics(out, metrics)
    if ctrl_c.pressed:
        print(f"Stopped after {len(losses)} of {chosen.steps} steps.")
        print(f"Saved {weights}, {out / 'loss.png'} and {out / 'metrics.json'}.")
        return INTERRUPTED

    start = time.perf_counter()
    judge = classifier.train(training, chosen.classifier_steps)
    metrics["classifier_seconds"] = time.perf_counter() - start
    accuracy = classifier.accuracy(judge, held_out.images, held_out.labels)
    metrics["classifier_accuracy"] = accuracy
    print(
        f"A classifier recognises {accuracy:.1%} of {len(held_out)} real digits held out from it."
    )

    start = time.perf_counter()
    labels = mx.repeat(mx.arange(data.CLASSES), chosen.drawn)
    drawn = diffusion.sample(average, labels, seed=chosen.seed)
    metrics["sample_seconds"] = time.perf_counter() - start
    metrics["generated"] = len(drawn)
    accuracy = classifier.accuracy(judge, drawn, labels)
    metrics["generated_accuracy"] = accuracy
    print(f"It recognises {accuracy:.1%} of {len(drawn)} drawn digits as the digit asked for.")

    # Were the drawn digits copies, they would lie much nearer to the training images than new real
    # ones do.
    metrics["distance_to_training"] = nearest_distance(drawn, training.images)
    metrics["distance_to_training_of_real"] = nearest_distance(held_out.images, training.images)
    save_metrics(out, metrics)
    pictures.save_samples(
        out / "samples.png",
        data.Digits(drawn, labels).first_of_each_class(SHOWN_PER_CLASS),
        held_out.first_of_each_class(SHOWN_PER_CLASS),
    )

    generate = Path(__file__).with_name("generate.py")
    print(f"More digits: {generate} --weights {weights} --digits 7294 --out x.png")
    print(f"The pictures are {out / 'samples.png'} and {out / 'loss.png'}.")
    return 0


def save_metrics(out: Path, metrics: dict[str, float | int | str]) -> None:
    (out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")


def main() -> int:
    chosen = options()
    out = writable_folder("--out", chosen.out)
    device = use_device(chosen.device)
    try:
        return run(chosen, out, device)
    except KeyboardInterrupt:
        print(f"\nStopped. What was saved before is in {out}.")
        return INTERRUPTED
    except OSError as error:
        sys.exit(f"--out: cannot write '{error.filename or out}': {error.strerror or error}")


if __name__ == "__main__":
    sys.exit(main())
