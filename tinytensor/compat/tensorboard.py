"""torch.utils.tensorboard: SummaryWriter, from tensorboardX."""

from __future__ import annotations

try:
    from tensorboardX import SummaryWriter  # type: ignore[import-untyped, import-not-found, unused-ignore]
except ImportError:
    raise ImportError("SummaryWriter needs tensorboardX: pip install tensorboardX") from None

__all__ = ["SummaryWriter"]
