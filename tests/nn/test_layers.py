"""Norms, activations and losses with their options: the same weights give PyTorch's outputs, gradients and print."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt

torch = pytest.importorskip("torch")


def filled(t: Any, *shape: int, seed: int = 0) -> Any:
    return t.tensor(np.random.default_rng([seed, *shape]).standard_normal(shape))


def compare(make: Any, call: Any) -> None:
    """A module and a call of it with either library: outputs, and gradients of parameters, buffers."""
    found = []
    for t in (torch, tt):
        module = make(t.nn).double()
        for i, p in enumerate(module.parameters()):
            p.data.copy_(filled(t, *p.shape, seed=i) * 0.5)
        outputs = call(t, module)
        loss = sum((y * filled(t, *y.shape, seed=9)).sum() for y in outputs)
        loss.backward()
        rest = [*[p.grad for p in module.parameters()], *module.state_dict().values()]
        found.append(
            ([y.detach().numpy() for y in outputs], [x.numpy() for x in rest], repr(module), list(module.state_dict()))
        )
    theirs, ours = found
    assert ours[2:] == theirs[2:]
    for a, b in zip(ours[0] + ours[1], theirs[0] + theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


NORMS = [
    lambda nn: nn.BatchNorm1d(3),
    lambda nn: nn.BatchNorm1d(3, eps=0.1, momentum=0.3, affine=False),
    lambda nn: nn.BatchNorm1d(3, track_running_stats=False),
    lambda nn: nn.BatchNorm1d(3, bias=False),
]


@pytest.mark.parametrize("make", NORMS)
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4)])
def test_batch_norm_in_training_and_then_in_evaluation(make: Any, shape: tuple[int, ...]) -> None:
    def call(t: Any, m: Any) -> list[Any]:
        x = filled(t, *shape).requires_grad_()
        first = m(x)
        m.eval()
        return [first, m(x), x * 0 + t.autograd.grad((first * first * x).sum(), x, retain_graph=True)[0]]

    compare(make, call)


MODULES = [
    lambda nn: nn.RMSNorm(3),
    lambda nn: nn.RMSNorm((4, 3), eps=0.1, elementwise_affine=False),
    lambda nn: nn.LeakyReLU(0.3),
    lambda nn: nn.ELU(alpha=2.0),
    lambda nn: nn.Softplus(2.0, 3.0),
    lambda nn: nn.LogSoftmax(dim=1),
    lambda nn: nn.Softmax(-1),
    lambda nn: nn.ReLU(inplace=True),
    lambda nn: nn.SiLU(True),
    lambda nn: nn.Sequential(nn.ReLU(), nn.GELU("tanh"), nn.Tanh(), nn.Sigmoid()),
    lambda nn: nn.Dropout(0.0, inplace=True),
    lambda nn: nn.Dropout(1.0, True),
]


@pytest.mark.parametrize("make", MODULES)
def test_modules(make: Any) -> None:
    def call(t: Any, m: Any) -> list[Any]:
        x = filled(t, 4, 3).requires_grad_()
        written = x * 1
        y = m(written)
        return [y, written, t.autograd.grad((y * y).sum(), x, retain_graph=True)[0]]

    compare(make, call)


LOSSES = [
    ("CrossEntropyLoss", {"weight": [1.0, 2.0, 0.5], "label_smoothing": 0.1, "reduction": "sum"}),
    ("CrossEntropyLoss", {"ignore_index": 1}),
    ("NLLLoss", {"weight": [1.0, 2.0, 0.5]}),
    ("MSELoss", {"reduction": "sum"}),
    ("L1Loss", {}),
    ("SmoothL1Loss", {"beta": 0.4}),
    ("HuberLoss", {"delta": 0.4, "reduction": "none"}),
    ("BCELoss", {}),
    ("BCEWithLogitsLoss", {"pos_weight": [1.0, 2.0, 0.5]}),
    ("KLDivLoss", {"reduction": "batchmean", "log_target": True}),
]


@pytest.mark.parametrize("name, options", LOSSES)
def test_losses(name: str, options: dict[str, Any]) -> None:
    results = []
    for t in (torch, tt):
        given = {k: t.tensor(v, dtype=t.float64) if isinstance(v, list) else v for k, v in options.items()}
        loss = getattr(t.nn, name)(**given)
        x = filled(t, 4, 3).requires_grad_()
        y = t.tensor([0, 1, 2, 1]) if name in ("CrossEntropyLoss", "NLLLoss") else filled(t, 4, 3, seed=2).sigmoid()
        value = loss(x.sigmoid() if name == "BCELoss" else x, y)
        value.sum().backward()
        results.append((value.detach().numpy(), x.grad.numpy(), np.array(list(loss.state_dict()) == []), repr(loss)))
    for ours, theirs in zip(results[1][:3], results[0][:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13)
    assert results[1][3] == results[0][3]


def test_weight_comes_first() -> None:
    weight, x, y = tt.tensor([1.0, 3.0]), tt.tensor([[1.0, 2.0], [0.0, 5.0]]), tt.tensor([0, 1])
    assert tt.nn.CrossEntropyLoss(weight)(x, y).item() == pytest.approx(
        tt.nn.NLLLoss(weight)(x.log_softmax(1), y).item()
    )
    with pytest.raises(TypeError, match="MSELoss takes"):
        tt.nn.MSELoss(None, None, "mean", 3)


def test_embedding_padding_and_from_pretrained() -> None:
    def call(t: Any, m: Any) -> list[Any]:
        return [m(t.tensor([[0, 3], [1, 1]]))]

    compare(lambda nn: nn.Embedding(4, 2, padding_idx=-1), call)
    assert tt.nn.Embedding(4, 2, padding_idx=1).weight[1].tolist() == [0.0, 0.0]
    table = tt.ones(3, 2)
    layer = tt.nn.Embedding.from_pretrained(table, padding_idx=0)
    assert not layer.weight.requires_grad and layer.weight.tolist() == table.tolist()
    assert tt.nn.Embedding.from_pretrained(table, freeze=False).weight.requires_grad


def test_parameter_list() -> None:
    for t in (torch, tt):
        params = t.nn.ParameterList([t.ones(2), t.nn.Parameter(t.zeros(1))])
        params.append(t.full((3,), 2.0))
        params[0] = t.nn.Parameter(t.full((2,), 5.0))
        params.extend([t.ones(1)])
        assert len(params) == 4 and params[-1].tolist() == [1.0]
        assert [n for n, _ in params.named_parameters()] == ["0", "1", "2", "3"]
        assert [p.sum().item() for p in params] == [10.0, 0.0, 6.0, 1.0]
        assert all(isinstance(p, t.nn.Parameter) for p in params)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: t.nn.BatchNorm1d(3)(t.ones(3)),
        lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
        lambda t: t.nn.functional.batch_norm(t.ones(2, 3), None, None),
        lambda t: t.nn.Embedding(3, 2, padding_idx=3),
        lambda t: t.nn.LSTM(3, 4)(t.ones(5, 2, 2)),
        lambda t: t.nn.LSTM(3, 4)(t.ones(5, 2, 3), (t.ones(1, 3, 4), t.ones(1, 3, 4))),
        lambda t: t.nn.GRU(3, 4)(t.ones(5, 2, 3), t.ones(2, 2, 4)),
        lambda t: t.nn.RNN(3, 4, nonlinearity="sigmoid"),
        lambda t: t.nn.LSTMCell(3, 4)(t.ones(2, 3), (t.ones(2, 5), t.ones(2, 5))),
    ],
)
def test_errors(call: Any) -> None:
    kinds = []
    for t in (torch, tt):
        with pytest.raises(Exception) as caught:
            call(t)
        kinds.append(caught.type)
    assert kinds[0] is kinds[1]
