"""The pictures that the demo leaves behind."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draw to files; no display is needed

import matplotlib.pyplot as plt
import numpy as np

PAPER, INK = -1.0, 1.0


def sheet(rows: np.ndarray, gap: int = 1) -> np.ndarray:
    """Lays images (R, C, H, W) out in R rows and C columns, `gap` pixels of paper between them."""
    padded = np.pad(rows, ((0, 0), (0, 0), (0, gap), (0, gap)), constant_values=PAPER)
    r, c, h, w = padded.shape
    return padded.transpose(0, 2, 1, 3).reshape(r * h, c * w)[:-gap, :-gap]


def save_samples(path: Path, drawn: np.ndarray, real: np.ndarray) -> None:
    """Drawn digits left, real ones right, each (10, C, 8, 8): a row for each class."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 5.8), layout="constrained")
    sides = {"drawn by the network": drawn, "real, never seen in training": real}
    for axis, (title, rows) in zip(axes, sides.items(), strict=True):
        axis.imshow(sheet(rows), cmap="gray_r", vmin=PAPER, vmax=INK)
        axis.set_title(title)
        axis.axis("off")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def save_loss(path: Path, losses: list[float]) -> None:
    """The loss of each training step, and its running mean."""
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    axis.plot(
        range(1, len(losses) + 1), losses, color="lightsteelblue", linewidth=0.8, label="each step"
    )
    window = max(1, min(50, len(losses) // 4))
    if len(losses) >= window:
        mean = np.convolve(losses, np.full(window, 1 / window), mode="valid")
        axis.plot(
            range(window, len(losses) + 1), mean, color="navy", label=f"mean of {window} steps"
        )
    axis.set(xlabel="step", ylabel="mean squared error of v", yscale="log")
    axis.grid(True, which="both", alpha=0.2)
    axis.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def save_line(path: Path, images: np.ndarray, magnify: int = 16) -> None:
    """Writes images (N, 8, 8) side by side, each pixel `magnify` pixels wide."""
    line = np.pad(sheet(images[None], gap=2), 2, constant_values=PAPER)
    plt.imsave(
        path,
        line.repeat(magnify, axis=0).repeat(magnify, axis=1),
        cmap="gray_r",
        vmin=PAPER,
        vmax=INK,
    )
