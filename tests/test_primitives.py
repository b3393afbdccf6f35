"""Every primitive of the table, checked from its row in samples.py: calculus, PyTorch, memory, dtypes, layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from samples import SAMPLES, Sample

import gpt.rotary  # noqa: F401  (a model may add primitives of its own)
import tinytensor as tt
from tinytensor.primitive import PRIMITIVES, Primitive
from tinytensor.tape import apply

CASES = [
    pytest.param(PRIMITIVES[name], s, id=f"{name}-{i}") for name, rows in SAMPLES.items() for i, s in enumerate(rows)
]
each = pytest.mark.parametrize("primitive, sample", CASES)


def test_every_primitive_has_samples() -> None:
    assert set(PRIMITIVES) == set(SAMPLES), "add a row to tests/samples.py for each new primitive"


def tensors(sample: Sample, dtype: Any = np.float64) -> list[tt.Tensor | None]:
    return [None if a is None else tt.tensor(a.astype(dtype), requires_grad=True) for a in sample.arrays]


def outputs(y: Any) -> list[Any]:
    return list(y) if isinstance(y, (tuple, list)) else [y]


def seeds(ys: list[Any]) -> list[np.ndarray]:
    return [np.random.default_rng(len(ys) + i).standard_normal(tuple(y.shape)) for i, y in enumerate(ys)]


def run(primitive: Primitive, xs: list[Any], static: dict[str, Any]) -> tuple[list[Any], list[np.ndarray | None]]:
    """The outputs, and the gradients of Σ output · seed."""
    ys = outputs(apply(primitive, *xs, **static))
    tt.autograd.backward(ys, [tt.from_numpy(np.asarray(s, y.array.dtype)) for s, y in zip(seeds(ys), ys, strict=True)])
    return ys, [None if x is None else x.grad.array for x in xs]


@each
def test_gradient_is_that_of_finite_differences(primitive: Primitive, sample: Sample) -> None:
    xs = tensors(sample)
    ys, gradients = run(primitive, xs, sample.static)
    weights, eps = seeds(ys), 1e-6

    def total() -> float:
        forward = outputs(primitive.forward(*[None if x is None else x.array for x in xs], **sample.static)[0])
        return sum(float((np.asarray(y) * w).sum()) for y, w in zip(forward, weights, strict=True))

    for x, gradient in zip(xs, gradients, strict=True):
        for i in np.ndindex(x.array.shape if x is not None else (0,)):
            old = x.array[i]
            x.array[i] = old + eps
            high = total()
            x.array[i] = old - eps
            low = total()
            x.array[i] = old
            assert gradient[i] == pytest.approx((high - low) / (2 * eps), rel=1e-6, abs=1e-7), i


@each
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 2e-5)])
def test_value_and_gradient_are_those_of_pytorch(
    primitive: Primitive, sample: Sample, dtype: str, tolerance: float
) -> None:
    torch = pytest.importorskip("torch")
    if primitive.name == "cast":
        dtype = "float64"
    static = {
        k: v.astype(dtype) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v for k, v in sample.static.items()
    }
    ys, gradients = run(primitive, tensors(sample, dtype), static)
    theirs = [None if a is None else torch.from_numpy(a.astype(dtype)).requires_grad_() for a in sample.arrays]
    their_ys = outputs(sample.torch(*theirs))
    torch.autograd.backward(
        their_ys, [torch.from_numpy(s).to(y.dtype) for s, y in zip(seeds(ys), their_ys, strict=True)]
    )
    for y, their_y in zip(ys, their_ys, strict=True):
        assert y.shape == tuple(their_y.shape)
        np.testing.assert_allclose(y.array, their_y.detach().numpy(), rtol=tolerance, atol=tolerance)
    for g, x in zip(gradients, theirs, strict=True):
        if x is not None:
            np.testing.assert_allclose(g, x.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("primitive, sample", [case for case in CASES if not str(case.id).startswith("cast")])
def test_float32_stays_float32(primitive: Primitive, sample: Sample) -> None:
    static = {
        k: v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for k, v in sample.static.items()
    }
    arrays = [None if a is None else a.astype(np.float32) for a in sample.arrays]
    y, saved = primitive.forward(*arrays, **static)
    dy = tuple(np.ones_like(o) for o in y) if isinstance(y, tuple) else np.ones_like(y)
    for s in (*outputs(y), *saved, *primitive.backward(dy, *saved)):
        if isinstance(s, (np.ndarray, np.generic)) and s.dtype.kind == "f":
            assert s.dtype == np.float32


@each
def test_backward_writes_only_what_its_forward_allocated(primitive: Primitive, sample: Sample) -> None:
    arrays = [None if a is None else a.copy() for a in sample.arrays]
    for a in arrays:
        if a is not None:
            a.flags.writeable = False
    y, saved = primitive.forward(*arrays, **sample.static)
    dys = [np.ones_like(o) for o in outputs(y)]
    for frozen in (*dys, *(o for o in outputs(y) if isinstance(o, np.ndarray))):
        if frozen.flags.owndata:
            frozen.flags.writeable = False
    primitive.backward(tuple(dys) if isinstance(y, tuple) else dys[0], *saved)


@each
def test_memory_layout_does_not_matter(primitive: Primitive, sample: Sample) -> None:
    ys, gradients = run(primitive, tensors(sample), sample.static)
    for layout in (
        lambda a: np.asfortranarray(a),
        lambda a: np.flip(np.ascontiguousarray(np.flip(a))),
        lambda a: np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a,
    ):
        xs = [None if a is None else tt.from_numpy(layout(a)).requires_grad_() for a in sample.arrays]
        odd_ys, odd_gradients = run(primitive, xs, sample.static)
        for y, odd in zip(ys, odd_ys, strict=True):
            np.testing.assert_allclose(y.array, odd.array, rtol=1e-12, atol=1e-13)
        for g, odd in zip(gradients, odd_gradients, strict=True):
            if g is not None:
                np.testing.assert_allclose(g, odd, rtol=1e-12, atol=1e-13)


@each
def test_gradient_works_twice_with_retain_graph(primitive: Primitive, sample: Sample) -> None:
    xs = tensors(sample)
    ys = outputs(apply(primitive, *xs, **sample.static))
    loss = sum((y.sum() for y in ys[1:]), ys[0].sum())
    loss.backward(retain_graph=True)
    once = [None if x is None else x.grad.array.copy() for x in xs]
    loss.backward()
    for x, g in zip(xs, once, strict=True):
        if x is not None:
            np.testing.assert_array_equal(x.grad.array, 2 * g)
