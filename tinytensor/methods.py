"""The functions that are methods and operators of a Tensor as well: `x.exp()` is `exp(x)`, `a + b` is `add(a, b)`.

This file is a table of names. The functions are in `tinytensor/functions/`, in a file for each subject.
"""

from __future__ import annotations

from tinytensor import functions as fn
from tinytensor.attributes import Attributes
from tinytensor.functions import arithmetic, choice, comparison, convert, indexing, inplace, powers
from tinytensor.functions.inplace import in_place


class Methods(Attributes):
    """The base class of Tensor that has these names."""

    __slots__ = ()
    # fmt: off

    # operators
    __add__ = __radd__ = add = fn.add
    __sub__ = sub = fn.sub
    __rsub__ = arithmetic.rsub
    __mul__ = __rmul__ = mul = fn.mul
    __truediv__ = div = fn.div
    __rtruediv__ = arithmetic.rdiv
    __floordiv__, __mod__ = fn.floor_divide, fn.remainder
    __pow__ = pow = fn.pow
    __rpow__ = powers.rpow
    __neg__ = neg = fn.neg
    __abs__ = abs = fn.abs
    __matmul__ = matmul = fn.matmul
    __eq__, __ne__ = eq, ne = fn.eq, fn.ne  # type: ignore[assignment]
    __lt__, __le__, __gt__, __ge__ = lt, le, gt, ge = fn.lt, fn.le, fn.gt, fn.ge
    __and__, __or__, __xor__ = comparison.bitwise_and, comparison.bitwise_or, comparison.bitwise_xor
    __invert__ = comparison.bitwise_not
    __getitem__, __setitem__ = indexing.getitem, indexing.setitem
    __iadd__, __isub__, __imul__, __itruediv__ = inplace.add_, inplace.sub_, inplace.mul_, inplace.div_
    __hash__ = object.__hash__  # by identity, though == compares elements

    # functions/linalg.py
    mm, bmm, mv, dot, outer, addmm, baddbmm = fn.mm, fn.bmm, fn.mv, fn.dot, fn.outer, fn.addmm, fn.baddbmm

    # functions/powers.py, unary.py, more_arithmetic.py
    exp, log, log2, log10, log1p, expm1 = fn.exp, fn.log, fn.log2, fn.log10, fn.log1p, fn.expm1
    sqrt, rsqrt, square, reciprocal = fn.sqrt, fn.rsqrt, fn.square, fn.reciprocal
    sin, cos, tanh, sigmoid, relu, erf, sign = fn.sin, fn.cos, fn.tanh, fn.sigmoid, fn.relu, fn.erf, fn.sign
    floor, ceil, trunc, round = fn.floor, fn.ceil, fn.trunc, fn.round
    lerp, addcmul, addcdiv = fn.lerp, fn.addcmul, fn.addcdiv

    # functions/choice.py, comparison.py
    maximum, minimum, clamp, clip, masked_fill = fn.maximum, fn.minimum, fn.clamp, fn.clip, fn.masked_fill
    where = choice.where_method
    logical_and, logical_or, logical_not = fn.logical_and, fn.logical_or, fn.logical_not
    isfinite, isinf, isnan = fn.isfinite, fn.isinf, fn.isnan

    # functions/reduction.py
    sum, mean, var, std, norm, prod = fn.sum, fn.mean, fn.var, fn.std, fn.norm, fn.prod
    max, min, amax, amin, argmax, argmin = fn.max, fn.min, fn.amax, fn.amin, fn.argmax, fn.argmin
    all, any, cumsum, logsumexp = fn.all, fn.any, fn.cumsum, fn.logsumexp
    softmax, log_softmax, allclose, equal = fn.softmax, fn.log_softmax, fn.allclose, fn.equal

    # functions/indexing.py
    gather, topk, sort, unique = fn.gather, fn.topk, fn.sort, fn.unique
    scatter, scatter_add, index_select, masked_select = fn.scatter, fn.scatter_add, fn.index_select, fn.masked_select
    index_add, index_copy, index_fill, nonzero = fn.index_add, fn.index_copy, fn.index_fill, fn.nonzero
    argsort, bincount, histogram = fn.argsort, fn.bincount, fn.histogram

    # functions/shape.py
    reshape, view, view_as, flatten = fn.reshape, fn.view, fn.view_as, fn.flatten
    squeeze, unsqueeze, permute = fn.squeeze, fn.unsqueeze, fn.permute
    transpose, t, movedim = fn.transpose, fn.t, fn.movedim
    expand, expand_as, repeat, contiguous = fn.expand, fn.expand_as, fn.repeat, fn.contiguous
    split, chunk, unbind, roll, flip = fn.split, fn.chunk, fn.unbind, fn.roll, fn.flip
    tril, triu, narrow, select, repeat_interleave = fn.tril, fn.triu, fn.narrow, fn.select, fn.repeat_interleave

    # functions/inplace.py
    clone, copy_, fill_, zero_ = inplace.clone, inplace.copy_, inplace.fill_, inplace.zero_
    add_, sub_, mul_, div_ = inplace.add_, inplace.sub_, inplace.mul_, inplace.div_
    normal_, uniform_, exponential_ = inplace.normal_, inplace.uniform_, inplace.exponential_
    abs_, ceil_, clamp_, cos_ = in_place(fn.abs), in_place(fn.ceil), in_place(fn.clamp), in_place(fn.cos)
    erf_, exp_, expm1_, floor_ = in_place(fn.erf), in_place(fn.exp), in_place(fn.expm1), in_place(fn.floor)
    log_, log1p_, neg_, pow_ = in_place(fn.log), in_place(fn.log1p), in_place(fn.neg), in_place(fn.pow)
    reciprocal_, rsqrt_ = in_place(fn.reciprocal), in_place(fn.rsqrt)
    relu_, round_ = in_place(fn.relu), in_place(fn.round)
    sigmoid_, sign_, sin_, sqrt_ = in_place(fn.sigmoid), in_place(fn.sign), in_place(fn.sin), in_place(fn.sqrt)
    square_, tanh_, trunc_, tril_ = in_place(fn.square), in_place(fn.tanh), in_place(fn.trunc), in_place(fn.tril)
    triu_, addcdiv_, addcmul_, lerp_ = in_place(fn.triu), in_place(fn.addcdiv), in_place(fn.addcmul), in_place(fn.lerp)
    masked_fill_, scatter_ = in_place(fn.masked_fill), in_place(fn.scatter)
    scatter_add_, index_add_ = in_place(fn.scatter_add), in_place(fn.index_add)
    index_copy_, index_fill_ = in_place(fn.index_copy), in_place(fn.index_fill)

    # functions/convert.py
    item, tolist, numpy = convert.item, convert.tolist, convert.numpy
    to, cpu, cuda = convert.to, convert.cpu, convert.cuda
    float, double, half = convert.as_float32, convert.as_float64, convert.as_float16
    long, int, byte, bool = convert.as_int64, convert.as_int32, convert.as_uint8, convert.as_bool
    type, type_as, pin_memory = convert.as_type, convert.type_as, convert.pin_memory
    __float__, __int__, __index__, __bool__ = convert.to_float, convert.to_int, convert.to_index, convert.to_bool
    __format__, __array__, __deepcopy__ = convert.formatted, convert.to_array, convert.deepcopied
    __dlpack__, __dlpack_device__ = convert.dlpack, convert.dlpack_device
