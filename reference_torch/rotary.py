"""Rotary positions on PyTorch: pairs of numbers as complex ones, turned by e^(iθ). See gpt/rotary.py for the formula."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary(x: Tensor) -> Tensor:
    """x (…, T, D), D even, with every position's pairs turned by its angles."""
    length, width = x.shape[-2:]
    angles = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())  # (…, T, D/2)
    turns = torch.polar(torch.ones_like(angles), angles).to(pairs)  # (T, D/2)
    return torch.view_as_real(pairs * turns).flatten(-2)  # (…, T, D)
