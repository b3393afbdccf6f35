"""torch.nn.modules.module: Module, and hooks of all modules."""

from tinytensor.nn.hooks import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from tinytensor.nn.module import Module
from tinytensor.subset import outside

__all__ = [
    "Module", "register_module_forward_hook", "register_module_forward_pre_hook", "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]  # fmt: skip

__getattr__ = outside("tinytensor.nn.modules.module")
