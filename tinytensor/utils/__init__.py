"""Data loading, and logging to TensorBoard."""

from tinytensor.utils import data

__all__ = ["data"]
