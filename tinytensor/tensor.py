"""The Tensor: an array, its gradient, and the node of the tape that made it.

`.array` is the NumPy or CuPy array itself; everything else has PyTorch's names. The methods are the functions of
`tinytensor.functions` with the Tensor first; what is defined here is what only a Tensor has.
"""

from __future__ import annotations

import builtins
import weakref
from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from tinytensor import functions as F
from tinytensor import tape
from tinytensor.backend import Array, array_module, as_array, device_of, to_device
from tinytensor.backend import device as Device
from tinytensor.dtypes import bool as bool_dtype
from tinytensor.dtypes import dtype as DType
from tinytensor.dtypes import float16, float32, float64, from_numpy_dtype, int32, int64, uint8
from tinytensor.functions import indexing, pointwise
from tinytensor.functions.dims import checked, one_dim, sizes
from tinytensor.ops.copies import COPY
from tinytensor.ops.indexing import SETITEM
from tinytensor.printing import show


class Size(tuple[int, ...]):
    """The sizes of a Tensor's dimensions: a tuple that can multiply itself out."""

    def numel(self) -> int:
        """The number of elements."""
        return int(np.prod(self, dtype=np.int64))

    def __repr__(self) -> str:
        return f"tinytensor.Size({list(self)})"


class Tensor:
    """An array that remembers how it was computed. Made by `tensor`, `zeros` and their like; see PyTorch's Tensor."""

    __slots__ = ("__weakref__", "_grad", "_node", "_requires_grad", "array")
    __array_ufunc__ = None  # numpy_array * tensor asks the Tensor

    array: Array
    _place: Array | None = None  # where backward is to leave the gradient of a leaf: part of a larger buffer
    _grad: Tensor | None
    _node: tape.Node | None
    _requires_grad: builtins.bool

    def __init__(self, *data: Any) -> None:
        """Tensor([1, 2]) is float32 whatever the list holds; Tensor(2, 3) is a 2 × 3 of zeros, Tensor() empty."""
        if len(data) == 1 and not isinstance(data[0], int):
            array = data[0].array if isinstance(data[0], Tensor) else np.array(data[0])
        else:
            array = np.zeros(checked(sizes(data or (0,))))
        self.array, self._grad = array.astype(np.float32, copy=False), None
        self._node, self._requires_grad = None, False

    def __getattr__(self, name: str) -> NoReturn:
        hint = "" if name.startswith("__") else ": it is outside tinytensor's subset of PyTorch, or no such name"
        raise AttributeError(f"'Tensor' object has no attribute {name!r}{hint}")

    # ------------------------------------------------------------------------------------- what it is

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return Size(self.array.shape)

    @property
    def dtype(self) -> DType:
        """The data type."""
        return from_numpy_dtype(self.array.dtype)

    @property
    def device(self) -> Device:
        """Where the data lies; computed from the array."""
        return device_of(self.array)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return int(self.array.ndim)

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or that of one dimension."""
        return self.shape if dim is None else self.array.shape[one_dim(dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """The number of elements."""
        return int(self.array.size)

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return int(self.array.itemsize)

    def is_floating_point(self) -> builtins.bool:
        """Whether the elements are floats, which can have gradients."""
        return builtins.bool(self.array.dtype.kind == "f")

    def is_contiguous(self) -> builtins.bool:
        """Whether the elements lie in memory row by row."""
        return builtins.bool(self.array.flags.c_contiguous)

    @property
    def is_cuda(self) -> builtins.bool:
        """Whether it lies on a GPU."""
        return self.device.type == "cuda"

    def __repr__(self) -> str:
        return show(self)

    def __format__(self, spec: str) -> str:
        if spec and self.ndim:
            raise TypeError(
                f"a format like {spec!r} takes one number: a Tensor of shape {tuple(self.shape)} has none or more"
            )
        return repr(self) if self.ndim else format(self.item(), spec)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(F.unbind(self))

    def __contains__(self, value: Any) -> builtins.bool:
        return builtins.bool(F.eq(self, value).any())

    __hash__ = object.__hash__  # by identity, though == compares elements

    # ---------------------------------------------------------------------------------- gradients

    @property
    def requires_grad(self) -> builtins.bool:
        """Whether backward leaves a gradient here, or passes one through."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: builtins.bool) -> None:
        if value and self.array.dtype.kind != "f":
            raise RuntimeError(f"only Tensors of floating point dtype can require gradients, not {self.dtype}")
        if self._node is not None and not value:
            raise RuntimeError("you can only change requires_grad flags of leaf variables; use .detach()")
        self._requires_grad = builtins.bool(value)

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward left, or None. TypeError or RuntimeError for setting one that does not fit."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(value).__name__}")
            if value.array.shape != self.array.shape or value.array.dtype != self.array.dtype:
                raise RuntimeError(
                    f"assigned grad is {value.dtype} of shape {tuple(value.shape)}, but a {self.dtype} tensor of shape"
                    f" {tuple(self.shape)} needs one of its own kind"
                )
        self._grad = value

    def requires_grad_(self, requires_grad: builtins.bool = True) -> Tensor:
        """Set requires_grad; RuntimeError for integers, and for False on a result."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> builtins.bool:
        """Whether no recorded operation made it."""
        return self._node is None

    @property
    def grad_fn(self) -> tape.Node | None:
        """The node of the tape that made it; None for a leaf."""
        return self._node

    def retain_grad(self) -> None:
        """Keep the gradient of a result in .grad, as for a leaf."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is not None:
            self._node.retained = weakref.ref(self)

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: builtins.bool | None = None,
        create_graph: builtins.bool = False,
    ) -> None:
        """Add d self / d leaf · gradient to the .grad of every leaf that made self.

        gradient: needed unless self has one element. retain_graph: keep what was saved, for a second backward.
        """
        from tinytensor.autograd import backward

        backward([self], [gradient], retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same memory, without a history."""
        return wrap(self.array)

    @property
    def data(self) -> Tensor:
        """The same memory, without a history; assigning a Tensor takes over its memory."""
        return wrap(self.array)

    @data.setter
    def data(self, value: Tensor) -> None:
        self.array = value.array

    # ---------------------------------------------------------------------------------- conversions

    def item(self) -> Any:
        """The only element as a Python number. RuntimeError if there are more."""
        if self.array.size != 1:
            raise RuntimeError(f"a Tensor with {self.array.size} elements cannot be converted to Scalar")
        return self.array.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for 0 dimensions."""
        return self.array.tolist()

    def numpy(self) -> np.ndarray[Any, Any]:
        """The array itself. RuntimeError if it requires grad (say .detach()); TypeError on a GPU (say .cpu())."""
        if self._requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if not isinstance(self.array, np.ndarray):
            raise TypeError("can't convert cuda device type tensor to numpy. Use Tensor.cpu() to copy it to the host.")
        return self.array

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype, copy=copy)

    def __dlpack__(
        self,
        *,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: builtins.bool | None = None,
    ) -> Any:
        """A capsule of DLPack's, by which another library takes this memory over without a copy: `from_dlpack(t)`.

        stream: on a GPU, CUDA's number of the one that will read (−1: do not wait for it). BufferError if it requires grad
        or steps backwards through its memory, which PyTorch does not know.
        """
        if self._requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if any(step < 0 for step in self.array.strides):
            raise BufferError("Can't export tensors with a negative stride, use tensor.clone()")
        if isinstance(self.array, np.ndarray) and stream == -1:
            stream = None  # nothing to wait for
        return self.array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """DLPack's number of the kind of device, 1 for a CPU and 2 for a GPU, and that of the device."""
        from tinytensor.utils.dlpack import DLDeviceType

        kind, index = self.array.__dlpack_device__()
        return DLDeviceType(kind), int(index)

    def __float__(self) -> float:
        return builtins.float(self._only())

    def __int__(self) -> int:
        return int(self._only())

    def _only(self) -> Any:
        if self.array.size != 1:
            raise ValueError(
                f"only one element tensors can be converted to Python scalars, not {self.array.size} elements"
            )
        return self.array.item()

    def __index__(self) -> int:
        if self.array.dtype.kind == "f" or self.array.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.array.item())

    def __bool__(self) -> builtins.bool:
        if self.array.size != 1:
            raise RuntimeError(
                f"Boolean value of Tensor with {self.array.size} values is ambiguous; use .any() or .all()"
            )
        return builtins.bool(self.array.item())

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaf Tensors (made by the user) can be deep-copied; use .detach().clone()")
        twin = memo[id(self)] = object.__new__(type(self))
        twin.array, twin._node, twin._requires_grad = self.array.copy(), None, self._requires_grad
        twin.grad = None if self.grad is None else self.grad.clone()
        return twin

    def to(
        self,
        *args: Any,
        device: Device | str | None = None,
        dtype: DType | None = None,
        non_blocking: builtins.bool = False,
        copy: builtins.bool = False,
    ) -> Tensor:
        """On another device, in another dtype, or like another Tensor: to("cuda"), to(float64), to(other).

        self where nothing changes and not copy. non_blocking is a hint, for copies between devices.
        """
        flags: list[builtins.bool] = []
        for a in args:
            if isinstance(a, DType):
                dtype = a
            elif isinstance(a, Tensor):
                device, dtype = a.device, a.dtype
            elif isinstance(a, builtins.bool):
                flags.append(a)
            elif a is not None:
                device = a
        copy = flags[1] if len(flags) > 1 else copy  # the first is non_blocking
        x = self if dtype is None else pointwise.cast(self, dtype.numpy)
        moved = to_device(x.array, device)
        if moved is not x.array:
            if tape.is_grad_enabled() and x.requires_grad and x._node is not None:
                raise NotImplementedError("moving a result between devices has no gradient here; move the leaves first")
            x, x.requires_grad = wrap(moved), x.requires_grad
        return x.clone() if copy and x is self else x

    def cpu(self) -> Tensor:
        """On the host."""
        return self.to("cpu")

    def cuda(self) -> Tensor:
        """On the GPU. RuntimeError without CuPy or without one, with what is missing."""
        return self.to("cuda")

    def float(self) -> Tensor:
        """As float32."""
        return pointwise.cast(self, float32.numpy)

    def double(self) -> Tensor:
        """As float64."""
        return pointwise.cast(self, float64.numpy)

    def half(self) -> Tensor:
        """As float16."""
        return pointwise.cast(self, float16.numpy)

    def long(self) -> Tensor:
        """As int64."""
        return pointwise.cast(self, int64.numpy)

    def int(self) -> Tensor:
        """As int32."""
        return pointwise.cast(self, int32.numpy)

    def byte(self) -> Tensor:
        """As uint8."""
        return pointwise.cast(self, uint8.numpy)

    def bool(self) -> Tensor:
        """As bool: non-zero or not."""
        return pointwise.cast(self, bool_dtype.numpy)

    def type(self, dtype: DType | str | None = None) -> Any:
        """In another dtype, also given by its older name, such as "torch.LongTensor"; without one that name."""
        names = {d: f"torch.{name}Tensor" for name, d in _OLDER.items()}
        if dtype is None:
            return names[self.dtype].replace("torch.", "torch.cuda." if self.is_cuda else "torch.")
        wanted = next((d for d in names if dtype in (d, names[d])), None)
        if wanted is None:
            raise ValueError(f"type: {dtype!r} is outside tinytensor's subset; known are {', '.join(names.values())}")
        return pointwise.cast(self, wanted.numpy)

    def pin_memory(self) -> Tensor:
        """Itself: copies to a GPU need no memory of another kind here."""
        return self

    def clone(self) -> Tensor:
        """A copy, through which gradients pass."""
        return tape.apply(COPY, self)

    # ----------------------------------------------------------------------------------- in place

    def zero_(self) -> Tensor:
        """0 everywhere."""
        return self.fill_(0)

    def fill_(self, value: Any) -> Tensor:
        """value, a number or a 0-d Tensor, everywhere."""
        value = pointwise.filling("fill_", value, self)
        if self._needs_tape("fill_", value):
            return self._become("fill_", tape.apply(SETITEM, self, value.to(self), index=...))
        self.array[...] = value.array
        tape.note_write(self.array)
        return self

    def copy_(self, src: Tensor, non_blocking: builtins.bool = False) -> Tensor:
        """The values of src, broadcast and cast. non_blocking is a hint, for copies between devices."""
        if self._needs_tape("copy_", src):
            return self._become("copy_", tape.apply(SETITEM, self, F.expand_as(src.to(self), self), index=...))
        target, source = self.array, src.detach().to(self).array
        no_overlap("copy_", target)
        try:
            target[...] = np.broadcast_to(source, target.shape)
        except ValueError:
            raise RuntimeError(f"copy_: {tuple(src.shape)} does not broadcast to {tuple(self.shape)}") from None
        tape.note_write(self.array)
        return self

    def _update(self, name: str, ufunc: np.ufunc, function: Any, other: Any) -> Tensor:
        if self._needs_tape(name, other):
            return self._become(name, function(self._before(), other))
        target = self.array
        no_overlap(name, target)
        value = other.array if isinstance(other, Tensor) else pointwise.plain(other)
        try:
            with np.errstate(all="ignore"):
                ufunc(target, value, out=target, casting="same_kind")
        except (ValueError, TypeError) as error:
            raise RuntimeError(
                f"{name}: the result does not fit a {tuple(self.shape)} {self.dtype} tensor ({error})"
            ) from None
        tape.note_write(target)
        return self

    def _needs_tape(self, name: str, *others: Any) -> builtins.bool:
        """Whether the tape must see a write to this Tensor: it, or what is written, has a gradient to pass.

        RuntimeError for a leaf that requires grad, and for a view of one.
        """
        if not tape.is_grad_enabled() or not self.is_floating_point():  # an integer passes no gradient on
            return False
        if not any(getattr(t, "_requires_grad", False) for t in (self, *others)):
            return False
        if self._requires_grad and self._node is None:
            raise RuntimeError(f"a leaf Variable that requires grad is being used in an in-place operation ({name})")
        if self._node is not None and self._node.makes_view() and self._node.viewed() is None:
            raise RuntimeError(
                f"{name} on a view of a leaf that requires grad, on one output of several, or (outside tinytensor's subset)"
                " on a view after backward: use the form that returns, or write to its .clone()"
            )
        return True

    def _before(self) -> Tensor:
        """The values before a recorded write, in memory of their own: its backward may need them."""
        return wrap(self.array.copy(), None if self._node is None else tape.checked(self._node, self.array))

    def _become(self, name: str, result: Tensor) -> Tensor:
        """Take over the values and the history of a result: how an in-place operation looks that the tape recorded.

        The memory stays, so that what shares it sees the new values. Who shares it with a history from before is
        refused when it is used next.
        """
        no_overlap(name, self.array)
        if result.array.shape != self.array.shape:
            raise RuntimeError(f"{name}: the result has shape {tuple(result.shape)}, the tensor {tuple(self.shape)}")
        result = self._in_own_dtype(name, result)
        assert result._node is not None
        tape.note_write(self.array, result._node, constant=self._node is None)
        self.array[...] = result.array
        if self._node is not None:
            result._node.retained, self._node.retained = self._node.retained, None
        self._node, self._requires_grad = result._node, True
        return self

    def _in_own_dtype(self, name: str, result: Tensor) -> Tensor:
        """The result of an in-place operation in self's dtype; RuntimeError for floats in integers and the like."""
        if not np.can_cast(result.array.dtype, self.array.dtype, "same_kind"):
            raise RuntimeError(f"{name}: result type {result.dtype} can't be cast to the tensor's type {self.dtype}")
        return pointwise.cast(result, self.array.dtype)

    def add_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self + alpha·other, in place."""
        return self._update("add_", np.add, F.add, pointwise.scaled(self, other, alpha))

    def sub_(self, other: Any, *, alpha: Any = 1) -> Tensor:
        """self − alpha·other, in place."""
        pointwise.no_bools(self, other)
        return self._update("sub_", np.subtract, F.sub, pointwise.scaled(self, other, alpha))

    def mul_(self, other: Any) -> Tensor:
        """self · other, in place."""
        return self._update("mul_", np.multiply, F.mul, other)

    def div_(self, other: Any) -> Tensor:
        """self / other, in place."""
        return self._update("div_", np.divide, F.div, other)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """clamp, in place."""
        return self._write("clamp_", F.clamp, min, max)

    def masked_fill_(self, mask: Tensor, value: Any) -> Tensor:
        """masked_fill, in place."""
        return self._write("masked_fill_", F.masked_fill, mask, value)

    def _write(self, name: str, function: Any, *args: Any, **kwargs: Any) -> Tensor:
        """function(self, …), in place. RuntimeError if its values do not fit self's dtype."""
        taped = self._needs_tape(name, *args)
        result = function(self._before() if taped else self.detach(), *args, **kwargs)
        return self._become(name, result) if taped else self.copy_(self._in_own_dtype(name, result))

    def normal_(self, mean: Any = 0.0, std: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Normal numbers with this mean and standard deviation."""
        from tinytensor.random import randn

        self._only_floats("normal_")
        return self.copy_(randn(self.shape, dtype=self.dtype, generator=generator) * std + mean)

    def uniform_(self, from_: Any = 0.0, to: Any = 1.0, *, generator: Any = None) -> Tensor:
        """Uniform numbers between from_ and to. (PyTorch calls the first `from`, which Python can't.)"""
        from tinytensor.random import rand

        self._only_floats("uniform_")
        return self.copy_(rand(self.shape, dtype=self.dtype, generator=generator) * (to - from_) + from_)

    def exponential_(self, lambd: builtins.float = 1, *, generator: Any = None) -> Tensor:
        """Numbers with density λe^(−λx), by inverting their distribution function 1 − e^(−λx)."""
        from tinytensor.random import rand

        if not self.is_floating_point():
            raise RuntimeError(f"exponential_: the distribution is continuous, and {self.dtype} is not")
        return self.copy_(-pointwise.log1p(-rand(self.shape, dtype=self.dtype, generator=generator)) / lambd)

    def _only_floats(self, name: str) -> None:
        if not self.is_floating_point():
            raise NotImplementedError(f"{name}: not implemented for {self.dtype}: it draws real numbers")

    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    # ------------------------------------------------------------------------------- new, like this one

    def new_zeros(self, *size: Any) -> Tensor:
        """Zeros in this dtype, on this device."""
        return wrap(array_module(self.array).zeros(checked(sizes(size)), self.array.dtype))

    def new_ones(self, *size: Any) -> Tensor:
        """Ones in this dtype, on this device."""
        return wrap(array_module(self.array).ones(checked(sizes(size)), self.array.dtype))

    def new_full(self, size: Any, fill_value: Any) -> Tensor:
        """fill_value everywhere, in this dtype, on this device."""
        return wrap(array_module(self.array).full(checked(sizes((size,))), fill_value, self.array.dtype))

    new_empty = new_zeros

    # ------------------------------------------------- the functions that are methods and operators as well

    __add__ = __radd__ = add = F.add
    __sub__ = sub = F.sub
    __rsub__ = pointwise.rsub
    __mul__ = __rmul__ = mul = F.mul
    __truediv__ = div = F.div
    __rtruediv__ = pointwise.rdiv
    __floordiv__, __mod__ = F.floor_divide, F.remainder
    __pow__ = pow = F.pow
    __rpow__ = pointwise.rpow
    __neg__ = neg = F.neg
    __abs__ = abs = F.abs
    __matmul__ = matmul = F.matmul
    mm, bmm, mv, dot, outer, addmm, baddbmm = F.mm, F.bmm, F.mv, F.dot, F.outer, F.addmm, F.baddbmm
    __eq__, __ne__ = eq, ne = F.eq, F.ne  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = lt, le, gt, ge = F.lt, F.le, F.gt, F.ge
    __and__, __or__, __xor__ = pointwise.bitwise_and, pointwise.bitwise_or, pointwise.bitwise_xor
    __invert__ = pointwise.bitwise_not
    __getitem__, __setitem__ = indexing.getitem, indexing.setitem

    exp, log, log2, log10, sqrt, rsqrt, square = F.exp, F.log, F.log2, F.log10, F.sqrt, F.rsqrt, F.square
    sin, cos, tanh, sigmoid, relu = F.sin, F.cos, F.tanh, F.sigmoid, F.relu
    log1p, expm1, erf, reciprocal, sign, floor = F.log1p, F.expm1, F.erf, F.reciprocal, F.sign, F.floor
    ceil, trunc, round, lerp, addcmul, addcdiv = F.ceil, F.trunc, F.round, F.lerp, F.addcmul, F.addcdiv
    maximum, minimum, clamp, clip, masked_fill = F.maximum, F.minimum, F.clamp, F.clip, F.masked_fill
    logical_and, logical_or, logical_not = F.logical_and, F.logical_or, F.logical_not
    isfinite, isinf, isnan = F.isfinite, F.isinf, F.isnan

    sum, mean, var, std, norm, prod = F.sum, F.mean, F.var, F.std, F.norm, F.prod
    max, min, amax, amin, argmax, argmin = F.max, F.min, F.amax, F.amin, F.argmax, F.argmin
    all, any, cumsum, logsumexp = F.all, F.any, F.cumsum, F.logsumexp
    softmax, log_softmax, allclose, equal = F.softmax, F.log_softmax, F.allclose, F.equal
    gather, topk, sort, unique = F.gather, F.topk, F.sort, F.unique
    scatter, scatter_add, index_select, masked_select = F.scatter, F.scatter_add, F.index_select, F.masked_select
    index_add, index_copy, index_fill, nonzero = F.index_add, F.index_copy, F.index_fill, F.nonzero
    argsort, bincount, histogram = F.argsort, F.bincount, F.histogram

    reshape, view, view_as, flatten, squeeze, unsqueeze = (
        F.reshape,
        F.view,
        F.view_as,
        F.flatten,
        F.squeeze,
        F.unsqueeze,
    )
    permute, transpose, t, movedim = F.permute, F.transpose, F.t, F.movedim
    expand, expand_as, repeat, contiguous = F.expand, F.expand_as, F.repeat, F.contiguous
    split, chunk, unbind, roll, flip = F.split, F.chunk, F.unbind, F.roll, F.flip
    tril, triu, narrow, select, repeat_interleave = F.tril, F.triu, F.narrow, F.select, F.repeat_interleave

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """self where condition holds, else other."""
        return F.where(condition, self, other)

    def type_as(self, other: Tensor) -> Tensor:
        """In the dtype and on the device of other."""
        return self.to(other)

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix; the dimensions reversed."""
        return F.permute(self, tuple(reversed(range(self.ndim))))

    @property
    def mT(self) -> Tensor:
        """The transpose of each matrix: the last two dimensions exchanged. RuntimeError for a vector."""
        if self.ndim == 1:
            raise RuntimeError("tensor.mT is only supported on matrices or batches of matrices, not on a vector")
        return F.transpose(self, -2, -1) if self.ndim else F.reshape(self, ())


def no_overlap(name: str, target: Array) -> None:
    """RuntimeError for an expanded array: what is written to one of its elements shows in others."""
    if 0 not in target.strides:
        return
    if target.size and any(step == 0 and n > 1 for step, n in zip(target.strides, target.shape, strict=True)):
        raise RuntimeError(f"{name}: elements of an expanded tensor share memory; write to its .clone()")


def wrap(array: Array, node: tape.Node | None = None) -> Tensor:
    """A Tensor on this array, without a copy; a scalar becomes a 0-d array."""
    t = _new(Tensor)
    t.array = array if type(array) is np.ndarray else as_array(array)
    t._grad = None
    t._node = node
    t._requires_grad = node is not None
    return t


_new = object.__new__

_OLDER = {
    "Float": float32, "Double": float64, "Half": float16, "Byte": uint8, "Int": int32, "Long": int64, "Bool": bool_dtype
}  # fmt: skip


def _in_place(name: str) -> Any:
    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self._write(f"{name}_", getattr(Tensor, name), *args, **kwargs)

    method.__name__, method.__qualname__ = f"{name}_", f"Tensor.{name}_"
    method.__doc__ = f"{name}, in place."
    return method


for _name in (
    "abs", "addcdiv", "addcmul", "ceil", "cos", "erf", "exp", "expm1", "floor", "index_add", "index_copy", "index_fill",
    "lerp", "log", "log1p", "neg", "pow", "reciprocal", "relu", "round", "rsqrt", "scatter", "scatter_add", "sigmoid",
    "sign", "sin", "sqrt", "square", "tanh", "tril", "triu", "trunc",
):  # fmt: skip
    setattr(Tensor, f"{_name}_", _in_place(_name))
