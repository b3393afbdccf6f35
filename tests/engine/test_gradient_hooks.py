"""Hooks on gradients beside PyTorch's: what they receive, in which order, what they may return, errors, removal."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

torch = pytest.importorskip("torch")

from both import noted, same  # noqa: E402

import tinytensor as tt  # noqa: E402
from tinytensor import grad_hooks  # noqa: E402
from tinytensor.nn.flat import Flat  # noqa: E402
from tinytensor.utils.hooks import RemovableHandle  # noqa: E402

Note = Callable[..., None]


def leaf(t: Any, *values: float, dtype: str = "float64") -> Any:
    return t.tensor(list(values), dtype=getattr(t, dtype), requires_grad=True)


def noting(note: Note, name: str, new: Any = None) -> Callable[..., Any]:
    """A hook that notes what it receives, and returns new(…)."""

    def hook(*args: Any) -> Any:
        note(name, *args)
        return None if new is None else new(*args)

    return hook


# --------------------------------------------------------------------------------- values and order


def results_and_leaves(t: Any, note: Note) -> Any:
    x, w = leaf(t, 1, 2), leaf(t, 3, 4)
    y = x * w
    for i in range(3):
        y.register_hook(noting(note, f"y{i}", lambda g, i=i: None if i == 1 else g * (i + 2)))
        w.register_hook(noting(note, f"w{i}", lambda g, i=i: g + 1 if i else None))
    y.retain_grad()
    y.register_hook(noting(note, "after retain", lambda g: g * 10))
    (y * w).sum().backward()
    return x.grad, w.grad, y.grad


def used_twice(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * x
    x.register_hook(noting(note, "x"))
    y.register_hook(noting(note, "y", lambda g: g * 2))
    (y * y + y + x).sum().backward()
    return x.grad


def retain_graph_twice(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * t.tensor([3.0, 3.0], dtype=t.float64)
    y.retain_grad()
    y.register_hook(noting(note, "y", lambda g: g * 2))
    x.register_hook(noting(note, "x"))
    y.grad_fn.register_hook(noting(note, "node", lambda gi, go: (gi[0] * 5, None)))
    z = (y * y).sum()
    z.backward(retain_graph=True)
    z.backward()
    return x.grad, y.grad


def outputs_of_one_call(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2, 3)
    a, b, c = x.split(1)
    b.register_hook(noting(note, "b", lambda g: None if g is None else g * 7))
    a.register_hook(noting(note, "a", lambda g: None if g is None else g * 2))
    a.grad_fn.register_prehook(noting(note, "pre", lambda gs: (gs[0], None, gs[2])))
    c.grad_fn.register_hook(noting(note, "post", lambda gi, go: (gi[0] + 1,)))
    b.retain_grad()
    (a * b).sum().backward(retain_graph=True)
    first = x.grad, b.grad
    (c * 2).sum().backward(retain_graph=True)
    return first, x.grad, t.autograd.grad((a + b).sum(), [x, a, b])


def prehooks_and_hooks_of_nodes(t: Any, note: Note) -> Any:
    x, w = leaf(t, 1, 2), leaf(t, 3, 4)
    y = x * w
    node = y.grad_fn
    node.register_prehook(noting(note, "pre", lambda gs: (gs[0] * 10,)))
    node.register_prehook(noting(note, "pre again"))
    y.register_hook(noting(note, "tensor", lambda g: g + 1))
    node.register_hook(noting(note, "post", lambda gi, go: (gi[1], None)))
    node.register_hook(noting(note, "post again"))
    node.metadata["mine"] = 3
    y.sum().backward()
    return x.grad, w.grad, y.grad_fn.metadata, (x * w).grad_fn.metadata


def constants_take_no_part(t: Any, note: Note) -> Any:
    x, c = leaf(t, 1, 2), t.tensor([3.0, 4.0], dtype=t.float64)
    y = x * c
    y.grad_fn.register_hook(noting(note, "post"))
    y.sum().backward()
    return x.grad


def ends_of_the_graph(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * x
    end = y.grad_fn.next_functions[0][0]
    end.register_prehook(noting(note, "pre", lambda gs: (gs[0] * 2,)))
    end.register_hook(lambda gi, go: note("post", gi, go, x.grad))
    x.register_hook(noting(note, "tensor", lambda g: g * 3))
    x.register_post_accumulate_grad_hook(lambda p: note("accumulated", p is x, p.grad))
    y.sum().backward()
    (x * x).sum().backward()
    return x.grad


def optimizer_in_backward(t: Any, note: Note) -> Any:
    weights = [leaf(t, 1, 2), leaf(t, 3, 4)]

    def step(p: Any) -> None:
        with t.no_grad():
            p -= 0.1 * p.grad
        p.grad = None

    for w in weights:
        w.register_post_accumulate_grad_hook(step)
    for _ in range(3):
        (weights[0] * weights[1]).sum().backward()
    return [w.detach() for w in weights], [w.grad for w in weights]


def without_recording(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    x.register_hook(lambda g: note(t.is_grad_enabled(), g.requires_grad, (g * x).requires_grad))
    (x * 2).sum().backward()
    return t.is_grad_enabled()


def stopping(t: Any) -> Any:
    """An operation through which no gradient comes back."""

    class Stop(t.autograd.Function):  # type: ignore[name-defined,misc]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x * 1

        @staticmethod
        def backward(ctx: Any, dy: Any) -> None:
            return None

    return Stop


def nothing_comes(t: Any, note: Note) -> Any:
    Stops = stopping(t)
    x, w = leaf(t, 1, 2), leaf(t, 3, 4)
    y = x * w
    y.register_hook(noting(note, "y"))
    y.grad_fn.register_prehook(noting(note, "pre"))
    y.grad_fn.register_hook(noting(note, "post"))
    x.register_hook(noting(note, "x"))
    w.register_post_accumulate_grad_hook(lambda p: note("w", p.grad))
    Stops.apply(y).sum().backward()
    return x.grad, w.grad


def order_of_leaves(t: Any, note: Note) -> Any:
    x, w, b = leaf(t, 1, 2), leaf(t, 3, 4), leaf(t, 5, 6)
    h = x * w
    u = h + b
    v = u * w
    for name, value in {"x": x, "w": w, "b": b, "h": h, "u": u, "v": v}.items():
        value.register_hook(noting(note, name))
    v.sum().backward()
    return x.grad, w.grad, b.grad


def roots(t: Any, note: Note) -> Any:
    x = leaf(t, 1)
    y = x * 2
    x.register_hook(noting(note, "x", lambda g: g * 2))
    y.register_hook(noting(note, "y"))
    x.backward()
    t.autograd.backward([y, y])
    return x.grad


def half_precision(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2, dtype="float16")
    y = (x * x).tanh()
    y.register_hook(noting(note, "y", lambda g: g * 3))
    x.register_hook(noting(note, "x", lambda g: g * 2))
    y.sum().backward()
    return x.grad


def tied_parameters(t: Any, note: Note) -> Any:
    first, second = t.nn.Linear(2, 2, bias=False), t.nn.Linear(2, 2, bias=False)
    second.weight = first.weight
    with t.no_grad():
        first.weight.copy_(t.tensor([[1.0, 2.0], [3.0, 4.0]]))
    first.weight.register_hook(noting(note, "weight", lambda g: g / 2))
    second(first(t.ones(1, 2))).sum().backward()
    return second.weight.grad


def in_place_after_the_hook(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * 2
    y.register_hook(noting(note, "old", lambda g: g * 10))
    y.grad_fn.register_hook(lambda gi, go: note("old node", go))
    y.retain_grad()
    y.mul_(3)
    y.register_hook(noting(note, "new"))
    y.sum().backward()
    return y.grad, x.grad, y.retains_grad, x.retains_grad


def a_view_that_retains(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * 2
    v = y[0]
    v.retain_grad()
    y.mul_(3)
    (v * 5).backward()
    return v.grad, x.grad, v.retains_grad


def a_hook_that_writes(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * 2
    y.register_hook(lambda g: note("wrote", g.mul_(10)))
    (y * y).sum().backward()
    return x.grad


def removal(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * 2
    handles = [v.register_hook(noting(note, name)) for v, name in ((x, "x0"), (x, "x1"), (y, "y0"), (y, "y1"))]
    handles[1].remove()
    handles[1].remove()
    y.sum().backward(retain_graph=True)
    with handles[0], handles[3]:
        pass
    y.sum().backward(retain_graph=True)
    accumulated = x.register_post_accumulate_grad_hook(lambda p: note("accumulated"))
    node = y.grad_fn.register_hook(lambda *_: note("node")), y.grad_fn.register_prehook(lambda *_: note("pre"))
    y.sum().backward(retain_graph=True)
    for handle in (accumulated, *node):
        handle.remove()
    y.sum().backward(retain_graph=True)
    return x.grad, len({h.id for h in handles}), handles[0].id < handles[1].id


def changes_while_hooks_run(t: Any, note: Note) -> Any:
    x = leaf(t, 1)
    handles: list[Any] = []

    def first(g: Any) -> None:
        note("first")
        handles[1].remove()
        x.register_hook(lambda g: note("added"))

    handles += [x.register_hook(first), x.register_hook(lambda g: note("removed meanwhile"))]
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    return x.grad


def with_targets(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    y = x * 2
    z = y * y
    x.register_hook(noting(note, "x", lambda g: g * 3))
    x.register_post_accumulate_grad_hook(lambda p: note("never"))
    y.register_hook(noting(note, "y", lambda g: g * 10))
    y.grad_fn.register_prehook(noting(note, "pre", lambda gs: (gs[0] * 7,)))
    y.retain_grad()
    found = []
    for wanted in ([x], [y], [x, y], [z], [z, y], [z, x]):
        found.append(t.autograd.grad(z.sum(), wanted, retain_graph=True) if wanted[0] is not z else
                     t.autograd.grad([z], wanted, [t.ones_like(z)], retain_graph=True))  # fmt: skip
        found.append(y.grad)
    return found, x.grad


def backward_inside_a_hook(t: Any, note: Note) -> Any:
    x, w = leaf(t, 1, 2), leaf(t, 3, 4)

    def inner(g: Any) -> None:
        with t.enable_grad():
            (w * g).sum().backward()

    y = x * 2
    y.register_hook(inner)
    y.sum().backward()
    return x.grad, w.grad


def a_function_of_ones_own(t: Any, note: Note) -> Any:
    class Two(t.autograd.Function):  # type: ignore[name-defined,misc]
        @staticmethod
        def forward(ctx: Any, x: Any, w: Any) -> Any:
            ctx.save_for_backward(x, w)
            return x * w, x + w

        @staticmethod
        def backward(ctx: Any, da: Any, db: Any) -> Any:
            x, w = ctx.saved_tensors
            return da * w + db, da * x + db

    x, w = leaf(t, 1, 2), leaf(t, 3, 4)
    a, b = Two.apply(x, w)
    a.grad_fn.register_prehook(noting(note, "pre"))
    b.grad_fn.register_hook(noting(note, "post", lambda gi, go: (gi[0] * 2, None)))
    a.register_hook(noting(note, "a", lambda g: g * 5))
    b.register_hook(noting(note, "b"))
    a.sum().backward()
    return x.grad, w.grad


PROGRAMS = [
    results_and_leaves, used_twice, retain_graph_twice, outputs_of_one_call, prehooks_and_hooks_of_nodes,
    constants_take_no_part, ends_of_the_graph, optimizer_in_backward, without_recording, nothing_comes,
    order_of_leaves, roots, half_precision, tied_parameters, in_place_after_the_hook, a_view_that_retains,
    a_hook_that_writes, removal, changes_while_hooks_run, with_targets, backward_inside_a_hook,
    a_function_of_ones_own,
]  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_hooks_see_and_do_what_pytorchs_do(program: Any) -> None:
    notes = same(program)
    assert notes[-1][0] == "returned"


# --------------------------------------------------------------------------------------------- errors

RETURNED: dict[str, Callable[[Any, Any], Any]] = {
    "a number": lambda t, g: 1,
    "false": lambda t, g: False,
    "another dtype": lambda t, g: g.float(),
    "fewer": lambda t, g: g[:1],
    "one that would broadcast": lambda t, g: g.sum(),
    "a tuple": lambda t, g: (g,),
    "a raise": lambda t, g: [][1],
}


@pytest.mark.parametrize("what", RETURNED)
@pytest.mark.parametrize("where", ["leaf", "result", "accumulated"])
def test_what_a_hook_of_a_tensor_may_not_return(where: str, what: str) -> None:
    def program(t: Any, note: Note) -> None:
        x, w = leaf(t, 1, 2), leaf(t, 3, 4)
        y = x * w
        if where == "accumulated":
            x.register_post_accumulate_grad_hook(lambda p: RETURNED[what](t, p.grad))
        else:
            {"leaf": x, "result": y}[where].register_hook(lambda g: RETURNED[what](t, g))
        y.sum().backward()

    assert where == "accumulated" or same(program)[-1][0].endswith("Error")
    same(program)


TUPLES: dict[str, Callable[[Any], Any]] = {
    "a number": lambda gs: 1,
    "a Tensor": lambda gs: gs[0],
    "a list": lambda gs: list(gs),
    "none": lambda gs: (),
    "more": lambda gs: (*gs, None),
    "another dtype": lambda gs: (gs[0].float(), *gs[1:]),
    "fewer": lambda gs: (gs[0][:1], *gs[1:]),
    "a number in it": lambda gs: (1, *gs[1:]),
    "None in it": lambda gs: (None, *gs[1:]),
    "all None": lambda gs: (None,) * len(gs),
}


@pytest.mark.parametrize("what", TUPLES)
@pytest.mark.parametrize("kind", ["register_hook", "register_prehook"])
@pytest.mark.parametrize("where", ["node", "leaf"])
def test_what_a_hook_of_a_node_may_not_return(where: str, kind: str, what: str) -> None:
    def program(t: Any, note: Note) -> Any:
        x, w = leaf(t, 1, 2), leaf(t, 3, 4)
        y = x * w
        node = y.grad_fn if where == "node" else y.grad_fn.next_functions[0][0]
        if kind == "register_hook" and where == "leaf":
            node.register_hook(lambda gi, go: (1,) if what == "more" else 1 if what == "a number" else ())
        else:
            getattr(node, kind)(lambda gs, *_: TUPLES[what](gs))
        y.sum().backward()
        return x.grad, w.grad

    same(program)


REFUSED = {
    "hook of a constant": lambda t: t.ones(1).register_hook(print),
    "accumulated of a constant": lambda t: t.ones(1).register_post_accumulate_grad_hook(print),
    "accumulated of a result": lambda t: (leaf(t, 1) * 2).register_post_accumulate_grad_hook(print),
    "hook of an integer": lambda t: t.tensor([1]).register_hook(print),
    "no function": lambda t: leaf(t, 1).register_hook(3) and None,
    "replaced None": lambda t: replaced_none(t),
}


def replaced_none(t: Any) -> None:
    x, c = leaf(t, 1), t.ones(1, dtype=t.float64)
    y = x * c
    y.grad_fn.register_hook(lambda gi, go: (gi[0], gi[0]))
    y.sum().backward()


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_pytorchs(name: str) -> None:
    same(lambda t, note: REFUSED[name](t))


@pytest.mark.parametrize("where", ["first", "second", "result", "node", "prehook", "end"])
def test_an_exception_in_a_hook_leaves_no_grad_half_filled(where: str) -> None:
    """Neither leaf has a gradient then; those that were there stay as they were. A hook after accumulation finds all."""
    a, b = leaf(tt, 1, 2), leaf(tt, 3, 4)
    y = a * b

    def boom(*_: Any) -> None:
        raise ValueError("boom")

    node = y.grad_fn
    assert node is not None
    register = {
        "first": a.register_hook, "second": b.register_hook, "result": y.register_hook, "node": node.register_hook,
        "prehook": node.register_prehook, "end": node.next_functions[1][0].register_prehook,
    }[where]  # fmt: skip
    handle = register(boom)
    (a + b).sum().backward() if where in ("result", "node", "prehook") else None
    before = a.grad, b.grad
    with pytest.raises(ValueError, match="boom"):
        y.sum().backward(retain_graph=True)
    assert (a.grad, b.grad) == before
    assert before[0] is None or a.grad.tolist() == b.grad.tolist() == [1, 1]
    handle.remove()
    y.sum().backward()
    assert (a.grad - (0 if before[0] is None else 1)).tolist() == [3, 4]


def test_a_backward_that_plays_another_graph_with_hooks() -> None:
    """Which gradients of a node are wanted stays known, while its backward plays nodes with hooks of their own."""

    class Nested(tt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, y: Any, constant: Any) -> Any:
            return x * 2 + y + constant

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            with tt.enable_grad():
                z = leaf(tt, 1, 1)
                inner = z * z
                inner.grad_fn.register_hook(lambda *_: None)
                (g,) = tt.autograd.grad(inner.sum(), z)
            return dy * g, dy, dy

    x, seen = leaf(tt, 1, 2), []
    y = Nested.apply(x, x * 1, tt.ones(2))
    y.grad_fn.register_hook(lambda grads, _: seen.append([None if g is None else g.tolist() for g in grads]))
    y.sum().backward()
    assert seen == [[[2, 2], [1, 1], None]] and x.grad.tolist() == [3, 3]


def test_after_accumulation_all_leaves_have_their_grad() -> None:
    a, b = leaf(tt, 1, 2), leaf(tt, 3, 4)
    seen: list[Any] = []

    def boom(p: Any) -> None:
        seen.append((a.grad.tolist(), b.grad.tolist()))
        raise ValueError("boom")

    for p in (a, b):
        p.register_post_accumulate_grad_hook(boom)
    with pytest.raises(ValueError, match="boom"):
        (a * b).sum().backward()
    assert seen == [([3, 4], [1, 2])]
    assert (a.grad.tolist(), b.grad.tolist()) == ([3, 4], [1, 2])


# ------------------------------------------------------------------------------- who owns a gradient


def test_what_a_hook_keeps_never_changes() -> None:
    """Neither what it received nor what it returned; and writing to it later changes no other gradient."""
    x = leaf(tt, 1, 2)
    y = x * 3
    node = y.grad_fn
    assert node is not None
    kept: list[Any] = []

    def keep(*gs: Any) -> Any:
        for g in gs:
            kept.extend(v for v in (g if isinstance(g, tuple) else (g,)) if v is not None)
        return None

    def new(g: Any) -> Any:
        kept.append(g * 2)
        return kept[-1]

    for register in (x.register_hook, y.register_hook, node.register_hook, node.register_prehook):
        register(keep)
    x.register_hook(new)
    y.retain_grad()
    for _ in range(2):
        (y + y + y + x).sum().backward(retain_graph=True)
        y.sum().backward(retain_graph=True)
    values = [k.tolist() for k in kept]
    (y + y + y + x).sum().backward()
    assert [k.tolist() for k in kept[: len(values)]] == values
    after = x.grad.tolist(), y.grad.tolist()
    for k in kept:
        k.array[...] = 100
    assert (x.grad.tolist(), y.grad.tolist()) == after


def test_parameters_of_a_flat() -> None:
    """The backward writes into the buffer; a hook sees a copy, and what it returns lies in the buffer afterwards."""

    def grads(flat: bool) -> tuple[list[Any], Any]:
        tt.manual_seed(0)
        layers = [tt.nn.Linear(3, 3), tt.nn.LayerNorm(3), tt.nn.Linear(3, 2)]
        ps = [p for layer in layers for p in layer.parameters()]
        buffer = Flat(ps) if flat else None
        kept: list[Any] = []
        for i, p in enumerate(ps):
            p.register_hook(lambda g, i=i: (kept.append(g), g * (i + 1) if i % 2 else None)[1])  # type: ignore[func-returns-value]
        for _ in range(2):
            y = tt.ones(2, 3)
            for layer in layers:
                y = layer(y)
            (y * y).sum().backward()
        if buffer is not None:
            assert buffer.complete()
            assert np.array_equal(buffer.grad, np.concatenate([p.grad.array.ravel() for p in ps]))
            assert not any(np.shares_memory(k.array, buffer.grad) for k in kept)
        return [p.grad.array.copy() for p in ps], [k.tolist() for k in kept]

    ours, flat = grads(False), grads(True)
    assert all(np.array_equal(a, b) for a, b in zip(ours[0], flat[0], strict=True))
    assert ours[1] == flat[1]


def test_hooks_keep_nothing_alive_and_leave_nothing_behind() -> None:
    x = leaf(tt, 1, 2)
    handle = x.register_hook(lambda g: None)
    x.register_hook(lambda g, x=x: g * x.sum())  # it knows its leaf, and PyTorch's are freed as well
    key, reference = id(x), weakref.ref(x)
    assert key in grad_hooks.hooked
    del x
    gc.collect()
    assert reference() is None and key not in grad_hooks.hooked
    handle.remove()  # of hooks that are gone: nothing happens
    y = leaf(tt, 1)
    handle = y.register_hook(lambda g: None)
    handle.remove()
    (y * 2).sum().backward()
    assert id(y) not in grad_hooks.hooked  # so that the next backward need not look


def test_a_result_is_freed_though_it_retains_its_gradient_and_has_hooks() -> None:
    x = leaf(tt, 1)
    y = x * 2
    y.retain_grad()
    y.register_hook(lambda g: g * 2)
    z = y + 1
    reference = weakref.ref(y)
    del y
    assert reference() is None
    z.sum().backward()
    assert x.grad.item() == 4


def test_saved_arrays_are_dropped_as_before() -> None:
    """A hook of a node adds no reference to what the forward saved, nor to the nodes below."""
    x = leaf(tt, 1)
    y = x.exp()
    z = y * y
    assert z.grad_fn is not None
    z.grad_fn.register_hook(lambda gi, go: None)
    below = weakref.ref(y.grad_fn)
    z.sum().backward()
    assert z.grad_fn.saved is None
    del y
    assert below() is None


def test_a_copy_of_a_leaf_has_no_hooks() -> None:
    def program(t: Any, note: Note) -> None:
        for x in (leaf(t, 1), t.nn.Parameter(t.ones(1))):
            x.register_hook(noting(note, "x"))
            (copy.deepcopy(x) * 2).sum().backward()

    same(program)


def test_handles() -> None:
    """Of PyTorch's class: several dictionaries, copies that belong to copied dictionaries, pickling."""

    def program(t: Any, note: Note) -> Any:
        import importlib

        kind = RemovableHandle if t is tt else importlib.import_module("torch.utils.hooks").RemovableHandle
        hooks, extra, more = OrderedDict(), OrderedDict(), OrderedDict()  # type: ignore[var-annotated]
        handle, other = kind(hooks, extra_dict=extra), kind(hooks, extra_dict=[extra, more])
        for d in (hooks, extra, more):
            d[handle.id] = d[other.id] = 1
        copied, copied_hooks = copy.deepcopy((handle, hooks))
        copied.remove()
        note(len(copied_hooks), len(hooks))
        handle.remove()
        note(len(hooks), len(extra), len(more))
        other.remove()
        note(len(hooks), len(extra), len(more))
        alone = pickle.loads(pickle.dumps(kind(hooks)))
        alone.remove()
        del hooks
        handle.remove()
        return None

    same(program)


# ----------------------------------------------------------------------------------- random programs

KINDS = ("look", "double", "negate", "zero")
NEW: dict[str, Callable[[Any], Any]] = {
    "look": lambda g: None,
    "double": lambda g: None if g is None else g * 2,
    "negate": lambda g: None if g is None else -g,
    "zero": lambda g: None if g is None else g * 0,
}


@st.composite
def programs(draw: Any) -> dict[str, Any]:
    """Leaves, operations on values by their number, hooks on some of them, and how backward is called."""
    number = draw(st.integers(1, 3))
    steps: list[tuple[str, int, int]] = []
    hooks: list[tuple[int, str, int, str]] = []  # after which step, what, on which value, kind
    count, split = number, set()
    for step in range(draw(st.integers(1, 7))):
        op = draw(st.sampled_from(("mul", "add", "tanh", "mul", "split", "stop", "mul_", "matmul")))
        a, b = draw(st.integers(0, count - 1)), draw(st.integers(0, count - 1))
        if op == "mul_" and (a < number or a in split):
            op = "mul"
        if op == "split":
            split |= {a, count, count + 1}
            count += 1
        steps.append((op, a, b))
        count += op != "mul_"
        for _ in range(draw(st.integers(0, 2))):
            what = draw(st.sampled_from(("tensor", "tensor", "retain", "pre", "post", "accumulated", "remove")))
            hooks.append((step, what, draw(st.integers(0, count - 1)), draw(st.sampled_from(KINDS))))
    roots = draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3, unique=True))
    targets = draw(st.lists(st.sampled_from(sorted(set(range(count)) - split) or [0]), max_size=3, unique=True))
    return {
        "number": number, "steps": steps, "hooks": hooks, "roots": roots, "count": count,
        "targets": targets, "twice": draw(st.booleans()),
    }  # fmt: skip


def played(plan: dict[str, Any]) -> Callable[[Any, Note], Any]:
    def program(t: Any, note: Note) -> Any:
        Stop = stopping(t)
        values = [leaf(t, 0.5 + i, -0.25, 1, 2).reshape(2, 2).detach().requires_grad_() for i in range(plan["number"])]
        named: dict[int, str] = {}
        late: list[Any] = []  # hooks after accumulation run at the end here, and in PyTorch between others
        handles: list[Any] = []
        for i, (op, a, b) in enumerate(plan["steps"]):
            x, y = values[a], values[b]
            if op == "split":
                values += x.split(1) if x.shape[0] == 2 else [x * x, x * x]
            elif op == "mul_":
                x.mul_(y) if y.shape == x.shape else x.mul_(2)
            elif op == "stop":
                values.append(Stop.apply(x))
            elif op == "tanh":
                values.append(x.tanh())
            else:
                fits = op != "matmul" or x.shape[1] == y.shape[0]
                values.append(x + y if op == "add" else x.matmul(y) if op == "matmul" and fits else x * y)
            for step, what, v, kind in plan["hooks"]:
                if step == i:
                    handles.append(hooked(t, what, values[v], kind, f"{len(handles)} {what} {v}", handles, note, late))
        named.update()
        given = [values[r].sum() for r in (range(plan["count"]) if plan["targets"] else plan["roots"])]
        for last in (False, True)[not plan["twice"] :]:
            if plan["targets"]:
                wanted = [values[v] for v in plan["targets"]]
                note("grads", t.autograd.grad(given, wanted, retain_graph=not last, allow_unused=True))
            else:
                t.autograd.backward(given, retain_graph=not last)
            note("late", late)
            late.clear()
        return [v.grad for v in values if v.is_leaf or v.retains_grad]

    return program


def hooked(t: Any, what: str, x: Any, kind: str, name: str, handles: list[Any], note: Note, late: list[Any]) -> Any:
    """Register one hook, or remove one; returns its handle."""

    def tuples(gs: Any, *more: Any) -> Any:
        note(name, gs, *more)
        return tuple(NEW[kind](g) for g in gs) if kind != "look" else None

    if what == "remove":
        for handle in handles[-1:]:
            if handle is not None:
                handle.remove()
        return None
    if what == "retain":
        return x.retain_grad()
    if what == "tensor" or (x.is_leaf and what != "accumulated"):
        return x.register_hook(noting(note, name, NEW[kind]))
    if what == "accumulated":
        return x.register_post_accumulate_grad_hook(lambda p: late.append((name, p.grad))) if x.is_leaf else None
    return (x.grad_fn.register_prehook if what == "pre" else x.grad_fn.register_hook)(tuples)


@cases(300)
@given(programs())
def test_random_programs_with_hooks(plan: dict[str, Any]) -> None:
    ours, theirs = noted(tt, played(plan)), noted(torch, played(plan))
    if ours[-1][0] == "RuntimeError":  # an array was overwritten, which is noticed before any hook runs
        assert theirs[-1][0] == "RuntimeError"
    else:
        assert ours == theirs


def test_random_programs_reach_what_they_are_for() -> None:
    """Of the generated programs most end without an error, and hooks of each kind are called."""
    seen: list[list[Any]] = []

    @cases(150)
    @given(programs())
    def collect(plan: dict[str, Any]) -> None:
        seen.append(noted(tt, played(plan)))

    collect()
    assert sum(notes[-1][0] == "returned" for notes in seen) > len(seen) / 2
    called = {note[0].split()[1] for notes in seen for note in notes if note[0][:1].isdigit()}
    assert called == {"tensor", "pre", "post"}
