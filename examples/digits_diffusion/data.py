"""The handwritten digits that scikit-learn ships: 1,797 real grey images of 8 by 8 pixels."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

import legato.core as mx

SIDE = 8
CLASSES = 10


@dataclass(frozen=True)
class Digits:
    """Images (N, 8, 8, 1), float32 from -1 (paper) to 1 (ink); labels (N,), int32 in [0, 10)."""

    images: mx.array
    labels: mx.array

    def __len__(self) -> int:
        return self.labels.shape[0]

    def batches(self, size: int) -> Iterator[tuple[mx.array, mx.array]]:
        """Shuffled batches without end; the rest of an epoch, too few for a batch, is left out."""
        while True:
            order = mx.random.permutation(len(self))
            for start in range(0, len(self) - size + 1, size):
                chosen = order[start : start + size]
                yield self.images[chosen], self.labels[chosen]

    def first_of_each_class(self, count: int) -> np.ndarray:
        """The first `count` images of each class, shape (10, count, 8, 8)."""
        images, labels = np.array(self.images)[..., 0], np.array(self.labels)
        return np.stack([images[labels == label][:count] for label in range(CLASSES)])


def load() -> tuple[Digits, Digits]:
    """The training split (four fifths) and the held-out one, which no network ever trains on.

    The split is always the same, so that the accuracies of different seeds can be compared.
    """
    from sklearn.datasets import load_digits  # here, not above: they take a second to import,
    from sklearn.model_selection import train_test_split  # for which generate.py need not wait

    pixels, labels = load_digits(return_X_y=True)
    split = train_test_split(pixels, labels, test_size=0.2, stratify=labels, random_state=0)
    train_pixels, held_out_pixels, train_labels, held_out_labels = split
    return _digits(train_pixels, train_labels), _digits(held_out_pixels, held_out_labels)


def _digits(pixels: np.ndarray, labels: np.ndarray) -> Digits:
    images = (pixels / 8 - 1).astype(np.float32).reshape(-1, SIDE, SIDE, 1)  # pixels count 0..16
    return Digits(mx.array(images), mx.array(labels.astype(np.int32)))
