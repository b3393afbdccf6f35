"""Sample calls of the rotary primitive: python -m tinytensor.gradcheck --samples gpt.rotary_samples"""

from __future__ import annotations

from typing import Any

import gpt.rotary  # noqa: F401  (it puts the primitive into the table)
from tinytensor.gradcheck.sample import Sample, in_torch, normal
from tinytensor.gradcheck.samples import add


def rotary_in_torch(x: Any, start: int = 0) -> Any:
    """The same turns, written out in sines and cosines."""
    torch = in_torch()
    T, D = x.shape[-2:]
    angles = torch.arange(start, start + T)[:, None] * 10_000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)  # (T, D/2)
    a, b = x[..., 0::2], x[..., 1::2]  # (…, T, D/2)
    return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)  # (…, T, D)


SHAPES = [(2, 5, 6), (1, 2, 3, 4), (3, 4), (1, 2), (0, 4), (2, 0, 2)]

add(
    "rotary",
    [
        *(Sample((normal(*shape),), rotary_in_torch) for shape in SHAPES),
        Sample((normal(2, 3, 4),), lambda x: rotary_in_torch(x, 6), {"start": 6}),
    ],
)
