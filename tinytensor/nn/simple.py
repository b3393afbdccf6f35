"""Layers without parameters: Dropout, Identity, Flatten."""

from __future__ import annotations

from tinytensor.nn import functional as F
from tinytensor.nn.module import Module
from tinytensor.tensor import Tensor


class Dropout(Module):
    """In training, y = 0 with probability p, else x / (1 − p) (Srivastava et al. 2014)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Identity(Module):
    """y = x."""

    def forward(self, input: Tensor) -> Tensor:
        """(…) → (…)."""
        return input


class Flatten(Module):
    """Make one dimension of the dimensions start_dim to end_dim."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(B, …) → (B, the product of the other sizes), by default."""
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
