"""why: the parts of a gradient are those that autograd finds if it may pass one position alone; they add up to all of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inside_models import batch, gpt

import tinytensor as tt
from gpt.tokenizers import CharTokenizer
from tinytensor import nn
from tinytensor.inside.why import NotTheGradient, Why, _compare
from tinytensor.nn import functional as F

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tied": {"tied": True, "positions": "learned"},
    "newer": {"norm": "rms", "qk_norm": True, "activation": "swiglu", "bias": False},
}


def traced(model: nn.Module, edit: Callable[[tt.trace], None] = lambda t: None) -> tuple[tt.trace, tt.Tensor]:
    x, y = batch()
    with tt.trace(model) as t:
        edit(t)
        loss = model(x, y)[1]
        loss.backward()
    return t, loss


def only(position: tuple[int, ...]) -> Callable[[tt.Tensor], tt.Tensor]:
    """The same values; the gradient passes at one position."""

    def change(v: tt.Tensor) -> tt.Tensor:
        mask = v.new_zeros(v.shape)
        mask[position] = 1.0
        return v * mask + v.detach() * (1 - mask)

    return change


def edited(name: str, change: Callable[[tt.Tensor], tt.Tensor], t: tt.trace) -> None:
    t.edit(name, change)


CASES = [
    ("plain", "head.weight", "head"),
    ("plain", "blocks.0.feed_forward.up.weight", "blocks.0.feed_forward.up"),
    ("plain", "blocks.1.attention.qkv.bias", "blocks.1.attention.qkv"),
    ("plain", "blocks.1.attention_norm.weight", "blocks.1.attention_norm"),
    ("plain", "norm.bias", "norm"),
    ("plain", "embedding.weight", "embedding"),
    ("newer", "blocks.1.feed_forward_norm.weight", "blocks.1.feed_forward_norm"),
    ("newer", "blocks.0.feed_forward.gate.weight", "blocks.0.feed_forward.gate"),
    ("newer", "blocks.0.attention.q_norm.weight", "blocks.0.attention.q_norm"),
]


@pytest.mark.parametrize("variant, name, path", CASES)
def test_each_part_is_the_gradient_through_one_position(variant: str, name: str, path: str) -> None:
    model = gpt(**VARIANTS[variant]).double()
    t, _ = traced(model)
    whole = t[name].grad.numpy().copy()
    at = tuple(map(int, np.unravel_index(np.argmax(np.abs(whole)), whole.shape)))
    answer = tt.why(name, at, t)
    assert answer.gradient == pytest.approx(whole[at], rel=1e-12)
    assert answer.parts.sum() == pytest.approx(whole[at], rel=1e-9)
    shape = t[path].shape[:-1]
    assert answer.parts.shape == tuple(shape)
    for position in [(0,) * len(shape), (1, *[-2] * (len(shape) - 1)), (1, *[3] * (len(shape) - 1))]:
        model.zero_grad()
        traced(model, partial(edited, f"{path}.output", only(position)))
        assert answer.parts[position] == pytest.approx(
            dict(model.named_parameters())[name].grad.numpy()[at], rel=1e-9, abs=1e-15
        )


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_every_parameter_of_every_model(variant: str, dtype: tt.dtype) -> None:
    """why itself asserts that the parts add up; here to what autograd leaves in .grad."""
    model = gpt(**VARIANTS[variant]).to(dtype)
    t, _ = traced(model)
    rng = np.random.default_rng(3)
    for name, p in model.named_parameters():
        for _ in range(3):
            at = tuple(int(rng.integers(n)) for n in p.shape)
            answer = tt.why(p, at, t)
            assert answer.name == name
            assert answer.total == pytest.approx(
                float(p.grad.numpy()[at]), rel=1e-3 if dtype is tt.float32 else 1e-9, abs=1e-7
            )


def test_a_loss_runs_its_own_backward_and_changes_no_grad() -> None:
    model = gpt().double()
    x, y = batch()
    with tt.trace(model) as t:
        loss = model(x, y)[1]
    answer = tt.why(model.head.weight, (3, 4), loss)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()  # the graph is still there
    assert answer.gradient == pytest.approx(float(model.head.weight.grad.numpy()[3, 4]), rel=1e-12)
    again = tt.why(model.head.weight, (3, 4), loss)  # its backward has run
    assert np.array_equal(again.parts, answer.parts)
    assert np.array_equal(tt.why("head.weight", (3, 4), t).parts, answer.parts)
    assert answer.name == "head.weight"


def test_a_layer_that_is_used_twice_has_both() -> None:
    layer = nn.Linear(3, 3, dtype=tt.float64)
    with tt.trace() as t:
        loss = layer(layer(tt.randn(2, 5, 3, dtype=tt.float64)).tanh()).square().sum()
        loss.backward()
    answer = tt.why(layer.weight, (1, 2), t)
    assert len(answer.uses) == 2
    assert answer.parts.shape == (2, 5)
    assert answer.gradient == pytest.approx(float(layer.weight.grad.numpy()[1, 2]), rel=1e-12)


def test_a_tied_weight_has_the_parts_of_both_layers() -> None:
    model = gpt(**VARIANTS["tied"]).double()
    t, _ = traced(model)
    answer = tt.why(model.head.weight, (4, 3), t)
    assert {use.call.primitive.name for use in answer.uses} == {"embedding", "linear"}
    assert answer.gradient == pytest.approx(float(model.head.weight.grad.numpy()[4, 3]), rel=1e-12)


def test_uses_of_different_shapes_stay_apart() -> None:
    layer = nn.Linear(3, 3)
    with tt.trace() as t:
        (layer(tt.randn(2, 5, 3)).sum() + layer(tt.randn(4, 3)).sum()).backward()
    parts = tt.why(layer.weight, (0, 0), t).parts
    assert sorted(p.shape for p in parts) == [(2, 5), (4,)]


FORMS: dict[str, Callable[[tt.Tensor, tt.Tensor], tt.Tensor]] = {
    "transposed": lambda x, w: x @ w.t(),
    "second factor": lambda x, w: x @ w,
    "reshaped": lambda x, w: x @ w.reshape(9).reshape(3, 3),
    "copied": lambda x, w: F.linear(x, w.clone()),
    "cast": lambda x, w: F.linear(x, w.double().double()),
    "scaled by": lambda x, w: x.unsqueeze(-2) * w,
    "added to": lambda x, w: w + x.unsqueeze(-2),
    "taken away": lambda x, w: x.unsqueeze(-2) - w,
    "a column": lambda x, w: x.unsqueeze(-2).unsqueeze(-2) * w.reshape(3, 3, 1),
}


@given(form=st.sampled_from(list(FORMS)), at=st.tuples(st.integers(-3, 2), st.integers(-3, 2)), seed=st.integers(0, 99))
def test_forms_of_use(form: str, at: tuple[int, int], seed: int) -> None:
    tt.manual_seed(seed)
    x, w = tt.randn(2, 4, 3, dtype=tt.float64), tt.randn(3, 3, dtype=tt.float64, requires_grad=True)
    with tt.trace() as t:
        loss = FORMS[form](x, w).sin().sum()
    answer = tt.why(w, at, loss)
    loss.backward()
    assert answer.total == pytest.approx(float(w.grad.numpy()[at]), rel=1e-9, abs=1e-12)
    assert sum(use.parts.size for use in answer.uses) >= 8
    assert t.calls


def test_parts_that_do_not_add_up_are_refused() -> None:
    model = gpt().double()
    t, _ = traced(model)
    call = next(c for c in t.calls if c.path == "head")
    call.gradients = (call.gradients[0], call.gradients[1] * (1 + 1e-6), None)
    with pytest.raises(NotTheGradient, match=r"they differ by .* and rounding explains"):
        tt.why("head.weight", (1, 1), t)
    assert issubclass(NotTheGradient, RuntimeError)


def test_a_use_outside_of_the_trace_is_noticed() -> None:
    w = tt.randn(3, 3, requires_grad=True)
    early = F.linear(tt.randn(2, 3), w)
    with tt.trace() as t:
        loss = (early + F.linear(tt.randn(2, 3), w)).sum()
    with pytest.raises(NotTheGradient, match="outside of the trace"):
        tt.why(w, (0, 0), loss)
    assert t.calls


def test_rounding_is_no_excuse() -> None:
    """The limit grows with the terms that are added one by one, and with their size alone."""
    model = gpt()
    t, _ = traced(model)
    (use,) = tt.why("head.weight", (1, 1), t).uses
    size = float(np.abs(use.parts).sum())
    _compare(use.gradient, use.gradient + 2e-6 * size, [use], "")
    with pytest.raises(NotTheGradient):
        _compare(use.gradient, use.gradient + 4e-6 * size, [use], "")


def test_float16() -> None:
    layer = nn.Linear(6, 4).half()
    with tt.trace() as t:
        layer(tt.randn(3, 7, 6).half()).square().mean().backward()
    assert tt.why(layer.weight, (2, 3), t).parts.shape == (3, 7)
    assert tt.why(layer.bias, (2,), t).parts.shape == (3, 7)
    norm = nn.LayerNorm(6).half()
    with tt.trace() as t:
        norm(tt.randn(3, 7, 6).half()).square().mean().backward()
    assert tt.why(norm.weight, (2,), t).parts.shape == (3, 7)


# ----------------------------------------------------------------------------------------- what it says


@pytest.mark.parametrize("sign", [1, -1])
def test_a_step_moves_it_as_the_text_says(sign: int) -> None:
    w = nn.Parameter(tt.tensor([[0.5]]))
    with tt.trace() as t:
        loss = (F.linear(tt.tensor([[1.0], [2.0], [-0.5]]), w) * sign).sum()
    answer = tt.why(w, (0, 0), loss)
    loss.backward()
    before = w.item()
    optimizer = tt.optim.SGD([w], lr=0.1)
    optimizer.step()
    word = "larger" if w.item() > before else "smaller"
    assert f"a step of gradient descent makes it {word}" in repr(answer)
    pushes = [row[1] for row in answer.rows()]
    assert pushes == (["down", "down", "up"] if sign == 1 else ["up", "up", "down"])
    assert [row[2] for row in answer.rows()] == ["position [1]", "position [0]", "position [2]"]
    assert t.calls


def test_tokens_are_named() -> None:
    model = gpt()
    t, _ = traced(model)
    tokenizer = CharTokenizer.from_text("abcdefghijk")
    ids = batch()[0].numpy()
    text = [tokenizer.decode(row) for row in ids]
    by_tokenizer = tt.why("head.weight", (1, 2), t, tokens=tokenizer)
    for tokens in (text, "".join(text), [list(row) for row in text]):
        answer = tt.why("head.weight", (1, 2), t, tokens=tokens)
        assert repr(answer) == repr(by_tokenizer)
    at = np.unravel_index(np.argmax(np.abs(answer.parts)), answer.parts.shape)
    assert answer.rows()[0][2:4] == (f"batch {at[0]}, position {at[1]}", repr(text[at[0]][at[1]]))
    with pytest.raises(ValueError, match=r"there are 3 tokens for positions of shape \(2, 8\)"):
        tt.why("head.weight", (1, 2), t, tokens="abc")
    assert "abc" not in tt.why("head.weight", (1, 2), t)._repr_html_()


def test_html_is_escaped() -> None:
    model = gpt()
    t, _ = traced(model)
    page = tt.why("head.weight", (1, 2), t, tokens=["<script>"] * 16)._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_an_embedding_row_that_no_text_uses() -> None:
    layer = nn.Embedding(5, 2)
    with tt.trace() as t:
        layer(tt.tensor([0, 1])).sum().backward()
    answer = tt.why(layer.weight, (3, 0), t)
    assert isinstance(answer, Why)
    assert "does not move it" in repr(answer)
    assert answer.rows() == []


def test_what_is_refused() -> None:
    model = gpt()
    t, loss = traced(model)
    with pytest.raises(IndexError, match="has 2 indices, not 1"):
        tt.why("head.weight", 3, t)
    with pytest.raises(KeyError, match="is no name of a value"):
        tt.why("head.wait", (0, 0), t)
    with pytest.raises(ValueError, match="needs a trace of the model"):
        tt.why("head.weight", (0, 0), loss)
    with pytest.raises(TypeError, match="takes a parameter, or its name, not int"):
        tt.why(3, (0, 0), t)
    with pytest.raises(TypeError, match="takes a loss or a trace, not str"):
        tt.why(model.head.weight, (0, 0), "loss")
    with pytest.raises(ValueError, match="no watched call below the loss used this parameter"):
        tt.why(tt.ones(2, requires_grad=True), (0,), t)
    with tt.trace():
        _, unplayed = model(*batch())
    with pytest.raises(ValueError, match="no watched call below the loss used this parameter"):
        tt.why(tt.ones(2, requires_grad=True), (0,), unplayed)
    w = tt.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="the loss was not watched"):
        tt.why(w, (0,), tt.tensor(1.0))
    with tt.trace() as t:
        loss = w.exp().sum()
    with pytest.raises(
        ValueError,
        match=r"<call of exp: .* as input 0, .* is no sum over positions; known: add \(input 0\), .*linear \(input 1\)",
    ):
        tt.why(w, (0,), loss)
    with tt.trace() as t:
        w.exp()
    with pytest.raises(ValueError, match="no backward has run inside of this trace"):
        tt.why(w, (0,), t)


def test_values_that_an_optimizer_overwrote() -> None:
    model = gpt()
    t, _ = traced(model)
    tt.optim.SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(ValueError, match="was overwritten in place since: ask before the optimizer's step"):
        tt.why("head.weight", (0, 0), t)
