"""The pairs: functions of arrays, forward, backward and row of the table together. They know nothing of Tensors.

Each module enters its pairs into the table (`tinytensor.primitive.PRIMITIVES`). A fused pair has its composed form as
well: the same function of Tensors, written out in smaller operations, to read and to test the pair with.
"""

from __future__ import annotations

import importlib


def load_all() -> None:
    """Import all modules of this folder, so that the table is complete: `import tinytensor` imports some."""
    import pkgutil  # here: `import tinytensor` has no use for it

    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        importlib.import_module(module.name)
