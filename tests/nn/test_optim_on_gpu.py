"""What Adam, its state and clip_grad_norm_ ask of a GPU, on arrays that only look as if they were on one.

tests/cuda/optimizer.py compares the numbers on CuPy; here a recorder stands for the kernel, and a test reads with what
it was called.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from device_arrays import DeviceArray, recorder, stand_in

import tinytensor as tt
from tinytensor import nn, optim
from tinytensor.base import wrap
from tinytensor.cuda.adam import adam_step
from tinytensor.cuda.gradients import clip_norm
from tinytensor.optim.fused import master_update, unscale

NOT_FINITE = (
    "The total norm of order {} for gradients from `parameters` is non-finite, so it cannot be clipped."
    " To scale the gradients by it anyway, set `error_if_nonfinite=False`"
)
NUMBERS = {"lr": 0.5, "betas": (0.75, 0.875), "eps": 0.125, "weight_decay": 0.25}
PASSED = {"lr": 0.5, "beta1": 0.75, "beta2": 0.875, "eps": 0.125, "weight_decay": 0.25}


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Any:
    return stand_in(monkeypatch)


@pytest.fixture
def steps(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments of each adam_step. Steps that are counted on the GPU have grown by one, as after the kernel."""

    def count(steps: Any, **_: Any) -> None:
        if isinstance(steps, DeviceArray):
            steps.host += 1

    return recorder(monkeypatch, "adam_step", adam_step, count)


def parameter(*values: float, dtype: Any = tt.float32) -> Any:
    """A parameter on the GPU with a gradient."""
    p = nn.Parameter(tt.tensor(values, dtype=dtype).cuda())
    p.grad = tt.ones(len(values), dtype=dtype).cuda()
    return p


def give_gradients(*parameters: Any) -> None:
    """Leave the gradients of parameters in a Flat where backward leaves them."""
    for p in parameters:
        p.grad = wrap(p._grad_buffer)


def numbers_of(call: dict[str, Any]) -> dict[str, Any]:
    """The keywords of a call."""
    return {k: v for k, v in call.items() if k not in ("p", "g", "m", "v", "master", "steps", "ended")}


# ------------------------------------------------------------------------------------------ one launch


@pytest.mark.parametrize(("kind", "decoupled"), [(optim.Adam, False), (optim.AdamW, True)])
def test_a_step_passes_the_arrays_the_count_and_the_settings(kind: Any, decoupled: bool, steps: Any) -> None:
    p = parameter(1.0, 2.0)
    optimizer = kind([p], **NUMBERS)
    optimizer.step()
    (call,), state = steps, optimizer.state[p]
    assert list(call)[:7] == ["p", "g", "m", "v", "master", "steps", "ended"]
    assert call["p"] is p.array and call["g"] is p.grad.array
    assert call["m"] is state["exp_avg"].array and call["v"] is state["exp_avg_sq"].array
    assert call["m"] is not call["v"] and call["m"].host.tolist() == call["v"].host.tolist() == [0, 0]
    assert call["m"].dtype == call["v"].dtype == np.float32
    assert call["master"] is None
    assert numbers_of(call) == {**PASSED, "decoupled": decoupled, "scale": None, "found_inf": None}


def test_steps_are_counted_on_the_host_unless_asked_otherwise(steps: Any) -> None:
    p, q = parameter(1.0), parameter(2.0)
    optimizer = optim.AdamW([p, q])
    for _ in range(3):
        optimizer.step()
    assert [call["steps"] for call in steps] == [1, 1, 2, 2, 3, 3]
    for x in (p, q):
        assert not optimizer.state[x]["step"].is_cuda
        assert optimizer.state[x]["step"].item() == 3


def test_capturable_counts_on_the_gpu_and_reads_nothing(steps: Any) -> None:
    p, q = parameter(1.0), parameter(2.0)
    optimizer = optim.AdamW([p, q], capturable=True)
    before = DeviceArray.reads
    for _ in range(3):
        optimizer.step()
    assert DeviceArray.reads == before
    for x, call in zip((p, q), steps[-2:], strict=True):
        step = optimizer.state[x]["step"]
        assert call["steps"] is step.array and isinstance(step.array, DeviceArray)
        assert (step.array.dtype, step.array.shape, step.array.host.item()) == (np.float32, (), 3)


def test_the_counter_of_ended_blocks_is_one_array_for_all_steps(steps: Any) -> None:
    optimizer = optim.AdamW([parameter(1.0), parameter(2.0)], capturable=True)
    optimizer.step()
    optimizer.step()
    ended = steps[0]["ended"]
    assert isinstance(ended, DeviceArray)
    assert (ended.dtype, ended.shape, ended.host.item()) == (np.uint32, (), 0)
    assert len(steps) == 4 and all(call["ended"] is ended for call in steps)
    assert optim.AdamW([parameter(1.0)])._ended is None


def test_a_captured_step_needs_capturable(cupy: Any, steps: Any) -> None:
    plain, capturable = (optim.AdamW([parameter(1.0)], capturable=flag) for flag in (False, True))
    cupy.capturing = True
    with pytest.raises(RuntimeError) as caught:
        plain.step()
    assert str(caught.value) == "a step that is captured in a CUDA graph needs an optimizer with capturable=True"
    assert steps == []
    capturable.step()
    cupy.capturing = False
    plain.step()
    capturable.step()
    assert len(steps) == 3


def test_capturable_on_the_host_says_what_to_do() -> None:
    p = nn.Parameter(tt.ones(1))
    p.grad = tt.ones(1)
    with pytest.raises(AssertionError) as caught:
        optim.AdamW([p], capturable=True).step()
    assert str(caught.value) == "capturable=True needs parameters on a GPU: leave it out for those on the host"
    optimizer = optim.AdamW([p], capturable=True, fused=True)
    give_gradients(p)
    optimizer.step()
    assert optimizer.state[p]["step"].item() == 1


@pytest.mark.parametrize("dtype", [tt.float32, tt.float64])
def test_a_rate_on_the_gpu_stays_there(dtype: Any, steps: Any) -> None:
    rate = tt.tensor(0.5, dtype=dtype).cuda()
    before = DeviceArray.reads
    optimizer = optim.AdamW([parameter(1.0)], **{**NUMBERS, "lr": rate}, capturable=True)
    optimizer.step()
    (call,) = steps
    assert isinstance(call["lr"], DeviceArray)
    assert (call["lr"] is rate.array) is (dtype is tt.float32)
    assert (call["lr"].dtype, call["lr"].host.item()) == (np.float32, 0.5)
    assert {**numbers_of(call), "lr": 0.5} == {**PASSED, "decoupled": True, "scale": None, "found_inf": None}
    assert DeviceArray.reads == before + 1  # the check that it is not negative


def test_a_scaler_leaves_its_scale_and_the_overflow_to_the_kernel(steps: Any) -> None:
    """They move to the device of the parameter, in float32, wherever they were."""
    p = parameter(1.0)
    optimizer: Any = optim.AdamW([p], lr=tt.tensor(0.5), fused=True)
    optimizer.grad_scale, optimizer.found_inf = tt.tensor(8.0, dtype=tt.float64), tt.tensor(1)
    give_gradients(p)
    optimizer.step()
    (call,) = steps
    assert isinstance(call["scale"], DeviceArray) and isinstance(call["found_inf"], DeviceArray)
    assert (call["scale"].dtype, call["scale"].host.item()) == (np.float32, 8)
    assert (call["found_inf"].dtype, call["found_inf"].host.item()) == (np.float32, 1)
    assert call["lr"] == 0.5 and isinstance(call["lr"], float)


def test_a_float16_weight_has_a_master_and_wide_moments(steps: Any) -> None:
    p = parameter(1.0, 2.0, dtype=tt.float16)
    optimizer = optim.AdamW([p], master_weights=True)
    optimizer.step()
    (call,) = steps
    assert call["p"].dtype == call["g"].dtype == np.float16
    assert call["master"] is optimizer.state[p]["master"].array
    assert call["m"].dtype == call["v"].dtype == call["master"].dtype == np.float32
    assert call["master"].host.tolist() == [1, 2]
    optimizer.step()
    assert all(steps[1][name] is call[name] for name in ("p", "g", "m", "v", "master", "ended"))
    narrow = optim.AdamW([p])
    narrow.step()
    assert steps[2]["master"] is None and steps[2]["m"].dtype == np.float16


# ------------------------------------------------------------------------------------------ a Flat


def test_one_launch_serves_a_flat_and_reads_nothing(steps: Any) -> None:
    p, q = parameter(1.0, 2.0), parameter(3.0)
    optimizer = optim.AdamW([p, q], **NUMBERS, fused=True)
    give_gradients(p, q)
    optimizer.step()  # asks once whether all have made the same number of steps
    before = DeviceArray.reads
    for _ in range(2):
        optimizer.step()
    assert DeviceArray.reads == before
    assert len(steps) == 3
    for call in steps:
        assert call["p"] is p._flat.data and call["g"] is p._flat.grad
        assert call["p"].host.tolist() == [1, 2, 3]
        assert numbers_of(call) == {**PASSED, "decoupled": True, "scale": None, "found_inf": None}
        assert all(call[name] is steps[0][name] for name in ("m", "v", "steps", "ended"))
    counts = steps[0]["steps"]
    assert isinstance(counts, DeviceArray)
    assert (counts.dtype, counts.host.tolist()) == (np.float32, [3, 3])
    for i, x in enumerate((p, q)):
        state = optimizer.state[x]
        assert state["step"].is_cuda and state["step"].shape == () and state["step"].array.host == 3
        assert np.shares_memory(state["step"].array.host, counts.host[i : i + 1])
        assert np.shares_memory(state["exp_avg"].array.host, call["m"].host)
        assert np.shares_memory(state["exp_avg_sq"].array.host, call["v"].host)


def test_a_parameter_without_gradient_has_a_count_of_its_own(steps: Any) -> None:
    p, q = parameter(1.0), parameter(2.0)
    optimizer = optim.AdamW([p, q], fused=True)
    give_gradients(p, q)
    optimizer.step()
    q.grad = None
    optimizer.step()
    assert steps[1]["p"] is p.array
    assert [optimizer.state[x]["step"].array.host.item() for x in (p, q)] == [2, 1]
    give_gradients(p, q)
    before = DeviceArray.reads
    optimizer.step()
    assert [call["p"] is x.array for call, x in zip(steps[2:], (p, q), strict=True)] == [True, True]
    assert DeviceArray.reads == before + 1  # the answer is asked for again, once
    optimizer.step()
    assert DeviceArray.reads == before + 1
    assert [optimizer.state[x]["step"].array.host.item() for x in (p, q)] == [4, 3]


def test_a_second_optimizer_of_a_flat_counts_on_the_host(steps: Any) -> None:
    """It is not fused, but finds the parameters in the Flat of the first."""
    p, q = parameter(1.0), parameter(2.0)
    optim.AdamW([p, q], fused=True)
    give_gradients(p, q)
    optimizer = optim.AdamW([p, q])
    optimizer.step()
    optimizer.step()
    assert [call["steps"] for call in steps] == [1, 2]
    assert all(call["p"] is p._flat.data for call in steps)
    for x in (p, q):
        assert not optimizer.state[x]["step"].is_cuda and optimizer.state[x]["step"].item() == 2


# ------------------------------------------------------------------------------------------ loading


def saved_on_the_host() -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A state_dict of two parameters that have made 3 steps and 1, and the values in it."""
    p, q = nn.Parameter(tt.ones(2)), nn.Parameter(tt.ones(1))
    optimizer = optim.AdamW([p, q])
    for step in range(3):
        p.grad, q.grad = tt.ones(2), tt.ones(1) if step == 0 else None
        optimizer.step()
    values = [{k: v.tolist() for k, v in optimizer.state[x].items()} for x in (p, q)]
    assert [each["step"] for each in values] == [3, 1]
    return optimizer.state_dict(), values


@pytest.mark.parametrize(
    ("how", "counts_on_gpu"), [({}, False), ({"capturable": True}, True), ({"fused": True}, True)], ids=str
)
def test_a_loaded_state_moves_to_the_gpu(how: dict[str, Any], counts_on_gpu: bool, steps: Any) -> None:
    state, values = saved_on_the_host()
    p, q = parameter(1.0, 1.0), parameter(1.0)
    optimizer = optim.AdamW([p, q], **how)
    optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})
    for x, expected in zip((p, q), values, strict=True):
        loaded = optimizer.state[x]
        assert loaded["exp_avg"].is_cuda and loaded["exp_avg_sq"].is_cuda
        assert loaded["step"].is_cuda is counts_on_gpu
        assert loaded["step"].dtype is tt.float32
        assert {k: v.tolist() for k, v in loaded.items()} == expected
    if how.get("fused"):
        give_gradients(p, q)
    optimizer.step()
    for x, call, expected in zip((p, q), steps, values, strict=True):  # one by one: the counts differ
        assert call["p"] is x.array
        assert call["m"].host.tolist() == expected["exp_avg"] and call["v"].host.tolist() == expected["exp_avg_sq"]
        assert optimizer.state[x]["step"].item() == expected["step"] + 1
        assert (call["steps"] is optimizer.state[x]["step"].array) is counts_on_gpu
        assert float(call["steps"]) == expected["step"] + 1


def test_a_loaded_state_of_a_flat_moves_into_its_vectors(steps: Any) -> None:
    state, values = saved_on_the_host()
    p, q = parameter(1.0, 1.0), parameter(1.0)
    optimizer = optim.AdamW([p, q], fused=True)
    optimizer.load_state_dict({**state, "param_groups": optimizer.state_dict()["param_groups"]})
    loaded = [optimizer.state[x]["step"].array for x in (p, q)]
    give_gradients(p, q)
    optimizer.step()
    kept = optimizer._flats[p._flat]
    assert kept.steps.host.tolist() == [4, 2]
    assert kept.m.host.tolist() == values[0]["exp_avg"] + values[1]["exp_avg"]
    assert kept.v.host.tolist() == values[0]["exp_avg_sq"] + values[1]["exp_avg_sq"]
    assert [x.host.item() for x in loaded] == [3, 1]  # the old counts are no longer in use


def test_a_state_of_the_gpu_is_loaded_on_the_host(steps: Any) -> None:
    p = parameter(1.0, 2.0)
    optimizer = optim.AdamW([p], fused=True)
    give_gradients(p)
    optimizer.step()
    q = nn.Parameter(tt.ones(2))
    host = optim.AdamW([q], fused=True)
    host.load_state_dict(optimizer.state_dict())
    assert not any(x.is_cuda for x in host.state[q].values())
    assert host.state[q]["step"].item() == 1
    q.grad = tt.ones(2)
    host.step()
    assert host.state[q]["step"].item() == 2


def test_masters_are_loaded_in_float32(steps: Any) -> None:
    p, q = nn.Parameter(tt.ones(2, dtype=tt.float16)), parameter(1.0, 1.0, dtype=tt.float16)
    optimizer = optim.AdamW([p], lr=1e-4, master_weights=True)
    p.grad = tt.ones(2, dtype=tt.float16)
    optimizer.step()
    moved = optim.AdamW([q], fused=True, master_weights=True)
    moved.load_state_dict({**optimizer.state_dict(), "param_groups": moved.state_dict()["param_groups"]})
    give_gradients(q)
    moved.step()
    (call,), state = steps, optimizer.state[p]
    for name, key in (("m", "exp_avg"), ("v", "exp_avg_sq"), ("master", "master")):
        assert call[name].dtype == np.float32 and call[name].host.tolist() == state[key].tolist()
    assert call["steps"].dtype == np.float32


def test_a_fresh_flat_of_float16_weights_has_masters(steps: Any) -> None:
    p, q = parameter(1.0, 2.0, dtype=tt.float16), parameter(3.0, dtype=tt.float16)
    optimizer = optim.AdamW([p, q], fused=True, master_weights=True)
    give_gradients(p, q)
    optimizer.step()
    (call,) = steps
    assert call["master"].host.tolist() == [1, 2, 3]
    assert call["m"].host.tolist() == call["v"].host.tolist() == [0, 0, 0]
    assert call["m"].dtype == call["v"].dtype == call["master"].dtype == np.float32
    assert (call["steps"].dtype, call["steps"].size) == (np.float32, 2)


def test_what_another_optimizer_saved_takes_the_dtype_and_the_device(cupy: Any) -> None:
    p, q = nn.Parameter(tt.ones(2)), parameter(1.0, 1.0, dtype=tt.float64)
    sgd, adam = optim.SGD([p], lr=0.1, momentum=0.9), optim.AdamW([q])
    p.grad = tt.full((2,), 3.0)
    sgd.step()
    adam.load_state_dict({**sgd.state_dict(), "param_groups": adam.state_dict()["param_groups"]})
    loaded = adam.state[q]["momentum_buffer"]
    assert loaded.is_cuda and loaded.dtype is tt.float64 and loaded.array.host.tolist() == [3, 3]


# ------------------------------------------------------------------------------------------ clipping


def test_clipping_is_one_call_for_all_gradients(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    norm = DeviceArray(np.float32(7))
    calls = recorder(monkeypatch, "clip_norm", clip_norm, lambda **_: norm)
    p, q = parameter(1.0, 2.0), parameter(3.0)
    before = DeviceArray.reads
    assert nn.utils.clip_grad_norm_([p, q], 0.5).array is norm
    (call,) = calls
    assert [g is x.grad.array for g, x in zip(call["gradients"], (p, q), strict=True)] == [True, True]
    assert call["limit"] == 0.5 and isinstance(call["limit"], float)
    assert nn.utils.clip_grad_norm_([p, q], tt.tensor(0.25, dtype=tt.float64).cuda()).array is norm
    limit = calls[1]["limit"]
    assert (type(limit), limit.dtype, limit.host.item()) == (DeviceArray, np.float32, 0.25)
    assert DeviceArray.reads == before


@pytest.mark.parametrize(
    ("norm_type", "dtypes", "check"),
    [(1.0, [tt.float32] * 2, False), (2.0, [tt.float32, tt.float16], False), (2.0, [tt.float32] * 2, True)],
    ids=["another norm", "two dtypes", "a check"],
)
@pytest.mark.parametrize("limit", [1.0, 100.0])
def test_clipping_without_the_kernel(norm_type: float, dtypes: Any, check: bool, limit: float, cupy: Any) -> None:
    parameters = [parameter(1.0, 2.0, dtype=dtype) for dtype in dtypes]
    norm = nn.utils.clip_grad_norm_(parameters, limit, norm_type, check)
    expected = 4 ** (1 / norm_type)  # of four ones
    assert norm.is_cuda and norm.array.host == pytest.approx(expected)
    for p in parameters:
        np.testing.assert_allclose(p.grad.array.host, min(1, limit / expected), rtol=1e-3)


def test_a_norm_on_the_gpu_that_is_not_finite_is_refused_on_request(cupy: Any) -> None:
    p = parameter(1.0, 2.0)
    p.grad = tt.tensor([1.0, float("inf")]).cuda()
    with pytest.raises(RuntimeError) as caught:
        nn.utils.clip_grad_norm_([p], 1.0, 2.0, error_if_nonfinite=True)
    assert str(caught.value) == NOT_FINITE.format(2.0)
    assert p.grad.array.host.tolist() == [1, float("inf")]


# ------------------------------------------------------------------- what a CPU does for the kernel


@pytest.mark.parametrize(("dtype", "exact"), [("float16", False), ("float32", True), ("float64", True)])
def test_a_gradient_is_divided_by_the_scale(dtype: str, exact: bool) -> None:
    for scale in (2.0, 3.0, 2.0**17):  # the last is no float16
        g = np.array([1000.0, -0.5], dtype)
        wide = g if exact else np.empty(2, np.float32)
        expected = np.array([1000.0, -0.5], wide.dtype) / scale
        unscale(g, scale, wide)
        np.testing.assert_array_equal(wide, expected)  # float16 gradients too are divided in float32
        np.testing.assert_array_equal(g, expected.astype(dtype))
        assert g.dtype == dtype


def test_a_gradient_that_nobody_scaled_is_widened_and_not_written() -> None:
    g, wide = np.array([3.0, -0.5], np.float16), np.empty(2, np.float32)
    g.flags.writeable = False
    unscale(g, 1.0, wide)
    assert wide.tolist() == g.tolist() == [3, -0.5]


def test_a_master_is_updated_with_the_wide_gradient_and_rounded() -> None:
    """Nothing warns: a weight above 65504 is inf in float16, and inf / inf is nan."""
    p = np.array([1.0, 2.0, 60000.0, 1.0], np.float16)
    master = np.array([1.0001, 5.0, 60000.0, 1.0], np.float32)  # the first rounds to p, the second was set anew
    g = np.array([1000.0, 1.0, 1.0, np.inf], np.float16)
    m, v, wide, scratch = (np.zeros(4, np.float32) for _ in range(4))
    seen: list[Any] = []

    def update(*arrays: Any) -> None:
        seen.append((arrays, arrays[0].tolist()))
        master[2:] = master[2] * 2, wide[3] / wide[3]

    master_update(master, p, g, m, v, wide, scratch, update=update, scale=3.0)
    ((arrays, before),) = seen
    expected = (master, wide, m, v, scratch)
    assert [x is y for x, y in zip(arrays, expected, strict=True)] == [True] * 5
    np.testing.assert_array_equal(before, np.array([1.0001, 2, 60000, 1], np.float32))
    np.testing.assert_array_equal(wide, g_divided := np.array([1000, 1, 1, np.inf], np.float32) / np.float32(3))
    np.testing.assert_array_equal(g, g_divided.astype(np.float16))
    np.testing.assert_array_equal(p, np.array([1, 2, np.inf, np.nan], np.float16))
    np.testing.assert_array_equal(master, np.array([1.0001, 2, 120000, np.nan], np.float32))


@pytest.mark.parametrize("scale", [2.0, 3.0, 2.0**17])
@pytest.mark.parametrize(("dtype", "masters"), [(tt.float16, False), (tt.float16, True), (tt.float32, False)])
def test_a_scaled_step_is_the_step_of_the_divided_gradient(dtype: Any, masters: bool, scale: float) -> None:
    """2¹⁷ is no float16: the division runs in float32."""
    g = tt.tensor([9.0, -18.0, 24.0], dtype=dtype)
    sides = []
    for gradient, factor in ((g, scale), ((g.float() / scale).to(dtype), None)):
        p = nn.Parameter(tt.ones(3, dtype=dtype))
        optimizer: Any = optim.AdamW([p], lr=0.1, eps=1.0, fused=True, master_weights=masters)
        optimizer.grad_scale = None if factor is None else tt.tensor(factor)
        p.grad = gradient.clone()
        optimizer.step()
        sides.append([p.tolist(), p.grad.tolist(), optimizer.state[p]["exp_avg"].tolist()])
    assert sides[0] == sides[1]
    assert all(sides[0][1])
