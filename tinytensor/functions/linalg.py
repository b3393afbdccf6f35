"""Products of matrices: matmul, einsum, outer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.dtypes import result_type
from tinytensor.functions.operands import cast, implemented, only_tensors
from tinytensor.ops.matmul import EINSUM, MATMUL
from tinytensor.tape import apply

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """Σ_k a[…, n, k] b[…, k, m]: (…, n, k) @ (…, k, m) → (…, n, m); a vector is a row on the left, a column on the
    right. RuntimeError for sizes that do not fit and for different dtypes."""
    only_tensors("matmul", input, other)
    a, b = input.array, other.array
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(
            f"matmul: both arguments need at least 1 dimension, but they are {a.ndim}D and {b.ndim}D; use * for a number"
        )
    if a.dtype != b.dtype:
        raise RuntimeError(f"matmul: expected both to have the same dtype, but got {input.dtype} and {other.dtype}")
    if a.size and b.size and a.shape[-1] == b.shape[-2 if b.ndim > 1 else 0]:  # else the primitive says what fits
        implemented("matmul", "fiu", input)
    return apply(MATMUL, input, other)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """matmul of two matrices; RuntimeError for other numbers of dimensions."""
    return _of_dims("mm", 2, input, 2, mat2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """matmul of two batches of matrices, (B, n, k) and (B, k, m); RuntimeError for other shapes."""
    if input.shape[:1] != mat2.shape[:1]:
        raise RuntimeError(f"bmm: batches of {tuple(input.shape)} and {tuple(mat2.shape)} differ in size")
    return _of_dims("bmm", 3, input, 3, mat2)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """matmul of a matrix and a vector; RuntimeError for other numbers of dimensions."""
    return _of_dims("mv", 2, input, 1, vec)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """matmul of two vectors; RuntimeError for other numbers of dimensions."""
    return _of_dims("dot", 1, input, 1, tensor)


def addmm(input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·input + alpha·(mat1 @ mat2), of matrices."""
    return _weighted(input, beta, mm(mat1, mat2), alpha)


def baddbmm(input: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """beta·input + alpha·(batch1 @ batch2), of batches of matrices; beta 0 leaves input out."""
    return _weighted(input, beta, bmm(batch1, batch2), alpha)


def _of_dims(name: str, n: int, a: Tensor, m: int, b: Tensor) -> Tensor:
    only_tensors(name, a, b)
    if (a.ndim, b.ndim) != (n, m):
        raise RuntimeError(f"{name}: expected {n}D and {m}D tensors, but got {a.ndim}D and {b.ndim}D")
    return matmul(a, b)


def _weighted(input: Tensor, beta: float, product: Tensor, alpha: float) -> Tensor:
    if product.array.dtype.kind != "f":  # weights of whole numbers are whole: PyTorch drops what follows the point
        beta, alpha = _whole(beta), _whole(alpha)
    product = product if alpha == 1 else product * alpha
    if input.array.dtype != product.array.dtype:
        raise RuntimeError(f"expected all to have the same dtype, but got {input.dtype} and {product.dtype}")
    x = input.expand(product.shape)
    if beta == 0:  # 0·nan counts as 0 here
        return product + x.masked_fill(x.new_ones(()).bool(), 0)
    return product + (x if beta == 1 else x * beta)  # in the memory order of the product


def _whole(weight: float) -> int:
    if not abs(weight) < 2**63:  # nan as well
        raise RuntimeError("value cannot be converted to type int64_t without overflow")
    return int(weight)


def trace(input: Tensor) -> Tensor:
    """Σ x[i, i], of a matrix."""
    implemented("trace", "fiu", input)
    if input.ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    diagonal = np.arange(min(input.shape))
    return input[diagonal, diagonal].sum()


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """y[i, j] = a[i] b[j], of two vectors."""
    if input.ndim != 1 or vec2.ndim != 1:
        raise RuntimeError(f"outer: expected two vectors, got {input.ndim}D and {vec2.ndim}D")
    return input.unsqueeze(1) * vec2


def einsum(equation: str, *operands: Any) -> Tensor:
    """The sum of products that the equation describes: einsum("bij,bjk->bik", a, b) multiplies batches of matrices.

    Letters that the output lacks are summed over. Without `->` the output has the letters that occur once, in
    alphabetical order. `...` stands for leading dimensions. A letter twice in one operand is outside the subset.

    >>> import tinytensor as tt
    >>> einsum("ij,j->i", tt.tensor([[1.0, 2.0], [3.0, 4.0]]), tt.tensor([1.0, 10.0]))
    tensor([21., 43.])
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise RuntimeError(f"einsum: the equation {equation!r} has {len(inputs)} operands, {len(operands)} were given")
    unused = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in equation]
    dots = max((x.ndim - len(s) + 3 for s, x in zip(inputs, operands, strict=True) if "..." in s), default=0)
    batch = "".join(unused[:dots])
    spelled = []
    for letters, x in zip(inputs, operands, strict=True):
        own = x.ndim - len(letters) + 3  # the dimensions that `...` stands for in this operand
        letters = letters.replace("...", batch[dots - own :] if own else "")
        if len(letters) != x.ndim:
            raise RuntimeError(
                f"einsum: {letters!r} in {equation!r} names {len(letters)} dimensions of a {x.ndim}D operand"
            )
        if len(set(letters)) < len(letters):
            raise NotImplementedError(
                f"einsum: a letter twice in one operand ({letters!r}) is outside tinytensor's subset"
            )
        spelled.append(letters)
    if not arrow:
        everywhere = "".join(spelled)
        once = sorted(c for c in set(everywhere) - set(batch) if everywhere.count(c) == 1)
        output = ("..." if batch else "") + "".join(once)
    output = output.replace("...", batch)
    unknown = [c for c in output if c not in "".join(spelled)]
    if unknown or len(set(output)) < len(output):
        raise RuntimeError(f"einsum: the output of {equation!r} repeats a letter or has one that no operand has")
    dtype = _einsum_dtype(equation, spelled, output, operands)
    return apply(EINSUM, *(cast(x, dtype) for x in operands), inputs=spelled, output=output)


def _einsum_dtype(equation: str, inputs: list[str], output: str, operands: Sequence[Tensor]) -> np.dtype[Any]:
    """The dtype that PyTorch computes in: a letter of one operand alone is a sum, one of several a product of matrices.

    Sums of integers are int64. RuntimeError for a product of different dtypes, NotImplementedError for one of bools.
    """
    dtype: np.dtype[Any] = operands[0].array.dtype
    if dtype.kind == "f" and all(x.array.dtype == dtype for x in operands):
        return dtype
    found, product = [], False
    for i, (letters, x) in enumerate(zip(inputs, operands, strict=True)):
        gone = set(letters) - set(output)
        shared = {c for c in gone if any(c in other for other in inputs[:i] + inputs[i + 1 :])}
        product = product or bool(shared)
        summed = gone > shared and x.array.dtype.kind != "f"
        found.append(np.empty((1,) * min(x.ndim, 1), np.int64 if summed else x.array.dtype))  # 0-d ones give way
    dtype = result_type(*found)
    if product and any(x.dtype != dtype for x in found):
        raise RuntimeError(
            f"einsum: {equation!r} multiplies {' and '.join(str(x.dtype) for x in found)}: cast one first"
        )
    if product and dtype.kind == "b":
        raise NotImplementedError(f"einsum: {equation!r} is not implemented for bools; call .int() first")
    return dtype
