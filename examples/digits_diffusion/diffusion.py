"""Denoising diffusion: how a picture is turned into noise, and how a network learns the way back.

  DDPM             Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models (2020)
  cosine schedule  Nichol, Dhariwal: Improved Denoising Diffusion Probabilistic Models (2021)
  v-prediction     Salimans, Ho: Progressive Distillation for Fast Sampling (2022), appendix D
  DDIM             Song, Meng, Ermon: Denoising Diffusion Implicit Models (2021)
  guidance         Ho, Salimans: Classifier-Free Diffusion Guidance (2022)

Time t runs from 0 (the picture) to 1 (noise alone). On the way a picture x becomes

    z = alpha(t) * x + sigma(t) * noise,    alpha² + sigma² = 1.

The network sees z, t and the class, and predicts v = alpha * noise - sigma * x. Both parts follow:
x = alpha * z - sigma * v, noise = sigma * z + alpha * v. Predicted noise would say nothing about x
near t = 1, where z is the noise, and a predicted x nothing near t = 0; v is well posed everywhere.
"""

import math
from collections.abc import Callable

from data import CLASSES, SIDE

import legato.core as mx
import legato.nn as nn

NO_CLASS = CLASSES  # the label that says "any digit", which guidance needs
LABEL_DROP = 0.1  # share of training labels replaced by NO_CLASS
STEPS = 20  # half as many give the same accuracy and less varied digits
GUIDANCE = 1.3  # of 1 to 2: at 1, one digit in twenty is unclear; towards 2 they grow alike

# network(z, t, labels) -> v with z, v: (N, 8, 8, 1), t: (N,), labels: (N,)
Network = Callable[[mx.array, mx.array, mx.array], mx.array]


def schedule(t: mx.array) -> tuple[mx.array, mx.array]:
    """alpha and sigma at the times `t`: the cosine schedule."""
    return mx.cos(t * (math.pi / 2)), mx.sin(t * (math.pi / 2))


def loss(network: Network, images: mx.array, labels: mx.array) -> mx.array:
    """Mean squared error of the predicted v, each image at a random time under random noise."""
    count = images.shape[0]
    t = mx.random.uniform(shape=(count,))
    alpha, sigma = (s.reshape(count, 1, 1, 1) for s in schedule(t))
    noise = mx.random.normal(images.shape)
    dropped = mx.random.bernoulli(LABEL_DROP, (count,))
    v = network(alpha * images + sigma * noise, t, mx.where(dropped, NO_CLASS, labels))
    return nn.losses.mse_loss(v, alpha * noise - sigma * images)


def sample(
    network: Network, labels: mx.array, *, seed: int, steps: int = STEPS, guidance: float = GUIDANCE
) -> mx.array:
    """Draws an image for each label by DDIM: `steps` strides from t = 1 to t = 0 that add no noise.

    Args:
        labels: Integer array of shape (N,), each in [0, 10).
        seed: Same seed, labels and weights: same images.
        guidance: 1 follows the network; more pushes each image away from "any digit" towards its
            class, which makes it clearer and less varied.

    Returns:
        Images of shape (N, 8, 8, 1) in [-1, 1], evaluated.
    """
    count = labels.shape[0]
    both_labels = mx.concatenate([labels, mx.full(labels.shape, NO_CLASS, dtype=labels.dtype)])

    @mx.compile
    def stride(z: mx.array, t: mx.array, next_t: mx.array) -> tuple[mx.array, mx.array]:
        v = network(mx.concatenate([z, z]), mx.broadcast_to(t, (2 * count,)), both_labels)
        with_class, without = mx.split(v, 2)
        v = without + guidance * (with_class - without)
        alpha, sigma = schedule(t)
        next_alpha, next_sigma = schedule(next_t)
        image = mx.clip(alpha * z - sigma * v, -1.0, 1.0)
        noise = (z - alpha * image) / sigma  # what z holds besides the clipped image
        return next_alpha * image + next_sigma * noise, image

    z = mx.random.normal((count, SIDE, SIDE, 1), key=mx.random.key(seed))
    times = mx.linspace(1.0, 0.0, steps + 1)
    image = z
    for i in range(steps):
        z, image = stride(z, times[i], times[i + 1])
        mx.eval(z, image)
    return image
