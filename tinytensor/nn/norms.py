"""RMSNorm and BatchNorm1d."""

from __future__ import annotations

from tinytensor.creation import ones, tensor, zeros
from tinytensor.nn import functional as F
from tinytensor.nn.layers_base import Sizes, sizes
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor


class RMSNorm(Module):
    """y = x / √(mean x² + eps) · weight over the last dimensions (Zhang and Sennrich 2019)."""

    def __init__(self, normalized_shape: Sizes, eps: float | None = None, elementwise_affine: bool = True) -> None:
        super().__init__()
        self.normalized_shape = sizes(normalized_shape)
        self.eps, self.elementwise_affine = eps, elementwise_affine
        self.weight = Parameter(ones(self.normalized_shape)) if elementwise_affine else None

    def forward(self, input: Tensor) -> Tensor:
        """(…, *normalized_shape) → the same shape."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class BatchNorm1d(Module):
    """y = (x − mean) / √(var + eps) · weight + bias for each channel (Ioffe and Szegedy 2015); x (N, C) or (N, C, L).

    In training, mean and variance are those of the batch. In evaluation they are their running averages, if
    track_running_stats is True; momentum None makes them the plain means of all batches.
    """

    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(ones(num_features)) if affine else None
        self.bias = Parameter(zeros(num_features)) if affine and bias else None
        self.register_buffer("running_mean", zeros(num_features) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track_running_stats else None)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C) or (N, C, L) → the same shape. ValueError for other numbers of dimensions."""
        if input.ndim not in (2, 3):
            raise ValueError(f"expected 2D or 3D input (got {input.ndim}D input)")
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
        factor = self.momentum
        if factor is None:  # the plain mean of all batches
            factor = 1 / float(self.num_batches_tracked) if self.training and self.track_running_stats else 0.0
        batch = self.training or not self.track_running_stats
        mean, var = self.running_mean, self.running_var
        return F.batch_norm(input, mean, var, self.weight, self.bias, batch, factor, self.eps)

    def extra_repr(self) -> str:
        bias, stats = self.bias is not None, self.track_running_stats
        text = f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"
        return f"{text}, bias={bias}, track_running_stats={stats}"
