"""Settings that scripts make: threads, precision, compilation, printing. On the host none of them changes a result.

Each setting holds for the whole process and for all its threads, as in PyTorch. Its value is kept where it is read:
in `tinytensor.precision`, in `tinytensor.printing.options`, in the BLAS library.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

from tinytensor import printing
from tinytensor.devices import device
from tinytensor.dtypes import dtype, float32
from tinytensor.precision import get_float32_matmul_precision, set_float32_matmul_precision


def compile(model: Any = None, *, fullgraph: bool = False, dynamic: bool | None = None, mode: str | None = None) -> Any:
    """Return the model or function itself: there is no compiler here.

    fullgraph, dynamic and mode change nothing. Without a model, return a decorator.
    """
    if model is None:
        decorate: Callable[[Any], Any] = lambda function: function  # noqa: E731
        return decorate
    return model


def set_num_threads(threads: int) -> None:
    """Set the number of threads of BLAS, which multiplies matrices."""
    from threadpoolctl import threadpool_limits  # its import is slow, and few need it

    if threads <= 0:
        raise RuntimeError(f"set_num_threads expects a positive integer, not {threads}")
    threadpool_limits(threads, user_api="blas")


def get_num_threads() -> int:
    """The number of threads of BLAS."""
    from threadpoolctl import threadpool_info

    return builtins.max(
        (int(pool["num_threads"]) for pool in threadpool_info() if pool["user_api"] == "blas"), default=1
    )


def get_default_dtype() -> dtype:
    """float32."""
    return float32


def set_default_dtype(d: dtype) -> None:
    """float32 is the only default: NotImplementedError for another; pass dtype= to the functions that make tensors."""
    if d is not float32:
        raise NotImplementedError(
            f"a default dtype of {d} is outside tinytensor's subset: pass dtype=, or call .to({d})"
        )


def set_default_device(where: device | str | None) -> None:
    """The host is the only default: NotImplementedError for another; pass device= to the functions that make tensors."""
    if where is not None and device(where).type != "cpu":
        raise NotImplementedError(
            f"a default device {where} is outside tinytensor's subset: pass device=, or call .to()"
        )


_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Set how Tensors print: the decimals (precision), the characters in a line (linewidth), whether as powers of ten
    (sci_mode; None: if the numbers need it). Above threshold elements, edgeitems show at each end of a dimension.
    profile: the first four from "default", "short" or "full"; ValueError for another."""
    if profile not in (None, *_PROFILES):
        raise ValueError(f"set_printoptions: profile must be one of {[*_PROFILES]}, not {profile!r}")
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    given = {name: value for name, value in given.items() if value is not None}
    printing.options.update(_PROFILES[profile] if profile else {})
    printing.options.update(given, sci_mode=sci_mode)


__all__ = [
    "compile", "get_default_dtype", "get_float32_matmul_precision", "get_num_threads", "set_default_device", "set_default_dtype",
    "set_float32_matmul_precision", "set_num_threads", "set_printoptions",
]  # fmt: skip
