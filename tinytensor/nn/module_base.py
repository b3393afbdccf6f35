"""ModuleBase: the breadth of Module. Registering, hooks, moving, saving and printing; the idea itself is in module.py.

`Module` inherits these methods and adds the ones that a training step uses: filing values, calling, finding parameters.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from tinytensor import dtypes
from tinytensor.base import wrap
from tinytensor.handles import RemovableHandle, register
from tinytensor.nn.hooks import Hook, hooks_of
from tinytensor.nn.parameter import Parameter
from tinytensor.nn.state_dict import IncompatibleKeys, load_state_dict
from tinytensor.subset import refusal
from tinytensor.tensor import Tensor

M = TypeVar("M", bound="ModuleBase")


class ModuleBase:
    """What a Module offers besides holding values; use `Module`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Any]  # of Modules
    _transient: set[str]  # names of buffers that state_dict leaves out
    _hooks: Any  # nn.hooks.Hooks, or None

    # `Module` defines these walks over the tree of modules:
    named_modules: Callable[..., Iterator[tuple[str, Any]]]
    _named_values: Callable[..., Iterator[tuple[str, Any]]]
    parameters: Callable[..., Iterator[Parameter]]

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args) before each forward. A value that it returns replaces args.

        with_kwargs: hook(module, args, kwargs), which returns None or both. prepend: before the hooks that are there.
        """
        return register(hooks_of(self), Hook("forward_pre", hook, with_kwargs), prepend=prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call hook(module, args, output) after each forward. A value that it returns replaces the output.

        with_kwargs: hook(module, args, kwargs, output). always_call: also if forward, or a hook, raises an Exception.
        """
        return register(hooks_of(self), Hook("forward", hook, with_kwargs, always_call), prepend=prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_outputs) before the backward of the module. A tuple replaces grad_outputs."""
        return register(hooks_of(self), Hook("backward_pre", hook), prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call hook(module, grad_inputs, grad_outputs) after the backward of the module. A tuple replaces grad_inputs.

        There is an entry for each positional argument and each output; None for what is no Tensor or has no gradient.
        """
        return register(hooks_of(self), Hook("backward", hook), prepend=prepend)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under this name. TypeError for another type, KeyError for a name that is taken or dotted."""
        self._register("_parameters", name, param)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that moves with the module but is not trained; a persistent one is part of state_dict."""
        self._register("_buffers", name, tensor)
        (self._transient.discard if persistent else self._transient.add)(name)

    def add_module(self, name: str, module: ModuleBase | None) -> None:
        """Add a child module under this name. TypeError for another type, KeyError as for register_parameter."""
        self._register("_modules", name, module)

    register_module = add_module

    def _register(self, home: str, name: str, value: Any) -> None:
        kind = HOMES[home][0]
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f'{kind} name can\'t be empty or contain ".", got: {name!r}')
        if name not in self.__dict__[home] and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")
        self._file(home, name, value)

    def _file(self, home: str, name: str, value: Any) -> None:
        kind, type_, shown = HOMES[home]
        if value is not None and not isinstance(value, type_):
            raise TypeError(f"cannot assign '{type(value).__name__}' as {kind} '{name}' ({shown} or None expected)")
        self.__dict__[home][name] = value

    def __delattr__(self, name: str) -> None:
        for home in HOMES:
            if name in self.__dict__[home]:
                del self.__dict__[home][name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = {*super().__dir__(), *self._parameters, *self._buffers, *self._modules}
        return sorted(name for name in names if not name[0].isdigit())

    def modules(self) -> Iterator[Any]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """The names and modules of the direct children, each module once."""
        seen: set[ModuleBase] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Any]:
        """The direct children."""
        return (child for _, child in self.named_children())

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The dotted name and the value of each buffer."""
        return self._named_values("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Any:
        """The module with this dotted name. AttributeError names the first part that does not exist."""
        module: Any = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = getattr(module, name)
            if not isinstance(module, ModuleBase):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return module

    def train(self: M, mode: bool = True) -> M:
        """Switch this module and all below to training, where dropout works, or to evaluation (False)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for _, module in self.named_modules():
            module.training = mode  # forward passes it to F.dropout
        return self

    def eval(self: M) -> M:
        """Switch to evaluation."""
        return self.train(False)

    def apply(self: M, fn: Callable[[Any], Any]) -> M:
        """Call fn on every module, children first, for instance to initialise weights. Return the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set requires_grad of every parameter: False freezes the module."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every gradient to None, or fill it with zeros."""
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad.zero_()

    def to(self: M, *args: Any, device: Any = None, dtype: dtypes.dtype | None = None) -> M:
        """Move to a device, a dtype, or those of a Tensor: to("cuda"), to(float64), to(other).

        The module changes in place and keeps its Parameter objects, so tied weights stay tied and an optimizer keeps
        its parameters. Only floating-point values change their dtype. TypeError for a dtype that is not floating-point.
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
            param.array = move(wrap(param.array)).array  # the same array if nothing changes
            param.grad = None if grad is None else move(grad)
        for _, module in self.named_modules():
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
        """Dotted name → parameter or persistent buffer, detached but sharing memory; keep_vars=True: not detached."""
        state: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(remove_duplicate=False):
            buffers = {n: b for n, b in module._buffers.items() if n not in module._transient}
            for name, value in {**module._parameters, **buffers}.items():
                if value is not None:
                    key = prefix + (f"{path}.{name}" if path else name)
                    state[key] = value if keep_vars else value.detach()
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy the values in by name. Return the missing and unexpected keys, which strict=False allows.

        RuntimeError names every key that does not fit; then nothing was copied.
        """
        own = self.state_dict(keep_vars=True)
        return load_state_dict(own, state_dict, strict, owner=type(self).__name__)

    def extra_repr(self) -> str:
        """The text between the brackets when the module is printed."""
        return ""

    def _child_lines(self) -> list[str]:
        return [f"({name}): {child!r}" for name, child in self._modules.items()]

    def __repr__(self) -> str:
        name, extra, children = type(self).__name__, self.extra_repr(), self._child_lines()
        if not children and "\n" not in extra:
            return f"{name}({extra})"
        body = "\n".join(([extra] if extra else []) + children).replace("\n", "\n  ")
        return f"{name}(\n  {body}\n)"


def no_attribute(module: ModuleBase, name: str) -> str:
    """What is said of an attribute that a module lacks; for a method of PyTorch's modules, what to use instead."""
    what = f"'{type(module).__name__}' object has no attribute '{name}'"
    return refusal(what, name) if name.startswith("register_") else what


# Where a value of a module is filed: the dictionary, then the kind, the type and its public name for error messages.
HOMES: dict[str, tuple[str, type, str]] = {
    "_parameters": ("parameter", Parameter, "Parameter"),
    "_buffers": ("buffer", Tensor, "Tensor"),
    "_modules": ("module", ModuleBase, "Module"),
}
