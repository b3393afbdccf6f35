"""Every primitive of the table, checked from its row in samples.py: calculus, PyTorch, dtypes, memory, layouts.

What a check computes stands in tinytensor/gradcheck/table.py, which `python -m tinytensor.gradcheck` runs as well.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt.rotary_samples  # noqa: F401  (a model may add primitives of its own)
import tinytensor as tt
from tinytensor import ops
from tinytensor.gradcheck import table
from tinytensor.gradcheck.samples import SAMPLES
from tinytensor.gradcheck.table import LIMITS, Sample, cotangents, forward, play
from tinytensor.primitive import PRIMITIVES, Primitive
from tinytensor.tape import apply

ops.load_all()  # the whole table, also where this file runs alone
CASES = [
    pytest.param(PRIMITIVES[name], s, id=f"{name}-{i}") for name, rows in SAMPLES.items() for i, s in enumerate(rows)
]
each = pytest.mark.parametrize("primitive, sample", CASES)
smooth = pytest.mark.parametrize("primitive, sample", [case for case in CASES if case.values[1].smooth])
kinks = pytest.mark.parametrize("primitive, sample", [case for case in CASES if not case.values[1].smooth])
fused = pytest.mark.parametrize("primitive, sample", [case for case in CASES if case.values[0].composed])

TAKES_MORE_THAN_ONE = {"rotary": "it turns pairs"}


# ---------------------------------------------------------------------------------------------- the rows


def test_every_primitive_has_samples() -> None:
    assert set(PRIMITIVES) == set(SAMPLES), "add a row to tinytensor/gradcheck/samples.py for each new primitive"


@pytest.mark.parametrize("name", SAMPLES)
def test_a_row_has_a_call_without_elements_and_one_with_one(name: str) -> None:
    sizes = [[a.size for a in sample.arrays if a is not None] for sample in SAMPLES[name]]
    assert any(set(s) == {1} for s in sizes) != (name in TAKES_MORE_THAN_ONE)
    assert any(0 in s for s in sizes)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("steps", "compare")])  # constant in pieces
def test_a_row_has_smooth_samples_whose_gradient_is_not_zero(name: str) -> None:
    sizes = []
    for sample in SAMPLES[name]:
        ys = forward(PRIMITIVES[name], sample.arrays, sample.static)
        _, dxs = play(PRIMITIVES[name], sample.arrays, sample.static, cotangents(ys))
        sizes.append([float(np.abs(dx).max(initial=0)) for dx in dxs if dx is not None])
    assert all(max(column) > 0.01 for column in zip(*[s for s in sizes if len(s) == len(sizes[0])], strict=True))


# ----------------------------------------------------------------------------------------------- calculus


@smooth
def test_gradient_is_that_of_finite_differences(
    primitive: Primitive, sample: Sample, record_property: Callable[[str, Any], None]
) -> None:
    error = max(table.differences(primitive, sample), table.directions(primitive, sample))
    record_property("differences", error)
    assert error <= LIMITS["differences"]


@fused
def test_fused_is_composed(primitive: Primitive, sample: Sample) -> None:
    assert table.composed(primitive, sample) <= LIMITS["composed"]


# ------------------------------------------------------------------------------------------------ PyTorch


@each
def test_value_and_gradient_are_those_of_pytorch(
    primitive: Primitive, sample: Sample, record_property: Callable[[str, Any], None]
) -> None:
    pytest.importorskip("torch")
    error = table.pytorch(primitive, sample)
    record_property("pytorch", error)
    assert error <= LIMITS["pytorch"]


@smooth
def test_float32_is_within_a_few_rounding_errors(
    primitive: Primitive, sample: Sample, record_property: Callable[[str, Any], None]
) -> None:
    """Of float64, and of PyTorch in float32, in units of what rounding the inputs does to the result."""
    if "float32" not in sample.dtypes:
        return
    error = table.ulps(primitive, sample)
    record_property("ulps", error)
    assert error <= LIMITS["ulps"]
    pytest.importorskip("torch")
    assert table.ulps(primitive, sample, with_pytorch=True) <= LIMITS["ulps"]


@kinks
def test_conventions_at_kinks_are_pytorchs_in_float32_too(primitive: Primitive, sample: Sample) -> None:
    """The samples' numbers are small integers, or spread out by 1000: 8 rounding errors of the largest result."""
    pytest.importorskip("torch")
    rough = sample.cast(np.float32)
    u = cotangents(forward(primitive, rough.arrays, rough.static))
    ours, theirs = play(primitive, rough.arrays, rough.static, u), table.in_pytorch(rough, u)
    for found, wanted in zip([*ours[0], *ours[1]], [*theirs[0], *theirs[1]], strict=True):
        scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=0)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=8 * table.ULP * scale)


# --------------------------------------------------------------------------------------- dtypes and shapes


@each
def test_dtype_and_shape_are_kept(primitive: Primitive, sample: Sample) -> None:
    """Of outputs, of what is saved, and of gradients: float32 in, float32 out."""
    for dtype in sample.dtypes:
        given = sample.cast(dtype)
        pair = table.pair_for(primitive, given.arrays)
        with np.errstate(all="ignore"):
            y, saved = pair.forward(*given.arrays, **given.static)
            ys = list(y) if isinstance(y, tuple) else [y]
            u = cotangents([np.asarray(o) for o in ys])
            dxs = pair.backward(u if isinstance(y, tuple) else u[0], *saved)
        to = np.dtype(given.static.get("to", dtype))
        assert all(o.dtype == to for o in ys)
        for s in saved:
            assert not isinstance(s, (np.ndarray, np.generic)) or s.dtype.kind not in "fc" or s.dtype in kept(dtype)
        for a, dx in zip(given.arrays, dxs, strict=True):
            assert (a is None) == (dx is None)
            assert a is None or (dx.dtype == dtype and dx.shape == a.shape)


def kept(dtype: str) -> list[np.dtype]:
    """What may be saved of floats of a dtype: such floats, and complex numbers made of two; of float16 also float32."""
    return [np.dtype(dtype), np.result_type(dtype, np.complex64), *[np.dtype(np.float32)] * (dtype == "float16")]


WIDE = "addcdiv attention blockwise_attention cross_entropy gelu gelu_tanh layer_norm lerp log_softmax logsumexp norm"
WIDE += " sigmoid silu softmax softplus std tanh var xlogy"


def test_the_pairs_that_compute_float16_in_float32() -> None:
    assert sorted(name for name, row in PRIMITIVES.items() if row.half) == WIDE.split()


@pytest.mark.parametrize("name", WIDE.split())
def test_float16_runs_in_float32_and_is_rounded_once(name: str) -> None:
    """Through the tape: outputs are those of float32, rounded; gradients come from inputs and outputs that were rounded."""
    primitive, ulp = PRIMITIVES[name], float(np.finfo(np.float16).eps)
    for sample in SAMPLES[name]:
        if "float16" not in sample.dtypes:
            continue
        narrow = sample.cast(np.float16)
        wide = narrow.cast(np.float32)
        xs, (y,) = recorded(primitive, narrow, [a is not None for a in narrow.arrays])
        u = cotangents([y.detach().numpy()])
        (exact,), dxs = play(primitive, wide.arrays, wide.static, [v.astype(np.float32) for v in u])
        np.testing.assert_array_equal(y.detach().numpy(), exact.astype(np.float16))
        y.backward(tt.from_numpy(u[0]))
        for x, dx in zip(xs, dxs, strict=True):
            if x is not None:
                np.testing.assert_allclose(x.grad.numpy(), dx, rtol=0, atol=2 * ulp * np.abs(dx).max(initial=1e-3))


# --------------------------------------------------------------------------------------------------- memory


@each
def test_backward_writes_only_what_its_forward_allocated(primitive: Primitive, sample: Sample) -> None:
    """dy, inputs, parameters and outputs are frozen, with the memory that they are views of."""
    arrays = [None if a is None else a.copy() for a in sample.arrays]
    freeze(arrays)
    static = {k: v.copy() if isinstance(v, np.ndarray) else v for k, v in sample.static.items()}
    freeze(list(static.values()))
    with np.errstate(all="ignore"):
        y, saved = primitive.forward(*arrays, **static)
        ys = list(y) if isinstance(y, tuple) else [y]
        u = cotangents([np.asarray(o) for o in ys])
        freeze([*ys, *u])
        primitive.backward(u if isinstance(y, tuple) else u[0], *saved)


def freeze(arrays: list[Any]) -> None:
    for a in arrays:
        while isinstance(a, np.ndarray):
            a.flags.writeable = False
            a = a.base


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "column by column": np.asfortranarray,
    "negative strides": lambda a: np.flip(np.ascontiguousarray(np.flip(a))),
    "every other element": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "inside a larger array": lambda a: np.pad(a, 1)[(slice(1, -1),) * a.ndim],
}


@each
def test_memory_layout_does_not_matter(primitive: Primitive, sample: Sample) -> None:
    """The same values and gradients, but for the order of sums: 1e-12, relative to the largest element."""
    u = cotangents(forward(primitive, sample.arrays, sample.static))
    plain = play(primitive, sample.arrays, sample.static, u)
    for layout in LAYOUTS.values():
        arrays = [layout(a) if a is not None and a.ndim else a for a in sample.arrays]
        odd = play(primitive, arrays, sample.static, [layout(v) if v.ndim else v for v in u])
        assert table.worst(odd, plain) <= 1e-12


# ------------------------------------------------------------------------------------------- through the tape


def recorded(primitive: Primitive, sample: Sample, wanted: list[bool]) -> tuple[list[Any], list[Any]]:
    """Leaves that want a gradient or not, and the outputs of a recorded call."""
    xs = [None if a is None else tt.tensor(a, requires_grad=w) for a, w in zip(sample.arrays, wanted, strict=True)]
    ys = apply(primitive, *xs, **sample.static)
    return xs, list(ys) if isinstance(ys, tuple) else [ys]


@each
def test_a_gradient_does_not_depend_on_who_else_wants_one(primitive: Primitive, sample: Sample) -> None:
    u = cotangents(forward(primitive, sample.arrays, sample.static))
    _, together = play(primitive, sample.arrays, sample.static, u)
    for i, a in enumerate(sample.arrays):
        if a is not None:
            xs, ys = recorded(primitive, sample, [j == i for j in range(len(sample.arrays))])
            tt.autograd.backward(ys, [tt.from_numpy(v) for v in u])
            np.testing.assert_allclose(xs[i].grad.numpy(), together[i], rtol=1e-12, atol=1e-14)
            assert all(x is None or x.grad is None for j, x in enumerate(xs) if j != i)


@pytest.mark.parametrize("name, inputs", [("linear", (0, 1, 2)), ("matmul", (0, 1)), ("attention", (3,))])
def test_no_work_is_done_for_a_gradient_that_nobody_wants(name: str, inputs: tuple[int, ...]) -> None:
    for sample in SAMPLES[name]:
        y, saved = PRIMITIVES[name].forward(*sample.arrays, **sample.static)
        needs = tuple(i not in inputs for i in range(len(sample.arrays)))
        dxs = PRIMITIVES[name].backward(np.ones_like(y), *saved, needs=needs)
        assert all(dxs[i] is None for i in inputs)


def test_linear_refuses_a_bias_of_two_dimensions() -> None:
    """Whose gradient its backward would not sum to the right shape."""
    with pytest.raises(RuntimeError, match="bias has one dimension"):
        tt.nn.functional.linear(tt.ones(2, 3), tt.ones(4, 3), tt.ones(1, 4))


@each
def test_gradient_works_twice_with_retain_graph(primitive: Primitive, sample: Sample) -> None:
    xs, ys = recorded(primitive, sample, [a is not None for a in sample.arrays])
    loss = sum((y.sum() for y in ys[1:]), ys[0].sum())
    loss.backward(retain_graph=True)
    once = [None if x is None else x.grad.array.copy() for x in xs]
    loss.backward()
    for x, g in zip(xs, once, strict=True):
        if x is not None:
            np.testing.assert_array_equal(x.grad.array, 2 * g)


def test_load_all_imports_every_file_of_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    imported: list[str] = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    ops.load_all()
    files = {
        f"tinytensor.ops.{path.stem}" for path in Path(ops.__file__).parent.glob("*.py") if path.stem != "__init__"
    }
    assert set(imported) == files
    assert "tinytensor.ops.attention" in files
