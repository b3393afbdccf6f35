"""In-place functions: they write into the memory that a Tensor has, so that every view of it sees the new values.

Where a gradient is wanted, the tape records the operation out of place, on a copy of the old values. Then `become` puts
the result into the old memory, and the Tensor takes over the history of the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import formats
from tinytensor.backend import Array
from tinytensor.base import TensorBase, is_tensor, wrap
from tinytensor.dtypes import converted, fits_in, result_type
from tinytensor.functions.arithmetic import add, div, mul, no_bools, scaled, sub
from tinytensor.functions.operands import NUMBERS, Number, cast, filling, only_tensors, plain, wrapped
from tinytensor.functions.powers import log1p
from tinytensor.functions.shape import contiguous, expand_as
from tinytensor.grad_hooks import move_retained
from tinytensor.histories import adopt, check_view, is_view, refresh, rewritten
from tinytensor.modes import is_grad_enabled, no_grad
from tinytensor.ops.choice import COMPARE
from tinytensor.ops.copies import COPY
from tinytensor.ops.indexing import SETITEM
from tinytensor.parameters import in_place_of
from tinytensor.random import rand, randn
from tinytensor.tape import apply
from tinytensor.writes import note_write

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


# ------------------------------------------------------------------------------------------- with the tape


def needs_tape(self: Tensor, name: str, *others: Any) -> bool:
    """Whether the tape must record a write to self: self or a written value requires grad.

    RuntimeError for a leaf that requires grad, a view of one, and one of several outputs on one memory.
    """
    if not is_grad_enabled() or self.array.dtype.kind != "f":  # an integer passes no gradient on
        return False
    if rewritten:
        refresh((self, *others))
    if not any(getattr(t, "_requires_grad", False) for t in (self, *others)):
        return False
    writable(self, name)
    return True


def writable(self: Tensor, name: str) -> None:
    """RuntimeError for a leaf that requires grad, a view of one, and one of several outputs on one memory."""
    if self._node is not None:
        check_view(self, name)
    elif self._requires_grad:
        raise RuntimeError(f"a leaf Variable that requires grad is being used in an in-place operation ({name})")


def before(self: Tensor) -> Tensor:
    """The values before a recorded write, in memory of their own: its backward may need them."""
    return wrap(self.array.copy(), self._node)


def become(self: Tensor, name: str, result: Tensor) -> Tensor:
    """Take over the values and the history of a recorded result; other Tensors on this memory do so when they are used."""
    no_overlap(name, self.array)
    if result.array.shape != self.array.shape:
        raise RuntimeError(f"{name}: the result has shape {tuple(result.shape)}, the tensor {tuple(self.shape)}")
    result = _in_own_dtype(self, name, result)
    assert result._node is not None
    adopt(self, result._node)
    note_write(self.array)
    self.array[...] = result.array
    return self


def write(self: Tensor, name: str, function: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
    """function(self, …), in place. RuntimeError if its values do not fit self's dtype, or self is expanded."""
    only_tensors(name, self)
    old = before(self) if needs_tape(self, name, *args) else self.detach()
    try:
        result = function(old, *args, **kwargs)
    except NotImplementedError:
        no_overlap(name, self.array)  # the first mistake, as PyTorch sees it
        raise
    if result._node is not None:
        return become(self, name, result)
    return copy_(self, _in_own_dtype(self, name, result))  # also of what requires grad: a comparison passes no gradient


def _in_own_dtype(self: Tensor, name: str, result: Tensor) -> Tensor:
    """The result in self's dtype; RuntimeError for floats in integers and the like."""
    _castable(self, name, result.array.dtype)
    return cast(result, self.array.dtype)


def _broadcastable(self: Tensor, name: str, shape: tuple[int, ...]) -> None:
    try:
        whole = np.broadcast_shapes(shape, self.array.shape)
    except ValueError:
        whole = shape
    if whole != self.array.shape:
        raise RuntimeError(f"{name}: {tuple(shape)} does not broadcast to {tuple(self.shape)}, the shape of the tensor")


def _castable(self: Tensor, name: str, dtype: np.dtype[Any]) -> None:
    if not fits_in(dtype, self.array.dtype):
        raise RuntimeError(f"{name}: result type {dtype} can't be cast to the tensor's type {self.dtype}")


def no_overlap(name: str, target: Array) -> None:
    """RuntimeError for an expanded array."""
    if shares_places(target):
        raise RuntimeError(f"{name}: elements of an expanded tensor share memory; write to its .clone()")


def shares_places(x: Array) -> bool:
    """Whether x is expanded: several of its elements share one place in memory."""
    return 0 in x.strides and x.size > 0 and any(s == 0 and n > 1 for s, n in zip(x.strides, x.shape, strict=True))


def in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place form of a function: exp_ for exp."""
    name = f"{function.__name__}_"

    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return write(input, name, function, *args, **kwargs)

    return _in_place_form(method, function)


def pair_in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """in_place of two operands: what does not fit into self is refused before what the function refuses."""
    in_any = in_place(function)

    def method(input: Tensor, other: Any) -> Tensor:
        if is_tensor(other) or isinstance(other, NUMBERS):
            only_tensors(in_any.__name__, input)
            y = other.array if is_tensor(other) else other
            _broadcastable(input, in_any.__name__, getattr(y, "shape", ()))
            _castable(input, in_any.__name__, result_type(input.array, y))
        return in_any(input, other)

    return _in_place_form(method, function)


def compare_in_place(compare: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place form of a comparison. Its gradient is 0, for both operands: only what is not in place has none."""
    in_any = in_place(compare)

    def method(input: Tensor, other: Any) -> Tensor:
        if not is_tensor(other) or other.array.dtype.kind != "f" or not needs_tape(input, in_any.__name__, other):
            return in_any(input, other)
        _broadcastable(input, in_any.__name__, other.array.shape)
        arrays = lambda a, b: compare(wrap(a), wrap(b)).array  # noqa: E731
        return become(input, in_any.__name__, apply(COMPARE, before(input), other, compare=arrays))

    return _in_place_form(method, compare)


def logic_in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place form of logic, which the tape does not see, as in PyTorch: the Tensor keeps its history."""
    in_any = in_place(function)

    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        with no_grad():
            return in_any(input, *args, **kwargs)

    return _in_place_form(method, function)


def fill_in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """in_place of what fills some elements with one value: also of an expanded Tensor, whose elements share memory."""
    in_any = in_place(function)

    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if not shares_places(input.array) or needs_tape(input, in_any.__name__, *args, *kwargs.values()):
            return in_any(input, *args, **kwargs)
        old, new = input.array, _in_own_dtype(input, in_any.__name__, function(input.detach(), *args, **kwargs)).array
        _broadcastable(input, in_any.__name__, new.shape)
        bits = f"i{old.itemsize}"  # of which nan has equal ones, while it is not equal to itself
        filled = old.view(bits) != new.view(bits)
        old[filled] = new[filled]
        note_write(old)
        return input

    return _in_place_form(method, function)


def view_in_place(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The in-place form of a function that returns a view: t_ for t. The Tensor gets another shape, its memory stays."""
    name = f"{function.__name__}_"

    def method(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        old = input._node
        if input._requires_grad and old is None and is_grad_enabled():
            raise RuntimeError(f"a leaf Variable that requires grad is being used in an in-place operation ({name})")
        if old is not None and not is_grad_enabled():
            raise RuntimeError(f"{name} on a result, without recording, is outside tinytensor's subset: .detach() it")
        view = function(input, *args, **kwargs)
        if old is not None and view._node is not None:
            move_retained(old, view._node)
        input.array, input._node = view.array, view._node
        return input

    return _in_place_form(method, function)


def _in_place_form(method: Callable[..., Tensor], function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    method = in_place_of(function, method)
    method.__name__, method.__qualname__ = f"{function.__name__}_", f"Tensor.{function.__name__}_"
    method.__doc__ = f"{function.__name__}, in place."
    return method


# --------------------------------------------------------------------------------------- fill and copy


def zero_(input: Tensor) -> Tensor:
    """0 everywhere."""
    return fill_(input, 0)


def fill_(input: Tensor, value: Any) -> Tensor:
    """value, a number or a 0-d Tensor, everywhere."""
    if is_tensor(value):
        no_overlap("fill_", input.array)
    value = filling("fill_", value, input)
    if needs_tape(input, "fill_", value):
        return become(input, "fill_", apply(SETITEM, input, value.to(input), index=...))
    input.array[...] = cast(value.detach(), input.array.dtype).array
    note_write(input.array)
    return input


def copy_(self: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """The values of src, broadcast and cast. non_blocking is a hint, for copies between devices."""
    if needs_tape(self, "copy_", src):
        return become(self, "copy_", apply(SETITEM, self, expand_as(src.to(self), self), index=...))
    if src is self:  # nothing to do, also where its elements share memory
        return self
    target, source = self.array, src.detach().to(self).array
    no_overlap("copy_", target)
    try:
        target[...] = np.broadcast_to(source, target.shape)
    except ValueError:
        raise RuntimeError(f"copy_: {tuple(src.shape)} does not broadcast to {tuple(self.shape)}") from None
    note_write(self.array)
    return self


def clone(input: Tensor, *, memory_format: formats.memory_format | None = None) -> Tensor:
    """A copy, through which gradients pass; row by row in memory if memory_format is contiguous_format."""
    result: Tensor = apply(COPY, input)
    return result if memory_format is None else in_format(result, memory_format)


def in_format(x: Tensor, memory_format: formats.memory_format) -> Tensor:
    """x, or its elements row by row in memory; NotImplementedError for channels_last and other orders."""
    if memory_format is formats.contiguous_format:
        return contiguous(x)
    if memory_format is not formats.preserve_format:
        raise NotImplementedError(
            f"memory_format={memory_format} is outside tinytensor's subset; use contiguous_format or preserve_format"
        )
    return x


def detach_(input: Tensor) -> Tensor:
    """Forget the history, in place; RuntimeError for a view, whose base would keep it."""
    if rewritten:
        refresh((input,))
    if is_view(input):
        raise RuntimeError("can't detach views in-place: use detach() instead")
    input._node, input._requires_grad = None, False
    return input


def bernoulli_(input: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    """1 with probability p, else 0, in place. RuntimeError for a p outside of [0, 1]."""
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
    return copy_(input, (rand(input.shape, generator=generator) < p).to(input.device))


def detach(input: Tensor) -> Tensor:
    """A Tensor on the same memory, without a history."""
    return input.detach()


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floats, which can have gradients."""
    return bool(input.array.dtype.kind == "f")


# ------------------------------------------------------------------------------------------ arithmetic


def _update(self: Tensor, name: str, ufunc: np.ufunc, function: Callable[..., Tensor], other: Any) -> Tensor:
    """self = function(self, other), in place: by one ufunc, unless the tape must record it."""
    if needs_tape(self, name, other):
        return become(self, name, function(before(self), other))
    target = self.array
    no_overlap(name, target)
    value: Any = other.array if isinstance(other, TensorBase) else plain(other)
    if type(value) is int:
        value = wrapped(value, target.dtype)
    elif target.dtype.kind == "u" and isinstance(other, TensorBase) and value.dtype.kind == "i":
        value = value.astype(target.dtype)  # modulo 256, as the result would be
    try:
        with np.errstate(all="ignore"):
            ufunc(target, value, out=target, casting="same_kind")
    except (ValueError, TypeError) as error:
        raise RuntimeError(
            f"{name}: the result does not fit a {tuple(self.shape)} {self.dtype} tensor ({error})"
        ) from None
    note_write(target)
    return self


def add_(self: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """self + alpha·other, in place."""
    return _update(self, "add_", np.add, add, scaled(self, other, alpha))


def sub_(self: Tensor, other: Tensor | Number, *, alpha: Number = 1) -> Tensor:
    """self − alpha·other, in place."""
    no_bools(self, other)
    return _update(self, "sub_", np.subtract, sub, scaled(self, other, alpha))


def mul_(self: Tensor, other: Tensor | Number) -> Tensor:
    """self · other, in place."""
    return _update(self, "mul_", np.multiply, mul, other)


def div_(self: Tensor, other: Tensor | Number) -> Tensor:
    """self / other, in place."""
    return _update(self, "div_", np.divide, div, other)


# -------------------------------------------------------------------------------------- random numbers


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Normal numbers with this mean and standard deviation."""
    _only_floats(self, "normal_")
    if not std >= 0:  # nan as well
        raise RuntimeError(f"normal_ expects std >= 0, but found {std}")
    return copy_(self, randn(self.shape, dtype=self.dtype, generator=generator) * std + mean)


def uniform_(self: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Any = None) -> Tensor:
    """Uniform numbers between from_ and to. (PyTorch calls the first `from`, which is a keyword in Python.)"""
    _only_floats(self, "uniform_")
    if not (from_ <= to and np.isfinite(converted(to, self.array.dtype)) and np.isfinite(from_)):
        raise RuntimeError(f"uniform_ expects finite numbers from <= to, but found from={from_}, to={to}")
    return copy_(self, rand(self.shape, dtype=self.dtype, generator=generator) * (to - from_) + from_)


def exponential_(self: Tensor, lambd: float = 1, *, generator: Any = None) -> Tensor:
    """Numbers with density λe^(−λx), by inverting their distribution function 1 − e^(−λx)."""
    if self.array.dtype.kind != "f":
        raise RuntimeError(f"exponential_: the distribution is continuous, and {self.dtype} is not")
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0, but found lambda={lambd}")
    return copy_(self, -log1p(-rand(self.shape, dtype=self.dtype, generator=generator)) / lambd)


def _only_floats(self: Tensor, name: str) -> None:
    if self.array.dtype.kind != "f":
        raise NotImplementedError(f"{name}: not implemented for {self.dtype}: it draws real numbers")
