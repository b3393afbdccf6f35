"""From PyTorch to tinytensor: the arguments of a call by value, with their memory layout, and the callable by its name.

A sample of PyTorch's databases is frozen first: each Tensor becomes the bytes of its storage and its geometry. Each call
thaws arguments of its own from that, for either library, so that an in-place form does not spoil the next call.
"""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import tinytensor as tt
import torch

DTYPES = {"float64", "float32", "float16", "int64", "int32", "uint8", "bool"}


class OutsideSubsetError(Exception):
    """The sample needs what no call of tinytensor can have: a complex number, a sparse Tensor."""


@dataclass(frozen=True, eq=False)
class Storage:
    """The bytes that some Tensors lie in."""

    data: bytes


@dataclass(frozen=True, eq=False)
class Frozen:
    """A Tensor to be: its storage, its geometry, and whether it requires grad."""

    storage: Storage
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    grad: bool

    def torch(self, memory: dict[int, Any]) -> torch.Tensor:
        dtype = getattr(torch, self.dtype)
        if not self.storage.data:
            t = torch.empty_strided(self.shape, self.strides, dtype=dtype)
        else:
            buffer = memory.setdefault(id(self.storage), bytearray(self.storage.data))
            t = torch.frombuffer(buffer, dtype=dtype).as_strided(self.shape, self.strides, self.offset)
        return t.detach().requires_grad_(self.grad)

    def tiny(self, memory: dict[int, Any]) -> tt.Tensor:
        buffer = memory.setdefault(id(self.storage), np.frombuffer(bytearray(self.storage.data), np.uint8))
        if not self.storage.data:
            array = np.empty(self.shape, self.dtype)
        else:
            item = np.dtype(self.dtype).itemsize
            strides = tuple(s * item for s in self.strides)
            array = np.ndarray(self.shape, self.dtype, buffer, self.offset * item, strides)
        return tt.from_numpy(array).requires_grad_(self.grad)

    def __repr__(self) -> str:
        return shown(self)


def freeze(value: Any, seen: dict[Any, Any] | None = None) -> Any:
    """value with Frozen for each Tensor. Tensors on one storage share its bytes; a Tensor that comes twice is one Frozen."""
    seen = {} if seen is None else seen
    if isinstance(value, torch.Tensor):
        if id(value) not in seen:
            seen[id(value)] = _freeze_tensor(value, seen)
        return seen[id(value)]
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, (list, tuple)):
        items = [freeze(x, seen) for x in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {k: freeze(x, seen) for k, x in value.items()}
    if isinstance(value, complex) or (isinstance(value, torch.dtype) and value not in TINY_DTYPES):
        raise OutsideSubsetError(f"{value}")
    return value


def _freeze_tensor(t: torch.Tensor, seen: dict[Any, Any]) -> Frozen:
    dtype = str(t.dtype).removeprefix("torch.")
    if dtype not in DTYPES or t.layout is not torch.strided or t.device.type != "cpu" or t.is_neg() or t.ndim > 64:
        raise OutsideSubsetError(f"a Tensor of {dtype}, {t.layout}, {t.device}, {t.ndim} dimensions")
    storage = t.detach().untyped_storage()
    where = ("storage", storage.data_ptr())
    if where not in seen:
        seen[where] = Storage(torch.empty(0, dtype=torch.uint8).set_(storage).numpy().tobytes())
    return Frozen(seen[where], dtype, tuple(t.shape), t.stride(), t.storage_offset(), t.requires_grad)


def thaw(value: Any, library: str, memory: dict[int, Any]) -> Any:
    """The arguments of one call of "torch" or "tiny". memory: the storages and Tensors of this call."""
    if isinstance(value, Frozen):
        if id(value) not in memory:
            memory[id(value)] = getattr(value, library)(memory)
        return memory[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)(thaw(x, library, memory) for x in value)
    if isinstance(value, dict):
        return {k: thaw(x, library, memory) for k, x in value.items()}
    if isinstance(value, slice):  # x[t:] with a Tensor t
        return slice(*(thaw(x, library, memory) for x in (value.start, value.stop, value.step)))
    if library == "tiny":
        return constant(value)
    return value


def in_float64(value: Any) -> Any:
    """The same arguments with every floating point Tensor, and every such dtype, in float64."""
    value = _each_float(value, lambda t: t, torch.float64)
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


def nudged(value: Any, seed: int) -> Any:
    """The same arguments with every floating point number moved by a unit of its last place, up or down, or not."""
    random = torch.Generator().manual_seed(seed)

    def nudge(t: torch.Tensor) -> torch.Tensor:
        return t * (1 + torch.finfo(t.dtype).eps * torch.randint(-1, 2, t.shape, generator=random))

    return _each_float(value, nudge)


def _each_float(value: Any, change: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype | None = None) -> Any:
    """Arguments with each floating point Tensor changed, in the same places of memory, perhaps in another dtype."""
    if isinstance(value, Frozen):
        if not value.dtype.startswith("float"):
            return value
        t = value.torch({}).detach()
        new = torch.empty_strided(t.shape, t.stride(), dtype=dtype or t.dtype)
        return freeze((new.copy_(change(t)) if t.numel() else new).requires_grad_(value.grad))
    if isinstance(value, (list, tuple)):
        return type(value)(_each_float(x, change, dtype) for x in value)
    if isinstance(value, dict):
        return {k: _each_float(x, change, dtype) for k, x in value.items()}
    return value


TINY_DTYPES = {getattr(torch, name) for name in DTYPES}


def constant(value: Any) -> Any:
    """PyTorch's dtype, device, layout or memory format as tinytensor's; AttributeError where it has none."""
    if isinstance(value, torch.device):
        return tt.device(str(value))
    if isinstance(value, (torch.dtype, torch.layout, torch.memory_format)):
        return getattr(tt, str(value).removeprefix("torch."))
    if isinstance(value, torch.Generator):
        return tt.Generator()
    if isinstance(value, torch.nn.Module):
        return module(value)
    return translated(value) if id(value) in NAMES else value


def module(theirs: torch.nn.Module) -> tt.nn.Module:
    """PyTorch's module, an argument of another module's constructor, as tinytensor's: part by part."""
    name = type(theirs).__name__
    kind = getattr(tt.nn, name) if hasattr(tt.nn, name) else getattr(tt.nn.multihead, name)
    ours: tt.nn.Module = kind.__new__(kind)
    tt.nn.Module.__init__(ours)
    for k, p in theirs._parameters.items():
        ours.register_parameter(k, None if p is None else tt.nn.Parameter(tt.from_numpy(p.detach().numpy().copy())))
    for k, child in theirs._modules.items():
        ours.add_module(k, None if child is None else module(child))
    for k, value in vars(theirs).items():
        if k[0] != "_":
            setattr(ours, k, constant(value))
    return ours


# ------------------------------------------------------------------------------------------ callables


def _names() -> dict[int, tuple[str, ...]]:
    """Where PyTorch's callables are public: id → "nn.functional.relu", "Tensor.relu" …"""
    names: dict[int, tuple[str, ...]] = {}
    for home in ("", "nn.functional", "Tensor", "special", "linalg", "random", "autograd", "nn", "testing"):
        owner = operator.attrgetter(home)(torch) if home else torch
        for name in dir(owner):
            value = inspect.getattr_static(owner, name, None) if home == "Tensor" else getattr(owner, name, None)
            if callable(value) and not isinstance(value, type):
                names[id(value)] = (*names.get(id(value), ()), f"{home}.{name}".lstrip("."))
    return names


NAMES = _names()


def name_of(function: Any) -> str | None:
    """The public name of a callable of PyTorch: "add", "Tensor.add_", "nn.functional.relu"; None for a lambda."""
    return NAMES.get(id(function), (None,))[0]


def translated(function: Any) -> Any:
    """The same callable of tinytensor; AttributeError where it has none.

    PyTorch's databases wrap many callables in lambdas: those are made again, with tinytensor as their `torch`.
    """
    if id(function) in NAMES:
        *others, last = NAMES[id(function)]
        for name in others:
            try:
                return operator.attrgetter(name)(tt)
            except AttributeError:
                pass
        return operator.attrgetter(last)(tt)
    if isinstance(function, functools.partial):
        return functools.partial(translated(function.func), *function.args, **function.keywords)
    if isinstance(function, types.FunctionType) and "torch.testing" in (function.__module__ or ""):
        return _made_again(function)
    if getattr(function, "__module__", None) in ("_operator", "operator"):
        return function
    raise AttributeError(f"{function} has no public name in the subset")


class _Torch:
    """tinytensor under the name torch, for the databases' lambdas."""

    def __getattr__(self, name: str) -> Any:
        return _Methods() if name == "Tensor" else getattr(tt, name)


class _Methods:
    """The methods of its Tensor; a class says of a name that it lacks less than a Tensor does."""

    def __getattr__(self, name: str) -> Any:
        if not hasattr(tt.Tensor, name):
            raise AttributeError(f"Tensor.{name} is outside tinytensor's subset of PyTorch")
        return getattr(tt.Tensor, name)


def _made_again(function: types.FunctionType) -> Callable[..., Any]:
    names = {"torch": _Torch(), "wrapper_set_seed": lambda op, *args, **kwargs: op(*args, **kwargs)}
    cells = None
    if function.__closure__:
        cells = tuple(types.CellType(_in_cell(cell.cell_contents)) for cell in function.__closure__)
    code = function.__code__
    made = types.FunctionType(code, {**function.__globals__, **names}, code.co_name, function.__defaults__, cells)
    made.__kwdefaults__ = function.__kwdefaults__
    return made


def _in_cell(value: Any) -> Any:
    return translated(value) if callable(value) and not isinstance(value, type) else constant(value)


# -------------------------------------------------------------------------------------------- to paste


def shown(value: Any) -> str:
    """An argument as one would type it."""
    if isinstance(value, Frozen):
        return _shown_tensor(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    if isinstance(value, tuple):
        return "(" + ", ".join(map(shown, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k!r}: {shown(x)}" for k, x in value.items()) + "}"
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return f"float('{value}')"
    if callable(value) and name_of(value):
        return f"torch.{name_of(value)}"
    return f"torch.device({str(value)!r})" if isinstance(value, torch.device) else repr(value)


def _shown_tensor(x: Frozen) -> str:
    t = x.torch({}).detach()
    how = f"dtype=torch.{x.dtype}" + (", requires_grad=True" if x.grad else "")
    plain = t.is_contiguous()
    if t.numel() <= 12:
        values = repr(t.tolist()).replace("nan", "float('nan')").replace("-inf", "float('-inf')")
        values = values.replace(" inf", " float('inf')").replace("[inf", "[float('inf')")
        text = f"torch.tensor({values}, {how})" if t.numel() or t.shape == (0,) else f"torch.zeros({x.shape}, {how})"
    else:
        text = f"torch.{'randn' if t.is_floating_point() else 'ones'}({x.shape}, {how})"
    return text if plain else f"{text}<strides {x.strides}>"
