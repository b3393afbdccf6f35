"""The breadth of the layers in layers.py: pretrained weights, new initial values, what they print."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeAlias, TypeVar

from tinytensor.nn import init
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor

Sizes: TypeAlias = int | Iterable[int]
E = TypeVar("E", bound="EmbeddingBase")


class LinearBase(Module):
    """What a Linear offers besides its values; use `Linear`."""

    in_features: int
    out_features: int
    weight: Parameter
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Draw W and b from U(−1/√in_features, 1/√in_features)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # U(−c, c), c = √(6 / ((1 + a²) n)) = 1/√n for n inputs
        if self.bias is not None and self.in_features:
            bound = 1 / math.sqrt(self.in_features)  # so that the outputs have about the size of the inputs
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class EmbeddingBase(Module):
    """What an Embedding offers besides its values; use `Embedding`."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None
    weight: Parameter

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise AssertionError(f"padding_idx must be within num_embeddings, not {padding_idx}")
        self.padding_idx = padding_idx if padding_idx is None else padding_idx % num_embeddings

    @classmethod
    def from_pretrained(
        cls: type[E],
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        *more: Any,
        **options: Any,
    ) -> E:
        """Return an Embedding with these weights, (V, C), that an optimizer trains only if freeze is False.

        The rest is as for an Embedding. AssertionError for weights that are no matrix.
        """
        if embeddings.ndim != 2:
            raise AssertionError(
                f"from_pretrained: embeddings need 2 dimensions, (V, C), not {tuple(embeddings.shape)}"
            )
        layer = cls(embeddings.shape[0], embeddings.shape[1], padding_idx, *more, **options)
        layer.weight = Parameter(embeddings, requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        """Draw W from N(0, 1); the row padding_idx is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:  # the id that fills short rows up means nothing
            init.zeros_(self.weight.data[self.padding_idx])

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class LayerNormBase(Module):
    """What a LayerNorm offers besides its values; use `LayerNorm`."""

    normalized_shape: tuple[int, ...]
    eps: float
    elementwise_affine: bool
    weight: Parameter | None
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Set weight to 1 and bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class GELUBase(Module):
    """What a GELU offers besides its values; use `GELU`."""

    approximate: str

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


def sizes(normalized_shape: Sizes) -> tuple[int, ...]:
    """One size or several, as a tuple."""
    return tuple(normalized_shape) if isinstance(normalized_shape, Iterable) else (normalized_shape,)
