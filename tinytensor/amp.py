"""torch.amp: training in float16. `GradScaler` scales the loss; `autocast` is outside the subset.

float16 rounds numbers below 6·10⁻⁸ to 0, and gradients are often smaller. So the loss is multiplied by a large number
S, which multiplies every gradient by S, and the optimizer divides the gradients by S. If a gradient overflows, the step
is skipped and S is halved; after many steps without an overflow S is doubled. Source: Micikevicius et al., "Mixed
Precision Training", 2018, arXiv:1710.03740, section 3.2.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor import cuda
from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.devices import device as Device
from tinytensor.devices import device_of
from tinytensor.dispatch import gpu
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import float32
from tinytensor.nn import flat
from tinytensor.subset import outside
from tinytensor.tensor import Tensor


def _without_gpu(what: str, device_type: str) -> bool:
    """Whether device_type asks for a GPU that does not exist. Then it warns that `what` is switched off."""
    missing = device_type.startswith("cuda") and not cuda.is_available()
    if missing:
        warnings.warn(f"{what} is enabled for CUDA, which is not available: switched off", stacklevel=3)
    return missing


class autocast:
    """A context and a decorator that changes nothing, for enabled=False, float32, or a missing GPU.

    NotImplementedError for anything else. Without casts there is nothing that cache_enabled would keep.
    """

    def __init__(
        self, device_type: str, dtype: DType | None = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not isinstance(device_type, str):
            raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
        self.enabled, self._cache_enabled = False, cache_enabled
        if enabled and dtype is not float32 and not _without_gpu("autocast", device_type):
            raise NotImplementedError(
                f"autocast on {device_type!r} is outside tinytensor's subset: leave it out (enabled=False), or train in"
                " float16 with model.half(), AdamW(…, fused=True, master_weights=True) and GradScaler"
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: Any) -> Any:
        return functools.wraps(function)(lambda *args, **kwargs: function(*args, **kwargs))


class GradScaler:
    """Multiplies losses by a scale that adapts, so that gradients fit into float16, and skips steps that overflow.

        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)          # only to read or clip the gradients; not for float16 gradients
        scaler.step(optimizer)              # skipped if a gradient is inf or nan
        scaler.update()                     # · backoff_factor if skipped, · growth_factor after growth_interval steps

    The scale is on the device of the loss. A fused optimizer divides by it and skips on that device, so that nothing is
    read back; for any other optimizer `step` reads whether a gradient is inf or nan. Gradients in float16 need a fused
    optimizer, because they may be too small for float16 after the division.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._enabled = enabled and not _without_gpu("GradScaler", str(device))
        assert growth_factor > 1 or not self._enabled, "The growth factor must be > 1.0."
        assert backoff_factor < 1 or not self._enabled, "The backoff factor must be < 1.0."
        self._init_scale, self._init_growth_tracker = init_scale, 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scale: Tensor | None = None  # made on the device of the first loss
        self._growth_tracker: Tensor | None = None  # steps since the last overflow or growth
        # id of the optimizer → ("ready", "unscaled" or "stepped"; for each device, whether it has an inf or nan)
        self._stages: dict[int, tuple[str, dict[Device, Tensor]]] = {}

    def scale(self, outputs: Any) -> Any:
        """Return outputs, a Tensor or a list or tuple of Tensors, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Tensor):
            return outputs * self._scale_at(outputs).to(outputs.device)
        if isinstance(outputs, Iterable):
            scaled = map(self.scale, outputs)
            return type(outputs)(scaled) if isinstance(outputs, (list, tuple)) else scaled
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the optimizer's gradients by the scale. ValueError for float16, RuntimeError if it was done before."""
        if not self._enabled:
            return
        self._begun("unscale_")
        stage, _ = self._stages.get(id(optimizer), ("ready", {}))
        if stage == "unscaled":
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage == "stepped":
            raise RuntimeError("unscale_() is being called after step().")
        self._stages[id(optimizer)] = "unscaled", self._find_inf(optimizer, unscale=True)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call optimizer.step(…) on the gradients divided by the scale, unless one is inf or nan. Return its result.

        RuntimeError for a second call before `update`, and for a closure.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._begun("step")
        stage, found = self._stages.get(id(optimizer), ("ready", {}))
        if stage == "stepped":
            raise RuntimeError("step() has already been called since the last update().")
        fused = getattr(optimizer, "_step_supports_amp_scaling", False)
        if stage == "ready":
            found = self._find_inf(optimizer, unscale=not fused)
        assert found, "No inf checks were recorded for this optimizer."
        self._stages[id(optimizer)] = "stepped", found
        if fused:
            optimizer.grad_scale = None if stage == "unscaled" else self._scale
            optimizer.found_inf = _together(list(found.values()))
            try:
                return optimizer.step(*args, **kwargs)
            finally:
                del optimizer.grad_scale, optimizer.found_inf
        return None if any(each.item() for each in found.values()) else optimizer.step(*args, **kwargs)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Set the scale of the next step: new_scale, or less after an overflow, more after many steps without one."""
        if not self._enabled:
            return
        scale, tracker = self._begun("update")
        if new_scale is not None:
            one = not isinstance(new_scale, Tensor) or new_scale.numel() == 1
            assert one, f"new_scale should be a float or a Tensor of one element, not {new_scale}"
            scale.fill_(new_scale.reshape(()) if isinstance(new_scale, Tensor) else new_scale)
        else:
            found = [each.to(scale.device) for _, founds in self._stages.values() for each in founds.values()]
            assert found, "No inf checks were recorded prior to update."
            factors = self._growth_factor, self._backoff_factor, self._growth_interval
            _update_scale(scale.array, tracker.array, _together(found).array, *factors)
        self._stages = {}

    # ------------------------------------------------------------------------------------------ inside

    def _scale_at(self, like: Tensor) -> Tensor:
        """The scale. If there is none yet, it is made on the device of `like`."""
        if self._scale is None:
            xp = array_module(like.array)
            self._scale = wrap(xp.full((), self._init_scale, np.float32))
            self._growth_tracker = wrap(xp.full((), self._init_growth_tracker, np.int32))
        return self._scale

    def _begun(self, what: str) -> tuple[Tensor, Tensor]:
        """The scale and the number of steps since it changed. AssertionError if nothing was scaled yet."""
        assert self._scale is not None and self._growth_tracker is not None, (
            f"Attempted {what} but _scale is None.  This may indicate your script did not use scaler.scale(loss or outputs)"
            " earlier in the iteration."
        )
        return self._scale, self._growth_tracker

    def _find_inf(self, optimizer: Any, unscale: bool) -> dict[Device, Tensor]:
        """For each device 1 if a gradient there is inf or nan, else 0. unscale=True divides them by the scale."""
        kinds: dict[Any, list[Array]] = {}
        for g in flat.gradients(p for group in optimizer.param_groups for p in group["params"]):
            if unscale and g.dtype == np.float16:
                raise ValueError("Attempting to unscale FP16 gradients.")
            kinds.setdefault((device_of(g), g.dtype), []).append(g)
        found: dict[Device, Tensor] = {}
        for (where, _), arrays in kinds.items():
            if where not in found:
                found[where] = wrap(array_module(arrays[0]).zeros((), np.float32))
            scale = self._begun("unscale_")[0].to(where).array if unscale else None
            _find_inf_and_unscale(arrays, scale, found[where].array)
        return found

    # ------------------------------------------------------------------------------------------ settings

    def get_scale(self) -> float:
        """The scale as a number, for which the program waits for a GPU; 1 if the scaler is switched off."""
        if not self._enabled:
            return 1.0
        return self._init_scale if self._scale is None else float(self._scale.item())

    def _get_growth_tracker(self) -> int:
        if not self._enabled:
            return 0
        return self._init_growth_tracker if self._growth_tracker is None else int(self._growth_tracker.item())

    def is_enabled(self) -> bool:
        """Whether the scaler is switched on."""
        return self._enabled

    def get_growth_factor(self) -> float:
        """The factor of the scale after growth_interval steps without an overflow."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set the factor of the scale after growth_interval steps without an overflow."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """The factor of the scale after an overflow."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set the factor of the scale after an overflow."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """The number of steps without an overflow after which the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set the number of steps without an overflow after which the scale grows."""
        self._growth_interval = new_interval

    def state_dict(self) -> dict[str, Any]:
        """A dictionary of numbers: scale, growth_factor, backoff_factor, growth_interval, _growth_tracker.

        It is empty if the scaler is switched off.
        """
        if not self._enabled:
            return {}
        return {
            "scale": self.get_scale(),
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._get_growth_tracker(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state_dict. A scaler that is switched off ignores it.

        RuntimeError for an empty one, which comes from a scaler that was switched off.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("the state dict is empty: it was saved from a GradScaler that was switched off")
        self._init_scale, self._init_growth_tracker = state_dict["scale"], state_dict["_growth_tracker"]
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        if self._scale is not None and self._growth_tracker is not None:
            self._scale.fill_(self._init_scale)
            self._growth_tracker.fill_(self._init_growth_tracker)


def _together(found: list[Tensor]) -> Tensor:
    """The sum of the numbers, on the device of the first: 0 if all of them are 0."""
    return functools.reduce(lambda total, each: total + each.to(total.device), found)


def _find_inf_and_unscale(gradients: list[Array], scale: Array | None, found: Array) -> None:
    """Set found to 1 if an element of the arrays is inf or nan. Divide the arrays by scale, if there is one."""
    if not isinstance(found, np.ndarray):
        gpu("find_inf_and_unscale")(gradients, scale, found)
        return
    for g in gradients:
        if not np.isfinite(g).all():
            found.fill(1)
        if scale is not None:
            np.multiply(g, np.float32(1 / float(scale)), out=g)


def _update_scale(scale: Array, tracker: Array, found: Array, growth: float, backoff: float, interval: int) -> None:
    """scale · backoff if an overflow was found; scale · growth after `interval` steps without, if that is finite."""
    if not isinstance(scale, np.ndarray):
        gpu("update_scale")(scale, tracker, found, growth, backoff, interval)
        return
    tracker.fill(0 if found else tracker + 1)
    with np.errstate(over="ignore"):
        grown = np.float32(scale * growth) if tracker == interval else scale
    if tracker == interval:
        tracker.fill(0)
    scale.fill(scale * backoff if found else grown if np.isfinite(grown) else scale)


__all__ = ["GradScaler", "autocast"]

__getattr__ = outside("tinytensor.amp")
