"""Flat: parameters in one buffer and their gradients in another, so that an update or a norm is one vector operation.

    >>> import tinytensor as torch
    >>> weight, bias = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.zeros(2))
    >>> flat = Flat([weight, bias])
    >>> flat.data
    array([1., 1., 1., 1., 0., 0.], dtype=float32)
    >>> (weight * 3).sum().backward()
    >>> flat.grad  # the tape wrote the gradient there: nothing was copied
    array([3., 3., 3., 3., 0., 0.], dtype=float32)

`AdamW(…, fused=True)` makes a Flat of each group. `share_parameters` lets copies of a model, one per thread, use the
same values and have gradients of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from tinytensor.backend import Array
from tinytensor.buffers import part_of, vector
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class Flat:
    """Moves Parameters into one buffer, `data`. Backward then leaves their gradients in another, `grad`.

    With `like`, the Flat of another model, these Parameters use its `data` instead: both models have the same values,
    and each has a `grad` of its own. A Parameter belongs to one Flat; one that moves to a new Flat leaves the old one
    incomplete.
    """

    def __init__(self, parameters: Sequence[Any], like: Flat | None = None) -> None:
        self.parameters: list[Any] = list(parameters)
        arrays: list[Array] = [p.array for p in parameters]
        count = sum(x.size for x in arrays)
        self.data: Array = vector(count, arrays[0]) if like is None else like.data
        self.values: list[Array] = self.parts(self.data) if like is None else like.values  # a part of data for each
        self.grad: Array = vector(count, arrays[0])
        self.gradients: list[Array] = self.parts(self.grad)  # a part of grad for each
        for p, value, gradient, array in zip(parameters, self.values, self.gradients, arrays):
            if like is None:
                value[...] = array
            p.array, p.grad, p._flat, p._grad_buffer = value, None, self, gradient

    def move(self, data: Array, grad: Array, start: int) -> None:
        """Move into buffers that several Flats share (Joined), from element `start` on. Forgets the gradients."""
        values, count = self.data, self.data.size
        self.data, self.grad = part_of(data, start, (count,)), part_of(grad, start, (count,))
        self.values, self.gradients = self.parts(data, start), self.parts(grad, start)
        self.data[...] = values
        for p, value, gradient in zip(self.parameters, self.values, self.gradients):
            p.array, p.grad, p._grad_buffer = value, None, gradient

    def parts(self, buffer: Array, start: int = 0) -> list[Array]:
        """Cut a `vector`, from element `start` on, into arrays that share its memory, one for each parameter."""
        parts = []
        for p in self.parameters:
            parts.append(part_of(buffer, start, p.array.shape))
            start += p.array.size
        return parts

    def complete(self) -> bool:
        """Whether the buffers hold everything: each parameter has its array there, and its gradient."""
        return all(
            p.array is value and p.grad is not None and p.grad.array is gradient
            for p, value, gradient in zip(self.parameters, self.values, self.gradients)
        )


class Joined:
    """Flats one after another in one buffer of values, `data`, and one of gradients, `grad`, as ranks exchange them.

    The buffers consist of `pieces` of one size; the last one ends in zeros if the number of parameters is no multiple.
    `grad` has `more` elements behind them, for what goes with the gradients.
    """

    def __init__(self, flats: Sequence[Flat], pieces: int = 1, more: int = 0) -> None:
        # where each Flat begins, and where the last one ends
        self.starts = list(accumulate((flat.data.size for flat in flats), initial=0))
        self.size = -(-self.starts[-1] // pieces)  # of a piece
        like = flats[0].data
        self.data, self.grad = vector(self.size * pieces, like), vector(self.size * pieces + more, like)
        for flat, start in zip(flats, self.starts):
            flat.move(self.data, self.grad, start)

    def piece(self, number: int) -> slice:
        """The elements of a piece."""
        return slice(number * self.size, (number + 1) * self.size)


def flat_of(parameter: Tensor) -> Flat | None:
    """The Flat that the parameter belongs to, or None."""
    flat: Flat | None = getattr(parameter, "_flat", None)
    return flat


def fits(parameters: Sequence[Tensor]) -> bool:
    """Whether a Flat can hold them: they are Parameters of one dtype on one device."""
    kinds = {(p.array.dtype, str(p.device)) for p in parameters}
    return len(kinds) == 1 and all(isinstance(p, Parameter) for p in parameters)


def gradients(parameters: Iterable[Any]) -> list[Array]:
    """The gradients of the parameters that have one.

    A Flat that is complete, and whose parameters are all among these, contributes one vector, `grad`, for all of them.
    """
    groups: dict[Flat | None, list[Any]] = {}
    for p in parameters:
        if p.grad is not None:
            groups.setdefault(flat_of(p), []).append(p)
    found: list[Array] = []
    for flat, own in groups.items():
        whole = flat is not None and set(own) == set(flat.parameters) and flat.complete()
        found += [flat.grad] if flat is not None and whole else [p.grad.array for p in own]
    return found


def share_parameters(parameters: Sequence[Parameter], twins: Sequence[Parameter]) -> None:
    """Let each twin, the parameter of a copy of the model, use the array of its parameter and have its own gradient.

    Where the parameters are in a Flat, the twins get one with the same layout, so both give `gradients` in the same
    order. Nothing happens if they share their arrays already.
    """
    pairs = list(zip(parameters, twins, strict=True))
    if all(twin.array is p.array for p, twin in pairs):
        return
    twin_of = dict(pairs)
    flats = {flat_of(p): None for p in parameters}  # a dictionary, not a set: it keeps the order
    for flat in flats:
        if flat is not None:
            Flat([twin_of[p] for p in flat.parameters], like=flat)
    for p, twin in pairs:
        twin.array = p.array
