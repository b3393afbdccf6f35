"""Layers: a function of `nn.functional` together with the parameters that it needs.

Initial values are PyTorch's: U(−1/√n, 1/√n) for a Linear of n inputs, N(0, 1) for an Embedding,
ones and zeros for a LayerNorm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from tinytensor.creation import ones, zeros
from tinytensor.nn import functional as F
from tinytensor.nn import init
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class Linear(Module):
    """y = x Wᵀ + b; x (…, in_features), W (out_features, in_features), y (…, out_features)."""

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(zeros(out_features, in_features))
        self.bias = Parameter(zeros(out_features)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None and self.in_features:
            bound = 1 / math.sqrt(self.in_features)
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"


class Embedding(Module):
    """y[…] = W[x[…]]; x (…) integers below num_embeddings, y (…, embedding_dim)."""

    def __init__(self, num_embeddings: int, embedding_dim: int) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.weight = Parameter(zeros(num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.normal_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…, embedding_dim)."""
        return F.embedding(input, self.weight)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}"


class LayerNorm(Module):
    """y = (x − mean) / √(var + eps) · weight + bias over the last dimensions (Ba et al. 2016)."""

    def __init__(
        self,
        normalized_shape: int | Iterable[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        one = isinstance(normalized_shape, int)
        shape: Any = (normalized_shape,) if one else normalized_shape
        self.normalized_shape: tuple[int, ...] = tuple(shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None
        self.bias = Parameter(zeros(self.normalized_shape)) if elementwise_affine and bias else None

    def reset_parameters(self) -> None:
        """weight = 1, bias = 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(…, *normalized_shape) → the same."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine = f"elementwise_affine={self.elementwise_affine}, bias={self.bias is not None}"
        return f"{self.normalized_shape}, eps={self.eps}, {affine}"


class Dropout(Module):
    """In training, y = 0 with probability p, else x / (1 − p) (Srivastava et al. 2014)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        _refuse_inplace(inplace)
        self.p = p

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace=False"


class ReLU(Module):
    """y = max(x, 0)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        _refuse_inplace(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.relu(input)


class SiLU(Module):
    """y = x · σ(x) (Elfwing et al. 2017)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        _refuse_inplace(inplace)

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.silu(input)


class GELU(Module):
    """y = x · Φ(x), or its tanh approximation (Hendrycks and Gimpel 2016)."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Tanh(Module):
    """y = tanh(x)."""

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.tanh(input)


class Sigmoid(Module):
    """y = σ(x) = 1 / (1 + e⁻ˣ)."""

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.sigmoid(input)


class Softmax(Module):
    """y = eˣ / Σ eˣ along dim."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.softmax(input, dim=self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Identity(Module):
    """y = x."""

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return input


class Flatten(Module):
    """Dimensions start_dim … end_dim become one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(B, …) → (B, product of …)."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class CrossEntropyLoss(Module):
    """−log softmax(input)[target]; input (N, C) or (N, C, …), target (N) or (N, …) integers."""

    def __init__(self, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__()
        self.ignore_index, self.reduction = ignore_index, reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A scalar, or the shape of target for reduction="none"."""
        return F.cross_entropy(input, target, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(Module):
    """(input − target)², of one shape."""

    def __init__(self, *, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """A scalar, or the shape of input for reduction="none"."""
        return F.mse_loss(input, target, reduction=self.reduction)


def _refuse_inplace(inplace: bool) -> None:
    if inplace:
        raise NotImplementedError("inplace=True is outside the subset: layers return new tensors")
