"""Hooks: functions that a module calls before or after each of its forwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Hook: TypeAlias = Callable[..., Any]


class RemovableHandle:
    """What registering a hook returns. `remove()`, or the end of a `with` block, takes the hook away."""

    def __init__(self, hooks: dict[RemovableHandle, Hook], hook: Hook) -> None:
        self.hooks = hooks
        hooks[self] = hook

    def remove(self) -> None:
        """Take the hook away. Nothing happens if that was done before."""
        self.hooks.pop(self, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def call_with_hooks(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """module.forward(*args, **kwargs) with its hooks. A value that a hook returns replaces the arguments or output."""
    for hook in tuple(module._forward_pre_hooks.values()):
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    output = module.forward(*args, **kwargs)
    for hook in tuple(module._forward_hooks.values()):
        changed = hook(module, args, output)
        output = output if changed is None else changed
    return output


def has_hooks(modules: Iterable[Any]) -> bool:
    """Whether one of the modules has a hook: `has_hooks(model.modules())` asks for a whole model."""
    return any(module._forward_pre_hooks or module._forward_hooks for module in modules)
