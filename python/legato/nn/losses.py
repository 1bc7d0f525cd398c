"""Loss functions.

All are differentiable with respect to every floating argument, and reduce by `reduction`: "none" gives the loss of
each element, "mean" and "sum" a scalar.
"""

from __future__ import annotations

import math

import legato.core as mx

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Reduction = Literal["none", "mean", "sum"]


def _reduce(loss: mx.array, reduction: str) -> mx.array:
    if reduction == "mean":
        return mx.mean(loss)
    if reduction == "sum":
        return mx.sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"Invalid reduction {reduction!r}. Must be one of ('none', 'mean', 'sum').")


def _same_shape(**arrays: mx.array) -> None:
    """Checks that arrays, given by their names, have one shape."""
    (first, expected), *others = ((name, x.shape) for name, x in arrays.items())
    for name, found in others:
        if found != expected:
            raise ValueError(
                f"The {name} of shape {tuple(found)} do not match the {first} of shape {tuple(expected)}."
            )


def _weighted(loss: mx.array, weights: mx.array | None) -> mx.array:
    if weights is None:
        return loss
    if weights.shape != loss.shape:
        raise ValueError(
            f"Weights with shape {tuple(weights.shape)} do not match the loss of shape {tuple(loss.shape)}."
        )
    return loss * weights


def cross_entropy(
    logits: mx.array,
    targets: mx.array,
    weights: mx.array | None = None,
    axis: int = -1,
    label_smoothing: float = 0.0,
    reduction: Reduction = "none",
) -> mx.array:
    """Cross-entropy of `targets` and softmax(`logits`), in nats.

    Args:
        logits: Floating array (..., C, ...), unnormalised; the classes C lie on `axis`.
        targets: Integer array with the shape of `logits` without `axis`, each in [0, C); or probabilities with the
            shape of `logits`.
        weights: Factor of each loss, with the shape of `logits` without `axis`. A mean divides by the number of
            losses, not by the sum of weights.
        axis: The axis of the classes.
        label_smoothing: How much of the targets' probability to spread evenly over the classes, in [0, 1).
        reduction: "none", "mean" or "sum".

    Returns:
        Array with the shape of `logits` without `axis`, or a scalar if reduced.

    Raises:
        ValueError: if shapes do not match as above, or `label_smoothing` or `reduction` is none of the above.

    >>> cross_entropy(mx.array([[0.0, 0.0]]), mx.array([1]))
    array([0.693147], dtype=float32)
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"Label smoothing must be in [0, 1), got {label_smoothing}.")
    as_probabilities = targets.ndim == logits.ndim
    expected = list(logits.shape)
    if not as_probabilities:
        del expected[axis]
    if list(targets.shape) != expected:
        raise ValueError(
            f"Targets shape {tuple(targets.shape)} does not match logits shape {tuple(logits.shape)}: expected "
            f"{tuple(expected)}, or the shape of the logits for probabilities."
        )

    if as_probabilities:
        logsumexp = mx.logsumexp(logits, axis=axis, keepdims=True)
        loss = mx.sum(targets * (logsumexp - logits), axis=axis)
    else:
        if not mx.issubdtype(targets.dtype, mx.integer):
            raise ValueError(
                f"Targets are of dtype {targets.dtype}; class indices must be integers, and probabilities must have "
                f"the shape {tuple(logits.shape)} of the logits."
            )
        if axis in (-1, logits.ndim - 1) and mx.issubdtype(logits.dtype, mx.floating):
            loss = mx.fast.cross_entropy(logits, targets)
        else:
            score = mx.take_along_axis(logits, mx.expand_dims(targets, axis), axis).squeeze(axis)
            loss = mx.logsumexp(logits, axis=axis) - score
    if label_smoothing > 0:
        uniform = mx.logsumexp(logits, axis=axis) - mx.mean(logits, axis=axis)
        loss = (1 - label_smoothing) * loss + label_smoothing * uniform
    return _reduce(_weighted(loss, weights), reduction)


def binary_cross_entropy(
    inputs: mx.array,
    targets: mx.array,
    weights: mx.array | None = None,
    with_logits: bool = True,
    reduction: Reduction = "mean",
) -> mx.array:
    """Cross-entropy of probabilities of two classes, in nats.

    Args:
        inputs: Logits, or probabilities in [0, 1] if `with_logits` is False.
        targets: Probabilities in [0, 1], of the shape of `inputs`.
        weights: Factor of each loss, of the shape of `inputs`.
        with_logits: Whether inputs are logits.
        reduction: "none", "mean" or "sum".

    Returns:
        Array with the shape of `inputs`, or a scalar if reduced. Logarithms of probabilities are at least -100.

    Raises:
        ValueError: if shapes differ.

    >>> binary_cross_entropy(mx.array([0.0, 0.0]), mx.array([1.0, 0.0]))
    array(0.693147, dtype=float32)
    """
    _same_shape(inputs=inputs, targets=targets)
    if with_logits:
        loss = mx.logaddexp(0.0, inputs) - inputs * targets
    else:
        loss = -(targets * _bounded_log(inputs) + (1 - targets) * _bounded_log(1 - inputs))
    return _reduce(_weighted(loss, weights), reduction)


def _bounded_log(p: mx.array) -> mx.array:
    """log(p), but at least -100. Zero is kept from the logarithm, whose infinite slope would make gradients nan."""
    return mx.where(p == 0, -100.0, mx.maximum(mx.log(mx.where(p == 0, 1.0, p)), -100.0))


def l1_loss(predictions: mx.array, targets: mx.array, reduction: Reduction = "mean") -> mx.array:
    """Absolute difference |predictions - targets|.

    Args:
        predictions: Any array.
        targets: Array of the same shape.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: if shapes differ.

    >>> l1_loss(mx.array([1.0, 5.0]), mx.array([2.0, 2.0]))
    array(2, dtype=float32)
    """
    _same_shape(predictions=predictions, targets=targets)
    return _reduce(mx.abs(predictions - targets), reduction)


def mse_loss(predictions: mx.array, targets: mx.array, reduction: Reduction = "mean") -> mx.array:
    """Squared difference (predictions - targets)².

    Args:
        predictions: Any array.
        targets: Array of the same shape.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: if shapes differ.

    >>> mse_loss(mx.array([1.0, 5.0]), mx.array([2.0, 2.0]))
    array(5, dtype=float32)
    """
    _same_shape(predictions=predictions, targets=targets)
    return _reduce(mx.square(predictions - targets), reduction)


def nll_loss(
    inputs: mx.array, targets: mx.array, axis: int = -1, reduction: Reduction = "none"
) -> mx.array:
    """Negative log-likelihood of classes, -inputs[targets].

    Args:
        inputs: Log-probabilities (..., C, ...); the classes C lie on `axis`.
        targets: Integer array with the shape of `inputs` without `axis`, each in [0, C).
        axis: The axis of the classes.
        reduction: "none", "mean" or "sum".

    Returns:
        Array with the shape of `targets`, or a scalar if reduced.
    """
    loss = -mx.take_along_axis(inputs, mx.expand_dims(targets, axis), axis).squeeze(axis)
    return _reduce(loss, reduction)


def gaussian_nll_loss(
    inputs: mx.array,
    targets: mx.array,
    vars: mx.array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> mx.array:
    """Negative log-likelihood of normal distributions, (log(vars) + (targets - inputs)² / vars) / 2.

    Args:
        inputs: Expected values.
        targets: Array of the same shape.
        vars: Variances, of the same shape.
        full: Whether to add the constant log(2π) / 2.
        eps: The least variance.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: if shapes differ.
    """
    _same_shape(inputs=inputs, targets=targets, vars=vars)
    vars = mx.maximum(vars, eps)
    loss = 0.5 * (mx.log(vars) + mx.square(targets - inputs) / vars)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


def kl_div_loss(
    inputs: mx.array, targets: mx.array, axis: int = -1, reduction: Reduction = "none"
) -> mx.array:
    """Kullback-Leibler divergence from inputs to targets, sum(exp(targets) · (targets - inputs)) over `axis`.

    Args:
        inputs: Log-probabilities.
        targets: Log-probabilities, of a shape that broadcasts with that of `inputs`.
        axis: The axis of the classes.
        reduction: "none", "mean" or "sum".
    """
    return _reduce(mx.sum(mx.exp(targets) * (targets - inputs), axis=axis), reduction)


def smooth_l1_loss(
    predictions: mx.array, targets: mx.array, beta: float = 1.0, reduction: Reduction = "mean"
) -> mx.array:
    """Squared difference for small ones, absolute for large: d² / (2 beta) if |d| < beta, else |d| - beta / 2.

    Args:
        predictions: Any array.
        targets: Array of the same shape.
        beta: Where one turns into the other; positive.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: if shapes differ.
    """
    _same_shape(predictions=predictions, targets=targets)
    distance = mx.abs(predictions - targets)
    small = 0.5 * mx.square(distance) / beta
    return _reduce(mx.where(distance < beta, small, distance - 0.5 * beta), reduction)


def triplet_loss(
    anchors: mx.array,
    positives: mx.array,
    negatives: mx.array,
    axis: int = -1,
    p: int = 2,
    margin: float = 1.0,
    eps: float = 1e-6,
    reduction: Reduction = "none",
) -> mx.array:
    """How far anchors fail to be nearer to positives than to negatives, max(d(a, p) - d(a, n) + margin, 0).

    Args:
        anchors: Points; their coordinates lie on `axis`.
        positives: Points that should be near.
        negatives: Points that should be farther away.
        axis: The axis of the coordinates.
        p: Which norm is the distance: (sum(|difference|^p) + eps)^(1/p).
        margin: By how much farther.
        eps: Keeps the root differentiable at 0.
        reduction: "none", "mean" or "sum".
    """

    def distance(others: mx.array) -> mx.array:
        if p == 2:
            return mx.sqrt(mx.sum(mx.square(anchors - others), axis=axis) + eps)
        powers = mx.power(mx.abs(anchors - others), p)
        return mx.power(mx.sum(powers, axis=axis) + eps, 1 / p)

    loss = mx.maximum(distance(positives) - distance(negatives) + margin, 0)
    return _reduce(loss, reduction)


def hinge_loss(inputs: mx.array, targets: mx.array, reduction: Reduction = "none") -> mx.array:
    """The loss of support vector machines, max(1 - inputs · targets, 0).

    Args:
        inputs: Predictions.
        targets: -1 or 1.
        reduction: "none", "mean" or "sum".
    """
    return _reduce(mx.maximum(1 - inputs * targets, 0), reduction)


def huber_loss(
    inputs: mx.array, targets: mx.array, delta: float = 1.0, reduction: Reduction = "none"
) -> mx.array:
    """Squared difference for small ones, absolute for large: d² / 2 if |d| <= delta, else delta (|d| - delta / 2).

    Args:
        inputs: Predictions.
        targets: Array that broadcasts with `inputs`.
        delta: Where one turns into the other.
        reduction: "none", "mean" or "sum".
    """
    distance = mx.abs(inputs - targets)
    small = 0.5 * mx.square(distance)
    return _reduce(mx.where(distance <= delta, small, delta * (distance - 0.5 * delta)), reduction)


def log_cosh_loss(inputs: mx.array, targets: mx.array, reduction: Reduction = "none") -> mx.array:
    """The smooth absolute difference log(cosh(inputs - targets)).

    Args:
        inputs: Predictions.
        targets: Array that broadcasts with `inputs`.
        reduction: "none", "mean" or "sum".
    """
    errors = inputs - targets
    return _reduce(mx.logaddexp(errors, -errors) - math.log(2), reduction)


def cosine_similarity_loss(
    x1: mx.array, x2: mx.array, axis: int = 1, eps: float = 1e-8, reduction: Reduction = "none"
) -> mx.array:
    """The cosine of the angle between vectors, x1 · x2 / max(‖x1‖ ‖x2‖, eps). To be maximized: 1 is the same direction.

    Args:
        x1: Vectors; their coordinates lie on `axis`.
        x2: Vectors, of a shape that broadcasts with that of `x1`.
        axis: The axis of the coordinates.
        eps: The least product of lengths.
        reduction: "none", "mean" or "sum".
    """
    lengths = mx.sqrt(mx.sum(mx.square(x1), axis=axis)) * mx.sqrt(mx.sum(mx.square(x2), axis=axis))
    return _reduce(mx.sum(x1 * x2, axis=axis) / mx.maximum(lengths, eps), reduction)


def margin_ranking_loss(
    inputs1: mx.array,
    inputs2: mx.array,
    targets: mx.array,
    margin: float = 0.0,
    reduction: Reduction = "none",
) -> mx.array:
    """How far inputs fail to be ranked as targets say, max(-targets · (inputs1 - inputs2) + margin, 0).

    Args:
        inputs1: Scores.
        inputs2: Scores to compare with, of the same shape.
        targets: 1 where inputs1 should be higher, -1 where lower; of the same shape.
        margin: By how much.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: if shapes differ.
    """
    _same_shape(inputs1=inputs1, inputs2=inputs2, targets=targets)
    return _reduce(mx.maximum(-targets * (inputs1 - inputs2) + margin, 0), reduction)
