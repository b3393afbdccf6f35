"""torch.utils.hooks: RemovableHandle, what registering a hook returns."""

from tinytensor.handles import RemovableHandle
from tinytensor.nn.backward_hooks import BackwardHook
from tinytensor.subset import outside

__all__ = ["BackwardHook", "RemovableHandle"]

__getattr__ = outside("tinytensor.utils.hooks")
