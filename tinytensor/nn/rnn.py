"""Recurrent layers: RNN, LSTM and GRU over whole sequences, and their cells for one step.

A step takes the state h and a = W x + b. For a sequence, one matrix product computes a for all steps:

    RNN    h ← tanh(a + U h + c), or relu
    LSTM   (i, f, g, o) = a + U h + c      m ← σ(f) m + σ(i) tanh(g)      h ← σ(o) tanh(m)
    GRU    (r, z, n) = a, (r', z', n') = U h + c      n ← tanh(n + σ(r + r') n')      h ← n + σ(z + z') (h − n)

Sources: Elman 1990; Hochreiter and Schmidhuber 1997, with forget gates (Gers et al. 2000); Cho et al. 2014.
"""

from __future__ import annotations

import math
from typing import Any

from tinytensor.creation import zeros
from tinytensor.functions import stack
from tinytensor.nn import functional as F
from tinytensor.nn import init
from tinytensor.nn.functional.linear import linear
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


def rnn_step(a: Tensor, state: Any, weight: Tensor, bias: Tensor | None, nonlinearity: str = "tanh") -> tuple[Tensor]:
    """The new state (h,)."""
    x = a + linear(state[0], weight, bias)
    return (x.tanh() if nonlinearity == "tanh" else x.relu(),)


def lstm_step(a: Tensor, state: Any, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The new state (h, memory)."""
    h, memory = state
    i, f, g, o = (a + linear(h, weight, bias)).chunk(4, -1)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def gru_step(a: Tensor, state: Any, weight: Tensor, bias: Tensor | None) -> tuple[Tensor]:
    """The new state (h,)."""
    (h,) = state
    n = h.shape[-1]
    gates, candidate = a.split([2 * n, n], -1)
    own_gates, own = linear(h, weight, bias).split([2 * n, n], -1)
    r, z = (gates + own_gates).sigmoid().chunk(2, -1)
    new = (candidate + r * own).tanh()
    return ((h - new) * z + new,)  # in this order: it decides how the state lies in memory


class _Recurrent(Module):
    """The base of the layers and the cells: weights, their initial values, the state and the step."""

    step: Any
    gates, states = 1, 1
    nonlinearity: str | None = None

    def _setup(self, input_size: int, hidden_size: int, bias: bool, nonlinearity: str | None) -> None:
        if nonlinearity not in (None, "tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.")
        self.input_size, self.hidden_size, self.bias, self.nonlinearity = input_size, hidden_size, bias, nonlinearity

    def _weights(self, suffix: str, inputs: int) -> None:
        rows = self.gates * self.hidden_size
        shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, self.hidden_size), "bias_ih": rows, "bias_hh": rows}
        for name, shape in shapes.items():
            if self.bias or name.startswith("weight"):
                self.register_parameter(name + suffix, Parameter(zeros(shape)))

    def reset_parameters(self) -> None:
        """Draw all parameters from U(−1/√H, 1/√H), H = hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0.0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def _run(self, xs: list[Tensor], state: Any, suffix: str) -> tuple[list[Tensor], Any]:
        """Run the steps one after the other. xs holds W x + b of each. Returns the outputs and the last state."""
        weight, bias = getattr(self, "weight_hh" + suffix), getattr(self, "bias_hh" + suffix, None)
        options = {} if self.nonlinearity is None else {"nonlinearity": self.nonlinearity}
        outputs = []
        for a in xs:
            state = self.step(a, state, weight, bias, **options)
            outputs.append(state[0])
        return outputs, state

    def _project(self, x: Tensor, suffix: str) -> Tensor:
        return linear(x, getattr(self, "weight_ih" + suffix), getattr(self, "bias_ih" + suffix, None))

    def _state(self, hx: Any, like: Tensor, *shape: int) -> Any:
        """The state hx as a tuple, zeros for None. RuntimeError for another shape."""
        if hx is None:
            return tuple(like.new_zeros(shape) for _ in range(self.states))
        state = tuple(hx) if self.states > 1 else (hx,)
        for h in state:
            if tuple(h.shape) != shape:
                raise RuntimeError(f"{type(self).__name__}: Expected hidden size {shape}, got {list(h.shape)}")
        return state


class _Layer(_Recurrent):
    """x (T, B, I), or (B, T, I) if batch_first → y (T, B, H) and the state (num_layers, B, H).

    Dropout applies to the outputs of all layers but the last. For x (T, I), without a batch, y and state have no B.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        nonlinearity: str | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(value, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(value).__name__}")
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not hasattr(size, "__index__"):
                raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero, got: {size}")
        if isinstance(dropout, bool) or not 0 <= float(dropout) <= 1:
            raise ValueError(f"dropout should be a number in [0, 1], the probability of a zero, got: {dropout}")
        self._setup(input_size, hidden_size, bias, nonlinearity)
        self.num_layers, self.batch_first, self.dropout = num_layers, batch_first, float(dropout)
        for layer in range(num_layers):
            self._weights(f"_l{layer}", hidden_size if layer else input_size)
        self.reset_parameters()

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Return (y, state). RuntimeError for sizes that do not fit."""
        if input.ndim not in (2, 3):
            raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input {tuple(input.shape)} does not fit: 2 or 3 dimensions, the last {self.input_size}"
            )
        weight = self._parameters["weight_ih_l0"]
        if weight is not None and input.dtype is not weight.dtype:
            raise ValueError(
                f"{type(self).__name__}: input is {input.dtype} and the weights {weight.dtype}; convert one with .to()"
            )
        if input.ndim == 2:
            hx = hx if hx is None else tuple(h.unsqueeze(1) for h in hx) if self.states > 1 else hx.unsqueeze(1)
            y, h = self.forward(input.unsqueeze(0 if self.batch_first else 1), hx)
            return y.squeeze(0 if self.batch_first else 1), _map(lambda t: t.squeeze(1), h)
        x = input.transpose(0, 1) if self.batch_first else input
        state = self._state(hx, x, self.num_layers, x.shape[1], self.hidden_size)
        last = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            steps = list(self._project(x, f"_l{layer}").unbind())
            outputs, end = self._run(steps, tuple(h[layer] for h in state), f"_l{layer}")
            x = stack(outputs)
            last.append(end)
        final = tuple(stack(h) for h in zip(*last, strict=True))
        return x.transpose(0, 1) if self.batch_first else x, final if self.states > 1 else final[0]

    def flatten_parameters(self) -> None:
        """Do nothing. In PyTorch it arranges the weights for cuDNN."""

    def extra_repr(self) -> str:
        usual = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0}
        return f"{self.input_size}, {self.hidden_size}" + "".join(
            f", {name}={getattr(self, name)}" for name, value in usual.items() if getattr(self, name) != value
        )


def _map(function: Any, state: Any) -> Any:
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)


class RNN(_Layer):
    """h ← tanh(W x + b + U h + c), or relu, over a sequence; shapes as in `_Layer`."""

    step = staticmethod(rnn_step)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, nonlinearity)


class LSTM(_Layer):
    """Long short-term memory over a sequence; shapes as in `_Layer`, the state is (h, memory)."""

    step, gates, states = staticmethod(lstm_step), 4, 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout)


class GRU(_Layer):
    """Gated recurrent units over a sequence; shapes as in `_Layer`."""

    step, gates = staticmethod(gru_step), 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout)


class _Cell(_Recurrent):
    """One step: x (B, I) or (I,), state (B, H) or (H,) → the new state."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str | None = None) -> None:
        super().__init__()
        self._setup(input_size, hidden_size, bias, nonlinearity)
        self._weights("", input_size)
        self.reset_parameters()

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """Return the new state. The old one is zeros if hx is None. ValueError for other numbers of dimensions."""
        given = () if hx is None else tuple(hx) if self.states > 1 else (hx,)
        for name, x in (("input", input), *(("hidden", h) for h in given)):
            if x.ndim not in (1, 2):
                raise ValueError(f"{type(self).__name__}: Expected {name} to be 1D or 2D, got {x.ndim}D instead")
        state = self._state(hx, input, *input.shape[:-1], self.hidden_size)
        _, new = self._run([self._project(input, "")], state, "")
        return new if self.states > 1 else new[0]

    def extra_repr(self) -> str:
        relu = ", nonlinearity=relu" if self.nonlinearity == "relu" else ""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias is True else f", bias={self.bias}") + relu


class RNNCell(_Cell):
    """h ← tanh(W x + b + U h + c), or relu."""

    step = staticmethod(rnn_step)

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size, bias, nonlinearity)


class LSTMCell(_Cell):
    """One step of an LSTM; the state is (h, memory)."""

    step, gates, states = staticmethod(lstm_step), 4, 2

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)


class GRUCell(_Cell):
    """One step of a GRU."""

    step, gates = staticmethod(gru_step), 3

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__(input_size, hidden_size, bias)
