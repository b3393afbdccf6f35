"""The functions that are methods and operators of a Tensor as well: `x.exp()` is `exp(x)`, `a + b` is `add(a, b)`.

This file is a table of names. The functions are in `tinytensor/functions/`, in a file for each subject; their second
names and in-place forms are in names.py there. Operators call a function directly, methods read their arguments as the
public functions do (signature.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinytensor import functions as fn
from tinytensor import random
from tinytensor.attributes import Attributes
from tinytensor.backend import is_array
from tinytensor.base import wrap
from tinytensor.dtypes import from_numpy_dtype
from tinytensor.functions import arithmetic, choice, comparison, convert, indexing, inplace, names
from tinytensor.functions.signature import publish_methods

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Operator = Callable[["Tensor", Any], "Tensor"]


def operator(function: Callable[..., Tensor]) -> Operator:
    """x ∘ y. NotImplemented for a y that the function does not take: Python asks y then, and raises the TypeError."""

    def operate(self: Tensor, other: Any) -> Tensor:
        try:
            return function(self, other)
        except TypeError:
            return NotImplemented  # type: ignore[no-any-return]

    operate.__doc__ = function.__doc__
    return operate


def comparison_operator(function: Callable[..., Tensor]) -> Operator:
    """x ∘ y of a comparison, which takes arrays as well."""

    def operate(self: Tensor, other: Any) -> Tensor:
        if is_array(other):
            from_numpy_dtype(other.dtype)  # TypeError for one that no Tensor has
            other = wrap(other)
        return function(self, other)

    operate.__doc__ = function.__doc__
    return operator(operate)


def reflected(function: Callable[..., Tensor]) -> Operator:
    """c ∘ x, for which Python calls a method of x."""

    def operate(self: Tensor, other: Any) -> Tensor:
        return function(other, self)

    operate.__doc__ = function.__doc__
    return operator(operate)


def operators(
    function: Callable[..., Tensor], in_place: Callable[..., Tensor], commutes: bool = False
) -> tuple[Operator, Operator, Operator]:
    """x ∘ y, c ∘ x and x ∘= y of a function and its in-place form."""
    return operator(function), (operator if commutes else reflected)(function), operator(in_place)


class Methods(Attributes):
    """The base class of Tensor that has these names."""

    __slots__ = ()
    # fmt: off

    # x ∘ y, c ∘ x, x ∘= y
    __add__, __radd__, __iadd__ = fn.add, fn.add, names.add_
    __sub__, __rsub__, __isub__ = fn.sub, arithmetic.rsub, names.sub_
    __mul__, __rmul__, __imul__ = fn.mul, fn.mul, names.mul_
    __truediv__, __rtruediv__, __itruediv__ = fn.div, arithmetic.rdiv, names.div_
    __floordiv__, __rfloordiv__, __ifloordiv__ = operators(fn.floor_divide, names.floor_divide_)
    __mod__, __rmod__, __imod__ = operators(fn.remainder, names.remainder_)
    __pow__, __rpow__, __ipow__ = operators(fn.pow, names.pow_)
    __and__, __rand__, __iand__ = operators(fn.bitwise_and, names.bitwise_and_, commutes=True)
    __or__, __ror__, __ior__ = operators(fn.bitwise_or, names.bitwise_or_, commutes=True)
    __xor__, __rxor__, __ixor__ = operators(fn.bitwise_xor, names.bitwise_xor_, commutes=True)
    __lshift__, __rlshift__, __ilshift__ = operators(fn.bitwise_left_shift, names.bitwise_left_shift_)
    __rshift__, __rrshift__, __irshift__ = operators(fn.bitwise_right_shift, names.bitwise_right_shift_)
    __matmul__, __rmatmul__ = fn.matmul, reflected(fn.matmul)

    # the other operators
    __eq__, __ne__ = comparison_operator(fn.eq), comparison_operator(fn.ne)  # type: ignore[assignment]
    __lt__, __le__ = comparison_operator(fn.lt), comparison_operator(fn.le)
    __gt__, __ge__ = comparison_operator(fn.gt), comparison_operator(fn.ge)
    __neg__, __pos__, __abs__, __invert__ = fn.neg, fn.positive, fn.abs, comparison.invert
    __getitem__, __setitem__ = indexing.getitem, indexing.setitem
    __hash__ = object.__hash__  # by identity, though == compares elements

    # functions/arithmetic.py, more_arithmetic.py
    add, sub, mul, div, neg = fn.add, fn.sub, fn.mul, fn.div, fn.neg
    add_, sub_, mul_, div_, neg_ = names.add_, names.sub_, names.mul_, names.div_, names.neg_
    subtract, multiply, divide, true_divide, negative = fn.subtract, fn.multiply, fn.divide, fn.true_divide, fn.negative
    subtract_, multiply_, divide_, true_divide_ = names.subtract_, names.multiply_, names.divide_, names.true_divide_
    floor_divide, remainder, positive = fn.floor_divide, fn.remainder, fn.positive
    floor_divide_, remainder_, negative_ = names.floor_divide_, names.remainder_, names.negative_
    lerp, addcmul, addcdiv, lerp_ = fn.lerp, fn.addcmul, fn.addcdiv, names.lerp_
    addcmul_, addcdiv_ = names.addcmul_, names.addcdiv_

    # functions/linalg.py
    matmul, mm, bmm, mv, dot, outer, ger = fn.matmul, fn.mm, fn.bmm, fn.mv, fn.dot, fn.outer, fn.ger
    trace, addmm, baddbmm, addmm_, baddbmm_ = fn.trace, fn.addmm, fn.baddbmm, names.addmm_, names.baddbmm_

    # functions/powers.py
    pow, square, sqrt, rsqrt, reciprocal = fn.pow, fn.square, fn.sqrt, fn.rsqrt, fn.reciprocal
    pow_, square_, sqrt_, rsqrt_, reciprocal_ = names.pow_, names.square_, names.sqrt_, names.rsqrt_, names.reciprocal_
    exp, expm1, log, log2, log10, log1p = fn.exp, fn.expm1, fn.log, fn.log2, fn.log10, fn.log1p
    exp_, expm1_, log_, log2_ = names.exp_, names.expm1_, names.log_, names.log2_
    log10_, log1p_ = names.log10_, names.log1p_

    # functions/unary.py
    sin, cos, tanh, sigmoid, relu, erf, sign = fn.sin, fn.cos, fn.tanh, fn.sigmoid, fn.relu, fn.erf, fn.sign
    sin_, cos_, tanh_, sigmoid_, relu_ = names.sin_, names.cos_, names.tanh_, names.sigmoid_, names.relu_
    erf_, sign_ = names.erf_, names.sign_
    floor, ceil, trunc, fix, round = fn.floor, fn.ceil, fn.trunc, fn.fix, fn.round
    floor_, ceil_, trunc_, fix_, round_ = names.floor_, names.ceil_, names.trunc_, names.fix_, names.round_
    abs, absolute, abs_, absolute_ = fn.abs, fn.absolute, names.abs_, names.absolute_

    # functions/choice.py, comparison.py
    maximum, minimum, clamp, clip, masked_fill = fn.maximum, fn.minimum, fn.clamp, fn.clip, fn.masked_fill
    where, clamp_, clip_, masked_fill_ = choice.where_method, names.clamp_, names.clip_, names.masked_fill_
    eq, ne, lt, le, gt, ge = fn.eq, fn.ne, fn.lt, fn.le, fn.gt, fn.ge
    eq_, ne_, lt_, le_, gt_, ge_ = names.eq_, names.ne_, names.lt_, names.le_, names.gt_, names.ge_
    not_equal, less, less_equal = fn.not_equal, fn.less, fn.less_equal
    greater, greater_equal = fn.greater, fn.greater_equal
    not_equal_, less_, less_equal_ = names.not_equal_, names.less_, names.less_equal_
    greater_, greater_equal_ = names.greater_, names.greater_equal_
    logical_and, logical_or, logical_xor, logical_not = fn.logical_and, fn.logical_or, fn.logical_xor, fn.logical_not
    logical_and_, logical_or_ = names.logical_and_, names.logical_or_
    logical_xor_, logical_not_ = names.logical_xor_, names.logical_not_
    bitwise_and, bitwise_or, bitwise_xor, bitwise_not = fn.bitwise_and, fn.bitwise_or, fn.bitwise_xor, fn.bitwise_not
    bitwise_and_, bitwise_or_ = names.bitwise_and_, names.bitwise_or_
    bitwise_xor_, bitwise_not_ = names.bitwise_xor_, names.bitwise_not_
    bitwise_left_shift, bitwise_right_shift = fn.bitwise_left_shift, fn.bitwise_right_shift
    bitwise_left_shift_, bitwise_right_shift_ = names.bitwise_left_shift_, names.bitwise_right_shift_
    isfinite, isinf, isnan = fn.isfinite, fn.isinf, fn.isnan

    # functions/reduction.py
    sum, mean, var, std, norm, prod = fn.sum, fn.mean, fn.var, fn.std, fn.norm, fn.prod
    max, min, amax, amin, argmax, argmin = fn.max, fn.min, fn.amax, fn.amin, fn.argmax, fn.argmin
    all, any, cumsum, cumsum_, logsumexp = fn.all, fn.any, fn.cumsum, names.cumsum_, fn.logsumexp
    softmax, log_softmax, allclose, equal = fn.softmax, fn.log_softmax, fn.allclose, fn.equal

    # functions/indexing.py
    gather, topk, sort, unique = fn.gather, fn.topk, fn.sort, fn.unique
    scatter, scatter_add, index_select, masked_select = fn.scatter, fn.scatter_add, fn.index_select, fn.masked_select
    index_add, index_copy, index_fill, nonzero = fn.index_add, fn.index_copy, fn.index_fill, fn.nonzero
    scatter_, scatter_add_, index_add_ = names.scatter_, names.scatter_add_, names.index_add_
    index_copy_, index_fill_ = names.index_copy_, names.index_fill_
    argsort, bincount, histogram = fn.argsort, fn.bincount, fn.histogram

    # functions/shape.py
    reshape, view, view_as, flatten = fn.reshape, fn.view, fn.view_as, fn.flatten
    squeeze, unsqueeze, squeeze_, unsqueeze_ = fn.squeeze, fn.unsqueeze, names.squeeze_, names.unsqueeze_
    permute, movedim, moveaxis, t, t_ = fn.permute, fn.movedim, fn.moveaxis, fn.t, names.t_
    transpose, swapaxes, swapdims = fn.transpose, fn.swapaxes, fn.swapdims
    transpose_, swapaxes_, swapdims_ = names.transpose_, names.swapaxes_, names.swapdims_
    expand, expand_as, repeat, contiguous = fn.expand, fn.expand_as, fn.repeat, fn.contiguous
    split, chunk, unbind, roll, flip = fn.split, fn.chunk, fn.unbind, fn.roll, fn.flip
    tril, triu, narrow, select, repeat_interleave = fn.tril, fn.triu, fn.narrow, fn.select, fn.repeat_interleave
    tril_, triu_ = names.tril_, names.triu_

    # functions/inplace.py, random.py
    clone, copy_, fill_, zero_ = inplace.clone, inplace.copy_, inplace.fill_, inplace.zero_
    is_floating_point = inplace.is_floating_point
    normal_, uniform_, exponential_ = inplace.normal_, inplace.uniform_, inplace.exponential_
    bernoulli, bernoulli_, multinomial = random.bernoulli, inplace.bernoulli_, random.multinomial
    detach_ = inplace.detach_

    # functions/convert.py
    item, tolist, numpy = convert.item, convert.tolist, convert.numpy
    to, cpu, cuda = convert.to, convert.cpu, convert.cuda
    float, double, half = convert.as_float32, convert.as_float64, convert.as_float16
    long, int, byte, bool = convert.as_int64, convert.as_int32, convert.as_uint8, convert.as_bool
    type, type_as, pin_memory = convert.as_type, convert.type_as, convert.pin_memory
    __float__, __int__, __index__, __bool__ = convert.to_float, convert.to_int, convert.to_index, convert.to_bool
    __format__, __array__, __deepcopy__ = convert.formatted, convert.to_array, convert.deepcopied
    __dlpack__, __dlpack_device__ = convert.dlpack, convert.dlpack_device


for _class in (Attributes, Methods):
    publish_methods(_class)
