"""Parameters end to end in one buffer, and their gradients in another: what is done to all is one vector operation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tinytensor.backend import Array, part_of, vector
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class Flat:
    """Moves Parameters into one buffer, `data`, and lets backward leave their gradients in another, `grad`.

    With `like`, the Flat of another model, they take over its values and share its data: one set of weights, with
    gradients of their own. Parameters of another Flat leave it, and it is incomplete from then on.
    """

    def __init__(self, parameters: Sequence[Any], like: Flat | None = None) -> None:
        self.parameters: list[Any] = list(parameters)
        arrays: list[Array] = [p.array for p in parameters]
        count = sum(x.size for x in arrays)
        self.data: Array = vector(count, arrays[0]) if like is None else like.data
        self.values: list[Array] = self.parts(self.data) if like is None else like.values
        self.grad: Array = vector(count, arrays[0])
        self.gradients: list[Array] = self.parts(self.grad)
        for p, value, gradient, array in zip(parameters, self.values, self.gradients, arrays, strict=True):
            if like is None:
                value[...] = array
            p.array, p.grad, p._flat, p._place = value, None, self, gradient

    def parts(self, buffer: Array) -> list[Array]:
        """What belongs to each parameter in a buffer for all of them."""
        parts, start = [], 0
        for p in self.parameters:
            parts.append(part_of(buffer, start, p.array.shape))
            start += p.array.size
        return parts

    def complete(self) -> bool:
        """Whether all is in the buffers: no gradient is missing, no array was exchanged for another."""
        return all(
            p.array is value and p.grad is not None and p.grad.array is gradient
            for p, value, gradient in zip(self.parameters, self.values, self.gradients, strict=True)
        )


def fits(parameters: Sequence[Tensor]) -> bool:
    """Whether they can be made Flat: Parameters of one dtype on one device."""
    kinds = {(p.array.dtype, str(p.device)) for p in parameters}
    return len(kinds) == 1 and all(isinstance(p, Parameter) for p in parameters)


def gradients(parameters: Iterable[Any]) -> list[Array]:
    """The gradients there are. Those of a Flat come as one vector, if it is complete and all its parameters are here."""
    homes: dict[Flat | None, list[Any]] = {}
    for p in parameters:
        if p.grad is not None:
            homes.setdefault(p._flat if isinstance(p, Parameter) else None, []).append(p)
    found: list[Array] = []
    for flat, own in homes.items():
        whole = flat is not None and set(own) == set(flat.parameters) and flat.complete()
        found += [flat.grad] if flat is not None and whole else [p.grad.array for p in own]
    return found


def share(parameters: Sequence[Any], twins: Sequence[Any]) -> None:
    """Let the twins use the memory of the parameters; their gradients stay their own, in the same layout."""
    pairs = list(zip(parameters, twins, strict=True))
    if all(twin.array is p.array for p, twin in pairs):
        return
    twin_of = dict(pairs)
    for flat in {p._flat: None for p in parameters if p._flat is not None}:
        Flat([twin_of[p] for p in flat.parameters], like=flat)
    for p, twin in pairs:
        twin.data = p.data
