"""torch.amp: mixed precision, which is outside of the subset. Scripts that switch it off, or whose GPU is absent, run.

As in PyTorch, both classes warn and switch themselves off where a GPU is asked for and there is none.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

from tinytensor import cuda
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import float32
from tinytensor.subset import outside


def _wanted(what: str, device_type: str, enabled: bool) -> bool:
    """Whether it has to do anything; NotImplementedError if so."""
    if enabled and device_type.startswith("cuda") and not cuda.is_available():
        warnings.warn(f"{what} is enabled for CUDA, which is not available: switched off", stacklevel=3)
        return False
    if enabled:
        raise NotImplementedError(
            f"{what} on {device_type!r} is outside tinytensor's subset: train in float32, with enabled=False"
        )
    return False


class autocast:
    """A context and decorator that does nothing: enabled=False, float32, or no GPU. Else NotImplementedError."""

    def __init__(self, device_type: str, dtype: DType | None = None, enabled: bool = True) -> None:
        self.enabled = _wanted("autocast", device_type, enabled and dtype is not float32)

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: Any) -> Any:
        return functools.wraps(function)(lambda *args, **kwargs: function(*args, **kwargs))


class GradScaler:
    """Scales nothing: with enabled=False, or without a GPU, losses and gradients go through as they are."""

    def __init__(self, device: str = "cuda", *, enabled: bool = True) -> None:
        self.enabled = _wanted("GradScaler", str(device), enabled)

    def scale(self, outputs: Any) -> Any:
        """outputs themselves."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing: the gradients of this optimizer's parameters are not scaled."""
        assert hasattr(optimizer, "param_groups")

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step(…)."""
        return optimizer.step(*args, **kwargs)

    def update(self) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """An empty dict, as PyTorch's when it is switched off."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of a scaler that was switched off; RuntimeError for another's."""
        if state_dict:
            raise RuntimeError("this GradScaler is switched off and the saved one was not: its state can't be loaded")


__all__ = ["GradScaler", "autocast"]

__getattr__ = outside("tinytensor.amp")
