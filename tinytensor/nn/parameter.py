"""Parameter: a Tensor that a Module finds and an optimizer trains."""

from __future__ import annotations

from typing import Any

from tinytensor.creation import zeros
from tinytensor.tensor import Tensor


class Parameter(Tensor):
    """A leaf Tensor that files itself when it is assigned to an attribute of a Module.

    It shares the memory of `data`. RuntimeError if requires_grad is True and data is not floating-point.
    """

    _flat: Any = None  # the nn.flat.Flat whose buffers hold its values and its gradient, if there is one

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        self.array = (zeros(0) if data is None else data).array  # no copy
        self.grad, self._node, self._requires_grad = None, None, requires_grad  # a leaf, and no view of it is older
        self.requires_grad_(requires_grad)  # False: frozen, no gradient and no update

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        return type(self)(self.data.clone(), self.requires_grad)  # with memory of its own

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()
