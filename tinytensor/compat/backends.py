"""torch.backends: switches of libraries that tinytensor does not use. Only the one for TF32 changes anything."""

from __future__ import annotations

from types import SimpleNamespace

from tinytensor.cuda import is_available
from tinytensor.precision import get_float32_matmul_precision, set_float32_matmul_precision
from tinytensor.subset import outside


class _Matmul:
    """torch.backends.cuda.matmul."""

    @property
    def allow_tf32(self) -> bool:
        """Whether a GPU may multiply float32 matrices in TF32: the same setting as `set_float32_matmul_precision`."""
        return get_float32_matmul_precision() != "highest"

    @allow_tf32.setter
    def allow_tf32(self, allowed: bool) -> None:
        set_float32_matmul_precision("high" if allowed else "highest")


cuda = SimpleNamespace(matmul=_Matmul(), is_built=is_available)
cudnn = SimpleNamespace(
    allow_tf32=True, benchmark=False, deterministic=False, enabled=False, is_available=lambda: False
)
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)  # Apple's GPUs

__all__ = ["cuda", "cudnn", "mps"]

__getattr__ = outside("tinytensor.backends")
