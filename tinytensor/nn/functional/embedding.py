"""embedding, a row of a table for each id, and one_hot."""

from __future__ import annotations

import numpy as np

from tinytensor.backend import array_module
from tinytensor.base import wrap
from tinytensor.functions import where
from tinytensor.functions.dims import whole
from tinytensor.layout import in_order
from tinytensor.nn.functional.checks import class_ids
from tinytensor.ops.embedding import EMBEDDING
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """y = W[ids]: ids (…) int64 or int32, weight W (V, C) → y (…, C). IndexError for an id outside [0, V).

    The row padding_idx gets no gradient; a negative padding_idx counts from the end.

    Source: Bengio et al., "A Neural Probabilistic Language Model", JMLR 3, 2003, section 2.
    """
    if weight.ndim != 2:
        raise RuntimeError(f"embedding: weight must be 2-D, (V, C), but its shape is {tuple(weight.shape)}")
    if padding_idx is not None and not -weight.shape[0] <= whole(padding_idx) < weight.shape[0]:
        raise AssertionError(f"embedding: padding_idx {padding_idx} is out of range for {weight.shape[0]} rows")
    ids = in_order(class_ids("embedding", input.array, weight.shape[0]))
    y = apply(EMBEDDING, weight, ids=ids)
    if padding_idx is None:
        return y
    # the same values, but where the id is padding_idx they come from a detached copy, which passes no gradient on
    return where(wrap(ids == padding_idx % weight.shape[0]).unsqueeze(-1), y.detach(), y)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """(…) int64 → (…, num_classes) int64: 1 at the class, 0 elsewhere. -1: one more than the largest class."""
    ids = tensor.array
    if ids.dtype != np.int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor (int64)")
    if ids.size == 0 and num_classes <= 0:
        raise RuntimeError("one_hot: can not infer total number of classes from empty tensor")
    if num_classes == -1:
        num_classes = int(ids.max()) + 1
    if ids.size and (int(ids.min()) < 0 or int(ids.max()) >= num_classes):
        raise RuntimeError("one_hot: class values must be non-negative and smaller than num_classes")
    xp = array_module(ids)
    return wrap((ids[..., None] == xp.arange(num_classes)).astype(np.int64, order="C"))  # (…, 1) == (num_classes,)
