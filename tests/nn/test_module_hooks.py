"""Hooks of modules beside PyTorch's: forward and backward, their order, keywords, errors, and hooks of all modules."""

from __future__ import annotations

import copy
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from both import same  # noqa: E402

import tinytensor as tt  # noqa: E402
from tinytensor.nn import hooks  # noqa: E402

Note = Callable[..., None]
Pair = namedtuple("Pair", "first second")


def module(t: Any, function: Callable[..., Any]) -> Any:
    class Made(t.nn.Module):  # type: ignore[name-defined,misc]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    return Made()


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(list(values), dtype=t.float64, requires_grad=True)


def raising(*_: Any) -> Any:
    raise ValueError("raised")


# --------------------------------------------------------------------------------------------- forward


def order_and_keywords(t: Any, note: Note) -> Any:
    m = module(t, lambda a, k=1: a * k)
    m.register_forward_hook(lambda m, a, o: note("after"))
    m.register_forward_hook(lambda m, a, o: note("first after"), prepend=True)
    m.register_forward_pre_hook(lambda m, a: note("before"))
    m.register_forward_pre_hook(lambda m, a: note("first before"), prepend=True)
    m.register_forward_pre_hook(lambda m, a, k: ((a[0] + 1,), {"k": k["k"] * 2}), with_kwargs=True)
    m.register_forward_hook(lambda m, a, k, o: note(a, k, o), with_kwargs=True)
    m.register_forward_pre_hook(lambda m, a: [a[0] * 2] and a[0] * 3)
    m.register_forward_hook(lambda m, a, o: o - 1)
    return m(t.ones(1), k=3)


def wrong_arguments(t: Any, note: Note) -> Any:
    m = module(t, lambda a, k=1: a)
    m.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True)
    return m(t.ones(1))


def always(t: Any, note: Note) -> Any:
    m = module(t, lambda a: a)
    m.register_forward_hook(lambda m, a, o: note("called once", o), always_call=True)
    m.register_forward_hook(raising)
    m.register_forward_hook(lambda m, a, o: note("not called"))
    m.register_forward_hook(lambda m, a, k, o: note("called late", k, o), always_call=True, with_kwargs=True)
    m.register_forward_hook(raising, always_call=True)
    return m(t.ones(1))


def always_after_a_forward_that_raises(t: Any, note: Note) -> Any:
    m = module(t, raising)
    m.register_forward_hook(lambda m, a, o: note("called", a, o), always_call=True)
    m.register_forward_hook(lambda m, a, o: note("not called"))
    return m(t.ones(1))


def always_after_a_pre_hook_that_raises(t: Any, note: Note) -> Any:
    m = module(t, lambda a: a)
    m.register_forward_pre_hook(raising)
    m.register_forward_hook(lambda m, a, o: note("called", a, o), always_call=True)
    return m(t.ones(1))


def not_always_an_interrupt(t: Any, note: Note) -> Any:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    m = module(t, stop)
    m.register_forward_hook(lambda m, a, o: note("called"), always_call=True)
    try:
        m(t.ones(1))
    except KeyboardInterrupt:
        return "interrupted"


def changes_meanwhile(t: Any, note: Note) -> Any:
    m, handles = module(t, lambda a: a), []
    handles.append(m.register_forward_hook(lambda m, a, o: (note("a"), handles[1].remove())[0]))
    handles.append(m.register_forward_hook(lambda m, a, o: note("b")))
    m.register_forward_pre_hook(lambda m, a: m.register_forward_hook(lambda *_: note("new")) and None)
    m(t.ones(1))
    return m(t.ones(1))


def copies(t: Any, note: Note) -> Any:
    m = module(t, lambda a: a)
    m.handle = m.register_forward_hook(lambda m, a, o: note("called"))
    copied = copy.deepcopy(m)
    copied(t.ones(1))
    copied.handle.remove()
    copied(t.ones(1))
    m(t.ones(1))


def of_all_modules(t: Any, note: Note) -> Any:
    g = t.nn.modules.module
    handles = [
        g.register_module_forward_hook(lambda m, a, o: note("all", type(m).__name__)),
        g.register_module_forward_pre_hook(lambda m, a: note("all before", type(m).__name__)),
        g.register_module_forward_hook(lambda m, a, k, o: o * 2, with_kwargs=True),
        g.register_module_forward_hook(lambda m, a, o: note("always"), always_call=True),
    ]
    m = t.nn.Sequential(t.nn.Tanh(), t.nn.ReLU())
    m[1].register_forward_hook(lambda m, a, o: note("own"))
    y = m(t.ones(1))
    with pytest.raises(ValueError, match="raised"):
        module(t, raising)(t.ones(1))
    for handle in handles:
        handle.remove()
    return y, m(t.ones(1))


# -------------------------------------------------------------------------------------------- backward


def gradients_of_a_module(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    m = module(t, lambda x, n=None: x * x)
    m.register_full_backward_hook(lambda m, gi, go: note("after", gi, go))
    m.register_full_backward_pre_hook(lambda m, go: note("before", go))
    m(x).sum().backward()
    m(x, 3).sum().backward()
    with t.no_grad():
        m(x)
    return x.grad, m(x.detach()).requires_grad


def replaced_gradients(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    m = module(t, lambda x: x * x)
    m.register_full_backward_hook(lambda m, gi, go: (gi[0] * 10,))
    m.register_full_backward_hook(lambda m, gi, go: note("second", gi, go))
    m.register_full_backward_hook(lambda m, gi, go: note("first", gi, go), prepend=True)
    m.register_full_backward_pre_hook(lambda m, go: (go[0] * 3,))
    m.register_full_backward_pre_hook(lambda m, go: note("first", go), prepend=True)
    m(x).sum().backward(retain_graph=True)
    return x.grad


def no_input_wants_a_gradient(t: Any, note: Note) -> Any:
    w = leaf(t, 3, 4)
    m = module(t, lambda x, y: x * w)
    m.register_full_backward_hook(lambda m, gi, go: note(gi, go))
    m.register_full_backward_hook(lambda m, gi, go: (None, None))
    m(t.ones(2), 5).sum().backward()
    m.register_full_backward_hook(lambda m, gi, go: (go[0], None))
    m(t.ones(2), 5).sum().backward()


def several_inputs_and_outputs(t: Any, note: Note) -> Any:
    a, b = leaf(t, 1, 2), leaf(t, 3, 4)
    m = module(t, lambda a, b, c: (a * b, c, a + 1))
    m.register_full_backward_hook(lambda m, gi, go: note(gi, go))
    for b_, c, which in ((b, "text", (0,)), (b.detach(), None, (0, 2)), (b, t.tensor([1, 2]), (2,))):
        outputs = m(a, b_, c)
        note(len(outputs), outputs[1])
        sum(outputs[i] for i in which).sum().backward()
    return a.grad, b.grad


def an_unused_input(t: Any, note: Note) -> Any:
    a, b = leaf(t, 1, 2), leaf(t, 3, 4)
    m = module(t, lambda a, b: a * 2)
    m.register_full_backward_hook(lambda m, gi, go: note(gi, go))
    m(a, b).sum().backward()
    return a.grad


def a_named_tuple(t: Any, note: Note) -> Any:
    a = leaf(t, 1, 2)
    m = module(t, lambda a: Pair(a * 2, a * 3))
    m.register_full_backward_hook(lambda m, gi, go: note(gi, go))
    pair = m(a)
    note(type(pair).__name__)
    (pair.first * pair.second).sum().backward()
    return a.grad


def a_dictionary_is_not_watched(t: Any, note: Note) -> Any:
    a = leaf(t, 1, 2)
    m = module(t, lambda a: {"y": a * 2})
    m.register_full_backward_hook(lambda m, gi, go: note(gi, go))
    m(a)["y"].sum().backward()
    return a.grad


def nested(t: Any, note: Note) -> Any:
    m = t.nn.Sequential(t.nn.Tanh(), t.nn.Sequential(t.nn.Sigmoid()))
    for name, part in m.named_modules():
        part.register_full_backward_hook(lambda m, gi, go, name=name: note("after", name, gi, go))
        part.register_full_backward_pre_hook(lambda m, go, name=name: note("before", name, go))
    x = leaf(t, 1, 2)
    x.register_hook(lambda g: note("leaf", g))
    m(x).sum().backward()


def a_module_called_twice(t: Any, note: Note) -> Any:
    x = leaf(t, 1, 2)
    m = module(t, lambda x: x * x)
    m.register_full_backward_hook(lambda m, gi, go: note(gi, go))
    m(m(x)).sum().backward()
    return x.grad


def backward_hooks_of_all_modules(t: Any, note: Note) -> Any:
    g = t.nn.modules.module
    handles = [
        g.register_module_full_backward_hook(lambda m, gi, go: note("all", type(m).__name__, gi, go)),
        g.register_module_full_backward_pre_hook(lambda m, go: note("before", type(m).__name__)),
    ]
    m = t.nn.Sequential(t.nn.Tanh(), t.nn.Sigmoid())
    m[0].register_full_backward_hook(lambda m, gi, go: note("own"))
    m(leaf(t, 1)).sum().backward()
    for handle in handles:
        handle.remove()
    m(leaf(t, 1)).sum().backward()


PROGRAMS = [
    order_and_keywords, wrong_arguments, always, always_after_a_forward_that_raises, always_after_a_pre_hook_that_raises,
    not_always_an_interrupt, changes_meanwhile, copies, of_all_modules, gradients_of_a_module, replaced_gradients,
    no_input_wants_a_gradient, several_inputs_and_outputs, an_unused_input, a_named_tuple, a_dictionary_is_not_watched,
    nested, a_module_called_twice, backward_hooks_of_all_modules,
]  # fmt: skip
END_IN_AN_ERROR = {
    "wrong_arguments", "always", "always_after_a_forward_that_raises", "always_after_a_pre_hook_that_raises",
    "no_input_wants_a_gradient",
}  # fmt: skip


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_hooks_of_modules_do_what_pytorchs_do(program: Any) -> None:
    notes = same(program)
    ended = next(n for n in reversed(notes) if not n[0].endswith("Warning"))
    assert (ended[0] != "returned") == (program.__name__ in END_IN_AN_ERROR)


RETURNED: dict[str, Callable[[Any], Any]] = {
    "none": lambda gs: (),
    "more": lambda gs: (*gs, *gs),
    "a Tensor": lambda gs: gs[0],
    "a list": lambda gs: [gs[0] * 2],
    "a number in it": lambda gs: (1,),
    "fewer elements": lambda gs: (gs[0][:1],),
}


@pytest.mark.parametrize("what", RETURNED)
@pytest.mark.parametrize("kind", ["hook", "pre_hook"])
def test_what_a_backward_hook_may_return(kind: str, what: str) -> None:
    def program(t: Any, note: Note) -> Any:
        x = leaf(t, 1, 2)
        m = module(t, lambda x: x * x)

        def hook(module: Any, grads: Any, *_: Any) -> Any:
            return RETURNED[what](grads)

        getattr(m, f"register_full_backward_{kind}")(hook)
        m(x).sum().backward()
        return x.grad

    same(program)


@pytest.mark.parametrize("t", [tt, torch], ids=["ours", "theirs"])
def test_a_number_is_no_tuple_of_gradients(t: Any) -> None:
    m = module(t, lambda x: x * x)
    m.register_full_backward_hook(lambda m, gi, go: 1)
    with pytest.raises(TypeError, match=r"int"):
        m(leaf(t, 1)).sum().backward()


def test_another_dtype_names_the_hook() -> None:
    def single(m: Any, gi: Any, go: Any) -> Any:
        return (gi[0].float(),)

    m = module(tt, lambda x: x * x)
    m.register_full_backward_hook(single)
    with pytest.raises(RuntimeError, match="hook 'single' has changed the type of value"):
        m(leaf(tt, 1)).sum().backward()


@pytest.mark.parametrize("t", [tt, torch], ids=["ours", "theirs"])
def test_what_goes_through_a_hooked_module_may_not_be_overwritten(t: Any) -> None:
    """Neither the input in the module nor its output outside: it is a view of what others use."""
    x = leaf(t, 1, 2)
    inside, outside = module(t, lambda x: x.mul_(2)), module(t, lambda x: x * 2)
    for m in (inside, outside):
        m.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(RuntimeError, match="view"):
        inside(x * 1)
    with pytest.raises(RuntimeError, match="view"):
        outside(x).mul_(2)
    assert x.tolist() == [1, 2]


def test_modules_without_hooks_have_none() -> None:
    """So that a call need not look: neither after hooks were removed, nor after those of all modules were."""
    m = tt.nn.Tanh()
    assert m._hooks is None and not hooks.everywhere
    m.register_forward_hook(print).remove()
    hooks.register_module_forward_hook(print).remove()
    assert not m._hooks and not hooks.everywhere
    assert not hooks.has_hooks([m])


@pytest.mark.parametrize(
    "name", ["register_backward_hook", "register_state_dict_pre_hook", "register_load_state_dict_post_hook"]
)
def test_other_hooks_are_outside_of_the_subset(name: str) -> None:
    assert hasattr(torch.nn.Module, name)
    with pytest.raises(AttributeError, match=f"{name}.*subset.*; (use|change)"):
        getattr(tt.nn.Tanh(), name)


def test_hooks_may_be_added_while_another_thread_lists_them() -> None:
    """A hook whose kind is asked for adds another one at that moment, as a second thread may."""
    layer = tt.nn.Linear(2, 2)

    class Interrupted(hooks.Hook):
        @property
        def kind(self) -> str:  # type: ignore[override]
            layer.register_forward_hook(lambda *_: None)
            return "forward"

        @kind.setter
        def kind(self, _: str) -> None: ...

    hooks.hooks_of(layer)[-1] = Interrupted("forward", lambda *_: tt.zeros(1))
    assert layer(tt.ones(2)).tolist() == [0]
