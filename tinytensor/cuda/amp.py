"""torch.cuda.amp: the older names of torch.amp, without the device."""

from __future__ import annotations

from tinytensor import amp
from tinytensor.dtypes import dtype as DType
from tinytensor.subset import outside


class autocast(amp.autocast):
    """torch.amp.autocast("cuda", …)."""

    def __init__(self, enabled: bool = True, dtype: DType | None = None) -> None:
        super().__init__("cuda", dtype, enabled)


class GradScaler(amp.GradScaler):
    """torch.amp.GradScaler("cuda", …)."""

    def __init__(self, *, enabled: bool = True) -> None:
        super().__init__("cuda", enabled=enabled)


__all__ = ["GradScaler", "autocast"]

__getattr__ = outside("tinytensor.cuda.amp")
