"""Module: a tree of layers that knows its parameters by name.

A Module has three dictionaries: `_parameters` (to be trained), `_modules` (its children) and `_buffers` (Tensors that
are not trained, see register_buffer). Assigning a Parameter or a Module to an attribute files it in the right one: after
`self.up = nn.Linear(4, 8)` there is a child "up" with parameters "up.weight" and "up.bias". So one walk over this tree
finds all parameters for an optimizer. What else a Module offers (saving, moving, hooks, printing) is in module_base.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinytensor.nn.hooks import call_with_hooks, everywhere
from tinytensor.nn.module_base import HOMES, ModuleBase, no_attribute
from tinytensor.nn.parameter import Parameter


class Module(ModuleBase):
    """The base class of layers and models: call `super().__init__()` first, then assign layers; define `forward`."""

    def __init__(self) -> None:
        self.training = True  # dropout and batch norm behave differently in evaluation
        self._parameters, self._buffers, self._modules = {}, {}, {}
        self._transient = set()  # names of buffers that are not saved
        self._hooks = None  # functions to call around forward, if there are any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output. Call the module itself, model(x), so that its hooks run."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._hooks and not everywhere:  # almost always; everywhere: hooks of all modules
            return self.forward(*args, **kwargs)
        return call_with_hooks(self, args, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Python calls this for `self.name = value`."""
        own = self.__dict__
        for home in ("_parameters", "_modules"):
            kind, type_, _ = HOMES[home]  # a word for messages, the type that belongs there (module_base.py)
            if isinstance(value, type_):  # a Parameter or a Module: it belongs in this dictionary
                if home not in own:
                    raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
                for other in (own, *(own[h] for h in HOMES if h != home)):
                    other.pop(name, None)  # a name has one value
                return self._file(home, name, value)
        for home in HOMES:  # a name that is filed keeps its dictionary: self.bias = None, self.running_mean = tensor
            if name in own.get(home, ()):
                return self._file(home, name, value)  # TypeError for another type
        object.__setattr__(self, name, value)  # an ordinary attribute, such as a size

    def __getattr__(self, name: str) -> Any:
        """Python calls this for `self.name` only where it finds no ordinary attribute."""
        filed = self.__dict__  # not self._parameters, which would ask here again before __init__
        for home in ("_parameters", "_modules", "_buffers"):
            values = filed.get(home)  # the parameters first: a training step asks for them most
            if values and name in values:
                return values[name]
        raise AttributeError(no_attribute(self, name))

    def named_modules(
        self, memo: set[ModuleBase] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """The dotted name and the module, of this one ("") and all below. A shared module comes once."""
        memo = set() if memo is None else memo  # the modules that were met before
        if self in memo:
            return  # a shared layer
        if remove_duplicate:
            memo.add(self)
        yield prefix, self  # parents come before their children
        for name, child in self._modules.items():
            if child is not None:  # self.layer = None keeps the name and has no module
                path = f"{prefix}.{name}" if prefix else name  # "blocks" + "0" → "blocks.0"
                yield from child.named_modules(memo, path, remove_duplicate)  # the same walk, one level deeper

    def _named_values(self, home: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        """The dotted names and values in one of the three dictionaries, of this module and, if recurse, all below."""
        seen: set[Any] = set()  # tied weights are one object under two names
        for path, module in self.named_modules(None, prefix, once) if recurse else [(prefix, self)]:
            for name, value in module.__dict__[home].items():
                if value is not None and value not in seen:  # a Tensor hashes by identity
                    if once:
                        seen.add(value)
                    yield (f"{path}.{name}" if path else name), value  # "blocks.0" + "bias" → "blocks.0.bias"

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The dotted name and the parameter. A shared parameter (tied weights) comes once, under its first name."""
        return self._named_values("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once, for an optimizer: AdamW(model.parameters())."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))
