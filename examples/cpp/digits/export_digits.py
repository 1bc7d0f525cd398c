"""Writes digits.npz from the handwritten digits that scikit-learn ships: run once, the file is in the repository."""

import numpy as np
from sklearn.datasets import load_digits

digits = load_digits()
np.savez_compressed(
    "digits.npz",
    images=digits.images.astype(np.uint8),  # (1797, 8, 8), from 0 to 16
    labels=digits.target.astype(np.uint8),  # (1797,)
)
