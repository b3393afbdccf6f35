"""Recurrent layers and cells: the same weights give PyTorch's outputs, states, gradients and print."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_layers import compare, filled

import tinytensor as tt

torch = pytest.importorskip("torch")


def flat(y: Any) -> list[Any]:
    return [x for part in y for x in flat(part)] if isinstance(y, tuple) else [y]


LAYERS = [
    lambda nn: nn.LSTM(3, 4),
    lambda nn: nn.LSTM(3, 4, 2, batch_first=True),
    lambda nn: nn.GRU(3, 4, num_layers=2, bias=False),
    lambda nn: nn.RNN(3, 4),
    lambda nn: nn.RNN(3, 4, 2, nonlinearity="relu", batch_first=True),
]


@pytest.mark.parametrize("make", LAYERS)
def test_sequences(make: Any) -> None:
    compare(make, lambda t, m: flat(m(filled(t, 5, 2, 3))))
    compare(make, lambda t, m: flat(m(filled(t, 5, 3))))


@pytest.mark.parametrize("make", LAYERS)
def test_sequences_from_a_given_state(make: Any) -> None:
    def call(t: Any, m: Any) -> list[Any]:
        batch = 5 if m.batch_first else 2
        hs = [filled(t, m.num_layers, batch, 4, seed=s).requires_grad_() for s in (1, 2)]
        y, h = m(filled(t, 5, 2, 3), tuple(hs) if isinstance(m, t.nn.LSTM) else hs[0])
        return [y, *flat(h)]

    compare(make, call)
    compare(make, lambda t, m: flat(m(filled(t, 5, 3), *state_without_batch(t, m))))


def state_without_batch(t: Any, m: Any) -> tuple[Any, ...]:
    hs = tuple(filled(t, m.num_layers, 4, seed=s) for s in (1, 2))
    return (hs,) if isinstance(m, t.nn.LSTM) else hs[:1]


@pytest.mark.parametrize(
    "make",
    [
        lambda nn: nn.LSTMCell(3, 4),
        lambda nn: nn.GRUCell(3, 4, bias=False),
        lambda nn: nn.RNNCell(3, 4),
        lambda nn: nn.RNNCell(3, 4, nonlinearity="relu"),
    ],
)
def test_cells(make: Any) -> None:
    def call(t: Any, m: Any) -> list[Any]:
        first = m(filled(t, 2, 3))
        return flat(m(filled(t, 2, 3, seed=5), first))

    compare(make, call)
    compare(make, lambda t, m: flat(m(filled(t, 3))))


def test_initial_values_and_dropout_between_layers() -> None:
    layer = tt.nn.LSTM(3, 25, 2, dropout=0.5)
    values = np.concatenate([p.detach().numpy().ravel() for p in layer.parameters()])
    assert 0.19 < np.abs(values).max() <= 0.2
    x = filled(tt, 4, 2, 3).float()
    assert not tt.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert tt.equal(layer(x)[0], layer(x)[0])
    layer.flatten_parameters()
