"""Layers: a function of `nn.functional` together with the parameters that it needs.

More layers are in norms.py, simple.py and wrappers.py. layers_base.py has the initial values of these, which are
PyTorch's, and what they print.
"""

from __future__ import annotations

from tinytensor.creation import ones, zeros
from tinytensor.nn import functional as F
from tinytensor.nn.functional.linear import linear
from tinytensor.nn.layers_base import EmbeddingBase, GELUBase, LayerNormBase, LinearBase, Sizes, sizes
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class Linear(LinearBase):
    """y = x Wᵀ + b: x (…, in_features), W (out_features, in_features), b (out_features,) → y (…, out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(zeros(out_features, in_features))  # Module.__setattr__ files it as "weight"
        self.bias = Parameter(zeros(out_features)) if bias else None
        self.reset_parameters()  # random: two layers of zeros after each other would never learn

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)  # (…, I) → (…, O)


class Embedding(EmbeddingBase):
    """y = W[ids]: ids (…) integers in [0, num_embeddings), W (num_embeddings, embedding_dim) → y (…, embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)  # files the sizes
        self.weight = Parameter(zeros(num_embeddings, embedding_dim))  # (V, C): a row for each id
        self.reset_parameters()  # random as well

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


class GELU(GELUBase):
    """y = x Φ(x) for each element, Φ the normal distribution function, or its tanh form (Hendrycks and Gimpel 2016)."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate  # "none" or "tanh"

    def forward(self, input: Tensor) -> Tensor:
        return F.gelu(input, self.approximate)  # (…) → (…)
