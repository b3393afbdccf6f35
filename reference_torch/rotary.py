"""Rotary positions on PyTorch: pairs as complex numbers, turned by e^(iθ). The formula is in gpt/rotary.py."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def rotary(x: Tensor, start: int = 0) -> Tensor:
    """Return x (…, T, D), D even, turned by the angles of the positions start … start + T − 1."""
    length, width = x.shape[-2:]
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())  # (…, T, D/2)
    end = start + length
    turns = table(1 << (end - 1).bit_length(), width, pairs.dtype, x.device)[start:end]  # (T, D/2)
    return torch.view_as_real(pairs * turns).flatten(-2)  # (…, T, D)


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # a table that is made while generating has to serve training too
def table(length: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return e^(iθ) for the positions 0 … length − 1, (length, width / 2)."""
    angles = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.polar(torch.ones_like(angles), angles).to(device, dtype)
