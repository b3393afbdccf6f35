"""The precision of float32 matrix products on a GPU: one setting of the whole process, as in PyTorch."""

from __future__ import annotations

_precision = "highest"


def set_float32_matmul_precision(precision: str) -> None:
    """Set how exact products of float32 matrices are: "highest", or "high" and "medium", which are the same here.

    "high" permits a GPU to round the factors to TF32, 10 bits of mantissa instead of 23: its tensor cores multiply
    these several times as fast. The host and GPUs older than Ampere never round. RuntimeError for another word.
    """
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"float32 matmul precision is 'highest', 'high' or 'medium', not {precision!r}")
    _precision = precision


def get_float32_matmul_precision() -> str:
    """The precision that was set last, in any thread; "highest" at first."""
    return _precision
