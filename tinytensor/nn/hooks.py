"""Hooks: functions that a module calls before or after each of its forwards and backwards."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from tinytensor.handles import RemovableHandle, register
from tinytensor.nn.backward_hooks import BackwardHook


class Hook:
    """A function to call, and when. kind: "forward_pre", "forward", "backward_pre" or "backward"."""

    __slots__ = ("always_call", "function", "kind", "with_kwargs")

    def __init__(
        self, kind: str, function: Callable[..., Any], with_kwargs: bool = False, always_call: bool = False
    ) -> None:
        self.kind, self.function, self.with_kwargs, self.always_call = kind, function, with_kwargs, always_call

    def __call__(self, module: Any, args: Any, kwargs: dict[str, Any], *output: Any) -> Any:
        """What the function returns; it takes kwargs only if it asked for them."""
        return self.function(module, args, *((kwargs,) if self.with_kwargs else ()), *output)


Hooks: TypeAlias = "OrderedDict[int, Hook]"  # by the id of the handle
everywhere: Hooks = OrderedDict()  # the hooks of all modules: they run before a module's own


def hooks_of(module: Any) -> Hooks:
    """The hooks of a module; an empty dictionary if it had none."""
    if module._hooks is None:
        module._hooks = OrderedDict()
    return module._hooks  # type: ignore[no-any-return]


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """module.forward(*args, **kwargs) with its hooks. A value that a hook returns replaces the arguments or output."""
    called = _Call(module, args, kwargs)
    try:
        return called.run()
    except Exception:
        called.rest()
        raise


class _Call:
    """One call of a module that has hooks."""

    def __init__(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module, self.args, self.kwargs, self.output = module, args, kwargs, None
        self.done: set[Hook] = set()  # those with always_call that were called

    def hooks(self, kind: str) -> list[Hook]:
        """The hooks of one kind in their order. Those that are added meanwhile, also by another thread, run in the next call."""
        return [h for hooks in (everywhere, self.module._hooks or {}) for h in tuple(hooks.values()) if h.kind == kind]

    def run(self) -> Any:
        before, after = self.hooks("backward_pre"), self.hooks("backward")
        for hook in self.hooks("forward_pre"):
            self.replace_arguments(hook, hook(self.module, self.args, self.kwargs))
        backward = BackwardHook(self.module, _functions(after), _functions(before)) if before or after else None
        if backward is not None:
            self.args = backward.setup_input_hook(self.args)
        self.output = self.module.forward(*self.args, **self.kwargs)
        for hook in self.hooks("forward"):
            self.done.add(hook)
            changed = hook(self.module, self.args, self.kwargs, self.output)
            self.output = self.output if changed is None else changed
        return self.output if backward is None else backward.setup_output_hook(self.output)

    def replace_arguments(self, hook: Hook, changed: Any) -> None:
        """Take over what a pre-hook returned. RuntimeError if it is not what the hook has to return."""
        if changed is None:
            return
        if not hook.with_kwargs:
            self.args = changed if isinstance(changed, tuple) else (changed,)
        elif isinstance(changed, tuple) and len(changed) == 2:
            self.args, self.kwargs = changed
        else:
            what = "forward pre-hook must return None or a tuple of (new_args, new_kwargs)"
            raise RuntimeError(f"{what}, but got {changed}.")

    def rest(self) -> None:
        """After an Exception, call the hooks that are always called. What they raise becomes a warning."""
        for hook in self.hooks("forward"):
            if hook.always_call and hook not in self.done:
                try:
                    changed = hook(self.module, self.args, self.kwargs, self.output)
                    self.output = self.output if changed is None else changed
                except Exception as error:
                    what = "module forward hook with ``always_call=True`` raised an exception that was silenced"
                    warnings.warn(f"{what} as another error was raised in forward: {error}", stacklevel=2)


def _functions(hooks: Iterable[Hook]) -> list[Callable[..., Any]]:
    return [hook.function for hook in hooks]


def has_hooks(modules: Iterable[Any]) -> bool:
    """Whether one of the modules has a hook: `has_hooks(model.modules())` asks for a whole model."""
    return bool(everywhere) or any(module._hooks for module in modules)


# ------------------------------------------------------------------------------------- of all modules


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call hook(module, args) before each forward of every module. A value that it returns replaces args."""
    return register(everywhere, Hook("forward_pre", hook))


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call hook(module, args, output) after each forward of every module. A value that it returns replaces the output."""
    return register(everywhere, Hook("forward", hook, with_kwargs, always_call))


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call hook(module, grad_outputs) before the backward of every module. A tuple replaces grad_outputs."""
    return register(everywhere, Hook("backward_pre", hook))


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call hook(module, grad_inputs, grad_outputs) after the backward of every module. A tuple replaces grad_inputs."""
    return register(everywhere, Hook("backward", hook))
