"""PyTorch's names for how elements lie in memory. Here there is one layout, so the names change little."""

from __future__ import annotations


class layout:
    """How a Tensor keeps its elements; `strided` is the only one: an array with a stride for each dimension."""

    def __repr__(self) -> str:
        return "tinytensor.strided"

    def __reduce__(self) -> str:  # copies and pickles are the object itself
        return "strided"


class memory_format:
    """The order of dimensions in memory, in which an operation leaves its result."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"tinytensor.{self.name}"

    def __reduce__(self) -> str:
        return self.name


strided = layout()
contiguous_format = memory_format("contiguous_format")  # row by row
preserve_format = memory_format("preserve_format")  # as in the input

__all__ = ["contiguous_format", "layout", "memory_format", "preserve_format", "strided"]
