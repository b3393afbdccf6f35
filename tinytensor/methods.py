"""The functions that are methods and operators of a Tensor as well: `x.exp()` is `exp(x)`, `a + b` is `add(a, b)`.

A table of names and nothing else. The functions are in `tinytensor/functions/`, in files named by subject.
"""

from __future__ import annotations

from tinytensor import functions as F
from tinytensor.attributes import Attributes
from tinytensor.functions import convert, indexing, inplace, pointwise
from tinytensor.functions.inplace import in_place


class Methods(Attributes):
    """The base class of Tensor that has these names."""

    __slots__ = ()
    # fmt: off

    # operators
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
    __eq__, __ne__ = eq, ne = F.eq, F.ne  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = lt, le, gt, ge = F.lt, F.le, F.gt, F.ge
    __and__, __or__, __xor__ = pointwise.bitwise_and, pointwise.bitwise_or, pointwise.bitwise_xor
    __invert__ = pointwise.bitwise_not
    __getitem__, __setitem__ = indexing.getitem, indexing.setitem
    __iadd__, __isub__, __imul__, __itruediv__ = inplace.add_, inplace.sub_, inplace.mul_, inplace.div_
    __hash__ = object.__hash__  # by identity, though == compares elements

    # functions/linalg.py
    mm, bmm, mv, dot, outer, addmm, baddbmm = F.mm, F.bmm, F.mv, F.dot, F.outer, F.addmm, F.baddbmm

    # functions/pointwise.py
    exp, log, log2, log10, sqrt, rsqrt, square = F.exp, F.log, F.log2, F.log10, F.sqrt, F.rsqrt, F.square
    sin, cos, tanh, sigmoid, relu = F.sin, F.cos, F.tanh, F.sigmoid, F.relu
    log1p, expm1, erf, reciprocal, sign, floor = F.log1p, F.expm1, F.erf, F.reciprocal, F.sign, F.floor
    ceil, trunc, round, lerp, addcmul, addcdiv = F.ceil, F.trunc, F.round, F.lerp, F.addcmul, F.addcdiv
    maximum, minimum, clamp, clip, masked_fill = F.maximum, F.minimum, F.clamp, F.clip, F.masked_fill
    logical_and, logical_or, logical_not = F.logical_and, F.logical_or, F.logical_not
    isfinite, isinf, isnan = F.isfinite, F.isinf, F.isnan
    where = pointwise.where_method

    # functions/reduction.py
    sum, mean, var, std, norm, prod = F.sum, F.mean, F.var, F.std, F.norm, F.prod
    max, min, amax, amin, argmax, argmin = F.max, F.min, F.amax, F.amin, F.argmax, F.argmin
    all, any, cumsum, logsumexp = F.all, F.any, F.cumsum, F.logsumexp
    softmax, log_softmax, allclose, equal = F.softmax, F.log_softmax, F.allclose, F.equal

    # functions/indexing.py
    gather, topk, sort, unique = F.gather, F.topk, F.sort, F.unique
    scatter, scatter_add, index_select, masked_select = F.scatter, F.scatter_add, F.index_select, F.masked_select
    index_add, index_copy, index_fill, nonzero = F.index_add, F.index_copy, F.index_fill, F.nonzero
    argsort, bincount, histogram = F.argsort, F.bincount, F.histogram

    # functions/shape.py
    reshape, view, view_as, flatten = F.reshape, F.view, F.view_as, F.flatten
    squeeze, unsqueeze, permute, transpose, t, movedim = F.squeeze, F.unsqueeze, F.permute, F.transpose, F.t, F.movedim
    expand, expand_as, repeat, contiguous = F.expand, F.expand_as, F.repeat, F.contiguous
    split, chunk, unbind, roll, flip = F.split, F.chunk, F.unbind, F.roll, F.flip
    tril, triu, narrow, select, repeat_interleave = F.tril, F.triu, F.narrow, F.select, F.repeat_interleave

    # functions/inplace.py
    clone, copy_, fill_, zero_ = inplace.clone, inplace.copy_, inplace.fill_, inplace.zero_
    add_, sub_, mul_, div_ = inplace.add_, inplace.sub_, inplace.mul_, inplace.div_
    normal_, uniform_, exponential_ = inplace.normal_, inplace.uniform_, inplace.exponential_
    abs_, ceil_, clamp_, cos_ = in_place(F.abs), in_place(F.ceil), in_place(F.clamp), in_place(F.cos)
    erf_, exp_, expm1_, floor_ = in_place(F.erf), in_place(F.exp), in_place(F.expm1), in_place(F.floor)
    log_, log1p_, neg_, pow_ = in_place(F.log), in_place(F.log1p), in_place(F.neg), in_place(F.pow)
    reciprocal_, relu_, round_, rsqrt_ = in_place(F.reciprocal), in_place(F.relu), in_place(F.round), in_place(F.rsqrt)
    sigmoid_, sign_, sin_, sqrt_ = in_place(F.sigmoid), in_place(F.sign), in_place(F.sin), in_place(F.sqrt)
    square_, tanh_, trunc_, tril_ = in_place(F.square), in_place(F.tanh), in_place(F.trunc), in_place(F.tril)
    triu_, addcdiv_, addcmul_, lerp_ = in_place(F.triu), in_place(F.addcdiv), in_place(F.addcmul), in_place(F.lerp)
    masked_fill_, scatter_ = in_place(F.masked_fill), in_place(F.scatter)
    scatter_add_, index_add_ = in_place(F.scatter_add), in_place(F.index_add)
    index_copy_, index_fill_ = in_place(F.index_copy), in_place(F.index_fill)

    # functions/convert.py
    item, tolist, numpy = convert.item, convert.tolist, convert.numpy
    to, cpu, cuda = convert.to, convert.cpu, convert.cuda
    float, double, half = convert.as_float32, convert.as_float64, convert.as_float16
    long, int, byte, bool = convert.as_int64, convert.as_int32, convert.as_uint8, convert.as_bool
    type, type_as, pin_memory = convert.as_type, convert.type_as, convert.pin_memory
    __float__, __int__, __index__, __bool__ = convert.to_float, convert.to_int, convert.to_index, convert.to_bool
    __format__, __array__, __deepcopy__ = convert.formatted, convert.to_array, convert.deepcopied
    __dlpack__, __dlpack_device__ = convert.dlpack, convert.dlpack_device
