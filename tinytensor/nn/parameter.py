"""Parameter: a Tensor that a Module finds and an optimizer trains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinytensor.creation import zeros
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.nn.flat import Flat


class Parameter(Tensor):
    """A leaf Tensor that registers itself when it is assigned to an attribute of a Module.

    It shares the memory of `data`. RuntimeError where requires_grad and data is not floating point.
    """

    _flat: Flat | None = None  # what its array and its gradient are parts of

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        self.array = (zeros(0) if data is None else data).array
        self.grad, self._node, self._requires_grad = None, None, False
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        return type(self)(self.data.clone(), self.requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
