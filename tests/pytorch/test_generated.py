"""Every public function against PyTorch over generated calls: values, shapes, dtypes, views, gradients and errors.

tests/pytorch/calls.py says what to call; here it is called twice, and what comes back is compared. A public name without a row
there fails. `--hypothesis-profile=thorough` draws ten times the cases.
"""

from __future__ import annotations

import copy
import inspect
import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from calls import ROWS, Array, Call, Name, Row, strategy
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt

torch = pytest.importorskip("torch")

SETTINGS = ["compile", "get_default_dtype", "set_default_dtype", "set_default_device", "set_float32_matmul_precision"]
SETTINGS += ["get_float32_matmul_precision", "get_num_threads", "set_num_threads", "set_printoptions"]

# Public names that have no row, and why.
EXEMPT = {
    **dict.fromkeys(
        ["torch.Tensor", "torch.dtype", "torch.device", "torch.Generator"], "types: test_tensor, test_random"
    ),
    **dict.fromkeys(["torch.layout", "torch.memory_format"], "types: test_arguments"),
    **dict.fromkeys(["torch.save", "torch.load"], "test_serialization"),
    **dict.fromkeys(["torch.manual_seed", "torch.initial_seed"], "test_random"),
    **dict.fromkeys(["torch.no_grad", "torch.enable_grad", "torch.inference_mode"], "test_tape"),
    **dict.fromkeys(["torch.set_grad_enabled", "torch.is_grad_enabled"], "test_tape"),
    **dict.fromkeys(["nn.Module", "nn.ModuleDict", "nn.ModuleList", "nn.Parameter"], "test_module"),
    **dict.fromkeys(["torch.seed", "torch.get_rng_state", "torch.set_rng_state"], "test_random, test_settings"),
    **dict.fromkeys([f"torch.{n}" for n in SETTINGS], "change no result: test_settings"),
    **dict.fromkeys(
        [f"torch.{n}" for n in ("is_anomaly_enabled", "is_anomaly_check_nan_enabled", "set_anomaly_enabled")],
        "test_anomaly",
    ),
    **dict.fromkeys(["torch.explain", "torch.why", "torch.draw"], "tinytensor's own: tests/inside"),
    "torch.autocast": "switches itself off without a GPU: test_settings",
    "torch.OutOfMemoryError": "a type: test_backend",
    "nn.ParameterList": "test_layers",
    **dict.fromkeys(["nn.MultiheadAttention", "F.multi_head_attention_forward"], "test_transformer"),
    **dict.fromkeys([f"nn.Transformer{n}" for n in ("", "Encoder", "Decoder")], "test_transformer"),
    **dict.fromkeys([f"nn.Transformer{n}Layer" for n in ("Encoder", "Decoder")], "test_transformer"),
    **dict.fromkeys(
        ["Tensor.register_hook", "Tensor.register_post_accumulate_grad_hook"], "take a function: test_gradient_hooks"
    ),
    "Tensor.pin_memory": "the Tensor itself, where PyTorch needs a GPU: test_tensor",
    "Tensor.array": "tinytensor's own: the array behind a Tensor",
    "Tensor.grad_fn": "a node of the tape: test_tape",
    "Tensor.cuda": "needs a GPU",
    "Tensor.__rmatmul__": "of a number, which it refuses: test_arguments",
    "Tensor.__dlpack__": "a capsule: test_dlpack",
    "Tensor.__hash__": "identity: test_tensor",
    "Tensor.__getattr__": "the edge of the subset: test_outside",
}

# Where PyTorch and tinytensor may refuse with different kinds of error: the name, and the two kinds.
OTHER_KINDS = {
    # for an id out of range; PyTorch says IndexError too, but not of int32 ids or rows without elements
    ("F.embedding", "RuntimeError", "IndexError"),
    # for an index out of range; PyTorch says IndexError too, but of vectors alone
    *((name, "RuntimeError", "IndexError") for name in ("torch.index_add", "Tensor.index_add", "Tensor.index_add_")),
    # the same; of integers it says RuntimeError
    *((name, "RuntimeError", "IndexError") for name in ("torch.index_select", "Tensor.index_select")),
}


# ------------------------------------------------------------------------------------------ names

STRUCTURE = {"__module__", "__doc__", "__slots__", "__weakref__", "__annotations__", "__array_ufunc__"}

CALLS: dict[str, Callable[..., Any]] = {
    **{
        f"Tensor.__{n}__": getattr(operator, f"__{n}__")
        for n in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")
    },
    **{
        f"Tensor.__{n}__": getattr(operator, f"__{n}__")
        for n in ("eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "lshift", "rshift")
    },
    **{f"Tensor.__{n}__": getattr(operator, f"__{n}__") for n in ("iadd", "isub", "imul", "itruediv", "matmul")},
    **{f"Tensor.__{n}__": getattr(operator, f"__{n}__") for n in ("ifloordiv", "imod", "ipow", "iand", "ior", "ixor")},
    **{f"Tensor.__{n}__": getattr(operator, f"__{n}__") for n in ("ilshift", "irshift")},
    **{
        f"Tensor.__{n}__": getattr(operator, f"__{n}__")
        for n in ("neg", "pos", "abs", "invert", "getitem", "contains", "index")
    },
    "Tensor.__radd__": lambda x, c: c + x,
    "Tensor.__rsub__": lambda x, c: c - x,
    "Tensor.__rmul__": lambda x, c: c * x,
    "Tensor.__rtruediv__": lambda x, c: c / x,
    "Tensor.__rpow__": lambda x, c: c**x,
    "Tensor.__rfloordiv__": lambda x, c: c // x,
    "Tensor.__rmod__": lambda x, c: c % x,
    "Tensor.__rand__": lambda x, c: c & x,
    "Tensor.__ror__": lambda x, c: c | x,
    "Tensor.__rxor__": lambda x, c: c ^ x,
    "Tensor.__rlshift__": lambda x, c: c << x,
    "Tensor.__rrshift__": lambda x, c: c >> x,
    "Tensor.__setitem__": operator.setitem,
    "Tensor.__bool__": bool,
    "Tensor.__float__": float,
    "Tensor.__int__": int,
    "Tensor.__len__": len,
    "Tensor.__iter__": iter,
    "Tensor.__repr__": repr,
    "Tensor.__format__": format,
    "Tensor.__array__": np.asarray,
    "Tensor.__deepcopy__": copy.deepcopy,
}


def public_names() -> set[str]:
    """All that a user may call: "torch.exp", "Tensor.exp", "Tensor.__add__", "F.gelu", "init.ones_", "nn.Linear" …"""
    names = {f"torch.{n}" for n in dir(tt) if n[0] != "_" and callable(getattr(tt, n))}
    own = {n for base in tt.Tensor.__mro__[:-1] for n in vars(base)}
    names |= {f"Tensor.{n}" for n in own if n[0] != "_" or (n[:2] == "__" and n not in STRUCTURE)}
    names |= {f"F.{n}" for n in tt.nn.functional.__all__}
    names |= {f"nn.{n}" for n in tt.nn.__all__ if isinstance(getattr(tt.nn, n), type)}
    names |= {f"utils.{n}" for n in tt.nn.utils.__all__}
    own = {n for n, f in vars(tt.nn.init).items() if getattr(f, "__module__", "") == "tinytensor.nn.init"}
    names |= {f"init.{n}" for n in own if n[0] != "_"}
    return names


PUBLIC = public_names()


def homes(name: str) -> list[str]:
    """The public names that a row belongs to. What stands in brackets tells rows of one name apart."""
    name = name.partition(" ")[0]
    if "." in name:
        return [name]
    return [h for h in (f"torch.{name}", f"Tensor.{name}", f"F.{name}") if h in PUBLIC and h not in ROWS]


def test_every_public_name_has_a_row() -> None:
    have = {home for name in ROWS for home in homes(name)}
    assert sorted(PUBLIC - have - set(EXEMPT)) == [], "add a row to tests/pytorch/calls.py"
    assert sorted((have | set(EXEMPT)) - PUBLIC) == [], "rows or exemptions of what is not there"
    assert sorted(have & set(EXEMPT)) == []


# ------------------------------------------------------------------------------------------ calling


def resolve(t: Any, path: str) -> Callable[..., Any]:
    """The function behind a public name, in one of the libraries."""
    if path in CALLS:
        return CALLS[path]
    home, _, name = path.partition(".")
    if path == "Tensor.__init__":
        return t.Tensor  # type: ignore[no-any-return]
    if home == "Tensor":
        if isinstance(inspect.getattr_static(tt.Tensor, name), property):
            return operator.attrgetter(name)
        return lambda x, *args, **kwargs: getattr(x, name)(*args, **kwargs)
    module = {"torch": t, "F": t.nn.functional, "nn": t.nn, "init": t.nn.init, "utils": t.nn.utils}[home]
    return getattr(module, name)  # type: ignore[no-any-return]


class Made:
    """The arguments of a call as one of the libraries has them, and the leaves among them."""

    def __init__(self, t: Any) -> None:
        self.t = t
        self.tensors: list[Any] = []
        self.leaves: list[Any] = []

    def __call__(self, x: Any) -> Any:
        if isinstance(x, Array):
            return self.tensor(x)
        if isinstance(x, Name):
            return getattr(self.t, x)
        if isinstance(x, np.ndarray):
            return x.copy()
        if isinstance(x, (tuple, list)):
            return type(x)(self(y) for y in x)
        if isinstance(x, dict):
            return {k: self(v) for k, v in x.items()}
        return x

    def tensor(self, x: Array) -> Any:
        leaf = self.t.from_numpy(x.new()).requires_grad_(x.grad)
        self.leaves.append(leaf)
        self.tensors.append(leaf if x.leaf else leaf * 1)
        return self.tensors[-1]


class Outcome:
    """What a call gave: an error, or the result, the arguments as it left them, and the gradients of the leaves."""

    def __init__(self, t: Any, path: str, call: Call, row: Row) -> None:
        self.error: Exception | None = None
        self.result: Any = None
        self.left: list[Any] = []
        self.views: list[bool] = []
        self.layouts: list[Any] = []
        self.gradients: Any = None
        made = Made(t)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if t is torch else "error")
            try:
                result = self.run(t, path, call, made)
            except Exception as error:
                self.error = error
                return
            self.result, self.left = described(result, t), [described(x, t) for x in made.tensors]
            self.views = views(t, result, made.tensors)
            self.layouts = layouts(t, result)
            if not row.random and not any(x.special for x in arrays((call.args, call.kwargs))):
                try:
                    self.gradients = gradients(t, result, made.leaves)
                    self.layouts += layouts(t, [x.grad for x in made.leaves])
                except Exception as error:
                    self.gradients = error

    def run(self, t: Any, path: str, call: Call, made: Made) -> Any:
        function = resolve(t, path)
        if call.setup is not None:
            function = function(*made(call.setup[0]), **made(call.setup[1]))
            made.leaves += weighted(t, function)
        args, kwargs = made(call.args), made(call.kwargs)
        if path.startswith("utils."):
            for i, x in enumerate(made.leaves):
                x.grad = t.full_like(x, i + 0.5).detach()
        return function(*args, **kwargs)


def weighted(t: Any, module: Any) -> list[Any]:
    """The parameters of a layer, in float64 and with values that do not depend on the library."""
    module.to(t.float64)
    parameters = list(module.parameters())
    for i, p in enumerate(parameters):
        p.data = t.from_numpy(np.random.default_rng(i).standard_normal(tuple(p.shape)))
    return parameters


def arrays(x: Any) -> Iterator[Array]:
    """The Tensors-to-be in an argument."""
    if isinstance(x, Array):
        yield x
    elif isinstance(x, (tuple, list)):
        for y in x:
            yield from arrays(y)
    elif isinstance(x, dict):
        yield from arrays(list(x.values()))


def gradients(t: Any, result: Any, leaves: list[Any]) -> list[Any]:
    """The gradients of a weighted sum of the outputs. The weights are small halves, no two neighbours alike."""
    outputs = result if isinstance(result, (tuple, list)) else [result]
    total = []
    for y in outputs:
        if isinstance(y, t.Tensor) and y.requires_grad:
            weights = (np.arange(y.numel()) % 7 - 2.5).reshape(tuple(y.shape))
            total.append((y * t.tensor(weights, dtype=y.dtype)).sum())
    if total:
        sum(total).backward()
    return [described(x.grad, t) for x in leaves]


def views(t: Any, result: Any, tensors: list[Any]) -> list[bool]:
    """Which outputs lie in the memory of the first Tensor, so that a write to one shows in the other."""
    outputs = result if isinstance(result, (tuple, list)) else [result]
    memory = [x.detach().numpy() for x in [*tensors[:1], *outputs] if isinstance(x, t.Tensor)]
    return [y.size > 0 and np.may_share_memory(memory[0], y) for y in memory[1:]]


def layouts(t: Any, result: Any) -> list[Any]:
    """How the outputs lie in memory: for each the steps along the dimensions that have any, in elements."""
    outputs = result if isinstance(result, (tuple, list)) else [result]
    arrays = [y.detach().numpy() for y in outputs if isinstance(y, t.Tensor)]
    return [[s // a.itemsize for s, n in zip(a.strides, a.shape, strict=True) if n > 1 and a.size] for a in arrays]


def described(x: Any, t: Any) -> Any:
    """x in terms that both libraries share."""
    if isinstance(x, t.Tensor):
        return ("Tensor", str(x.dtype).partition(".")[2], x.requires_grad, x.detach().numpy().copy())
    if isinstance(x, (np.ndarray, np.generic)):
        return (type(x).__name__, str(x.dtype), False, np.array(x))
    if isinstance(x, (tuple, list)) or hasattr(x, "__next__"):
        return [described(y, t) for y in x]
    if isinstance(x, (t.dtype, t.device, str)):
        return str(x).replace("tinytensor", "torch")
    return (type(x).__name__, x)


# ------------------------------------------------------------------------------------------ comparing


def kind(error: Exception) -> str:
    return type(error).__name__


def scale(*xs: Any) -> float:
    """The largest finite number in sight, at least 1."""
    top = 1.0
    for x in xs:
        if isinstance(x, list):
            top = max(top, scale(*x))
        elif isinstance(x, tuple) and isinstance(x[-1], np.ndarray) and x[-1].size:
            finite = np.abs(x[-1][np.isfinite(x[-1])].astype(float))
            top = max(top, float(finite.max(initial=0)))
    return top


def coarsest(*xs: Any) -> float:
    """The largest rounding unit of the float types in sight; 0 where there are none."""
    eps = 0.0
    for x in xs:
        if isinstance(x, list):
            eps = max(eps, coarsest(*x))
        elif isinstance(x, tuple) and isinstance(x[-1], np.ndarray) and x[-1].dtype.kind == "f":
            eps = max(eps, float(np.finfo(x[-1].dtype).eps))
    return eps


def close(ours: Any, theirs: Any, tolerance: float, values: bool = True) -> bool:
    """Whether two descriptions agree: exactly in all but floats, which may differ by the tolerance.

    A sum, a product or a mean of n numbers of size at most m is off by at most n·ε·m, and so are the functions here, of
    at most 64 numbers in a row and far fewer roundings than that on average. So the tolerance is slack·ε·m, slack 32
    unless the row says otherwise, ε of the coarsest type in the call and m the largest number in it: 7e-15·m in float64.
    """
    if isinstance(theirs, list):
        return (
            isinstance(ours, list)
            and len(ours) == len(theirs)
            and all(close(a, b, tolerance, values) for a, b in zip(ours, theirs))
        )
    if isinstance(theirs, tuple) and isinstance(theirs[-1], np.ndarray):
        if not isinstance(ours, tuple) or ours[:-1] != theirs[:-1] or ours[-1].shape != theirs[-1].shape:
            return False
        a, b = ours[-1], theirs[-1]
        if not values:
            return True
        if b.dtype.kind != "f":
            return bool((a == b).all())
        return bool(np.isclose(a.astype(float), b.astype(float), rtol=0, atol=tolerance, equal_nan=True).all())
    if isinstance(theirs, tuple) and theirs[0] == "float":
        return (
            isinstance(ours, tuple)
            and ours[0] == "float"
            and bool(np.isclose(ours[1], theirs[1], rtol=0, atol=tolerance, equal_nan=True))
        )
    return bool(ours == theirs)


def difference(path: str, call: Call, row: Row) -> tuple[str | None, bool]:
    """Where the two part on one call, None where they agree; and whether PyTorch refused it."""
    theirs, ours = Outcome(torch, path, call, row), Outcome(tt, path, call, row)
    if theirs.error is None and ours.error is None:
        return parting(theirs, ours, call, row), False
    if theirs.error is None or ours.error is None:
        return f"PyTorch: {theirs.error or theirs.result!r}\ntinytensor: {ours.error or ours.result!r}", True
    kinds = kind(theirs.error), kind(ours.error)
    if kinds[0] == kinds[1] or (path, *kinds) in OTHER_KINDS:
        return None, True
    return f"PyTorch: {theirs.error!r}\ntinytensor: {ours.error!r}", True


def parting(theirs: Outcome, ours: Outcome, call: Call, row: Row) -> str | None:
    """Where the results, the arguments afterwards or the gradients differ."""
    low, high = row.between(call)
    for result in (theirs.result, ours.result):
        if row.random and ((result[-1] < low) | (result[-1] > high)).any():
            return f"outside of [{low}, {high}]: {result}"
    seen = (theirs.result, theirs.left)
    tolerance = row.slack * coarsest(*seen) * scale(*seen)
    if not close(ours.result, theirs.result, tolerance, not row.random):
        return f"results\nPyTorch: {theirs.result}\ntinytensor: {ours.result}"
    if not close(ours.left, theirs.left, tolerance, not row.random):
        return f"arguments afterwards\nPyTorch: {theirs.left}\ntinytensor: {ours.left}"
    if ours.views != theirs.views:
        return f"memory shared with the first argument\nPyTorch: {theirs.views}\ntinytensor: {ours.views}"
    if row.laid_out and ours.layouts != theirs.layouts:
        return f"strides of results and gradients\nPyTorch: {theirs.layouts}\ntinytensor: {ours.layouts}"
    if isinstance(theirs.gradients, Exception) or isinstance(ours.gradients, Exception):
        same = kind(theirs.gradients) == kind(ours.gradients)
        return None if same else f"backward\nPyTorch: {theirs.gradients!r}\ntinytensor: {ours.gradients!r}"
    seen = (*seen, theirs.gradients)
    if not close(ours.gradients, theirs.gradients, row.slack * coarsest(*seen) * scale(*seen)):
        return f"gradients\nPyTorch: {theirs.gradients}\ntinytensor: {ours.gradients}"
    return None


@pytest.mark.parametrize("name", ROWS)
def test_as_pytorch(name: str) -> None:
    row, places, tried = ROWS[name], homes(name), []

    @cases(10)
    @given(call=strategy(row), home=st.sampled_from(places))
    def check(call: Call, home: str) -> None:
        found, refused = difference(home, call, row)
        assert found is None, f"{home}{call.args} {call.kwargs} {call.setup or ''}\n{found}"
        tried.append(refused)

    check()
    assert tried.count(False) > len(tried) / 5, "a row is there to show what works, and here and there what is refused"
