"""Wrappers that spread a model over several GPUs. Scripts can import them; making one raises an error."""

from __future__ import annotations

from typing import Any

from tinytensor.nn.module import Module


class DataParallel(Module):
    """NotImplementedError: use the module itself."""

    def __init__(self, module: Module, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        raise NotImplementedError(f"{type(self).__name__} is outside tinytensor's subset: use the module itself")


class DistributedDataParallel(DataParallel):
    """NotImplementedError: use the module itself."""


__all__ = ["DataParallel", "DistributedDataParallel"]
