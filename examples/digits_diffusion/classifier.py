"""A small convolutional classifier of real digits: the judge of the drawn ones."""

from data import CLASSES, SIDE, Digits

import legato.core as mx
import legato.nn as nn
import legato.optimizers as optim

NOISE = 0.2  # standard deviation of the noise on training images; their range is 2


class Classifier(nn.Module):
    """(N, 8, 8, 1) images to (N, 10) logits."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 64, 3, padding=1)
        self.decide = nn.Linear((SIDE // 2) ** 2 * 64, CLASSES)

    def __call__(self, images: mx.array) -> mx.array:
        x = nn.relu(self.conv1(images))
        x = nn.relu(self.conv2(x))
        x = nn.relu(self.conv3(x))
        return self.decide(x.reshape(x.shape[0], -1))


def train(digits: Digits, steps: int, batch: int = 64) -> Classifier:
    """Trains on noisy copies of `digits`, so that it learns strokes and not single pixels."""
    model = Classifier()
    optimizer = optim.AdamW(optim.cosine_decay(3e-3, steps), weight_decay=0.05)
    optimizer.init(model.trainable_parameters())

    def loss(images: mx.array, labels: mx.array) -> mx.array:
        noisy = images + NOISE * mx.random.normal(images.shape)
        return nn.losses.cross_entropy(model(noisy), labels, label_smoothing=0.05, reduction="mean")

    loss_and_gradients = nn.value_and_grad(model, loss)
    state = [model.state, optimizer.state, mx.random.state]

    def step(images: mx.array, labels: mx.array) -> None:
        _, gradients = loss_and_gradients(images, labels)
        optimizer.update(model, gradients)

    step = mx.compile(step, inputs=state, outputs=state)
    for _, (images, labels) in zip(range(steps), digits.batches(batch), strict=False):
        step(images, labels)
        mx.eval(state)
    return model


def accuracy(model: Classifier, images: mx.array, labels: mx.array) -> float:
    """Share of `images` that the classifier puts into the class `labels` says."""
    return mx.mean(mx.argmax(model(images), axis=-1) == labels).item()
