"""One step of the training, compiled: loss, gradients, AdamW, and the average of the weights."""

from collections.abc import Callable

import diffusion
from model import UNet

import legato.core as mx
import legato.nn as nn
import legato.optimizers as optim
from legato.utils import tree_map

LEARNING_RATE = 3e-3
WARMUP_STEPS = 30

Step = Callable[[mx.array, mx.array], mx.array]  # images, labels -> the loss of the step


def training_step(network: UNet, steps: int) -> tuple[Step, UNet, list]:
    """Prepares the training of `network` for `steps` steps.

    Returns:
        The step; the network with averaged weights, which draws better than the last ones (Ho et al.,
        2020); and what a step changes, to be evaluated after each.
    """
    warmup = min(WARMUP_STEPS, steps // 2)
    rise = optim.linear_schedule(0.0, LEARNING_RATE, max(1, warmup))
    fall = optim.cosine_decay(LEARNING_RATE, steps - warmup)
    rate = optim.join_schedules([rise, fall], [warmup])
    optimizer = optim.AdamW(rate, betas=[0.9, 0.99], bias_correction=True)
    optimizer.init(network.trainable_parameters())

    average = UNet(network.width)
    average.update(network.parameters())

    def loss_of(images: mx.array, labels: mx.array) -> mx.array:
        return diffusion.loss(network, images, labels)

    loss_and_gradients = nn.value_and_grad(network, loss_of)
    state = [network.state, average.state, optimizer.state, mx.random.state]

    def step(images: mx.array, labels: mx.array) -> mx.array:
        loss, gradients = loss_and_gradients(images, labels)
        optimizer.update(network, gradients)
        # The memory of this average grows with the training: always about its last tenth. (Karras
        # et al.: Analyzing and Improving the Training Dynamics of Diffusion Models, 2024)
        decay = (1 + optimizer.step) / (10 + optimizer.step)

        def blend(old: mx.array, new: mx.array) -> mx.array:
            return new + decay * (old - new)

        average.update(tree_map(blend, average.parameters(), network.parameters()))
        return loss

    return mx.compile(step, inputs=state, outputs=state), average, state
