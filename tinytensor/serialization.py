"""save and load: Tensors, and plain Python values around them, in one safetensors file. No pickle.

The key of a Tensor is its dotted path, so the file of a state_dict is an ordinary safetensors file with the names as
keys. The values around the Tensors (dicts, lists, numbers, …) are stored as JSON in the metadata of the file.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import IO, Any

from tinytensor.creation import from_numpy
from tinytensor.devices import device
from tinytensor.tensor import Tensor

_KEY = "tinytensor"  # in the file's metadata


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write Tensors, dicts (str or int keys), lists, tuples, str, int, float, bool and None.

    It writes a temporary file and then renames it, so that the path holds a complete file at every moment. TypeError
    for anything else names its place. Tied Tensors are written once for each name; `load` returns them detached.
    """
    tensors: dict[str, Any] = {}
    structure = _describe(obj, "", tensors)
    content = _safetensors().save(tensors, {_KEY: json.dumps(structure)})
    if not isinstance(f, (str, os.PathLike)):
        f.write(content)
        return
    path = Path(f)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def load(
    f: str | os.PathLike[str] | IO[bytes],
    map_location: str | device | None = None,
    weights_only: bool = True,
) -> Any:
    """Read what `save` wrote, or any safetensors file (a dict of Tensors).

    weights_only=False changes nothing: it permits Python objects, and these files hold none. Tensors arrive on the
    CPU, or on map_location. RuntimeError for a file that is incomplete, has another format, or is one of PyTorch's.
    """
    content = Path(f).read_bytes() if isinstance(f, (str, os.PathLike)) else f.read()
    name = str(f) if isinstance(f, (str, os.PathLike)) else "the file"
    if content[:4] == b"PK\x03\x04" or content[:1] == b"\x80":
        raise RuntimeError(
            f"{name} is a PyTorch file, and a pickle can run any code; with PyTorch installed, "
            "convert it: safetensors.torch.save_file(torch.load(OLD, weights_only=True), NEW)"
        )
    numpy_format = _safetensors()
    try:
        arrays = numpy_format.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        structure = header.get("__metadata__", {}).get(_KEY)
    except Exception as error:
        raise RuntimeError(f"{name} is not a complete safetensors file: {error}") from None
    tensors = {key: from_numpy(x) for key, x in arrays.items()}
    if map_location is not None:
        tensors = {key: t.to(map_location) for key, t in tensors.items()}
    try:
        return tensors if structure is None else _rebuild(json.loads(structure), tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RuntimeError(f"{name} has metadata that tinytensor.save did not write: {error}") from None


def _describe(obj: Any, path: str, tensors: dict[str, Any]) -> Any:
    """obj as JSON, in which a Tensor is its name; adds the Tensors to `tensors` under these names.

    Plain values stand for themselves; a dict is {"dict": [[key, value], …]}, a list {"list": […]},
    a tuple {"tuple": […]}, a Tensor {"tensor": name}.
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, Tensor):
        name = path or "tensor"
        while name in tensors:  # {"a.b": x, "a": {"b": y}}
            name += "'"
        tensors[name] = obj.detach().cpu().numpy().copy(order="C")
        return {"tensor": name}
    within = f"{path}." if path else ""
    if isinstance(obj, dict):
        for key in obj:
            if not isinstance(key, (str, int)):
                raise TypeError(f"save: the keys of a dict are str or int, not {key!r}{_at(path)}")
        return {"dict": [[k, _describe(v, f"{within}{k}", tensors)] for k, v in obj.items()]}
    if isinstance(obj, (list, tuple)):
        items = [_describe(x, f"{within}{i}", tensors) for i, x in enumerate(obj)]
        return {"tuple" if isinstance(obj, tuple) else "list": items}
    hint = "save its .state_dict()" if hasattr(obj, "state_dict") else "save plain values of it"
    raise TypeError(f"save: {type(obj).__name__}{_at(path)} is neither a Tensor nor a plain value; {hint}")


def _at(path: str) -> str:
    return f" at {path!r}" if path else ""


def _rebuild(structure: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of `_describe`."""
    if not isinstance(structure, dict):
        return structure
    ((kind, content),) = structure.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _rebuild(value, tensors) for key, value in content}
    items = [_rebuild(value, tensors) for value in content]
    return tuple(items) if kind == "tuple" else items


def _safetensors() -> Any:
    try:
        from safetensors import numpy
    except ImportError:
        raise ImportError("save and load need safetensors: pip install safetensors") from None
    return numpy
