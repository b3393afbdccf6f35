"""How roughly a GPU may multiply float32 matrices: one setting of the whole process, as in PyTorch.

`tinytensor.cuda` reads it and scripts set it, so it belongs to neither.
"""

from __future__ import annotations

_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """How rough products of float32 matrices may be: "highest", or "high" and "medium", which are the same here.

    Both permit a GPU to round what is multiplied to TF32, 10 bits of mantissa instead of 23, which its tensor cores
    multiply several times as fast. The host never rounds, nor do GPUs older than Ampere. RuntimeError for another word.
    """
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"float32 matmul precision is 'highest', 'high' or 'medium', not {precision!r}")
    _precision = precision


def get_float32_matmul_precision() -> str:
    """What was set last, in any thread; "highest" at first."""
    return _precision
