"""PyTorch's words for how a Tensor lies in memory. There is one layout here: they can be named, and change nothing."""

from __future__ import annotations


class _Word:
    """One of these words."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"tinytensor.{self.name}"

    def __reduce__(self) -> str:  # copies and pickles are the object itself
        return self.name


class layout(_Word):
    """The kind of `strided`."""


class memory_format(_Word):
    """The kind of `contiguous_format` and `preserve_format`."""


strided = layout("strided")
contiguous_format, preserve_format = memory_format("contiguous_format"), memory_format("preserve_format")
