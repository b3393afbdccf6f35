"""Modules that hold modules: one after the other (Sequential), in a list, in a dictionary."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import groupby
from typing import Any, TypeVar

from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor

L = TypeVar("L", bound="_Row")


class _Row(Module):
    """The base of Sequential and ModuleList, whose children are named "0", "1", …"""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _name(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range")
        return list(self._modules)[index]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self._like(list(self._modules.items())[index])
        return self._modules[self._name(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name(index), module)

    def __delitem__(self, index: int | slice) -> None:
        doomed = list(self._modules)[index] if isinstance(index, slice) else [self._name(index)]
        self._renumber([child for name, child in self._modules.items() if name not in doomed])

    def append(self: L, module: Module) -> L:
        """Add one module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: L, modules: Iterable[Module]) -> L:
        """Add modules at the end."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self: L, index: int, module: Module) -> L:
        """Put a module before the one at `index`. The modules behind it get new names."""
        children = list(self)
        children.insert(index, module)
        self._renumber(children)
        return self

    def _renumber(self, children: list[Any]) -> None:
        self._modules.clear()
        self.extend(children)

    def _like(self, items: list[tuple[str, Any]]) -> Any:
        """A new container with these names and modules, for a slice."""
        raise NotImplementedError


class Sequential(_Row):
    """y = fₙ(… f₂(f₁(x))): Sequential(f1, f2, …), or an OrderedDict of names and modules."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        named = len(args) == 1 and isinstance(args[0], OrderedDict)
        for name, module in args[0].items() if named else enumerate(args):
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        """Call each module with the output of the one before it."""
        for module in self:
            input = module(input)
        return input

    def _like(self, items: list[tuple[str, Any]]) -> Sequential:
        return type(self)(OrderedDict(items))  # a slice of a Sequential keeps its names


class ModuleList(_Row):
    """A list of modules that parameters(), to() and state_dict() find. It computes nothing."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(() if modules is None else modules)

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def _like(self, items: list[tuple[str, Any]]) -> ModuleList:
        return type(self)([child for _, child in items])

    def _child_lines(self) -> list[str]:
        lines, start = [], 0
        for text, run in groupby(map(repr, self)):  # equal neighbours are printed once
            n = len(list(run))
            many = f"({start}-{start + n - 1}): {n} x {text}"
            lines.append(many if n > 1 else f"({start}): {text}")
            start += n
        return lines


class ModuleDict(Module):
    """A dictionary of modules, which are attributes as well: d["attn"] is d.attn."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update({} if modules is None else modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules by name."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def keys(self) -> KeysView[str]:
        """The names."""
        return self._modules.keys()

    def values(self) -> ValuesView[Any]:
        """The modules."""
        return self._modules.values()

    def items(self) -> ItemsView[str, Any]:
        """The names and the modules."""
        return self._modules.items()

    def pop(self, key: str) -> Any:
        """Remove a module and return it."""
        return self._modules.pop(key)

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()


class ParameterList(Module):
    """A list that makes Parameters of its Tensors. parameters() and state_dict() find them."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(() if values is None else values)

    def append(self, value: Any) -> ParameterList:
        """Add a Tensor or a Parameter at the end. NotImplementedError for anything else."""
        if not isinstance(value, Tensor):
            raise NotImplementedError(
                f"ParameterList: a {type(value).__name__} lies outside tinytensor's subset; it holds Tensors alone"
            )
        self.register_parameter(str(len(self)), value if isinstance(value, Parameter) else Parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several at the end."""
        for value in values:
            self.append(value)
        return self

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def __getitem__(self, index: int) -> Any:
        return list(self._parameters.values())[index]

    def __setitem__(self, index: int, value: Any) -> None:
        name = list(self._parameters)[index]
        self._parameters[name] = value if isinstance(value, Parameter) else Parameter(value)

    def extra_repr(self) -> str:
        lines = []
        for name, p in self._parameters.items():
            if p is not None:
                size, place = "x".join(map(str, p.shape)), f" ({p.device})" if p.is_cuda else ""
                lines.append(f"  ({name}): Parameter containing: [{p.dtype} of size {size}{place}]")
        return "\n".join(lines)
