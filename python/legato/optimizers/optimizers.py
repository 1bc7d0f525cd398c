"""Optimizers: rules that turn parameters and their gradients into new parameters."""

from __future__ import annotations

import math

import legato.core as mx
from legato.utils import tree_flatten, tree_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from legato.nn.layers.base import Module

    Schedule = Callable[[mx.array], mx.array]


class Optimizer:
    """The base class of optimizers.

    The state is a tree that can be saved, loaded and listed in `mx.compile(inputs=..., outputs=...)`: `step`, a uint64
    scalar; `learning_rate`, a float32 scalar; and under the path of each parameter a dict of its own arrays.

    To write one, define `init_single` and `apply_single`.

    Args:
        schedulers: Functions of the number of steps done; before each step their values are stored in the state under
            their names.

    >>> optimizer = SGD(learning_rate=0.5)
    >>> optimizer.apply_gradients({"w": mx.array([2.0])}, {"w": mx.array([3.0])})
    {'w': array([2], dtype=float32)}
    """

    def __init__(self, schedulers: dict[str, Callable] | None = None) -> None:
        self._state: Any = {"step": mx.array(0, mx.uint64)}
        self._schedulers = dict(schedulers or {})
        self._scalars: dict[Any, mx.array] | None = None

    # -- for users ----------------------------------------------------------------------------

    def update(self, model: Module, gradients: dict) -> None:
        """Makes one step: replaces the parameters of a model that have gradients.

        Args:
            model: The model.
            gradients: A tree like the model's trainable parameters, or a part of it.
        """
        model.update(self.apply_gradients(gradients, model))

    def init(self, parameters: dict) -> None:
        """Makes the state for parameters that have none, which otherwise happens at their first step.

        Call it before compiling a step, so that the state has its final structure.

        Args:
            parameters: A tree of arrays.

        Raises:
            ValueError: if a parameter has the name of one of the optimizer's own values, such as "step".
        """
        if isinstance(parameters, dict):
            for name in parameters:
                if isinstance(self._state.get(name), mx.array):
                    raise ValueError(
                        f"{type(self).__name__}: the parameter '{name}' has the name of a value in the optimizer's "
                        "state; give it another name, or put it into a module."
                    )
        self._state = self._complete(parameters, self._state)

    def apply_gradients(self, gradients: dict, parameters: dict) -> dict:
        """Makes one step.

        Args:
            gradients: A tree of arrays.
            parameters: A tree of at least the same structure.

        Returns:
            The tree of new parameters, with the structure of `gradients`.

        Raises:
            ValueError: if `parameters` lacks something that has a gradient.
        """
        self.init(gradients)
        for name, schedule in self._schedulers.items():
            self._state[name] = schedule(self.step)
        self._state["step"] = self.step + 1
        self._scalars = {}
        try:
            return tree_map(self.apply_single, gradients, parameters, self._state)
        finally:
            self._scalars = None

    @property
    def state(self) -> dict:
        """The state, as described above; may be set to a saved one."""
        return self._state

    @state.setter
    def state(self, state: dict) -> None:
        self._state = state

    @property
    def step(self) -> mx.array:
        """How many steps have been made, a uint64 scalar."""
        return self._state["step"]

    @property
    def learning_rate(self) -> mx.array:
        """The learning rate, a float32 scalar; may be set to a number. A schedule sets it again before each step."""
        if "learning_rate" not in self._state:
            raise AttributeError(f"This {type(self).__name__} has no learning rate of its own.")
        return self._state["learning_rate"]

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | mx.array) -> None:
        self._state["learning_rate"] = mx.array(learning_rate)

    # -- for subclasses -----------------------------------------------------------------------

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Puts the first state of one parameter into the empty dict `state`."""
        raise NotImplementedError(f"{type(self).__name__} does not define init_single.")

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Returns the new value of one parameter, and updates its `state`."""
        raise NotImplementedError(f"{type(self).__name__} does not define apply_single.")

    def _maybe_schedule(self, name: str, value: float | Schedule) -> None:
        """Stores a hyperparameter in the state: a number, or a schedule of them."""
        if callable(value):
            self._schedulers[name] = value
            self._state[name] = mx.array(value(self.step))
        else:
            self._state[name] = mx.array(value)

    def _scalar(self, name: str, like: mx.array, make: Callable[[], mx.array]) -> mx.array:
        """The value of `make` in the dtype of `like`, made only once for all parameters of a step."""
        if self._scalars is None:
            return make().astype(like.dtype)
        key = (name, like.dtype)
        if key not in self._scalars:
            self._scalars[key] = make().astype(like.dtype)
        return self._scalars[key]

    def _rate(self, gradient: mx.array) -> mx.array:
        """The learning rate in the dtype of a gradient."""
        return self._scalar("rate", gradient, lambda: self.learning_rate)

    def _decayed(self, parameter: mx.array, weight_decay: float) -> mx.array:
        """The parameter after weight decay that is apart from the gradient (Loshchilov, Hutter, 2019)."""
        if not weight_decay:
            return parameter
        return parameter * self._scalar(
            "decay", parameter, lambda: 1 - self.learning_rate * weight_decay
        )

    def _complete(self, parameters: Any, state: Any) -> Any:
        """The state with what it lacks for some parameters; containers that exist are kept."""
        if isinstance(parameters, (list, tuple)):
            states = state if isinstance(state, list) else list(state or ())
            for i, parameter in enumerate(parameters):
                if i < len(states):
                    states[i] = self._complete(parameter, states[i])
                else:
                    states.append(self._complete(parameter, None))
            return states
        if isinstance(parameters, dict):
            state = {} if state is None else state
            for name, parameter in parameters.items():
                state[name] = self._complete(parameter, state.get(name))
            return state
        if not state:
            state = {}
            self.init_single(parameters, state)
        return state


def _check(optimizer: str, name: str, value: Any, ok: bool, expected: str) -> None:
    if not ok:
        raise ValueError(f"{optimizer} {name} should be {expected}, {value} was provided instead")


class SGD(Optimizer):
    """Stochastic gradient descent: g = ∇ + weight_decay · w, v = momentum · v + (1 - dampening) g, w = w - lr · v.

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        momentum: Factor of what earlier gradients leave; 0 for none.
        weight_decay: Factor of the parameters added to gradients.
        dampening: How much to reduce new gradients in v.
        nesterov: Whether to step by g + momentum · v.

    State: `v`, like the parameter.

    Raises:
        ValueError: if `nesterov` comes without momentum or with dampening.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"SGD: Nesterov momentum requires a momentum and zero dampening, but momentum is {momentum} and "
                f"dampening is {dampening}."
            )
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.dampening = dampening
        self.nesterov = nesterov

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `v` at 0."""
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        rate = self._rate(gradient)
        if self.momentum <= 0:
            return parameter - rate * gradient
        v = self.momentum * state["v"] + (1 - self.dampening) * gradient
        state["v"] = v
        return parameter - rate * (gradient + self.momentum * v if self.nesterov else v)


class RMSprop(Optimizer):
    """Divides by a running root mean square (Tieleman and Hinton, 2012): v = α v + (1 - α) g²,
    w = w - lr · g / (√v + eps).

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        alpha: The share α of the old mean.
        eps: Added to the root.

    State: `v`, like the parameter.

    Raises:
        ValueError: if `alpha` or `eps` is negative.
    """

    def __init__(
        self, learning_rate: float | Schedule, alpha: float = 0.99, eps: float = 1e-8
    ) -> None:
        _check("RMSprop", "alpha", alpha, alpha >= 0, ">=0")
        _check("RMSprop", "epsilon", eps, eps >= 0, ">=0")
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.alpha = alpha
        self.eps = eps

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `v` at 0."""
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        v = self.alpha * state["v"] + (1 - self.alpha) * mx.square(gradient)
        state["v"] = v
        return parameter - self._rate(gradient) * gradient / (mx.sqrt(v) + self.eps)


class Adagrad(Optimizer):
    """Divides by the root of the sum of squares so far (Duchi et al., 2011): v = v + g², w = w - lr · g / (√v + eps).

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        eps: Added to the root.

    State: `v`, like the parameter.

    Raises:
        ValueError: if `eps` is negative.
    """

    def __init__(self, learning_rate: float | Schedule, eps: float = 1e-8) -> None:
        _check("Adagrad", "epsilon", eps, eps >= 0, ">=0")
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.eps = eps

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `v` at 0."""
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        v = state["v"] + mx.square(gradient)
        state["v"] = v
        return parameter - self._rate(gradient) * gradient / (mx.sqrt(v) + self.eps)


class AdaDelta(Optimizer):
    """Steps by gradients in units of earlier steps (Zeiler, 2012): v = ρ v + (1 - ρ) g²,
    Δ = g · √(u + eps) / √(v + eps), u = ρ u + (1 - ρ) Δ², w = w - lr · Δ.

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        rho: The share ρ of the old means.
        eps: Added to the means.

    State: `v` and `u`, like the parameter.

    Raises:
        ValueError: if `rho` or `eps` is negative.
    """

    def __init__(
        self, learning_rate: float | Schedule, rho: float = 0.9, eps: float = 1e-6
    ) -> None:
        _check("AdaDelta", "rho", rho, rho >= 0, ">=0")
        _check("AdaDelta", "epsilon", eps, eps >= 0, ">=0")
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.rho = rho
        self.eps = eps

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `v` and `u` at 0."""
        state["v"] = mx.zeros_like(parameter)
        state["u"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        v = self.rho * state["v"] + (1 - self.rho) * mx.square(gradient)
        delta = gradient * mx.sqrt(state["u"] + self.eps) / mx.sqrt(v + self.eps)
        state["v"] = v
        state["u"] = self.rho * state["u"] + (1 - self.rho) * mx.square(delta)
        return parameter - self._rate(gradient) * delta


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): m = β₁ m + (1 - β₁) g, v = β₂ v + (1 - β₂) g², w = w - lr · m / (√v + eps).

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        betas: The shares (β₁, β₂) of the old means, each in [0, 1).
        eps: Added to the root.
        bias_correction: Whether to divide m by 1 - β₁^t and v by 1 - β₂^t in step t, as the paper does, for their
            beginning at 0.

    State: `m` and `v`, like the parameter.

    Raises:
        ValueError: if an argument is outside its range.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        betas: list[float] = [0.9, 0.999],  # noqa: B006 (a list, as its callers expect; never changed)
        eps: float = 1e-8,
        bias_correction: bool = False,
    ) -> None:
        name = type(self).__name__
        _check(name, "betas", betas, len(betas) == 2, "two numbers")
        for i, beta in enumerate(betas, start=1):
            _check(name, f"beta{i}", beta, 0 <= beta < 1, "in [0, 1)")
        _check(name, "epsilon", eps, eps >= 0, ">=0")
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.betas = betas
        self.eps = eps
        self.bias_correction = bias_correction

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `m` and `v` at 0."""
        state["m"] = mx.zeros_like(parameter)
        state["v"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        b1, b2 = self.betas
        m = b1 * state["m"] + (1 - b1) * gradient
        v = b2 * state["v"] + (1 - b2) * mx.square(gradient)
        state["m"], state["v"] = m, v
        if not self.bias_correction:
            return parameter - self._rate(gradient) * m / (mx.sqrt(v) + self.eps)
        rate = self._scalar("corrected", m, lambda: self.learning_rate / self._weight_of_steps(b1))
        widen = self._scalar("widen", v, lambda: mx.rsqrt(self._weight_of_steps(b2)))
        return parameter - rate * m / (mx.sqrt(v) * widen + self.eps)

    def _weight_of_steps(self, beta: float) -> mx.array:
        """The share of all steps so far in a running mean that began at 0."""
        return 1 - mx.power(beta, self.step.astype(mx.float32))


class AdamW(Adam):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019): w = w (1 - lr · weight_decay),
    then a step of `Adam`.

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        betas: The shares (β₁, β₂) of the old means, each in [0, 1).
        eps: Added to the root.
        weight_decay: Factor of the parameters.
        bias_correction: As in `Adam`.

    State: `m` and `v`, like the parameter.

    Raises:
        ValueError: if an argument is outside its range.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        betas: list[float] = [0.9, 0.999],  # noqa: B006
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        bias_correction: bool = False,
    ) -> None:
        super().__init__(learning_rate, betas, eps, bias_correction)
        self.weight_decay = weight_decay

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        parameter = self._decayed(parameter, self.weight_decay)
        return super().apply_single(gradient, parameter, state)


class Adamax(Adam):
    """Adam with the maximum norm (Kingma and Ba, 2015): v = max(β₂ v, |g|), w = w - lr · m / (v + eps).

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        betas: The shares (β₁, β₂) of the old values, each in [0, 1).
        eps: Added to v.

    State: `m` and `v`, like the parameter.

    Raises:
        ValueError: if an argument is outside its range.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        betas: list[float] = [0.9, 0.999],  # noqa: B006
        eps: float = 1e-8,
    ) -> None:
        super().__init__(learning_rate, betas, eps)

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `m` and `v` at 0."""
        super().init_single(parameter, state)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        b1, b2 = self.betas
        m = b1 * state["m"] + (1 - b1) * gradient
        v = mx.maximum(b2 * state["v"], mx.abs(gradient))
        state["m"], state["v"] = m, v
        return parameter - self._rate(gradient) * m / (v + self.eps)


class Lion(Optimizer):
    """Lion (Chen et al., 2023): w = w (1 - lr · weight_decay) - lr · sign(β₁ m + (1 - β₁) g),
    m = β₂ m + (1 - β₂) g.

    All steps have the same size, so that the learning rate should be 3 to 10 times smaller than that of Adam, and the
    weight decay larger by as much.

    Args:
        learning_rate: The learning rate lr, a number or a schedule.
        betas: The shares (β₁, β₂) of the old mean.
        weight_decay: Factor of the parameters.

    State: `m`, like the parameter.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        betas: list[float] = [0.9, 0.99],  # noqa: B006
        weight_decay: float = 0.0,
    ) -> None:
        _check("Lion", "betas", betas, len(betas) == 2, "two numbers")
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.betas = betas
        self.weight_decay = weight_decay

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `m` at 0."""
        state["m"] = mx.zeros_like(parameter)

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        b1, b2 = self.betas
        direction = mx.sign(b1 * state["m"] + (1 - b1) * gradient)
        state["m"] = b2 * state["m"] + (1 - b2) * gradient
        decayed = self._decayed(parameter, self.weight_decay)
        return decayed - self._rate(gradient) * direction


class Adafactor(Optimizer):
    """Adafactor (Shazeer and Stern, 2018): divides by a root mean square that is kept as means of rows and columns.

    Args:
        learning_rate: A number or a schedule; needed unless `relative_step`.
        eps: (added to squared gradients, least scale of a parameter).
        clip_threshold: Steps are scaled down to this root mean square.
        decay_rate: The share of the old means in step t is 1 - t^decay_rate.
        beta_1: The share of the old mean of steps; None to do without one.
        weight_decay: Factor of the parameters.
        scale_parameter: Whether to multiply the learning rate by the root mean square of the parameter.
        relative_step: Whether the learning rate is min(0.01, 1/√t) instead of `learning_rate`.
        warmup_init: Whether this begins with 1e-6 · t instead of 0.01.

    State: `exp_avg_sq_row` (..., R) and `exp_avg_sq_col` (..., C) for a parameter (..., R, C), `exp_avg_sq` for one of
    less than 2 dimensions; and `exp_avg` with `beta_1`.
    """

    def __init__(
        self,
        learning_rate: float | Schedule | None = None,
        eps: tuple[float, float] = (1e-30, 1e-3),
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta_1: float | None = None,
        weight_decay: float = 0.0,
        scale_parameter: bool = True,
        relative_step: bool = True,
        warmup_init: bool = False,
    ) -> None:
        super().__init__()
        if learning_rate is not None:
            self._maybe_schedule("learning_rate", learning_rate)
        self.eps = eps
        self.clip_threshold = clip_threshold
        self.decay_rate = decay_rate
        self.beta_1 = beta_1
        self.weight_decay = weight_decay
        self.scale_parameter = scale_parameter
        self.relative_step = relative_step
        self.warmup_init = warmup_init

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts all means at 0."""
        shape, dtype = tuple(parameter.shape), parameter.dtype
        if parameter.ndim >= 2:
            state["exp_avg_sq_row"] = mx.zeros(shape[:-1], dtype)
            state["exp_avg_sq_col"] = mx.zeros(shape[:-2] + shape[-1:], dtype)
        else:
            state["exp_avg_sq"] = mx.zeros_like(parameter)
        if self.beta_1 is not None:
            state["exp_avg"] = mx.zeros_like(parameter)

    def _relative_rate(self) -> mx.array:
        """The learning rate before it is scaled by the parameter."""
        if not self.relative_step:
            return self.learning_rate
        step = self.step.astype(mx.float32)
        highest: Any = 1e-6 * step if self.warmup_init else 1e-2
        return mx.minimum(highest, mx.rsqrt(step))

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        rate = self._scalar("relative", parameter, self._relative_rate)
        if self.scale_parameter:
            rate = mx.maximum(self.eps[1], _rms(parameter)) * rate
        # The share of what is new in the means.
        fresh = self._scalar(
            "fresh", gradient, lambda: mx.power(self.step.astype(mx.float32), self.decay_rate)
        )
        square = mx.square(gradient) + self.eps[0]
        if gradient.ndim >= 2:
            row = (1 - fresh) * state["exp_avg_sq_row"] + fresh * mx.mean(square, axis=-1)
            col = (1 - fresh) * state["exp_avg_sq_col"] + fresh * mx.mean(square, axis=-2)
            state["exp_avg_sq_row"], state["exp_avg_sq_col"] = row, col
            # The square is about row · col / mean(row).
            row_root = mx.rsqrt(row / mx.mean(row, axis=-1, keepdims=True))
            change = gradient * mx.expand_dims(row_root, -1) * mx.expand_dims(mx.rsqrt(col), -2)
        else:
            mean_square = (1 - fresh) * state["exp_avg_sq"] + fresh * square
            state["exp_avg_sq"] = mean_square
            change = gradient * mx.rsqrt(mean_square)
        change = rate * change / mx.maximum(1.0, _rms(change) / self.clip_threshold)
        if self.beta_1 is not None:
            change = self.beta_1 * state["exp_avg"] + (1 - self.beta_1) * change
            state["exp_avg"] = change
        if self.weight_decay:
            parameter = parameter * (1 - rate * self.weight_decay)
        return parameter - change


def _rms(x: mx.array) -> mx.array:
    """The root mean square."""
    return mx.sqrt(mx.mean(mx.square(x)))


class Muon(Optimizer):
    """Muon (Jordan et al., 2024): steps by the momentum with all singular values made about 1.

    Made for weights of hidden layers, of 2 or more dimensions; others make a plain step with momentum. Use
    `MultiOptimizer` to give them, and embeddings and output layers, to another optimizer.

    Args:
        learning_rate: The learning rate, a number or a schedule.
        momentum: The share of the old mean of gradients.
        weight_decay: Factor of the parameters added to gradients.
        nesterov: Whether to step by momentum · v + (1 - momentum) · g instead of v.
        ns_steps: The number of Newton-Schulz iterations.

    State: `v`, like the parameter.
    """

    def __init__(
        self,
        learning_rate: float | Schedule,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
        nesterov: bool = True,
        ns_steps: int = 5,
    ) -> None:
        super().__init__()
        self._maybe_schedule("learning_rate", learning_rate)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.nesterov = nesterov
        self.ns_steps = ns_steps

    def init_single(self, parameter: mx.array, state: dict) -> None:
        """Starts `v` at 0."""
        state["v"] = mx.zeros_like(parameter)

    def _orthogonalized(self, x: mx.array) -> mx.array:
        """A matrix (R, C) with the singular vectors of x and singular values near 1."""
        # The polynomial a σ + b σ³ + c σ⁵ takes all of (0, 1] to about [0.7, 1.2] in five turns.
        a, b, c = 3.4445, -4.7750, 2.0315
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (mx.sqrt(mx.sum(mx.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * (gram @ gram)) @ x
        return x.T if tall else x

    def apply_single(self, gradient: mx.array, parameter: mx.array, state: dict) -> mx.array:
        """Makes one step of one parameter."""
        keep = self.momentum
        if self.weight_decay:
            gradient = gradient + self.weight_decay * parameter
        v = keep * state["v"] + (1 - keep) * gradient
        state["v"] = v
        change = (1 - keep) * gradient + keep * v if self.nesterov else v
        if change.ndim >= 2:
            matrix = self._orthogonalized(change.reshape(change.shape[0], -1))
            rows, columns = matrix.shape
            change = matrix.reshape(change.shape) * math.sqrt(max(1.0, rows / columns))
        return parameter - self._rate(gradient) * change


class MultiOptimizer(Optimizer):
    """Divides the parameters among several optimizers.

    Args:
        optimizers: The optimizers.
        filters: For each but the last, a function of path and gradient (or parameter, in `init`) that says whether it
            takes the parameter; the first to say so gets it, and the last optimizer the rest.

    State: `states`, the list of the optimizers' states.

    Raises:
        ValueError: if the number of filters is not one less than that of optimizers.

    >>> optimizer = MultiOptimizer([SGD(0.5), SGD(0.1)], [lambda path, x: path == "a"])
    >>> ones = {"a": mx.array([1.0]), "b": mx.array([1.0])}
    >>> optimizer.apply_gradients(ones, ones)
    {'a': array([0.5], dtype=float32), 'b': array([0.9], dtype=float32)}
    """

    def __init__(self, optimizers: list[Optimizer], filters: list = []) -> None:  # noqa: B006
        super().__init__()
        if len(filters) != len(optimizers) - 1:
            raise ValueError(
                f"MultiOptimizer: {len(optimizers)} optimizers need {len(optimizers) - 1} filters, "
                f"but {len(filters)} were given."
            )
        self.optimizers = optimizers
        self.filters = [*filters, lambda path, x: True]

    def _divide(self, tree: Any, path: str = "") -> list[Any]:
        """A tree for each optimizer, of the leaves that it gets; `{}` for none."""
        if isinstance(tree, (list, tuple)):
            parts = [self._divide(x, f"{path}.{i}") for i, x in enumerate(tree)]
            return [
                [part[i] for part in parts] if any(_any(part[i]) for part in parts) else {}
                for i in range(len(self.optimizers))
            ]
        if isinstance(tree, dict):
            named = {k: self._divide(x, f"{path}.{k}") for k, x in tree.items()}
            return [
                {k: parts[i] for k, parts in named.items() if _any(parts[i])}
                for i in range(len(self.optimizers))
            ]
        owner = next(i for i, takes in enumerate(self.filters) if takes(path[1:], tree))
        return [tree if i == owner else {} for i in range(len(self.optimizers))]

    def init(self, parameters: dict) -> None:
        """Makes the states for parameters that have none."""
        for optimizer, part in zip(self.optimizers, self._divide(parameters), strict=True):
            optimizer.init(part)

    def apply_gradients(self, gradients: dict, parameters: dict) -> dict:
        """Makes one step, each optimizer with its part; see `Optimizer.apply_gradients`."""
        updated: dict[str, mx.array] = {}
        for optimizer, part in zip(self.optimizers, self._divide(gradients), strict=True):
            tree_flatten(optimizer.apply_gradients(part, parameters), destination=updated)
        paths = iter(path for path, _ in tree_flatten(gradients))
        return tree_map(lambda _: updated[next(paths)], gradients)

    @property
    def state(self) -> dict:
        """The optimizers' states, in a list under the name `states`; may be set to a saved one."""
        return {"states": [optimizer.state for optimizer in self.optimizers]}

    @state.setter
    def state(self, state: dict) -> None:
        states = state.get("states")
        if not isinstance(states, (list, tuple)) or len(states) != len(self.optimizers):
            raise ValueError(
                f"MultiOptimizer: the state needs a list 'states' of {len(self.optimizers)} states, one for each "
                f"optimizer, but has the keys {list(state)}."
            )
        for optimizer, own in zip(self.optimizers, states, strict=True):
            optimizer.state = own

    @property
    def step(self) -> mx.array:
        """How many steps have been made, a uint64 scalar."""
        return self.optimizers[0].step

    @property
    def learning_rate(self) -> mx.array:
        """The learning rate of the first optimizer; setting it sets that of all."""
        return self.optimizers[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: float | mx.array) -> None:
        for optimizer in self.optimizers:
            optimizer.learning_rate = learning_rate


def _any(part: Any) -> bool:
    """Whether a part of a tree has a leaf."""
    return isinstance(part, mx.array) or bool(part)


def clip_grad_norm(grads: Any, max_norm: float) -> tuple[Any, mx.array]:
    """Scales gradients down so that the norm of all together is at most `max_norm`.

    Args:
        grads: A tree of arrays.
        max_norm: The largest norm.

    Returns:
        The tree of scaled gradients, in their dtypes, and the norm that they had, a scalar of float32.

    >>> clip_grad_norm({"w": mx.array([3.0, 4.0])}, 10.0)
    ({'w': array([3, 4], dtype=float32)}, array(5, dtype=float32))
    """
    total = mx.array(0.0)
    for _, g in tree_flatten(grads):
        total = total + mx.sum(mx.square(g.astype(mx.float32)))
    norm = mx.sqrt(total)
    factor = mx.minimum(max_norm / (norm + 1e-6), 1.0)
    return tree_map(lambda g: g * factor.astype(g.dtype), grads), norm
