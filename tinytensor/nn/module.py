"""Module: a tree of layers that knows its parameters and buffers by name.

A Module has three dictionaries, `_parameters`, `_buffers` and `_modules`; assigning to an attribute
files a value in the right one. Everything else here is a walk over that tree.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tinytensor import dtypes
from tinytensor.nn.parameter import Parameter
from tinytensor.nn.state_dict import IncompatibleKeys, load_state_dict
from tinytensor.tensor import Tensor

M = TypeVar("M", bound="Module")


class RemovableHandle:
    """What registering a hook gives; `remove()`, or leaving its context, takes the hook away."""

    def __init__(self, hooks: dict[RemovableHandle, Any], hook: Callable[..., Any]) -> None:
        self.hooks = hooks
        hooks[self] = hook

    def remove(self) -> None:
        self.hooks.pop(self, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Module:
    """The base class of layers and models: call `super().__init__()` first, define `forward`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]

    def __init__(self) -> None:
        self.training = True
        self._parameters, self._buffers, self._modules = {}, {}, {}
        self._transient: set[str] = set()  # names of buffers that state_dict leaves out
        self._forward_pre_hooks: dict[RemovableHandle, Callable[..., Any]] = {}
        self._forward_hooks: dict[RemovableHandle, Callable[..., Any]] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes. Call the module itself, so that its hooks run."""
        name = type(self).__name__
        raise NotImplementedError(f'Module [{name}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._forward_pre_hooks and not self._forward_hooks:
            return self.forward(*args, **kwargs)
        for hook in tuple(self._forward_pre_hooks.values()):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        output = self.forward(*args, **kwargs)
        for hook in tuple(self._forward_hooks.values()):
            changed = hook(self, args, output)
            output = output if changed is None else changed
        return output

    def register_forward_pre_hook(self, hook: Callable[[Any, Any], Any]) -> RemovableHandle:
        """Before each forward: hook(module, args); what it returns, if not None, replaces args."""
        return RemovableHandle(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable[[Any, Any, Any], Any]) -> RemovableHandle:
        """After each forward: hook(module, args, output); what it returns replaces output."""
        return RemovableHandle(self._forward_hooks, hook)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """File a parameter. TypeError for another type, KeyError for a name that cannot be."""
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """File a Tensor that moves with the module untrained; in state_dict only if persistent."""
        self._register("_buffers", name, tensor)
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """File a child module. TypeError for another type, KeyError for a name that cannot be."""
        self._register("_modules", name, module)

    register_module = add_module

    def _register(self, home: str, name: str, value: Any) -> None:
        kind, _ = _HOMES[home]
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f'{kind} name can\'t be empty or contain ".", got: {name!r}')
        if name not in self.__dict__[home] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        self._file(home, name, value)

    def _file(self, home: str, name: str, value: Any) -> None:
        kind, type_ = _HOMES[home]
        if value is not None and not isinstance(value, type_):
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as {kind} '{name}' ({type_.__name__} or None expected)"
            )
        self.__dict__[home][name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        for home in ("_parameters", "_modules"):
            kind, type_ = _HOMES[home]
            if isinstance(value, type_):
                if home not in self.__dict__:
                    raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
                for other in (self.__dict__, *(self.__dict__[h] for h in _HOMES if h != home)):
                    other.pop(name, None)
                return self._file(home, name, value)
        for home in _HOMES:
            if name in self.__dict__.get(home, ()):
                return self._file(home, name, value)
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        filed = self.__dict__
        for home in ("_parameters", "_modules", "_buffers"):
            values = filed.get(home)
            if values and name in values:
                return values[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for home in _HOMES:
            if name in self.__dict__[home]:
                del self.__dict__[home][name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[0].isdigit())

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and all below, parents first; shared ones once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from child.named_modules(memo, path, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children; shared ones once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (child for _, child in self.named_children())

    def _walk(self, home: str, prefix: str, recurse: bool, once: bool) -> Iterator[tuple[str, Any]]:
        seen: set[Tensor] = set()
        for path, module in self.named_modules(None, prefix, once) if recurse else [(prefix, self)]:
            for name, value in module.__dict__[home].items():
                if value is not None and value not in seen:
                    if once:
                        seen.add(value)
                    yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter); a shared parameter comes once, under its first name."""
        return self._walk("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once: what an optimizer takes."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer)."""
        return self._walk("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of a dotted name; AttributeError says where the path breaks."""
        module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call fn on every module, children first: the way to initialise weights."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Switch to training (dropout works) or, with False, to evaluation."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch to evaluation."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze every parameter."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()

    def to(self: M, *args: Any, device: Any = None, dtype: dtypes.dtype | None = None) -> M:
        """Move to a device, a dtype, or those of a Tensor: to("cuda"), to(float64), to(other).

        In place, and Parameters stay the same objects: tied weights stay tied, optimizers keep
        theirs. Only floating-point values change dtype. TypeError if dtype is no floating one.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                device, dtype = arg.device, arg.dtype
            elif isinstance(arg, dtypes.dtype):
                dtype = arg
            else:
                device = arg
        if dtype is not None and not dtype.is_floating_point:
            only = "nn.Module.to only accepts floating point dtypes"
            raise TypeError(f"{only}, but got desired dtype={dtype}")

        def move(t: Tensor) -> Tensor:
            return t.to(device=device, dtype=dtype if t.dtype.is_floating_point else None)

        for param in self.parameters():
            grad, param.grad = param.grad, None
            param.data = move(param.data)
            param.grad = None if grad is None else move(grad)
        for module in self.modules():
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else move(buffer)
        return self

    def float(self: M) -> M:
        """to(float32)."""
        return self.to(dtypes.float32)

    def double(self: M) -> M:
        """to(float64)."""
        return self.to(dtypes.float64)

    def half(self: M) -> M:
        """to(float16)."""
        return self.to(dtypes.float16)

    def cpu(self: M) -> M:
        """to("cpu")."""
        return self.to("cpu")

    def cuda(self: M) -> M:
        """to("cuda")."""
        return self.to("cuda")

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """Dotted name → parameter or persistent buffer, memory shared; keep_vars: as they are."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(remove_duplicate=False):
            buffers = {n: b for n, b in module._buffers.items() if n not in module._transient}
            for name, value in {**module._parameters, **buffers}.items():
                if value is not None:
                    key = prefix + (f"{path}.{name}" if path else name)
                    state[key] = value if keep_vars else value.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values in by name; strict=False allows missing and unexpected keys, and gives them.

        RuntimeError names every key at fault; nothing was copied then.
        """
        own = self.state_dict(keep_vars=True)
        return load_state_dict(own, state_dict, strict, owner=type(self).__name__)

    def extra_repr(self) -> str:
        """What stands between the brackets when the module is printed."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {child!r}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        name, extra, children = type(self).__name__, self.extra_repr(), self._child_lines()
        if not children and "\n" not in extra:
            return f"{name}({extra})"
        body = "\n".join(([extra] if extra else []) + children).replace("\n", "\n  ")
        return f"{name}(\n  {body}\n)"


_HOMES: dict[str, tuple[str, type]] = {
    "_parameters": ("parameter", Parameter),
    "_buffers": ("buffer", Tensor),
    "_modules": ("module", Module),
}


def has_hooks(module: Module) -> bool:
    """Return whether the module or a part of it has hooks of its forward."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
