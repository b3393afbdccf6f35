"""The plug-in that `tinytensor.dispatch` imports when CuPy is first used: these modules register functions there."""

from __future__ import annotations

from tinytensor.cuda import fused, memory, products

__all__ = ["fused", "memory", "products"]
