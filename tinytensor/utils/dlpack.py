"""torch.utils.dlpack: Tensors that share memory with the arrays of other libraries.

    from_dlpack(x)         x: an array of NumPy or CuPy, a Tensor of PyTorch, anything with __dlpack__
    torch.from_dlpack(t)   t: a Tensor of tinytensor, which has __dlpack__ too

Source: the Python array API standard, "Data interchange mechanisms"; dmlc/dlpack.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor import devices
from tinytensor.base import wrap
from tinytensor.dtypes import from_numpy_dtype
from tinytensor.functions.convert import DLDeviceType
from tinytensor.functions.signature import publish
from tinytensor.subset import outside
from tinytensor.tensor import Tensor

HOST, GPU = (1, 3), (2, 13)


def from_dlpack(ext_tensor: Any, *, device: devices.device | str | None = None, copy: bool | None = None) -> Tensor:
    """A Tensor on the memory of another library. Copies only for copy=True, or to move to another device.

    TypeError for an object without __dlpack__ (such as a capsule), BufferError for memory on neither a CPU nor a GPU,
    ValueError for copy=False if a copy is needed. Read-only memory stays read-only.
    """
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(
            f"from_dlpack: a {type(ext_tensor).__name__} has no __dlpack__; pass the tensor or array itself"
        )
    kind, _ = ext_tensor.__dlpack_device__()
    if kind not in HOST + GPU:
        raise BufferError(f"from_dlpack: memory of DLPack's device type {int(kind)} is outside tinytensor's subset")
    array = np.from_dlpack(ext_tensor) if kind in HOST else devices.cupy().from_dlpack(ext_tensor)
    from_numpy_dtype(array.dtype)
    there = wrap(array)
    moved = there if device is None else there.to(device)
    if copy is False and moved is not there:
        raise ValueError(f"from_dlpack: cannot move from {there.device} to {moved.device} without a copy")
    return moved.clone() if copy and moved is there else moved


def to_dlpack(tensor: Tensor) -> Any:
    """The older way to share a Tensor: a capsule, which can be used once. Newer libraries take the Tensor itself."""
    return tensor.__dlpack__()


__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
publish(globals(), __name__, __all__)

__getattr__ = outside("tinytensor.utils.dlpack")
