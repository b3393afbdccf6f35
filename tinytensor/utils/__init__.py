"""Data loading, and logging to TensorBoard."""

from tinytensor.subset import outside
from tinytensor.utils import data

__all__ = ["data"]

__getattr__ = outside("tinytensor.utils")
