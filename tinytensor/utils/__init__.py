"""Data loading, logging to TensorBoard, and tensors of other libraries."""

from tinytensor.subset import outside
from tinytensor.utils import data

__all__ = ["data"]

__getattr__ = outside("tinytensor.utils", {"dlpack": "tinytensor.utils.dlpack", "hooks": "tinytensor.utils.hooks"})
