"""Layers: a function of `nn.functional` together with the parameters that it needs.

The initial values are PyTorch's. More layers are in norms.py, simple.py and wrappers.py; layers_base.py has what these
print.
"""

from __future__ import annotations

import math

from tinytensor.creation import ones, zeros
from tinytensor.nn import functional as F
from tinytensor.nn import init
from tinytensor.nn.layers_base import EmbeddingBase, LayerNormBase, Sizes, sizes
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class Linear(Module):
    """y = x Wᵀ + b: x (…, in_features), W (out_features, in_features), b (out_features,) → y (…, out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(zeros(out_features, in_features))  # Module.__setattr__ files it as "weight"
        self.bias = Parameter(zeros(out_features)) if bias else None
        self.reset_parameters()  # zeros would make all outputs the same, and so all their gradients

    def reset_parameters(self) -> None:
        """Draw W and b from U(−1/√in_features, 1/√in_features)."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))  # U(−c, c), c = √(6 / ((1 + a²) n)) = 1/√n for n inputs
        if self.bias is not None and self.in_features:
            bound = 1 / math.sqrt(self.in_features)  # so that the outputs have about the size of the inputs
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)  # (…, I) → (…, O)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Embedding(EmbeddingBase):
    """y = W[ids]: ids (…) integers in [0, num_embeddings), W (num_embeddings, embedding_dim) → y (…, embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)  # files the sizes
        self.weight = Parameter(zeros(num_embeddings, embedding_dim))  # (V, C): a row for each id
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw W from N(0, 1); the row padding_idx is 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:  # the id that fills short rows up means nothing
            init.zeros_(self.weight.data[self.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx)  # (…) → (…, C)


class LayerNorm(LayerNormBase):
    """y = w (x − mean) / √(variance + eps) + b over the last dimensions (Ba et al. 2016): x (…, n), w and b (n,)."""

    def __init__(
        self, normalized_shape: Sizes, eps: float = 1e-5, elementwise_affine: bool = True, bias: bool = True
    ) -> None:
        super().__init__()
        self.normalized_shape = sizes(normalized_shape)  # n: one size, or several
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None  # at first w = 1, b = 0
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)  # (…, n) → (…, n)


class GELU(Module):
    """y = x Φ(x) for each element, Φ the normal distribution function, or its tanh form (Hendrycks and Gimpel 2016)."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate  # "none" or "tanh"

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)  # (…) → (…)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"
