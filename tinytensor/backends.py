"""torch.backends: settings of libraries that are not here. They may be set, and permit what is never done."""

from __future__ import annotations

from types import SimpleNamespace

from tinytensor.cuda import is_available
from tinytensor.subset import outside

cuda = SimpleNamespace(matmul=SimpleNamespace(allow_tf32=False), is_built=is_available)
cudnn = SimpleNamespace(
    allow_tf32=True, benchmark=False, deterministic=False, enabled=False, is_available=lambda: False
)
mps = SimpleNamespace(is_available=lambda: False, is_built=lambda: False)  # Apple's GPUs

__all__ = ["cuda", "cudnn", "mps"]

__getattr__ = outside("tinytensor.backends")
