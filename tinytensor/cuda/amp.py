"""torch.cuda.amp: the older names of torch.amp, without the device."""

from __future__ import annotations

from tinytensor import amp
from tinytensor.dtypes import dtype as DType
from tinytensor.subset import outside


class autocast(amp.autocast):
    """torch.amp.autocast("cuda", …)."""

    def __init__(self, enabled: bool = True, dtype: DType | None = None, cache_enabled: bool = True) -> None:
        super().__init__("cuda", dtype, enabled, cache_enabled)


class GradScaler(amp.GradScaler):
    """torch.amp.GradScaler("cuda", …)."""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        super().__init__("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)


__all__ = ["GradScaler", "autocast"]

__getattr__ = outside("tinytensor.cuda.amp")
