"""GradScaler beside PyTorch's: scale, skipped steps, gradients and parameters, over sequences with infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinytensor as tt

torch = pytest.importorskip("torch")

OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.1, "momentum": 0.9}),
    "AdamW": ("AdamW", {"lr": 0.1}),
    "AdamW fused": ("AdamW", {"lr": 0.1, "fused": True}),
    "Adam fused": ("Adam", {"lr": 0.1, "fused": True, "weight_decay": 0.1}),
}
FIRST = [1.0, -2.0, 0.5]


class Side:
    """One library's parameters, optimizer and scaler."""

    def __init__(self, lib: Any, optimizer: str, settings: dict[str, Any]) -> None:
        self.lib, self.settings = lib, settings
        name, how = OPTIMIZERS[optimizer]
        self.p, self.q = (lib.nn.Parameter(lib.tensor(FIRST[:n])) for n in (3, 1))
        self.optimizer = getattr(lib.optim, name)([self.p, self.q], **how)
        self.scaler = lib.amp.GradScaler("cpu", **settings)

    def step(self, slope: float, then: str) -> None:
        """A gradient of `slope` times the parameters' own; unscale it before the step, set the scale after it, …"""
        self.optimizer.zero_grad()
        loss = (self.p * self.p).sum() * slope + (self.q * slope).sum()
        self.scaler.scale(loss).backward()
        if then == "unscale":
            self.scaler.unscale_(self.optimizer)
        self.scaler.step(self.optimizer)
        self.gradients = [x.grad.tolist() for x in (self.p, self.q)]
        self.scaler.update(3.0 if then == "set" else None)
        if then == "save":
            state = self.scaler.state_dict()
            self.scaler = self.lib.amp.GradScaler("cpu")
            self.scaler.load_state_dict(state)

    def seen(self) -> list[Any]:
        return [self.p.tolist(), self.q.tolist(), *self.gradients, self.scaler.get_scale()]


@given(
    st.sampled_from(sorted(OPTIMIZERS)),
    st.fixed_dictionaries(
        {
            "init_scale": st.sampled_from([2.0**16, 1.0, 2.0**127]),
            "growth_factor": st.sampled_from([2.0, 1.5]),
            "backoff_factor": st.sampled_from([0.5, 0.1]),
            "growth_interval": st.integers(1, 4),
        }
    ),
    st.lists(
        st.tuples(
            st.sampled_from([0.5, -3.0, float("inf"), float("nan"), 1e30]),
            st.sampled_from(["", "unscale", "set", "save"]),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_a_scaler_does_what_pytorchs_does(optimizer: str, settings: dict[str, Any], steps: list[Any]) -> None:
    ours, theirs = Side(tt, optimizer, settings), Side(torch, optimizer, settings)
    with np.errstate(all="ignore"):
        for slope, then in steps:
            for side in (ours, theirs):
                side.step(slope, then)
            for x, y in zip(ours.seen(), theirs.seen(), strict=True):
                np.testing.assert_allclose(x, y, rtol=1e-4)
            state, expected = (side.scaler.state_dict() for side in (ours, theirs))
            assert state == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("lib", [tt, torch])
def test_what_a_scaler_refuses(lib: Any) -> None:
    with pytest.raises(AssertionError, match="growth factor"):
        lib.amp.GradScaler("cpu", growth_factor=1.0)
    with pytest.raises(AssertionError, match="backoff factor"):
        lib.amp.GradScaler("cpu", backoff_factor=1.0)
    p = lib.nn.Parameter(lib.ones(2))
    sgd, scaler = lib.optim.SGD([p], lr=0.1), lib.amp.GradScaler("cpu")
    assert (scaler.get_scale(), scaler.is_enabled()) == (65536.0, True)
    for call in (lambda: scaler.unscale_(sgd), lambda: scaler.step(sgd), scaler.update):
        with pytest.raises(AssertionError, match="_scale is None"):
            call()
    scaler.scale(p.sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks were recorded prior to update"):
        scaler.update()
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(sgd, closure=lambda: None)
    scaler.unscale_(sgd)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(sgd)
    scaler.step(sgd)
    with pytest.raises(RuntimeError, match="already been called since the last update"):
        scaler.step(sgd)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(sgd)
    scaler.update()
    p.grad = None
    with pytest.raises(AssertionError, match="No inf checks were recorded for this optimizer"):
        scaler.step(sgd)
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})
    with pytest.raises(ValueError, match="outputs must be a Tensor or an iterable of Tensors"):
        scaler.scale(1.0)


@pytest.mark.parametrize("lib", [tt, torch])
def test_float16_gradients_are_left_to_a_fused_optimizer(lib: Any) -> None:
    p = lib.nn.Parameter(lib.ones(2).half())
    for fused in (False, True):
        optimizer, scaler = lib.optim.AdamW([p], lr=0.5, fused=fused), lib.amp.GradScaler("cpu", 16.0)
        scaler.scale((p * p).sum().float()).backward()
        if not fused:
            with pytest.raises(ValueError, match="unscale FP16 gradients"):
                scaler.step(optimizer)
            assert p.tolist() == [1, 1]
            p.grad = None
    scaler.step(optimizer)
    assert p.tolist() == pytest.approx([0.495, 0.495], rel=1e-3)
    assert p.grad.tolist() == [2, 2]


@pytest.mark.parametrize("lib", [tt, torch])
def test_several_losses_and_optimizers(lib: Any) -> None:
    p, q = (lib.nn.Parameter(lib.ones(2)) for _ in range(2))
    optimizers = [lib.optim.SGD([p], lr=0.1), lib.optim.AdamW([q], lr=0.1, fused=True)]
    scaler = lib.amp.GradScaler("cpu", 4.0)
    first, second = scaler.scale([p.sum(), (q * float("inf")).sum()])
    assert isinstance(scaler.scale((p.sum(),)), tuple) and scaler.scale(p).tolist() == [4, 4]
    first.backward()
    second.backward()
    for optimizer in optimizers:
        scaler.step(optimizer)
    scaler.update()
    assert p.tolist() == pytest.approx([0.9, 0.9]) and q.tolist() == [1, 1]
    assert scaler.get_scale() == 2
    scaler.set_growth_factor(3.0), scaler.set_backoff_factor(0.25), scaler.set_growth_interval(7)
    assert (scaler.get_growth_factor(), scaler.get_backoff_factor(), scaler.get_growth_interval()) == (3.0, 0.25, 7)


def test_a_limit_may_be_scaled_as_the_gradients_are() -> None:
    """What clips gradients in float16, which cannot be unscaled before."""
    p = tt.nn.Parameter(tt.ones(2).half())
    scaler = tt.amp.GradScaler("cpu", 256.0)
    scaler.scale((p * tt.tensor([3.0, 4.0]).half()).sum().float()).backward()
    norm = tt.nn.utils.clip_grad_norm_([p], scaler.scale(tt.tensor(1.0)))
    assert norm.item() == 5 * 256
    np.testing.assert_allclose(p.grad.numpy() / 256, [0.6, 0.8], rtol=1e-3)


@pytest.mark.parametrize("lib", [tt, torch])
def test_a_new_scale_is_one_number(lib: Any) -> None:
    scaler, p = lib.amp.GradScaler("cpu"), lib.nn.Parameter(lib.ones(2))
    optimizer = lib.optim.SGD([p], lr=0.1)
    for new_scale in (4.0, lib.tensor(8.0)):
        scaler.scale(p.sum()).backward()
        scaler.step(optimizer)
        scaler.update(new_scale)
        assert scaler.get_scale() == float(new_scale)
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    with pytest.raises(AssertionError, match="new_scale should be a float or a"):
        scaler.update(lib.tensor([1.0, 2.0]))


@pytest.mark.parametrize("lib", [tt, torch])
def test_autocast_takes_and_refuses_pytorchs_arguments(lib: Any) -> None:
    for cache_enabled in (None, True, False):
        with lib.amp.autocast("cpu", enabled=False, cache_enabled=cache_enabled):
            assert (lib.ones(1) * 2).dtype is lib.float32
    for wrong in (None, 5):
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`, got: `<class '"):
            lib.amp.autocast(wrong)
