"""The modules that register functions with `tinytensor.dispatch`, which imports this file when CuPy is first used."""

from __future__ import annotations

from tinytensor.cuda import adam, fused, gradients, memory, products
from tinytensor.cuda.fused import dropout

__all__ = ["adam", "dropout", "fused", "gradients", "memory", "products"]
