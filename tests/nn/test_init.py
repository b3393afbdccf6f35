"""Initial values: distributions and fans beside PyTorch's (the streams differ)."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.nn import init

torch = pytest.importorskip("torch")

SHAPES = [(300, 200), (40, 50, 6, 5)]  # 60,000 elements: the tests below are 5 standard errors wide
BOUNDED = {
    "uniform": (init.uniform_, torch.nn.init.uniform_, {"a": -0.3, "b": 0.5}),
    "xavier": (init.xavier_uniform_, torch.nn.init.xavier_uniform_, {"gain": 1.5}),
    "kaiming": (init.kaiming_uniform_, torch.nn.init.kaiming_uniform_, {"a": 0.5}),
    "kaiming relu": (
        init.kaiming_uniform_,
        torch.nn.init.kaiming_uniform_,
        {"mode": "fan_out", "nonlinearity": "relu"},
    ),
}
NORMAL = {
    "normal": (init.normal_, torch.nn.init.normal_, {"mean": 0.3, "std": 0.02}),
    "xavier": (init.xavier_normal_, torch.nn.init.xavier_normal_, {"gain": 0.5}),
    "kaiming": (init.kaiming_normal_, torch.nn.init.kaiming_normal_, {"a": math.sqrt(5)}),
    "kaiming tanh": (init.kaiming_normal_, torch.nn.init.kaiming_normal_, {"nonlinearity": "tanh"}),
    "truncated": (
        init.trunc_normal_,
        torch.nn.init.trunc_normal_,
        {"mean": 0.2, "std": 1.0, "a": -1.0, "b": 0.8},
    ),
}


def drawn(ours, theirs, settings, shape):
    """Float64 samples of both, and that ours is the same Tensor, filled in place."""
    tt.manual_seed(0)
    torch.manual_seed(0)
    x = tt.nn.Parameter(tt.zeros(*shape))
    assert ours(x, **settings) is x and x.dtype is tt.float32 and x.requires_grad
    return x.detach().numpy().astype(np.float64), theirs(torch.zeros(*shape), **settings).double().numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", BOUNDED.values(), ids=BOUNDED.keys())
def test_uniform(case, shape):
    x, expected = drawn(*case, shape)
    width = expected.max() - expected.min()
    assert abs(x.min() - expected.min()) < 1e-3 * width and abs(x.max() - expected.max()) < 1e-3 * width
    assert abs(x.mean() - expected.mean()) < 5 * width / math.sqrt(12 * x.size) * math.sqrt(2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", NORMAL.values(), ids=NORMAL.keys())
def test_normal(case, shape):
    x, expected = drawn(*case, shape)
    std = expected.std()
    assert abs(x.mean() - expected.mean()) < 5 * std * math.sqrt(2 / x.size)
    assert abs(x.std() / std - 1) < 5 / math.sqrt(x.size)
    for quantile in (0.1, 0.5, 0.9):
        assert abs(np.quantile(x, quantile) - np.quantile(expected, quantile)) < 0.03 * std


def test_truncated_stays_inside():
    x = init.trunc_normal_(tt.zeros(10000), std=1.0, a=1.0, b=2.0)
    assert x.min() >= 1 and x.max() <= 2 and x.std() > 0.2
    with pytest.raises(ValueError, match="too far in the tail"):
        init.trunc_normal_(tt.zeros(2), a=10, b=11)


def test_constants():
    x = tt.nn.Parameter(tt.zeros(2, 2))
    assert init.ones_(x).tolist() == [[1, 1]] * 2
    assert init.constant_(x, 3.5).tolist() == [[3.5] * 2] * 2
    assert init.zeros_(x).tolist() == [[0, 0]] * 2


def test_generator_decides():
    def draw(seed):
        return init.kaiming_normal_(tt.zeros(3, 3), generator=tt.Generator().manual_seed(seed))

    assert tt.equal(draw(1), draw(1)) and not tt.equal(draw(1), draw(2))


@pytest.mark.parametrize("name", ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_gain(name):
    assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name), rel=1e-15)
    if name == "leaky_relu":
        assert init.calculate_gain(name, 0.3) == torch.nn.init.calculate_gain(name, 0.3)


def test_errors():
    for lib in (init, torch.nn.init):
        zeros = (tt if lib is init else torch).zeros
        with pytest.raises(ValueError, match="fewer than 2 dimensions"):
            lib.xavier_uniform_(zeros(3))
        with pytest.raises(ValueError, match="Mode fan not supported"):
            lib.kaiming_uniform_(zeros(3, 3), mode="fan")
        with pytest.raises(ValueError, match="Unsupported nonlinearity"):
            lib.calculate_gain("gelu")
        with pytest.raises(ValueError, match="not a valid number"):
            lib.calculate_gain("leaky_relu", "x")


def test_layers_start_as_in_pytorch():
    for make in (
        lambda nn: nn.Linear(100, 300),
        lambda nn: nn.Embedding(200, 100),
        lambda nn: nn.LayerNorm(10),
    ):
        ours, theirs = make(tt.nn).state_dict(), make(torch.nn).state_dict()
        for name, p in ours.items():
            x, expected = p.numpy(), theirs[name].numpy()
            assert x.std() == pytest.approx(expected.std(), rel=0.15, abs=1e-9)
            assert np.abs(x).max() == pytest.approx(np.abs(expected).max(), rel=0.3, abs=1e-9)
