"""torch.nn.modules: the path of the hooks of all modules. The layers are in tinytensor.nn."""

from tinytensor.nn.modules import module
from tinytensor.subset import outside

__all__ = ["module"]

__getattr__ = outside("tinytensor.nn.modules")
