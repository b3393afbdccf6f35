"""The kernels: pairs of array functions, forward and backward side by side. No Tensor in sight.

Each module enters its pairs into the table (`tinytensor.primitive.PRIMITIVES`) and, for a fused pair, keeps the
composed form beside it: the same function written out in smaller operations, for readers and as a second oracle.
"""

from __future__ import annotations

import importlib
import pkgutil


def load_all() -> None:
    """Complete the table. `import tinytensor` enters what Tensors need; the rest comes with `nn`, or here."""
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
