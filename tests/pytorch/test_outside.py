"""What is outside of the subset says so, and no public function accepts an argument that it ignores."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
from grouped import by_module, over

import tinytensor as tt
import tinytensor.nn.functional as F

# ------------------------------------------------------------------------------------ names

MISSING = [
    "t.fft",
    "t.jit",
    "t.linalg",
    "t.complex64",
    "t.backends.mkl",
    "t.ones(1).foo",
    "t.autograd.graph",
    "t.utils.hooks.warn_if_has_hooks",
    "t.nn.modules.module.register_module_backward_hook",
    "t.nn.modules.linear",
    "t.ones(1).cauchy_",
    "t.nn.Conv2d",
    "t.nn.GroupNorm",
    "t.nn.functional.conv2d",
    "t.nn.init.orthogonal_",
    "t.nn.utils.rnn",
    "t.optim.LBFGS",
    "t.optim.lr_scheduler.SWALR",
    "t.utils.data.IterableDataset",
    "t.utils.checkpoint",
    "t.autograd.functional",
    "t.autograd.forward_ad",
    "t.cuda.make_graphed_callables",
    "t.amp.custom_fwd",
    "t.distributed.new_group",
    "t.accelerator.memory",
]


@pytest.mark.parametrize("expression", MISSING)
def test_a_name_outside_of_the_subset_says_so(expression: str) -> None:
    with pytest.raises(AttributeError, match="subset") as caught:
        eval(expression, {"t": tt})
    assert expression.rpartition(".")[2] in str(caught.value)


@pytest.mark.parametrize("expression", MISSING)
def test_hasattr_is_false_where_scripts_ask(expression: str) -> None:
    owner, _, name = expression.rpartition(".")
    assert not hasattr(eval(owner, {"t": tt}), name)


def test_the_names_are_pytorchs() -> None:
    """What is outside exists there; what is public here exists there too, under the same name."""
    torch = pytest.importorskip("torch")
    own = {"Tensor.array", "GradcheckError", "explain", "why", "draw"}
    for ours, theirs in ((tt, torch), (tt.nn, torch.nn), (F, torch.nn.functional), (tt.optim, torch.optim)):
        names = getattr(ours, "__all__", [n for n in dir(ours) if not n.startswith("_")])
        for name in names:
            if not isinstance(getattr(ours, name), ModuleType) and name not in ("NoReturn", "annotations", "builtins"):
                assert hasattr(theirs, name) or name in own, f"{ours.__name__}.{name} is no name of PyTorch's"
    for name in vars(tt.Tensor):
        if not name.startswith("_") and name not in ("array", "writable"):
            assert hasattr(torch.Tensor, name), f"Tensor.{name} is no name of PyTorch's"


# ------------------------------------------------------------------------------------ arguments

x = tt.ones(2, 2, requires_grad=True)
OUTSIDE: list[tuple[type[Exception], Callable[[], Any]]] = [
    (NotImplementedError, lambda: x.sum().backward(create_graph=True)),
    (NotImplementedError, lambda: tt.autograd.grad(x.sum(), x, create_graph=True)),
    (NotImplementedError, lambda: tt.einsum("ii->i", x)),
    (NotImplementedError, lambda: tt.einsum("ij,kk->i", x, x)),
    (NotImplementedError, lambda: x.norm(0)),
    (NotImplementedError, lambda: x.norm(p="nuc")),
    (NotImplementedError, lambda: x // 2),
    (NotImplementedError, lambda: x % 2),
    (NotImplementedError, lambda: x.view(tt.int32)),
    (NotImplementedError, lambda: F.pad(x, (1, 1), mode="reflect")),
    (NotImplementedError, lambda: tt.autocast("cpu", dtype=tt.bfloat16)),
    (NotImplementedError, lambda: tt.autocast("cpu")),
    (NotImplementedError, lambda: tt.nn.parallel.DataParallel(tt.nn.ReLU())),
    (NotImplementedError, lambda: tt.set_default_dtype(tt.float64)),
    (NotImplementedError, lambda: tt.set_default_device("cuda")),
    (RuntimeError, lambda: tt.distributed.init_process_group("gloo")),
    (TypeError, lambda: x.to(tt.bfloat16)),
    (TypeError, lambda: tt.zeros(2, dtype=tt.bfloat16)),
    (ValueError, lambda: x.type("torch.CharTensor")),
    (NotImplementedError, lambda: tt.optim.AdamW([x], amsgrad=True)),
    (NotImplementedError, lambda: tt.optim.Adam([{"params": [x], "maximize": True}])),
    (RuntimeError, lambda: (y := x * 2, v := y[0], v.sum().backward(), y.add_(1), v * 2)),
    (TypeError, lambda: tt.from_numpy(np.zeros(2, np.int8))),
    (TypeError, lambda: tt.tensor(np.zeros(2, np.complex64))),
    (TypeError, lambda: tt.tensor(1j)),
]


@pytest.mark.parametrize("error, call", OUTSIDE)
def test_a_call_outside_of_the_subset_says_so(error: type[Exception], call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=r"subset|expected numbers"):
        call()


REFUSED: list[Callable[[], Any]] = [
    lambda: F.embedding(tt.tensor([0]), x, max_norm=1.0),
    lambda: F.dropout(x, 0.5, inplace=True),
    lambda: F.relu(x, inplace=True),
    lambda: tt.nn.GELU("none", True),
    lambda: tt.nn.MSELoss(size_average=True),
    lambda: tt.nn.LSTM(2, 3, bidirectional=True),
    lambda: tt.compile(x, backend="eager"),
    lambda: tt.optim.RMSprop([x], centered=True),
    lambda: tt.nn.Embedding(3, 2, max_norm=1.0),
    lambda: tt.optim.SGD([x], lr=0.1, foreach=True),
    lambda: tt.zeros(2, layout="strided"),
    lambda: tt.zeros(2, dtype="float32"),
    lambda: tt.zeros(2, dtype=np.float32),
    lambda: tt.ones(2, out=x),
    lambda: tt.sum(x, out=x),
    lambda: tt.add(x, x, out=x),
    lambda: x.sum(dim=0, axis=1),
    lambda: x.sum(nonsense=1),
    lambda: x.to(memory_format="channels_last"),
    lambda: x.to(7),
    lambda: x.clone(memory_format=1),
    lambda: x.backward(tt.ones(2, 2), inputs=[x]),
    lambda: tt.arange(3, out=x),
    lambda: tt.stack([x, x], axis=0, dim=0),
    lambda: tt.div(x, x, rounding_mode="floor"),
    lambda: tt.randn(2, pin_memory=True),
    lambda: tt.nn.Module().to(memory_format=1),
    lambda: tt.utils.data.DataLoader([1], prefetch_factor=2),
    lambda: tt.save({}, "nowhere", pickle_module=None),
]


@pytest.mark.parametrize("call", REFUSED, ids=lambda c: inspect.getsource(c).strip()[8:-1])
def test_an_argument_outside_of_the_subset_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises((TypeError, ValueError, RuntimeError, NotImplementedError)):
        call()


# ------------------------------------------------------------------------------- introspection

# Hints that may change nothing, as their docstrings say. Everything else that is accepted must be used.
HINTS = {
    ("to", "non_blocking"),
    ("copy_", "non_blocking"),
    ("compile", "fullgraph"),
    ("compile", "dynamic"),
    ("compile", "mode"),
    ("load", "weights_only"),
    ("topk", "sorted"),  # the result is in order either way
    ("sort", "stable"),  # the order is stable either way
}

ROOMS = [
    tt,
    tt.nn,
    F,
    tt.nn.init,
    tt.nn.utils,
    tt.optim,
    tt.optim.lr_scheduler,
    tt.autograd,
    tt.utils.data,
    tt.distributed,
    tt.nn.parallel,
    tt.cuda,
    tt.amp,
]


def public() -> Iterator[tuple[str, Any]]:
    """Every public function, class and method of the package's own, once: (name, object)."""
    seen: set[int] = set()
    stack = [(f"{room.__name__}.{n}", getattr(room, n)) for room in ROOMS for n in dir(room) if not n.startswith("_")]
    while stack:
        name, value = stack.pop()
        value = value.fget if isinstance(value, property) else value
        value = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
        if id(value) in seen or not getattr(value, "__module__", "").startswith("tinytensor"):
            continue
        seen.add(id(value))
        if inspect.isclass(value):
            yield name, value
            own = [base for base in value.__mro__ if base.__module__.startswith("tinytensor")]  # a class and its bases
            members = [member for base in own for member in vars(base).items()]
            stack += [(f"{name}.{n}", v) for n, v in members if not n.startswith("_") or n == "__init__"]
        elif isinstance(value, FunctionType):
            yield name, value


PUBLIC = sorted(public(), key=lambda pair: pair[0])


def test_the_enumeration_finds_what_is_public() -> None:
    names = {name.rpartition(".")[2] for name, _ in PUBLIC}
    assert {
        "cross_entropy",
        "matmul",
        "AdamW",
        "clip_grad_norm_",
        "masked_fill",
        "DataLoader",
        "xavier_uniform_",
    } <= names
    assert {
        "add_",
        "gradcheck",
        "LambdaLR",
        "load_state_dict",
        "manual_seed",
        "state_dict",
        "eq",
        "register_buffer",
    } <= names
    assert len(PUBLIC) > 300


@over("name, value", {name: (name, value) for name, value in PUBLIC}, by_module)
def test_has_a_docstring(name: str, value: Any) -> None:
    if not name.endswith(("__init__", ".update")):
        assert inspect.getdoc(value), f"{name} has no docstring"


def used(function: Any) -> tuple[set[str], set[str]]:
    """The parameters of a function, and the names that its body reads."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    a = tree.args
    every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    nodes = [n for s in tree.body for n in ast.walk(s)]
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    read |= {n.target.id for n in nodes if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}  # p += 1
    statements = [s for s in tree.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    abstract = not statements or isinstance(statements[-1], ast.Raise) or ast.unparse(statements[0]) == "return ''"
    return (set() if abstract and len(statements) <= 2 else {p.arg for p in every} - {"self", "cls", "_"}), read


def test_the_reader_of_arguments_finds_one_that_is_ignored() -> None:
    def ignoring(a: int, b: int = 1, *, c: int = 2) -> int:
        """b and c are mentioned here."""
        return a

    parameters, read = used(ignoring)
    assert parameters - read == {"b", "c"}


@over("name, value", {name: (name, value) for name, value in PUBLIC}, by_module)
def test_every_argument_is_used(name: str, value: Any) -> None:
    if not isinstance(value, FunctionType) or "<lambda>" in value.__qualname__:
        return
    parameters, read = used(value)
    ignored = {p for p in parameters - read if (value.__name__, p) not in HINTS}
    assert not ignored, f"{name} accepts {ignored} and ignores it"


def test_hints_are_told() -> None:
    for function, parameter in HINTS:
        value = getattr(tt.Tensor, function, None) or getattr(tt, function)
        assert parameter in inspect.signature(value).parameters
        assert parameter in (value.__doc__ or "")


# ------------------------------------------------------------------------------------ imports

IMPORTS = [
    "import tinytensor.linalg",
    "import tinytensor.nn.utils.rnn",
    "from tinytensor.nn.utils.rnn import pad_sequence",
    "from tinytensor.nn import Conv2d, Linear",
    "from tinytensor.nn.functional import conv2d",
    "from tinytensor.optim.lr_scheduler import NoSuchLR",
    "from tinytensor import fft",
    "from tinytensor.distributed import all_to_all",
    "import tinytensor.distributed.fsdp",
    "import tinytensor.utils.checkpoint as checkpoint",
]


@pytest.mark.parametrize("statement", IMPORTS)
def test_an_import_outside_of_the_subset_says_so(statement: str) -> None:
    with pytest.raises(ImportError, match="subset") as caught:
        exec(statement)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, ModuleNotFoundError) or statement.startswith("from")


def test_the_most_used_names_outside_have_a_word_on_what_to_use() -> None:
    for name in ("Conv2d", "GroupNorm", "LBFGS", "jit", "linalg", "DataParallel"):
        with pytest.raises(AttributeError, match=r"no such name; \w+"):
            getattr(tt.nn, name)


def test_what_is_there_is_imported() -> None:
    exec("from tinytensor.nn import functional, Linear; import tinytensor.optim.lr_scheduler as s")
