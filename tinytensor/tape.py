"""The tape: it records primitive calls as they run and plays their backwards in reverse.

Its contract. Each rule answers a failure that was reproduced in well-known engines.

1. The tape writes in place only into arrays that it allocated itself. The first gradient to reach a tensor is
   borrowed; the second makes a new sum, which the tape owns; later ones are added in place. A first one that a
   backward left in the leaf's own place is no loan.
2. A leaf owns its `.grad` buffer: it shares memory with nothing (in a `nn.flat.Flat`, with that alone).
3. A backward may overwrite what its own forward allocated and did not return, and nothing else: never dy, inputs
   or parameters.
4. Saved arrays are dropped the moment their backward ran. A second backward raises and says why.
5. Traversal is iterative: a chain of 20,000 operations works.
6. A primitive gives arrays, never bare scalars (NumPy's reductions give scalars, CuPy's 0-d arrays): `as_array`.
7. No global mutable state but the gradient mode, which is per thread, and the dates of in-place writes.
   Several threads can run forward and backward at once.
8. float32 in, float32 out.

A node does not know the Tensors it was called with, only the nodes that made them (or the leaf Tensors, whose
gradients are wanted): an activation that no backward saved is freed as soon as the model lets go of it.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import itertools
import operator
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from tinytensor.backend import CPU, Array, as_array, device_of, is_array
from tinytensor.ops.indexing import is_basic
from tinytensor.primitive import Primitive

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

F = TypeVar("F", bound=Callable[..., Any])


# ---------------------------------------------------------------------------------------------- recording


class Node:
    """One recorded call: what ran, where its gradients go, and what its backward needs.

    inputs[i] is the Node that made input i, or the leaf Tensor itself, or None where no gradient is wanted.
    shape is that of the output, which its gradient has to have.
    A call with several outputs has one more node per output, with no primitive and saved = (position, count).
    """

    __slots__ = ("__weakref__", "inputs", "order", "primitive", "retained", "saved", "shape")

    def __init__(
        self,
        primitive: Primitive | None,
        inputs: tuple[Edge | None, ...],
        saved: tuple[Any, ...],
        shape: tuple[int, ...],
    ) -> None:
        self.primitive = primitive
        self.inputs = inputs
        self.shape = shape
        self.saved: tuple[Any, ...] | None = saved
        self.order = next(_clock)
        self.retained: weakref.ref[Tensor] | None = None

    def makes_view(self) -> bool:
        """Whether its output shares memory with its input, so that a write to one is a write to the other."""
        if self.primitive is None or self.primitive.name in ("reshape", "permute", "expand"):
            return True
        if self.primitive.name == "einsum":
            return len(self.inputs) < 2  # of one operand it may be a transpose
        return self.primitive.name == "getitem" and (self.saved is None or is_basic(self.saved[-1]))

    def viewed(self) -> Node | None:
        """The result that its output is a view of; None for a leaf, for one output of several, and after backward."""
        node: Any = self
        while isinstance(node, Node) and node.makes_view():
            node = node.inputs[0] if node.primitive is not None and node.inputs else None
        return node if isinstance(node, Node) else None


Edge: TypeAlias = "Node | Tensor"

_clock = itertools.count()  # creation order is a topological order: an input exists before what is made of it


def apply(primitive: Primitive, *inputs: Tensor | None, **static: Any) -> Tensor:
    """Run a primitive on Tensors, and record it if any of them wants a gradient.

    Returns a Tensor, or a tuple of them where the forward gives several. Shapes that do not fit raise
    RuntimeError with the operation, the shapes, and what would fit; so do inputs on different devices.
    """
    if "cupy" in sys.modules and _on_gpu(primitive, inputs):
        primitive = _replacement(primitive, inputs, static)
    mode = _thread.mode
    edges = edges_of(inputs) if mode.enabled else None
    if primitive.takes_save:
        static["save"] = edges is not None
    try:
        output, saved = mode.run(primitive.forward, *[None if t is None else t.array for t in inputs], **static)
    except RuntimeError as error:
        if "cannot enter context" not in str(error):
            raise
        raise RuntimeError(
            f"{primitive.name} was called inside a kernel: kernels work on arrays, not on Tensors"
        ) from None
    except ValueError as error:
        raise _shape_error(primitive, inputs, error) from error
    if type(output) is tuple:
        return _several(primitive, edges, output, saved)  # type: ignore[return-value]
    return tensor.wrap(output, None if edges is None else Node(primitive, edges, saved, output.shape))


def _several(
    primitive: Primitive, edges: tuple[Edge | None, ...] | None, outputs: tuple[Array, ...], saved: tuple[Any, ...]
) -> tuple[Tensor, ...]:
    if edges is None:
        return tuple([tensor.wrap(y) for y in outputs])
    node = Node(primitive, edges, saved, ())
    return tuple([tensor.wrap(y, Node(None, (node,), (i, len(outputs)), y.shape)) for i, y in enumerate(outputs)])


def edges_of(inputs: Iterable[Tensor | None]) -> tuple[Edge | None, ...] | None:
    """Where the gradients of the inputs go, one by one; None if no input wants one."""
    if _orphans:
        _check_constants(inputs)
    edges: list[Edge | None] = []
    wanted = False
    for t in inputs:
        if t is not None and t._requires_grad:
            edges.append(edge(t) if _rewritten else t._node or t)
            wanted = True
        else:
            edges.append(None)
    return tuple(edges) if wanted else None


def edge(t: Tensor) -> Edge:
    """Where the gradient of t goes: the node that made it, or t itself. RuntimeError for a history out of date."""
    return t if t._node is None else checked(t._node, t.array) if _rewritten else t._node


def checked(node: Node, array: Array) -> Node:
    """node, the history of a Tensor on array; RuntimeError if a recorded operation wrote there by another Tensor."""
    if _rewritten.get(id(owner(array)), (0, 0))[0] > node.order:
        raise _out_of_date(array)
    return node


def _check_constants(inputs: Iterable[Tensor | None]) -> None:
    for t in inputs:
        if t is not None and not t._requires_grad and id(owner(t.array)) in _orphans:
            raise _out_of_date(t.array)


def _out_of_date(array: Array) -> RuntimeError:
    return RuntimeError(
        f"a {tuple(array.shape)} tensor shares memory with another that an inplace operation changed, and would have to"
        " take over its gradient: outside tinytensor's subset; take views after the write, and write y[i] += z"
    )


def _shape_error(primitive: Primitive, inputs: Iterable[Tensor | None], error: ValueError) -> RuntimeError:
    shapes = " and ".join(str(tuple(t.shape)) for t in inputs if t is not None)
    hint = f"; what fits: {primitive.fits}" if primitive.fits else ""
    return RuntimeError(f"{primitive.name}: shapes {shapes} do not fit{hint} ({error})")


def _on_gpu(primitive: Primitive, inputs: Iterable[Tensor | None]) -> bool:
    """Whether the inputs lie on a GPU; RuntimeError where they do not all lie on one device."""
    places = {device_of(t.array) for t in inputs if t is not None}
    if len(places) > 1:
        raise RuntimeError(
            f"{primitive.name}: expected all tensors on one device, found {' and '.join(sorted(map(str, places)))};"
            " move one with .to(device)"
        )
    return bool(places) and CPU not in places


def _replacement(primitive: Primitive, inputs: Iterable[Tensor | None], static: dict[str, Any]) -> Primitive:
    from tinytensor.cuda.fused import replacement  # kernels for CuPy: not to be read where there is none

    return replacement(primitive, [None if t is None else t.array for t in inputs], static)


# ---------------------------------------------------------------------------------------------- backward


def backward(
    roots: list[tuple[Edge, Array]], *, retain_graph: bool, targets: frozenset[Edge] | None
) -> dict[Edge, Array]:
    """Play the tape backwards from the roots; add to the gradient of every leaf, or return those of the targets.

    Arrays returned belong to the caller. With targets, only what lies between them and the roots is played. With
    retain_graph the saved arrays stay (and kernels work on copies), so that a second backward can follow; without it
    they are dropped one by one.
    """
    nodes = _reachable([edge for edge, _ in roots], targets)
    wanted = None if targets is None else targets.union(nodes)  # None: all that can be reached
    gradients: dict[Edge, Any] = {}
    owned: set[Edge] = set()
    for root, dy in roots:
        if wanted is None or root in wanted:
            gradients[root] = as_array(np.add(gradients[root], dy)) if root in gradients else dy
    found: dict[Edge, Array] = {}
    for node in reversed(nodes):  # the newest first: everything made of it has been played
        dy = gradients.pop(node, None)
        primitive, inputs, saved = node.primitive, node.inputs, node.saved
        assert saved is not None
        if primitive is not None and not retain_graph:
            node.saved, node.inputs = None, ()
        if dy is None:
            continue
        if node.retained is not None:
            _retain(node.retained(), dy)
        if targets is not None and node in targets:
            found[node] = np.copy(dy)
        if primitive is None:  # one output of several: its gradient waits in the list of the call
            position, count = saved
            assert inputs[0] is not None
            gradients.setdefault(inputs[0], [None] * count)[position] = dy
            continue
        if retain_graph:
            saved = tuple(np.copy(s) if isinstance(s, np.ndarray) else s for s in saved)
        if primitive.options:
            granted: Any = _granted(primitive.options, inputs, gradients, targets)
            dxs = primitive.backward(dy, *saved, **granted)
            places, onto = granted.get("out", _nowhere), granted.get("add_to")
        else:
            dxs, places, onto = primitive.backward(dy, *saved), _nowhere, None
        if len(dxs) != len(inputs):
            raise ValueError(f"the backward of {primitive.name} gave {len(dxs)} gradients for {len(inputs)} inputs")
        for edge, dx, place in zip(inputs, dxs, places):
            if edge is None or dx is None or (wanted is not None and edge not in wanted):
                continue
            shape = edge.shape if edge.__class__ is Node else edge.array.shape  # type: ignore[union-attr]
            if dx.shape != shape:
                raise _wrong_shape(primitive, dx, shape)
            old = gradients.get(edge)
            if old is None:
                gradients[edge] = dx
                if dx is place:  # it lies where the leaf keeps it: what comes is added there
                    owned.add(edge)
            elif old is onto:  # dx has it already
                gradients[edge], onto = dx, None
                owned.discard(edge)
            elif edge in owned:
                np.add(old, dx, old)
            else:
                gradients[edge] = as_array(np.add(old, dx))
                owned.add(edge)
        del dy, dxs, dx, saved
        granted = onto = None
    for leaf, g in gradients.items():
        if targets is None:
            _leave(leaf, g, leaf in owned)  # type: ignore[arg-type]
        else:
            found[leaf] = g if leaf in owned else g.copy()
    return found


_nowhere = itertools.repeat(None)


def _granted(wishes: frozenset[str], inputs: tuple[Edge | None, ...], gradients: Any, targets: Any) -> dict[str, Any]:
    """The keywords of a backward: `needs`, `add_to`, and `out` for leaves whose first gradient this is."""
    granted: dict[str, Any] = {}
    if "needs" in wishes:
        granted["needs"] = tuple([edge is not None for edge in inputs])
    if "add_to" in wishes and inputs[0].__class__ is Node:
        granted["add_to"] = gradients.get(inputs[0])
    if "out" in wishes and targets is None:
        leaves = [None if edge is None or edge.__class__ is Node or edge in gradients else edge for edge in inputs]
        granted["out"] = tuple([None if leaf is None else _place(leaf) for leaf in leaves])  # type: ignore[arg-type]
    return granted


def _place(leaf: Tensor) -> Array | None:
    """Where the first gradient of the leaf will be kept, if there is such a place; a leaf that was moved has none."""
    place, own = leaf._place, leaf.array
    if place is None or leaf._grad is not None or type(place) is not type(own) or place.dtype != own.dtype:
        return None
    return place if place.shape == own.shape else None


def _leave(leaf: Tensor, g: Array, ours: bool) -> None:
    """Add g to what the leaf has. The first one gets an array of the leaf's own, or its part of a larger buffer."""
    place = _place(leaf)
    if leaf._grad is not None:
        np.add(leaf._grad.array, g, out=leaf._grad.array)
    elif place is None:
        leaf.grad = tensor.wrap(g if ours else g.copy())
    else:
        if g is not place:
            place[...] = g
        leaf.grad = tensor.wrap(place)


def _wrong_shape(primitive: Primitive, dx: Array, shape: tuple[int, ...]) -> RuntimeError:
    return RuntimeError(
        f"the backward of {primitive.name} gave a gradient of shape {dx.shape} for an input of shape {shape}:"
        " where the forward broadcasts, the backward has to sum"
    )


def _reachable(roots: list[Edge], targets: frozenset[Edge] | None) -> list[Node]:
    """The nodes to play, oldest first: all below the roots, or those with a target below them.

    RuntimeError if one of them was played before, or the arrays that it saved were overwritten.
    """
    stack = [edge for edge in roots if isinstance(edge, Node)]
    seen, leaves = set(stack), set(roots)
    while stack:
        for edge in stack.pop().inputs:
            if edge.__class__ is not Node:
                leaves.add(edge)  # type: ignore[arg-type]
            elif edge not in seen:
                seen.add(edge)
                stack.append(edge)
    nodes = sorted(seen, key=_age)
    if targets is not None:
        wanted: set[Any] = set(targets)
        played = []
        for node in nodes:
            if not wanted.isdisjoint(node.inputs):
                wanted.add(node)
                played.append(node)
        if all(edge in seen or edge in leaves for edge in targets):  # else what is spent may hide one: complain below
            nodes = played
    for node in nodes:
        if node.saved is None:
            assert node.primitive is not None  # one output of several keeps what it saved
            raise RuntimeError(
                f"backward through {node.primitive.name} a second time:"
                " the arrays that it saved were dropped when backward ran;"
                " call backward(retain_graph=True) the first time, or run the forward again"
            )
    last_write = max((date for _, date in list(_written.values())), default=0)
    for node in nodes:
        if node.order > last_write:
            break
        _check_unwritten(node)
    return nodes


_age = operator.attrgetter("order")


def _retain(t: Tensor | None, dy: Array) -> None:
    if t is not None:
        t.grad = tensor.wrap(dy.copy() if t.grad is None else t.grad.array + dy)


# ------------------------------------------------------------------------------------- in-place writes


# id of the array that owns the memory → (a reference that removes the entry with it, when it was last written)
_written: dict[int, tuple[Any, int]] = {}
# the same id → when recorded operations made the last values written there, and those before
_rewritten: dict[int, tuple[int, int]] = {}
_orphans: set[int] = set()  # memory of constants, a view of which was given a gradient that they do not know of


def note_write(x: Array, node: Node | None = None, constant: bool = False) -> None:
    """Remember that x was written in place, so that a backward that saved the old values can refuse.

    node: what made the new values, if that was recorded. Other Tensors on that memory then have the wrong history;
    constant: they had none, nor had x.
    """
    memory = owner(x)
    key = id(memory)

    def forget(_: object) -> None:
        _written.pop(key, None)
        _rewritten.pop(key, None)
        _orphans.discard(key)

    _written[key] = (weakref.ref(memory, forget), next(_clock))
    if node is not None:
        _rewritten[key] = (node.order, _rewritten.get(key, (0, 0))[0])
        if constant and memory is not x:
            _orphans.add(key)


def note_return(x: Array, node: Node | None) -> None:
    """Forget the last write to x's memory if node made it: y[i] += z wrote by a view, and now hands that back to y."""
    key = id(owner(x))
    last, before = _rewritten.get(key, (0, 0))
    if node is not None and last == node.order:
        _rewritten[key] = (before, 0)
        _orphans.discard(key)


def owner(x: Array) -> Array:
    """The array whose memory x is a view of; x itself if it is none."""
    while isinstance(x.base, type(x)):
        x = x.base
    return x


def flat(saved: Any) -> Iterable[Any]:
    """What a node saved, with the parts of an index or of a list of operands one by one."""
    for s in saved:
        if isinstance(s, (tuple, list)):
            yield from s
        else:
            yield s


def _check_unwritten(node: Node) -> None:
    for s in flat(node.saved):
        if is_array(s):
            entry = _written.get(id(owner(s)))
            if entry is not None and entry[1] > node.order:
                assert node.primitive is not None
                raise RuntimeError(
                    "one of the variables needed for gradient computation has been modified by an inplace operation"
                    f": a {tuple(s.shape)} array that {node.primitive.name} saved; use the out-of-place form"
                )


# --------------------------------------------------------------------------------------- gradient mode


class _Mode:
    """How a thread calls kernels: whether they are recorded, and `run(kernel, *arguments)`."""

    __slots__ = ("enabled", "run")

    def __init__(self) -> None:
        self.enabled = True
        # The context that kernels run in: an infinite or undefined result is a result, as in PyTorch, not a warning.
        # Entering np.errstate for every call would cost more than the call.
        quiet = contextvars.Context()
        quiet.run(np.seterr, all="ignore")
        self.run = quiet.run


class _Thread(threading.local):
    def __init__(self) -> None:
        self.mode = _Mode()


_thread = _Thread()


def is_grad_enabled() -> bool:
    """Whether calls are recorded in this thread."""
    return _thread.mode.enabled


class set_grad_enabled:
    """Record calls or not, in this thread: a context manager, a decorator, or a plain call."""

    def __init__(self, mode: bool) -> None:
        self.previous = _thread.mode.enabled
        self.mode = mode
        _thread.mode.enabled = mode

    def __enter__(self) -> None:
        pass  # the mode has held since the call

    def __exit__(self, *_: object) -> None:
        _thread.mode.enabled = self.previous

    def __call__(self, function: F) -> F:
        _thread.mode.enabled = self.previous
        return _decorate(function, self.mode)


class no_grad:
    """Record nothing in this thread: `with no_grad():` or `@no_grad()`."""

    mode = False

    def __new__(cls, function: Any = None) -> Any:
        """`@no_grad` without parentheses decorates at once."""
        return super().__new__(cls) if function is None else _decorate(function, cls.mode)

    def __enter__(self) -> None:
        self.previous, _thread.mode.enabled = _thread.mode.enabled, self.mode

    def __exit__(self, *_: object) -> None:
        _thread.mode.enabled = self.previous

    def __call__(self, function: F) -> F:
        return _decorate(function, self.mode)


class enable_grad(no_grad):
    """Record again, inside a no_grad."""

    mode = True


class inference_mode(no_grad):
    """no_grad by another name: this tape has no view tracking that could be left out as well.

    `inference_mode(False)` records, as enable_grad does.
    """

    def __new__(cls, mode: Any = True) -> Any:
        return object.__new__(cls) if isinstance(mode, bool) else _decorate(mode, False)

    def __init__(self, mode: bool = True) -> None:
        self.mode = not mode


def _decorate(function: F, mode: bool) -> F:
    """function, run under a gradient mode; a generator gets it anew at every step."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with enable_grad() if mode else no_grad():
            return function(*args, **kwargs)

    def step(resume: Callable[..., Any], *args: Any) -> Any:
        with enable_grad() if mode else no_grad():
            return resume(*args)

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Any:
        steps = function(*args, **kwargs)
        try:
            item = step(next, steps)
            while True:
                try:
                    heard = yield item
                except GeneratorExit:
                    step(steps.close)
                    raise
                except BaseException as error:
                    item = step(steps.throw, error)
                else:
                    item = step(steps.send, heard)
        except StopIteration as stop:
            return stop.value

    return generate if inspect.isgeneratorfunction(function) else call  # type: ignore[return-value]


from tinytensor import tensor  # noqa: E402  (at the end: the Tensor's methods are made of functions that call `apply`)
