"""The tape: it records primitive calls as they run, and plays their backwards in reverse.

    apply(MUL, a, b)    runs mul_forward on the arrays of a and b. If one of them wants a gradient, a Node records the call:
                        the primitive, where the gradients of a and b go, and what mul_forward saved.
    backward(roots)     walks over the nodes, newest first. Each takes the gradient of its output, dy, calls
                        mul_backward(dy, *saved), and hands the results on to the nodes that computed a and b.

Its contract. Each rule answers a failure that was reproduced in well-known engines.

1. The tape writes in place only into arrays that it owns. It borrows the first gradient that reaches a value; the
   second makes a new sum, which the tape owns; it adds later ones to that sum in place (accumulate.py).
2. A leaf owns its `.grad` buffer: it shares memory with nothing (with `nn.flat`, only with the flat buffer).
3. A backward may overwrite what its own forward allocated and did not return, and nothing else: never dy, inputs
   or parameters.
4. The tape drops saved arrays the moment their backward has run. A second backward raises and says why.
5. Traversal is iterative: a chain of 20,000 operations works.
6. The tape hands on arrays, never bare scalars. NumPy's reductions return scalars: `wrap` makes them 0-d arrays.
7. Several threads can run forward and backward at once. They add to the .grad of a leaf one after the other. They share
   a clock and the dates of in-place writes (writes.py), and what only imports and settings change: the table, precision,
   a running profiler. The gradient mode is per thread (modes.py).
8. float32 in, float32 out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from tinytensor.accumulate import Accumulator
from tinytensor.backend import Array, is_array
from tinytensor.base import TensorBase, wrap
from tinytensor.devices import on_one_gpu
from tinytensor.dispatch import gpu
from tinytensor.grad_hooks import NodeHooks, OutputHooks, hooked, with_ends
from tinytensor.graph import Described, between
from tinytensor.histories import apart, refresh, rewritten
from tinytensor.modes import in_kernel, thread
from tinytensor.primitive import OUTPUT, Primitive
from tinytensor.tape_errors import a_second_time, inside_a_kernel, shapes_do_not_fit
from tinytensor.writes import check_saved, tick

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor

Edge: TypeAlias = "Node | TensorBase"  # where a gradient goes: the node that computed the value, or the leaf
Edges: TypeAlias = "tuple[Edge | None, ...]"  # one for each input of a call; None: it wants no gradient
Saved: TypeAlias = tuple[Any, ...]  # what a forward keeps for its backward


class Node(Described):
    """One recorded call. Of its inputs it knows leaves, and for results the nodes that computed them, not the Tensors.

    So an activation that no backward saved is freed as soon as the model lets go of it.
    """

    __slots__ = ("__weakref__", "hooks", "inputs", "order", "primitive", "saved", "shape")

    def __init__(self, primitive: Primitive, inputs: Edges, saved: Saved, shape: tuple[int, ...]) -> None:
        self.primitive = primitive
        self.inputs = inputs  # where their gradients go
        self.saved = saved  # None once it was played
        self.shape = shape  # of the output, and so of its gradient
        self.order = tick()  # its age: inputs are older than what is computed from them
        self.hooks: NodeHooks | OutputHooks | None = None  # what to call with its gradients (grad_hooks.py)


def apply(primitive: Primitive, *inputs: Tensor | None, **static: Any) -> Tensor:
    """Run a primitive on Tensors, and record the call if any of them wants a gradient.

    Returns a Tensor, or a tuple of them where the forward returns several arrays. RuntimeError for shapes that do not
    fit, with the shapes and what would fit, and for inputs on different devices.
    """
    arrays = [None if t is None else t.array for t in inputs]  # kernels work on arrays
    if "cupy" in sys.modules and on_one_gpu(primitive.name, arrays):
        primitive = gpu("replacement")(primitive, arrays, static)  # a fused one, if there is one for this call
    if primitive.half is not None and arrays[0].itemsize == 2:  # type: ignore[union-attr]
        primitive = primitive.half  # no other dtype than float16 has two bytes, and the size is sooner read
    mode = thread.mode
    edges = edges_of(inputs) if mode.enabled else apart(arrays)  # None: nothing to record, also under no_grad
    if primitive.takes_save:  # it can save time where no backward follows
        static["save"] = edges is not None
    try:
        output, saved = mode.run(primitive.forward, *arrays, **static)  # calls it without NumPy's warnings (modes.py)
    except RuntimeError:
        if in_kernel():  # a kernel called a function of Tensors
            raise inside_a_kernel(primitive) from None
        raise
    except ValueError as error:
        raise shapes_do_not_fit(primitive, arrays, error) from error
    if type(output) is tuple:
        return outputs(primitive, edges, output, saved)  # type: ignore[return-value]
    return wrap(output, None if edges is None else Node(primitive, edges, saved, output.shape))


def edges_of(inputs: Sequence[TensorBase | None]) -> Edges | None:
    """Where the gradients of the inputs go, one by one; None if no input wants one."""
    if rewritten:  # empty until somebody records an in-place write: inputs may need a new node (histories.py)
        refresh(inputs)
    edges: list[Edge | None] = []  # a loop, not an expression: it runs for every call
    wanted = False
    for t in inputs:
        if t is not None and t._requires_grad:
            edges.append(t._node or t)  # t itself is a leaf if no node computed it
            wanted = True
        else:
            edges.append(None)
    return tuple(edges) if wanted else None


def outputs(primitive: Primitive, edges: Edges | None, arrays: tuple[Array, ...], saved: Saved) -> tuple[Any, ...]:
    """Several outputs of one call as Tensors. Each has a node of its own, on top of the node of the call."""
    if edges is None:
        return tuple([wrap(y) for y in arrays])  # nothing to record
    call = Node(primitive, edges, saved, ())  # its gradient is a list, with an entry for each output
    return tuple([wrap(y, Node(OUTPUT, (call,), (i, len(arrays)), y.shape)) for i, y in enumerate(arrays)])


def backward(
    roots: list[tuple[Edge, Array]], *, retain_graph: bool, targets: frozenset[Edge] | None
) -> dict[Edge, Array]:
    """Play the tape backwards from the roots, with their gradients. Add to the .grad of the leaves they come from.

    With targets, no leaf's .grad changes: it returns the gradients of the targets, and plays only what lies between
    them and the roots. With retain_graph the saved arrays stay, so that a second backward can follow.
    """
    nodes = _below([edge for edge, _ in roots], targets)
    gradients = Accumulator(targets, None if targets is None else targets.union(nodes))
    for root, dy in roots:
        gradients.start(root, dy)  # 1 for a loss
    if hooked or targets:  # between the nodes, hooks of leaves and of targets are called
        nodes = with_ends(nodes, gradients)
    for node in reversed(nodes):  # newest first: everything computed from its output was played before
        dy = gradients.take(node)  # complete; None if no gradient reached it
        primitive, inputs, saved = node.primitive, node.inputs, node.saved
        if saved is None:  # another thread has played it in the meantime
            raise a_second_time(primitive)
        if not retain_graph:
            node.inputs, node.saved = (), None  # rule 4: the node forgets them now, `del` below frees them
        if dy is not None:
            # Most backwards take dy and what was saved, and nothing else: out, needs and add_to are for a few.
            pair_backward = gradients.with_options(node, inputs) if primitive.options else primitive.backward
            gradients.hand_on(node, inputs, pair_backward(dy, *(_copies(saved) if retain_graph else saved)))
        del dy, saved  # free this memory before the next backward allocates
    return gradients.finish()


def _copies(saved: Saved) -> Saved:
    """Copies for a backward that may overwrite them (rule 3), while the node keeps what it saved."""
    return tuple([s.copy(order="K") if is_array(s) else s for s in saved])


def _below(roots: list[Edge], targets: frozenset[Edge] | None) -> list[Node]:
    """The nodes to play, oldest first: all that the roots were computed from, or of these only what leads to a target.

    RuntimeError if one of them was played before, or an array that it saved was overwritten.
    """
    stack = [edge for edge in roots if isinstance(edge, Node)]  # to be visited; a root may be a leaf
    seen, leaves = dict.fromkeys(stack), set(roots)
    while stack:  # depth first, each node once, without recursion (rule 5)
        for edge in stack.pop().inputs:
            if edge.__class__ is not Node:
                leaves.add(edge)  # also None, where no gradient is wanted
            elif edge not in seen:
                seen[edge] = None
                stack.append(edge)
    nodes = sorted(seen, key=attrgetter("order"))  # by age, which is a topological order
    # With targets (autograd.grad), keep what leads to one. If no root reaches a target, an earlier backward may have cut
    # the way: then keep all nodes, so that the loop below finds the one that was played, and raises.
    if targets is not None and all(edge in seen or edge in leaves for edge in targets):
        nodes = between(nodes, targets)
    for node in nodes:
        if node.saved is None:  # rule 4
            raise a_second_time(node.primitive)
    check_saved(nodes)  # none was overwritten
    return nodes
