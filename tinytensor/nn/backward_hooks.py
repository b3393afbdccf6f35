"""BackwardHook: the gradients that enter and leave the backward of a module, for the hooks of the module.

The Tensors among the arguments of a call pass through one recorded call that changes nothing, and so do its outputs. What
enters the module's backward are the gradients of the second, what leaves it are those of the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from tinytensor.backend import array_module
from tinytensor.base import TensorBase, wrap
from tinytensor.grad_hooks import PASS, check
from tinytensor.modes import is_grad_enabled
from tinytensor.tape import apply


class BackwardHook:
    """One call of a module with backward hooks: first `setup_input_hook`, then `setup_output_hook`, both PyTorch's names."""

    def __init__(
        self, module: Any, user_hooks: list[Callable[..., Any]], user_pre_hooks: list[Callable[..., Any]]
    ) -> None:
        self.module, self.user_hooks, self.user_pre_hooks = module, user_hooks, user_pre_hooks
        self.inputs = self.outputs = 0  # how many there are, Tensors or not
        self.input_places: list[int] | None = (
            None  # which of the inputs are watched; None: no gradient leaves the module
        )
        self.output_places: list[int] = []
        self.zeros: dict[int, Callable[[], Any]] = {}  # for inputs that get no gradient: PyTorch shows zeros
        self.grad_outputs: tuple[Any, ...] | None = None  # known as soon as the backward has begun

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments to go on with."""
        self.inputs = len(args)
        self.zeros = {i: _zeros(x) for i, x in enumerate(args) if isinstance(x, TensorBase)}
        passed, places, node = _passed(args)
        if node is not None:
            self.input_places = places
            node.register_hook(self._left)
        return passed

    def setup_output_hook(self, output: Any) -> Any:
        """The output to go on with: a Tensor, or a tuple of what may be Tensors. Others are not watched, with a warning."""
        if not isinstance(output, (TensorBase, tuple)):
            what = "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors"
            warnings.warn(f"{what} but received {type(output)}", stacklevel=4)
            return output
        outputs = output if isinstance(output, tuple) else (output,)
        self.outputs = len(outputs)
        passed, self.output_places, node = _passed(outputs)
        if node is not None:
            node.register_hook(self._entered)
        return passed if isinstance(output, tuple) else passed[0]

    def _entered(self, _: Any, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The hook behind the outputs: their gradients are complete."""
        outputs = _spread(self.outputs, self.output_places, grads)
        for hook in self.user_pre_hooks:
            outputs = _replaced(
                "pre hook returned an invalid number of grad_output", hook, outputs, self.module, outputs
            )
        self.grad_outputs = outputs
        if self.input_places is None:
            self._nothing_leaves()
        return tuple(outputs[i] for i in self.output_places)

    def _nothing_leaves(self) -> None:
        what = "Full backward hook is firing when gradients are computed with respect to module outputs"
        warnings.warn(f"{what} since no inputs require gradients: grad_inputs are None.", stacklevel=2)
        for hook in self.user_hooks:
            new = hook(self.module, (None,) * self.inputs, self.grad_outputs)
            if new is not None and not (isinstance(new, tuple) and all(g is None for g in new)):
                what = "Backward hook for Modules where no input requires gradient"
                raise RuntimeError(f"{what} should always return None or None for all gradients.")
        self.grad_outputs = None

    def _left(self, grads: tuple[Any, ...], _: Any) -> tuple[Any, ...] | None:
        """The hook before the inputs: their gradients are complete."""
        if self.grad_outputs is None or self.input_places is None:  # they came by another way than the outputs
            return None
        inputs = tuple(
            self.zeros[i]() if g is None and i in self.zeros else g
            for i, g in enumerate(_spread(self.inputs, self.input_places, grads))
        )
        for hook in self.user_hooks:
            inputs = _replaced(
                "hook returned an invalid number of grad_input", hook, inputs, self.module, inputs, self.grad_outputs
            )
        self.grad_outputs = None
        return tuple(None if g is None else inputs[i] for i, g in zip(self.input_places, grads))


def _passed(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[int], Any]:
    """The values, their Tensors that require grad passed through one call; the places of these; the node, or None."""
    places = [i for i, x in enumerate(values) if isinstance(x, TensorBase) and x.requires_grad]  # type: ignore[attr-defined]
    if not places or not is_grad_enabled():
        return values, [], None
    passed: Any = apply(PASS, *[values[i] for i in places])
    new = list(values)
    for i, x in zip(places, passed, strict=True):
        new[i] = x
    kind: Any = type(values)  # a named tuple takes its fields one by one
    return tuple(new) if kind is tuple else kind(*new), places, passed[0].grad_fn


def _zeros(x: TensorBase) -> Callable[[], Any]:
    make, shape, dtype = array_module(x.array).zeros, x.array.shape, x.array.dtype  # not x: it may be freed
    return lambda: wrap(make(shape, dtype))


def _spread(count: int, places: list[int], grads: tuple[Any, ...]) -> tuple[Any, ...]:
    """The gradients at their places, and None elsewhere."""
    found = dict(zip(places, grads, strict=True))
    return tuple(found.get(i) for i in range(count))


def _replaced(what: str, hook: Callable[..., Any], old: Any, *args: Any) -> Any:
    """What hook(*args) returns, or old if it returns None. TypeError or RuntimeError if that does not fit."""
    new = hook(*args)
    if new is None:
        return old
    if not hasattr(new, "__len__"):
        raise TypeError(f"expected a tuple of gradients, but hook returned {type(new).__name__!r}")
    if len(new) != len(old):
        raise RuntimeError(f"Backward {what}, got {len(new)}, but expected {len(old)}")
    for before, after in zip(old, new):
        if after is not None:
            check(hook, before, after)
    return new
