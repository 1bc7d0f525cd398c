"""Recurrent layers, which run over a sequence step by step."""

from __future__ import annotations

import math

import legato.core as mx
from legato.nn.layers.activations import tanh
from legato.nn.layers.base import Module, check_sizes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _project(x: mx.array, weight: mx.array, bias: mx.array | None) -> mx.array:
    """x Wᵀ + b for all steps at once."""
    if x.ndim < 2 or x.shape[-2] == 0:
        raise ValueError(
            "A recurrent layer expects an input (L, features) or (N, L, features) of at least one step, "
            f"but its shape is {tuple(x.shape)}."
        )
    return x @ weight.T if bias is None else mx.addmm(bias, x, weight.T)


class RNN(Module):
    """A recurrent layer h' = tanh(Wxh x + Whh h + b).

    Args:
        input_size: The number of features of the input.
        hidden_size: The number of features H of the state.
        bias: Whether to add b.
        nonlinearity: A function in place of tanh.

    Parameters, at first uniform in ±1/√H: `Wxh` (H, input_size), `Whh` (H, H) and `bias` (H,).

    Raises:
        ValueError: if `nonlinearity` can't be called.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Callable[[mx.array], mx.array] | None = None,
    ) -> None:
        super().__init__()
        check_sizes("RNN", input_size=input_size, hidden_size=hidden_size)
        if nonlinearity is not None and not callable(nonlinearity):
            raise ValueError(f"RNN: nonlinearity must be callable, but is {nonlinearity!r}.")
        self.nonlinearity = nonlinearity or tanh
        self.hidden_size = hidden_size
        limit = 1 / math.sqrt(hidden_size)
        self.Wxh = mx.random.uniform(-limit, limit, (hidden_size, input_size))
        self.Whh = mx.random.uniform(-limit, limit, (hidden_size, hidden_size))
        if bias:
            self.bias = mx.random.uniform(-limit, limit, (hidden_size,))

    def _extra_repr(self) -> str:
        name = getattr(self.nonlinearity, "__name__", self.nonlinearity)
        return (
            f"input_dims={self.Wxh.shape[1]}, hidden_size={self.hidden_size}, nonlinearity={name}, "
            f"bias={'bias' in self}"
        )

    def __call__(self, x: mx.array, hidden: mx.array | None = None) -> mx.array:
        """Runs over a sequence.

        Args:
            x: Array (L, input_size) or (N, L, input_size).
            hidden: The state (H,) or (N, H) to begin with; zeros by default.

        Returns:
            The states after all steps, (L, H) or (N, L, H).
        """
        gates = _project(x, self["Wxh"], self.get("bias"))
        states = []
        for i in range(x.shape[-2]):
            gate = gates[..., i, :]
            if hidden is not None:
                gate = gate + hidden @ self["Whh"].T
            hidden = self.nonlinearity(gate)
            states.append(hidden)
        return mx.stack(states, axis=-2)


class GRU(Module):
    """A gated recurrent unit (Cho et al., 2014): r, z = σ(...), n = tanh(Wn x + bn + r (Un h + bhn)),
    h' = (1 - z) n + z h.

    Args:
        input_size: The number of features of the input.
        hidden_size: The number of features H of the state.
        bias: Whether to add biases.

    Parameters, at first uniform in ±1/√H: `Wx` (3H, input_size) and `Wh` (3H, H) for r, z and n in this order, `b`
    (3H,), and `bhn` (H,).
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        check_sizes("GRU", input_size=input_size, hidden_size=hidden_size)
        self.hidden_size = hidden_size
        limit = 1 / math.sqrt(hidden_size)
        self.Wx = mx.random.uniform(-limit, limit, (3 * hidden_size, input_size))
        self.Wh = mx.random.uniform(-limit, limit, (3 * hidden_size, hidden_size))
        self.b = mx.random.uniform(-limit, limit, (3 * hidden_size,)) if bias else None
        self.bhn = mx.random.uniform(-limit, limit, (hidden_size,)) if bias else None

    def _extra_repr(self) -> str:
        return (
            f"input_dims={self.Wx.shape[1]}, hidden_size={self.hidden_size}, "
            f"bias={self.b is not None}"
        )

    def __call__(self, x: mx.array, hidden: mx.array | None = None) -> mx.array:
        """Runs over a sequence.

        Args:
            x: Array (L, input_size) or (N, L, input_size).
            hidden: The state (H,) or (N, H) to begin with; zeros by default.

        Returns:
            The states after all steps, (L, H) or (N, L, H).
        """
        size = self.hidden_size
        inputs = _project(x, self["Wx"], self.b)
        states = []
        for i in range(x.shape[-2]):
            gates = inputs[..., i, : 2 * size]
            candidate = inputs[..., i, 2 * size :]
            if hidden is None:
                reset, update = mx.split(mx.sigmoid(gates), 2, axis=-1)
                if self.bhn is not None:
                    candidate = candidate + reset * self.bhn
                hidden = (1 - update) * mx.tanh(candidate)
            else:
                from_state = hidden @ self["Wh"].T
                gates = gates + from_state[..., : 2 * size]
                reset, update = mx.split(mx.sigmoid(gates), 2, axis=-1)
                recurrent = from_state[..., 2 * size :]
                if self.bhn is not None:
                    recurrent = recurrent + self.bhn
                hidden = (1 - update) * mx.tanh(candidate + reset * recurrent) + update * hidden
            states.append(hidden)
        return mx.stack(states, axis=-2)


class LSTM(Module):
    """A long short-term memory (Hochreiter and Schmidhuber, 1997): c' = σ(f) c + σ(i) tanh(g), h' = σ(o) tanh(c').

    Args:
        input_size: The number of features of the input.
        hidden_size: The number of features H of the state.
        bias: Whether to add a bias.

    Parameters, at first uniform in ±1/√H: `Wx` (4H, input_size) and `Wh` (4H, H) for i, f, g and o in this order, and
    `bias` (4H,).
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        check_sizes("LSTM", input_size=input_size, hidden_size=hidden_size)
        self.hidden_size = hidden_size
        limit = 1 / math.sqrt(hidden_size)
        self.Wx = mx.random.uniform(-limit, limit, (4 * hidden_size, input_size))
        self.Wh = mx.random.uniform(-limit, limit, (4 * hidden_size, hidden_size))
        if bias:
            self.bias = mx.random.uniform(-limit, limit, (4 * hidden_size,))

    def _extra_repr(self) -> str:
        return (
            f"input_dims={self.Wx.shape[1]}, hidden_size={self.hidden_size}, bias={'bias' in self}"
        )

    def __call__(
        self, x: mx.array, hidden: mx.array | None = None, cell: mx.array | None = None
    ) -> tuple[mx.array, mx.array]:
        """Runs over a sequence.

        Args:
            x: Array (L, input_size) or (N, L, input_size).
            hidden: The state h (H,) or (N, H) to begin with; zeros by default.
            cell: The state c to begin with, like `hidden`; zeros by default.

        Returns:
            The states h and the states c after all steps, each (L, H) or (N, L, H).
        """
        inputs = _project(x, self["Wx"], self.get("bias"))
        hiddens, cells = [], []
        for i in range(x.shape[-2]):
            gates = inputs[..., i, :]
            if hidden is not None:
                gates = gates + hidden @ self["Wh"].T
            i_gate, f_gate, g_gate, o_gate = mx.split(gates, 4, axis=-1)
            new = mx.sigmoid(i_gate) * mx.tanh(g_gate)
            cell = new if cell is None else mx.sigmoid(f_gate) * cell + new
            hidden = mx.sigmoid(o_gate) * mx.tanh(cell)
            hiddens.append(hidden)
            cells.append(cell)
        return mx.stack(hiddens, axis=-2), mx.stack(cells, axis=-2)
