"""The plug-in that `tinytensor.dispatch` imports when CuPy is first used: these modules enter functions into its table."""

from __future__ import annotations

from tinytensor.cuda import adam, gradients
from tinytensor.cuda.fused import dropout

__all__ = ["adam", "dropout", "gradients"]
