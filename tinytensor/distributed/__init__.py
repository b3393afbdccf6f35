"""torch.distributed: tells scripts that can use several processes that there is only one."""

from __future__ import annotations

from typing import Any, NoReturn

from tinytensor.subset import outside


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError."""
    raise RuntimeError("several processes are outside tinytensor's subset: run the script without torchrun, in one")


destroy_process_group = init_process_group

__all__ = ["destroy_process_group", "init_process_group", "is_available", "is_initialized"]

__getattr__ = outside("tinytensor.distributed")
