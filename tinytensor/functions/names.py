"""Second names of functions, and their in-place forms: with methods.py and the functions, all the names that there are.

PyTorch has many functions under two names, and most of them in a form that writes into its first argument, with `_`
behind its name.
"""

from __future__ import annotations

from tinytensor.functions import (
    arithmetic,
    choice,
    comparison,
    indexing,
    inplace,
    linalg,
    more_arithmetic,
    powers,
    reduction,
    shape,
    unary,
)  # fmt: skip
from tinytensor.functions.inplace import (
    compare_in_place,
    fill_in_place,
    in_place,
    logic_in_place,
    pair_in_place,
    view_in_place,
)

# fmt: off

# arithmetic: four of them write with one call of NumPy (inplace.py)
subtract = arithmetic.sub
subtract_ = sub_ = inplace.sub_
multiply = arithmetic.mul
multiply_ = mul_ = inplace.mul_
divide = true_divide = arithmetic.div
divide_ = true_divide_ = div_ = inplace.div_
negative = arithmetic.neg
negative_ = neg_ = in_place(arithmetic.neg)
floor_divide_, remainder_ = pair_in_place(more_arithmetic.floor_divide), pair_in_place(more_arithmetic.remainder)
add_ = inplace.add_
lerp_, addcmul_ = in_place(more_arithmetic.lerp), in_place(more_arithmetic.addcmul)
addcdiv_ = in_place(more_arithmetic.addcdiv)
ger = linalg.outer
addmm_, baddbmm_ = in_place(linalg.addmm), in_place(linalg.baddbmm)

# powers, roots, exponentials
pow_ = pair_in_place(powers.pow)
square_, sqrt_, rsqrt_ = in_place(powers.square), in_place(powers.sqrt), in_place(powers.rsqrt)
exp_, expm1_, log_, log1p_ = in_place(powers.exp), in_place(powers.expm1), in_place(powers.log), in_place(powers.log1p)
log2_, log10_, reciprocal_ = in_place(powers.log2), in_place(powers.log10), in_place(powers.reciprocal)

# functions of one input
absolute = unary.abs
absolute_ = abs_ = in_place(unary.abs)
fix = unary.trunc
fix_ = trunc_ = in_place(unary.trunc)
ceil_, floor_, round_, sign_ = in_place(unary.ceil), in_place(unary.floor), in_place(unary.round), in_place(unary.sign)
sin_, cos_, tanh_, sigmoid_ = in_place(unary.sin), in_place(unary.cos), in_place(unary.tanh), in_place(unary.sigmoid)
relu_, erf_ = in_place(unary.relu), in_place(unary.erf)

# choice, comparison, logic, bits
clip = choice.clamp
clip_ = clamp_ = in_place(choice.clamp)
masked_fill_ = fill_in_place(choice.masked_fill)
not_equal = comparison.ne
not_equal_ = ne_ = compare_in_place(comparison.ne)
less = comparison.lt
less_ = lt_ = compare_in_place(comparison.lt)
less_equal = comparison.le
less_equal_ = le_ = compare_in_place(comparison.le)
greater = comparison.gt
greater_ = gt_ = compare_in_place(comparison.gt)
greater_equal = comparison.ge
greater_equal_ = ge_ = compare_in_place(comparison.ge)
eq_ = compare_in_place(comparison.eq)
logical_and_, logical_or_ = logic_in_place(comparison.logical_and), logic_in_place(comparison.logical_or)
logical_xor_, logical_not_ = logic_in_place(comparison.logical_xor), logic_in_place(comparison.logical_not)
bitwise_and_, bitwise_or_ = pair_in_place(comparison.bitwise_and), pair_in_place(comparison.bitwise_or)
bitwise_xor_, bitwise_not_ = pair_in_place(comparison.bitwise_xor), in_place(comparison.bitwise_not)
bitwise_left_shift_ = pair_in_place(comparison.bitwise_left_shift)
bitwise_right_shift_ = pair_in_place(comparison.bitwise_right_shift)

# by position
scatter_, scatter_add_ = in_place(indexing.scatter), in_place(indexing.scatter_add)
index_add_, index_copy_ = in_place(indexing.index_add), in_place(indexing.index_copy)
index_fill_, cumsum_ = fill_in_place(indexing.index_fill), in_place(reduction.cumsum_inside)

# shape: the memory stays, the Tensor sees it in another order
concat = concatenate = shape.cat
swapdims = shape.transpose
swapdims_ = transpose_ = view_in_place(shape.transpose)
swapaxes_ = view_in_place(shape.swapaxes)
moveaxis = shape.movedim
t_, squeeze_, unsqueeze_ = view_in_place(shape.t), view_in_place(shape.squeeze), view_in_place(shape.unsqueeze)
tril_, triu_ = fill_in_place(shape.tril), fill_in_place(shape.triu)
