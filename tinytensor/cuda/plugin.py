"""The plug-in that `tinytensor.dispatch` imports when CuPy is first used: these modules register functions there."""

from __future__ import annotations

from tinytensor.cuda import adam, fused, gradients, memory, products
from tinytensor.cuda.fused import dropout

__all__ = ["adam", "dropout", "fused", "gradients", "memory", "products"]
