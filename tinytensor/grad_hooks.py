"""Hooks on gradients: functions that backward calls, and that may put another gradient in the place of one.

    Tensor.register_hook(fn)                        fn(grad): the gradient of a leaf or result, once it is complete
    Tensor.register_post_accumulate_grad_hook(fn)   fn(leaf): after the leaf got its .grad
    Node.register_prehook(fn)                       fn(grad_outputs): before the backward of a recorded call
    Node.register_hook(fn)                          fn(grad_inputs, grad_outputs): after it

Each returns None, or what replaces the gradient (for a Node: a tuple). Hooks run in the order of PyTorch's: those of the
Tensor, then `retain_grad`, then prehooks; hooks of a leaf as soon as the last call that used it was played. None stands for
a gradient that is zero because nothing computed it.

What a hook receives is a copy: the tape never changes it, and a hook that keeps it, or writes to it, changes no other
gradient. Nothing here runs in a backward without hooks. Node.hooks is None there, and `hooked` is empty.
"""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from tinytensor.backend import array_module
from tinytensor.base import TensorBase, wrap
from tinytensor.handles import RemovableHandle, register
from tinytensor.modes import no_grad
from tinytensor.primitive import OUTPUT, Primitive

if TYPE_CHECKING:
    from tinytensor.tape import Node
    from tinytensor.tensor import Tensor

Hook: TypeAlias = Callable[..., Any]
Hooks: TypeAlias = "OrderedDict[int, Hook]"  # by the id of the handle


def _pass_forward(*xs: Any) -> Any:
    return tuple([x.view() for x in xs]), tuple([(array_module(x).zeros, x.shape, x.dtype) for x in xs])


def _pass_backward(dy: list[Any], *kinds: Any) -> tuple[Any, ...]:
    return tuple(zeros(shape, dtype) if g is None else g for g, (zeros, shape, dtype) in zip(dy, kinds, strict=True))


# Not in the table. Several Tensors pass through one node, whose hooks see all their gradients (nn/backward_hooks.py).
PASS = Primitive("backward_hook", _pass_forward, _pass_backward, "y = x")


class _Here(threading.local):
    wanted: list[bool]  # of each input of the node that this thread plays next: whether its gradient is wanted


_here = _Here()


class NodeHooks:
    """The hooks of one recorded call. Those of its outputs are here too, so that they run in the order of their first."""

    __slots__ = ("after", "before", "count", "primitive", "retained", "tensors", "watched")

    def __init__(self, primitive: Primitive, count: int | None) -> None:
        self.primitive = primitive  # the row that the call was recorded with
        self.watched = False  # whether the node has another one, whose backward calls `after`
        self.count = count  # of outputs; None: one, and its gradient is no list
        self.tensors: dict[int, Hooks] = {}  # by the number of the output
        self.retained: dict[int, weakref.ref[Any]] = {}  # outputs that keep their gradient: retain_grad()
        self.before: Hooks = OrderedDict()
        self.after: Hooks = OrderedDict()

    def run(self, node: Any, dy: Any, gradients: Any) -> Any:
        """Call the hooks that come before the backward of node. Return the gradient to go on with."""
        seen = self.tensors or self.before  # else nobody gets dy itself
        given = [None if g is None else wrap(_copy(g) if seen else g) for g in self._listed(dy)]
        for i, hooks in self.tensors.items():
            given[i] = changed(hooks, given[i])
        self.retain(given)
        grads = changed_tuple(self.before, tuple(given))
        if all(g is None for g in grads):  # the node is not played
            changed_tuple(self.after, (None,) * len(node.inputs), grads)
        leading = gradients.wanted  # with targets, the edges that lead to one
        _here.wanted = [e is not None and (leading is None or e in leading) for e in node.inputs]
        arrays = [None if g is None else g.array for g in grads]
        return arrays[0] if self.count is None else arrays if any(g is not None for g in grads) else None

    def _listed(self, dy: Any) -> list[Any]:
        if self.count is None:
            return [dy]
        return [None] * self.count if dy is None else dy

    def retain(self, grads: list[Any]) -> None:
        """Leave the gradients in the .grad of the outputs that keep theirs."""
        for i, reference in self.retained.items():
            t, g = reference(), grads[i]
            if t is None or g is None:  # the Tensor no longer exists
                continue
            with _lock:  # else another thread could add to the same .grad
                t.grad = wrap(_copy(g.array) if t.grad is None else t.grad.array + g.array)

    def watch(self, call: Any, hook: Hook) -> RemovableHandle:
        """Add a hook that runs after the backward of the call. The first changes the row of the node, once for all."""
        with _lock:
            if not self.watched and call.saved is not None:
                own, self.watched = call.primitive, True

                def backward(dy: Any, *saved: Any) -> tuple[Any, ...]:
                    asked = _here.wanted  # before own.backward: a Function may play another graph in its backward
                    dxs = own.backward(dy, *saved)  # without out, needs, add_to: these are offers (accumulate_base.py)
                    pairs = zip(asked, dxs, strict=True)
                    given = [None if dx is None or not wanted else wrap(_copy(dx)) for wanted, dx in pairs]
                    outputs = [None if g is None else wrap(_copy(g)) for g in self._listed(dy)]
                    changed = changed_tuple(self.after, tuple(given), tuple(outputs))
                    return tuple(None if g is None else g.array for g in changed)

                call.primitive = Primitive(own.name, own.forward, backward, own.formula)
            return register(self.after, hook)


class OutputHooks:
    """In the node of one output of a call with several: where the hooks are, also after backward has released the node."""

    __slots__ = ("call", "position")
    primitive = OUTPUT

    def __init__(self, call: NodeHooks, position: int) -> None:
        self.call, self.position = call, position

    def run(self, _: Any, dy: Any, __: Any) -> Any:
        """Nothing: the node of the call runs them, when the gradients of all outputs are there."""
        return dy


class LeafHooks:
    """The hooks of one leaf, in its slot `_hooks`, which is empty before the first.

    So a hook that knows its leaf is freed with it, as every cycle is; a dictionary of all hooks would keep both alive.
    """

    __slots__ = ("accumulated", "after", "before", "leaf", "tensor")

    def __init__(self, leaf: TensorBase) -> None:
        key, pop = id(leaf), hooked.pop  # hooked itself may be gone when the interpreter ends
        self.leaf = hooked[key] = weakref.ref(leaf, lambda _: pop(key, None))
        self.tensor: Hooks = OrderedDict()
        self.before: Hooks = OrderedDict()
        self.accumulated: Hooks = OrderedDict()
        self.after: Hooks = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self.tensor or self.before or self.accumulated or self.after)

    def run(self, _: Any, __: Any, gradients: Any) -> None:
        """Call them with the leaf's gradient, and put in its place what they return. None: there is nothing to play."""
        leaf = self.leaf()
        if leaf is None:
            return
        g = gradients.gradients.pop(leaf, None)
        gradients.owned.discard(leaf)  # from here on the hooks may have it
        grad = changed(self.tensor, None if g is None else wrap(_copy(g)))
        if gradients.targets is None:
            (grad,) = changed_tuple(self.before, (grad,))
            gradients.after.append(lambda: self.finish(leaf, grad))
        if grad is not None:
            gradients.gradients[leaf] = grad.array

    def finish(self, leaf: TensorBase, grad: Any) -> None:
        """Call the hooks that follow when all leaves have their .grad."""
        for hook in tuple(self.accumulated.values()):
            new = _called(hook, leaf)
            if new is not None:  # a Tensor that fits has no place to go
                check(hook, leaf, new)
        changed_tuple(self.after, (), (grad,))


hooked: dict[int, weakref.ref[Any]] = {}  # the leaves that have hooks, by their id; removed when the leaf is freed
_lock = threading.Lock()  # two threads register hooks, drop those of a leaf, or add to one retained .grad


class TargetHooks:
    """The hooks of outputs of one call that are targets (autograd.grad), where the call itself is not played."""

    __slots__ = ("hooks", "targets")

    def __init__(self, hooks: NodeHooks) -> None:
        self.hooks = hooks
        self.targets: dict[int, Node] = {}  # by the number of the output

    def run(self, _: Any, __: Any, gradients: Any) -> None:
        """Put in the place of each gradient what the hooks of its output return."""
        grads: list[Any] = [None] * (self.hooks.count or 1)
        for i, hooks in self.hooks.tensors.items():
            if i in self.targets:
                grads[i] = changed(hooks, self._taken(i, gradients))
        for i, target in self.targets.items():
            grads[i] = grads[i] if i in self.hooks.tensors else self._taken(i, gradients)
            if grads[i] is not None:
                gradients.gradients[target] = grads[i].array
        self.hooks.retain(grads)

    def _taken(self, i: int, gradients: Any) -> Any:
        g = gradients.gradients.pop(self.targets[i], None)
        gradients.owned.discard(self.targets[i])  # from here on the hooks may have it
        return None if g is None else wrap(_copy(g))


class _End:
    """Where gradients end, in a list of nodes to play: it has no backward, only hooks."""

    __slots__ = ("hooks", "inputs", "order", "primitive", "saved")

    def __init__(self, hooks: Any, order: int = 0) -> None:
        self.hooks, self.order, self.primitive, self.inputs, self.saved = hooks, order, OUTPUT, (), ()


def with_ends(nodes: list[Node], gradients: Any) -> list[Any]:
    """The nodes to play, oldest first, and what calls the hooks of leaves, and of targets that are not played.

    A leaf comes right before the oldest node that uses it, and so, played backwards, as soon as its gradient is complete.
    """
    targets = gradients.targets
    if targets is not None:
        nodes = _with_targets(nodes, set(targets).difference(nodes), gradients)
    found: list[Any] = []
    waiting = _hooks_of_leaves(targets)

    def put(edge: Any) -> None:
        if (hooks := waiting.pop(id(edge), None)) is not None:
            found.append(_End(hooks))

    for node in nodes:
        for edge in reversed(node.inputs):  # in a list that is played backwards, the first comes last
            put(edge)
        found.append(node)
    for edge in gradients.gradients:  # roots: a leaf may be one itself
        put(edge)
    return found


def _hooks_of_leaves(targets: frozenset[Any] | None) -> dict[int, LeafHooks]:
    """By the id of the leaf. Leaves whose hooks were all removed are forgotten."""
    found = {}
    with _lock:
        for key, reference in tuple(hooked.items()):
            leaf = reference()
            if leaf is not None and not leaf._hooks:
                hooked.pop(key, None)
            elif leaf is not None and (targets is None or leaf in targets):
                found[key] = leaf._hooks
    return found


def _with_targets(nodes: list[Any], targets: set[Any], gradients: Any) -> list[Any]:
    reached = {edge for node in nodes for edge in node.inputs}.union(gradients.gradients)
    ends: dict[Any, TargetHooks] = {}
    for target in targets & reached:
        call = None if isinstance(target, TensorBase) else target._call()
        if call is not None and call.hooks is not None:
            ends.setdefault(call, TargetHooks(call.hooks)).targets[position(target)] = target
    if not ends:
        return nodes
    return sorted([*nodes, *(_End(hooks, call.order) for call, hooks in ends.items())], key=attrgetter("order"))


# ------------------------------------------------------------------------------------------ calling


def changed(hooks: Any, grad: Tensor | None) -> Any:
    """The gradient after the hooks. TypeError and RuntimeError for a value that cannot take its place."""
    for hook in tuple(hooks.values()):  # hooks that are added or removed meanwhile: from the next backward on
        new = _called(hook, grad)
        if new is not None:
            check(hook, grad, new)
            grad = new
    return grad


def changed_tuple(hooks: Hooks, grads: tuple[Any, ...], *more: Any) -> tuple[Any, ...]:
    """The gradients after the hooks of a Node, each of which returns None or a tuple."""
    for hook in tuple(hooks.values()):
        new = _called(hook, grads, *more)
        if new is None:
            continue
        if not isinstance(new, tuple):
            raise TypeError(f"expected tuple, but hook returned {type(new).__name__!r}")
        if len(new) != len(grads):
            raise RuntimeError(
                f"hook {_name(hook)} has returned an incorrect number of values (got {len(new)}, but expected {len(grads)})"
            )
        for old, one in zip(grads, new):
            if one is not None:
                check(hook, old, one)
        grads = new
    return grads


def _called(hook: Hook, *args: Any) -> Any:
    with no_grad():  # derivatives of derivatives are outside of the subset
        return hook(*args)


def check(hook: Hook, old: Any, value: Any) -> None:
    """TypeError or RuntimeError unless the value can stand in the place of old."""
    if not isinstance(value, TensorBase):
        raise TypeError(f"expected Variable, but hook returned {type(value).__name__!r}")
    new: Any = value
    if old is None:
        raise RuntimeError("can't replace a None gradient with a non-None value")
    if old.type() != new.type():
        raise RuntimeError(
            f"hook {_name(hook)} has changed the type of value (was {old.type()} got {new.type()}): return one of its kind"
        )
    if old.array.shape != new.array.shape:
        shapes = f"was {tuple(old.shape)} got {tuple(new.shape)}"
        raise RuntimeError(f"hook {_name(hook)} has changed the size of value ({shapes}): return one of its shape")


def _name(hook: Hook) -> str:
    return f"'{getattr(hook, '__name__', '<unknown>')}'"


def _copy(x: Any) -> Any:
    return x.copy(order="K")


# -------------------------------------------------------------------------------------- registering


def hooks_of(node: Node) -> NodeHooks:
    """The hooks of the call behind a node; new ones if it has none."""
    call: Any = node._call()
    if isinstance(node.hooks, OutputHooks):
        return node.hooks.call
    if call.hooks is None:
        call.hooks = NodeHooks(call.primitive, node.saved[1] if call is not node and node.saved else None)
    if call is not node:
        node.hooks = OutputHooks(call.hooks, position(node))
    return call.hooks  # type: ignore[no-any-return]


def row_of(node: Node) -> Primitive:
    """The row of the table that node was recorded with."""
    row = node.primitive if node.hooks is None else node.hooks.primitive
    return getattr(row, "row", row)  # a copy of a row knows it (inside/watch.py)


def position(node: Node) -> int:
    """The number of an output among those of its call."""
    if isinstance(node.hooks, OutputHooks):
        return node.hooks.position
    return node.saved[0] if node.is_output() and node.saved else 0


def of_leaf(leaf: Any, kind: str, hook: Hook) -> RemovableHandle:
    """Add a hook to those of a leaf; kind: the attribute of LeafHooks."""
    with _lock:
        if id(leaf) not in hooked:
            leaf._hooks = LeafHooks(leaf)
        return register(getattr(leaf._hooks, kind), hook)


def of_tensor(t: Any, hook: Hook) -> RemovableHandle:
    """Tensor.register_hook."""
    if not t.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    node = t.grad_fn
    if node is None:
        return of_leaf(t, "tensor", hook)
    return register(hooks_of(node).tensors.setdefault(position(node), OrderedDict()), hook)


def after_accumulation(t: Any, hook: Hook) -> RemovableHandle:
    """Tensor.register_post_accumulate_grad_hook."""
    if not t.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if t.grad_fn is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    return of_leaf(t, "accumulated", hook)


def retain(t: Any, node: Node) -> None:
    """Let the result t of a node keep its gradient. The node must not keep its own result alive."""
    hooks_of(node).retained[position(node)] = weakref.ref(t)


def retained_by(node: Node) -> Any:
    """A weak reference to the Tensor that keeps the gradient of this node's output, or None."""
    return None if node.hooks is None else hooks_of(node).retained.get(position(node))


def move_retained(old: Node | None, new: Node) -> None:
    """A Tensor that keeps its gradient got a new node: it keeps that of its last values. Other hooks stay."""
    if old is not None and (reference := retained_by(old)) is not None:
        del hooks_of(old).retained[position(old)]
        hooks_of(new).retained[position(new)] = reference
