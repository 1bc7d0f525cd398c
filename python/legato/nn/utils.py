"""Gradients with respect to a model, recomputation, and gradients over several processes."""

from __future__ import annotations

from functools import wraps

import legato.core as mx
from legato.utils import tree_flatten, tree_map, tree_unflatten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from legato.nn.layers.base import Module


def value_and_grad(model: Module, fn: Callable) -> Callable:
    """Makes a function that gives what `fn` returns, and its gradient with respect to the model's trainable parameters.

    Args:
        model: The model, which `fn` uses.
        fn: A function of any arguments that returns a scalar array, or a tuple that begins with one.

    Returns:
        A function with the arguments of `fn` that returns `(what fn returns, gradients)`. Gradients are a tree like
        `model.trainable_parameters()`.

    >>> from legato.nn import Linear
    >>> model = Linear(2, 1)
    >>> loss_and_grad = value_and_grad(model, lambda x: model(x).sum())
    >>> loss, grads = loss_and_grad(mx.array([[1.0, 2.0]]))
    >>> grads["weight"]
    array([[1, 2]], dtype=float32)
    """

    def run(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        model.update(parameters)
        return fn(*args, **kwargs)

    differentiated = mx.value_and_grad(run)

    @wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        before = model.trainable_parameters()
        try:
            return differentiated(model.trainable_parameters(), *args, **kwargs)
        finally:
            # Otherwise the model would go on holding the arrays of the transform, and with them its graph.
            model.update(before)

    return wrapped


def checkpoint(module: Module, fn: Callable | None = None) -> Callable:
    """Makes a function that computes as `fn`, but keeps only its inputs for the gradient, and computes again for it.

    Trades time for memory. Gradients reach the arguments and the trainable parameters of `module`.

    Args:
        module: The module, which `fn` uses.
        fn: The function; by default the module itself.

    Returns:
        A function with the arguments of `fn`.
    """
    fn = module.__call__ if fn is None else fn

    def run(parameters: Any, *args: Any, **kwargs: Any) -> Any:
        # Runs again when gradients are taken, long after `wrapped` has returned: each run gives back what it found.
        before = module.trainable_parameters()
        module.update(parameters)
        try:
            return fn(*args, **kwargs)
        finally:
            module.update(before)

    checkpointed = mx.checkpoint(run)

    @wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return checkpointed(module.trainable_parameters(), *args, **kwargs)

    return wrapped


def average_gradients(
    gradients: Any,
    group: mx.distributed.Group | None = None,
    all_reduce_size: int = 32 * 1024**2,
    communication_stream: mx.Stream | None = None,
) -> Any:
    """Averages gradients over all processes of a group.

    Args:
        gradients: A tree of arrays, of the same structure in all processes.
        group: The group; by default that of all processes.
        all_reduce_size: Small arrays are joined into messages of at least this many bytes; 0 or less sends each array
            by itself.
        communication_stream: The stream to communicate on.

    Returns:
        The tree of averages. In a group of one it is `gradients`.
    """
    if group is None:
        group = mx.distributed.init()
    processes = group.size()
    if processes == 1:
        return gradients

    def average(x: mx.array) -> mx.array:
        return mx.distributed.all_sum(x, group=group, stream=communication_stream) / processes

    flat = tree_flatten(gradients)
    if not flat:
        return gradients
    averaged: dict[str, mx.array] = {}
    for bucket in _buckets(flat, all_reduce_size):
        if len(bucket) == 1:
            path, array = bucket[0]
            averaged[path] = average(array)
            continue
        joined = average(mx.concatenate([array.reshape(-1) for _, array in bucket]))
        start = 0
        for path, array in bucket:
            averaged[path] = joined[start : start + array.size].reshape(array.shape)
            start += array.size
    return tree_unflatten([(path, averaged[path]) for path, _ in flat])


def _buckets(
    flat: list[tuple[str, mx.array]], least_bytes: int
) -> list[list[tuple[str, mx.array]]]:
    """Divides arrays into lists of one dtype, all but the last of each with `least_bytes` or more."""
    full: list[list[tuple[str, mx.array]]] = []
    open_by_dtype: dict[str, list[tuple[str, mx.array]]] = {}
    for path, array in flat:
        bucket = open_by_dtype.setdefault(str(array.dtype), [])
        bucket.append((path, array))
        if sum(a.nbytes for _, a in bucket) >= least_bytes:
            full.append(open_by_dtype.pop(str(array.dtype)))
    return full + list(open_by_dtype.values())


def clip_grad_norm_sharded(
    gradients: Any, max_norm: float, group: mx.distributed.Group | None = None
) -> tuple[Any, mx.array]:
    """Scales gradients, of which each process of a group has a part, down to a largest norm of all parts together.

    Args:
        gradients: A tree of arrays, this process's part.
        max_norm: The largest norm.
        group: The group; by default that of all processes.

    Returns:
        The tree of scaled gradients, and the norm that they had, a scalar of float32.
    """
    if group is None:
        group = mx.distributed.init()
    total = mx.array(0.0)
    for _, g in tree_flatten(gradients):
        total = total + mx.sum(mx.square(g.astype(mx.float32)))
    norm = mx.sqrt(mx.distributed.all_sum(total, group=group))
    factor = mx.minimum(max_norm / (norm + 1e-6), 1.0)
    return tree_map(lambda g: g * factor.astype(g.dtype), gradients), norm
