"""save and load: Tensors, and plain Python values around them, in one safetensors file. No pickle.

The key of a Tensor is its dotted path, so the file of a state_dict is an ordinary safetensors file with the names as
keys. The values around the Tensors (dicts, lists, numbers, …) are stored as JSON in the metadata of the file. Nothing in a
file is executed: a dataclass is only made if its class was allowed by `add_safe_globals`, and without calling it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from tinytensor import dtypes
from tinytensor.attributes import Size
from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.creation import from_numpy
from tinytensor.devices import device
from tinytensor.histories import Place, place_of
from tinytensor.tensor import Tensor
from tinytensor.writes import owner

_KEY = "tinytensor"  # in the file's metadata
_LONGEST_HEADER = 100_000_000  # the limit of the format

_safe: dict[str, type] = {}  # the dataclasses that load may make


def add_safe_globals(safe_globals: Sequence[type]) -> None:
    """Allow `load` to make objects of these dataclasses."""
    _safe.update({_name(cls): cls for cls in safe_globals})


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def save(obj: Any, f: str | os.PathLike[str] | IO[bytes]) -> None:
    """Write Tensors and NumPy arrays, numbers, strings, bytes, None, and dicts, lists, tuples, sets, dataclasses of them.

    It writes a temporary file and then renames it, so that the path holds a complete file at every moment. TypeError
    for anything else names its place, before anything is written. Tensors that share memory do so after `load`, which
    returns them detached; only the part of a memory that they use is written.
    """
    _check_file("save", f, "write")
    writer = _Writer()
    try:
        structure = writer.describe(obj, "obj", "")
        entries = writer.entries()
        text = json.dumps(structure)
    except RecursionError:
        raise TypeError("save: obj contains itself, or is nested too deeply") from None
    content = _safetensors().save(entries, {_KEY: text})
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
    except OSError as error:  # names the file that was asked for, not the temporary one or none
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
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
    _check_file("load", f, "read")
    content = Path(f).read_bytes() if isinstance(f, (str, os.PathLike)) else f.read()
    name = str(f) if isinstance(f, (str, os.PathLike)) else "the file"
    length = int.from_bytes(content[:8], "little")  # of the header, which is JSON
    ours = length <= _LONGEST_HEADER and content[8:9] in (b"{", b"")
    if not ours and content.startswith((b"PK\x03\x04", b"\x80")):  # a zip file or a pickle
        raise RuntimeError(
            f"{name} is a PyTorch file, and a pickle can run any code; with PyTorch installed, "
            "convert it: safetensors.torch.save_file(torch.load(OLD, weights_only=True), NEW)"
        )
    numpy_format = _safetensors()
    try:
        arrays = numpy_format.load(content)
        structure = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    except Exception as error:
        raise RuntimeError(f"{name} is not a complete safetensors file: {_line(error)}") from None
    if structure is None:
        return {key: _placed(x, map_location) for key, x in arrays.items()}
    try:
        return _Reader(arrays, map_location).rebuild(json.loads(structure))
    except _NotAllowed as error:
        raise RuntimeError(f"{name} {error}") from None
    except Exception as error:
        raise RuntimeError(f"{name} has metadata that tinytensor.save did not write: {_line(error)}") from None


def _check_file(name: str, f: Any, method: str) -> None:
    if not isinstance(f, (str, os.PathLike)) and not hasattr(f, method):
        raise AttributeError(f"{name}: expected a path, or a file with {method}(), not a {type(f).__name__}")


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())


def _placed(x: Array, where: str | device | None) -> Tensor:
    return from_numpy(x) if where is None else from_numpy(x).to(where)


# A container is {its kind: its items}; these are the kinds, and what makes one from the list of its items.
_CONTAINERS: dict[type, tuple[str, Callable[[list[Any]], Any]]] = {
    dict: ("dict", dict),
    OrderedDict: ("ordered", OrderedDict),
    list: ("list", list),
    tuple: ("tuple", tuple),
    Size: ("size", Size),
    set: ("set", set),
    frozenset: ("frozenset", frozenset),
}
# Values that JSON does not have: the kind, what is written, and what reads it.
_VALUES: dict[type, tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = {
    bytes: ("bytes", bytes.hex, bytes.fromhex),
    complex: ("complex", lambda z: [z.real, z.imag], lambda z: complex(*z)),
    device: ("device", str, device),
    dtypes.dtype: ("dtype", lambda d: d.name, lambda name: dtypes.from_numpy_dtype(np.dtype(name))),
}
_ARRAYS = {np.dtype(name) for name in ("?", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8")}


class _Writer:
    """What a file will hold: the JSON of an object, and the arrays in it."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[Array, dict[str, Any]]] = {}  # by name: an array, and its place in the JSON

    def describe(self, obj: Any, path: str, name: str) -> Any:
        """obj as JSON. path: where it lies, for errors. name: the same in the file, with dots, for arrays."""
        kind: Any = type(obj)
        if obj is None or kind in (bool, int, float, str):
            # Python reads no decimal number of more than 4,300 digits
            return {"int": hex(obj)} if kind is int and obj.bit_length() > 1000 else obj
        if isinstance(obj, Tensor):
            return self._array("tensor", obj.array, path, name)
        if isinstance(obj, (np.ndarray, np.generic)) and kind is not np.matrix:
            return self._array("array" if isinstance(obj, np.ndarray) else "scalar", np.asarray(obj), path, name)
        if kind in _VALUES:
            return {_VALUES[kind][0]: _VALUES[kind][1](obj)}
        if kind in _CONTAINERS:
            pairs = enumerate(obj) if not isinstance(obj, dict) else obj.items()
            items = [(k, self.describe(v, f"{path}[{k!r}]", f"{name}.{k}" if name else str(k))) for k, v in pairs]
            if isinstance(obj, dict):
                return {_CONTAINERS[kind][0]: [[self.describe(k, f"a key of {path}", name), v] for k, v in items]}
            return {_CONTAINERS[kind][0]: [v for _, v in items]}
        if dataclasses.is_dataclass(kind) and not isinstance(obj, type):
            names = [field.name for field in dataclasses.fields(obj)]
            values = [(n, self.describe(getattr(obj, n), f"{path}.{n}", f"{name}.{n}" if name else n)) for n in names]
            return {"dataclass": [_name(type(obj)), values]}
        hint = "save its .state_dict()" if hasattr(obj, "state_dict") else "save plain values of it"
        raise TypeError(f"save: {path} is a {kind.__name__}, neither a Tensor nor a plain value; {hint}")

    def _array(self, kind: str, array: Array, path: str, name: str) -> dict[str, Any]:
        if array.dtype not in _ARRAYS:
            raise TypeError(f"save: {path} is an array of {array.dtype}, which a safetensors file cannot hold")
        name = name.encode("utf-8", "backslashreplace").decode() or "tensor"
        while name in self.found or name == "__metadata__":  # {"a.b": x, "a": {"b": y}}
            name += "'"
        self.found[name] = (array, {kind: name})
        return self.found[name][1]

    def entries(self) -> dict[str, Any]:
        """The arrays of the file. Those that overlap in memory become views of one entry, the memory that they use."""
        groups: dict[Any, list[str]] = {}
        for name, (x, _) in self.found.items():
            groups.setdefault((id(owner(x)), x.dtype) if x.size else name, []).append(name)
        entries = {}
        for names in groups.values():
            arrays = [self.found[name][0] for name in names]
            places = [place_of(x, owner(x)) for x in arrays]
            if all(place == places[0] for place in places):  # the usual case; each name is in the file
                for name, x in zip(names, arrays):
                    entries[name] = _on_host(x).copy(order="C")
                    self.found[name][1].update(dict.fromkeys(self.found[name][1], names[0]))
                continue
            memory, start = _used(arrays, places)
            entries[names[0]] = _on_host(memory)
            for name, place in zip(names, places):
                ((kind, _),) = self.found[name][1].items()
                here = place.but(start=place.start - start)
                self.found[name][1].update({kind: [names[0], *map(list, (here.shape, here.strides)), here.start]})
        return entries


def _on_host(x: Array) -> np.ndarray[Any, Any]:
    host: np.ndarray[Any, Any] = x if isinstance(x, np.ndarray) else x.get()
    return host


def _used(arrays: list[Array], places: list[Place]) -> tuple[Array, int]:
    """The part of a memory that the arrays use, as a vector, and its first element."""
    steps = [[(n - 1) * s for n, s in zip(place.shape, place.strides)] for place in places]
    lows = [(p.start + sum(s for s in own if s < 0), i) for i, (p, own) in enumerate(zip(places, steps))]
    highs = [p.start + sum(s for s in own if s > 0) for p, own in zip(places, steps)]
    start, which = min(lows)
    first = arrays[which]
    first = first[tuple(slice(None, None, -1 if s < 0 else 1) for s in first.strides)]  # from its lowest address on
    strided = array_module(first).lib.stride_tricks.as_strided
    return strided(first, (max(highs) - start + 1,), (first.itemsize,)).copy(), start


class _NotAllowed(Exception):
    """A dataclass that was not allowed."""


class _Reader:
    """The inverse of a _Writer."""

    def __init__(self, arrays: dict[str, Any], where: str | device | None) -> None:
        self.arrays, self.where = arrays, where
        self.memories: dict[str, Tensor] = {}  # the entries, as Tensors where they shall be
        self.tensors: dict[str, Tensor] = {}  # so that one Tensor that was saved twice is one again

    def rebuild(self, structure: Any) -> Any:
        """The object that was described so."""
        if not isinstance(structure, dict):
            return structure
        ((kind, content),) = structure.items()
        if kind == "tensor":
            key = json.dumps(content)
            if key not in self.tensors:
                self.tensors[key] = self._tensor(content)
            return self.tensors[key]
        if kind in ("array", "scalar"):
            array = self._view(self.arrays, content)
            return array if kind == "array" else array[()]
        if kind == "dataclass":
            return self._dataclass(*content)
        if kind == "int":
            return int(content, 16)
        for name, _, read in _VALUES.values():
            if name == kind:
                return read(content)
        (make,) = [make for name, make in _CONTAINERS.values() if name == kind]
        if kind in ("dict", "ordered"):
            return make([(self.rebuild(key), self.rebuild(value)) for key, value in content])
        return make([self.rebuild(value) for value in content])

    def _tensor(self, content: Any) -> Tensor:
        name = content if isinstance(content, str) else content[0]
        if name not in self.memories:
            self.memories[name] = _placed(self.arrays[name], self.where)
        memory = self.memories[name]
        return memory if content is name else wrap(self._view({name: memory.array}, content))

    def _view(self, arrays: dict[str, Any], content: Any) -> Any:
        if isinstance(content, str):
            return arrays[content]
        name, shape, strides, start = content
        return Place(int(start), tuple(shape), tuple(strides)).of(arrays[name])

    def _dataclass(self, name: str, fields: list[Any]) -> Any:
        if name not in _safe:
            raise _NotAllowed(
                f"holds a {name}, which load makes only if that is allowed:"
                " tinytensor.serialization.add_safe_globals([the class])"
            )
        made: Any = object.__new__(_safe[name])
        for field, value in fields:
            object.__setattr__(made, field, self.rebuild(value))
        return made


def _safetensors() -> Any:
    try:
        from safetensors import numpy
    except ImportError:
        raise ImportError("save and load need safetensors: pip install safetensors") from None
    return numpy
