"""Every operation that tinytensor has, on every sample and bad input of PyTorch's own database of operations.

    python tests/databases/ops.py                          # all
    python tests/databases/ops.py cumsum nn.functional.pad --dtype float32 --form method

Each sample runs in every dtype, contiguous and not, through function, method, in-place form, operator and aliases.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # tinytensor comes from PYTHONPATH, or else from the tree of this file
    sys.path += [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])]

import program
from compare import Outcome, call, differences
from report import Tally
from torch_databases import database
from translate import DTYPES, Frozen, OutsideSubsetError, freeze, in_float64, name_of, nudged, shown, translated

import tinytensor as tt
import torch

DATABASE = database("op_db")
SIZE = len(DATABASE)
RUNS = ("float64", "float64 strided", "float32", "float16", "int64", "int32", "uint8", "bool")
MOST = 130  # samples of one operation in one dtype
REFUSED_MOST = 4  # where PyTorch does not support the dtype: only the error is compared

# results whose values depend on a generator, or on what was in memory
NO_VALUES = {
    "bernoulli", "cauchy", "dropout", "empty", "empty_like", "exponential", "geometric", "log_normal", "multinomial",
    "new_empty", "nn.functional.dropout", "normal", "rand_like", "randint", "randn", "randn_like", "uniform",
}  # fmt: skip
# the argument that turns dropout on
DROPPING = {
    "nn.functional.scaled_dot_product_attention": "dropout_p",
    "nn.functional.multi_head_attention_forward": "training",
}
REFLECTED = {
    "__radd__": operator.add, "__rdiv__": operator.truediv, "__rmul__": operator.mul, "__rsub__": operator.sub,
    "__rpow__": operator.pow, "__rmod__": operator.mod, "__rmatmul__": operator.matmul, "__rand__": operator.and_,
    "__ror__": operator.or_, "__rxor__": operator.xor,
}  # fmt: skip


@dataclass(frozen=True)
class Form:
    """One way to call an operation: PyTorch's callable and tinytensor's."""

    name: str
    theirs: Callable[..., Any]
    ours: Callable[..., Any]
    inplace: bool = False

    @property
    def plain(self) -> bool:
        """An operator takes no keywords."""
        return "operator" in self.name or self.name == "reflected"

    @property
    def of_tensors(self) -> bool:
        """A method is one of a Tensor."""
        return self.inplace or self.name == "method" or (name_of(self.theirs) or "").startswith("Tensor.")


@dataclass(frozen=True)
class Sample:
    """The arguments of one call, frozen."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    grows: bool = False  # the result is larger than the first argument, so an in-place form refuses it

    @property
    def frozen(self) -> tuple[Any, ...]:
        return self.args, self.kwargs

    def paste(self, form: Form) -> str:
        arguments = [*map(shown, self.args), *(f"{k}={shown(v)}" for k, v in self.kwargs.items())]
        name = name_of(form.theirs)
        name = f"torch.{name}" if name else f"{getattr(form.theirs, '__name__', 'f')}"
        return f"{name}({', '.join(arguments)})"


class Entry:
    """An operation of the database."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.name = info.name + (f".{info.variant_test_name}" if info.variant_test_name else "")

    @cached_property
    def forms(self) -> list[Form]:
        return [form for form in self._forms() if form is not None]

    absent: list[str]

    def _forms(self) -> Iterator[Form | None]:
        info = self.info
        self.absent = []
        named = [("function", info.op, False), ("method", info.method_variant, False)]
        named += [("in place", info.inplace_variant, True), ("operator", info.operator_variant, False)]
        named += [("in-place operator", info.inplace_operator_variant, True)]
        for alias in info.aliases or ():
            named += [(f"{alias.name}", alias.op, False), (f"Tensor.{alias.name}", alias.method_variant, False)]
            named += [(f"Tensor.{alias.name}_", alias.inplace_variant, True)]
        for name, theirs, inplace in named:
            if theirs is None:
                continue
            try:
                yield Form(name, theirs, translated(theirs), inplace)
            except AttributeError:
                self.absent.append(f"{self.name} ({name}: {name_of(theirs) or theirs})")
        if info.name in REFLECTED:
            python = REFLECTED[info.name]
            yield Form("reflected", lambda a, b: python(b, a), lambda a, b: python(b, a))

    @cached_property
    def covered(self) -> bool:
        """Whether tinytensor has one of the forms."""
        return any(name_of(form.theirs) or form.name == "reflected" for form in self.forms) or self._has_name()

    def _has_name(self) -> bool:
        """For an operation whose only form is a lambda."""
        for owner in (tt, tt.Tensor):
            try:
                operator.attrgetter(self.info.name)(owner)
                return True
            except AttributeError:
                pass
        return False

    # ------------------------------------------------------------------------------------- samples

    def supports(self, dtype: str) -> bool:
        return getattr(torch, dtype) in self.info.supported_dtypes("cpu")

    def samples(self, run: str, *, reference: bool) -> Iterator[Sample]:
        """The database's samples in a dtype; `strided`: in non-contiguous memory."""
        dtype, _, strided = run.partition(" ")
        grad = dtype == "float64" and self.info.supports_autograd
        source = self.info.reference_inputs if reference else self.info.sample_inputs
        made = source("cpu", getattr(torch, dtype), requires_grad=grad)
        most = MOST if self.supports(dtype) else REFUSED_MOST
        yield from self._frozen(made, most, strided=bool(strided))

    def bad(self) -> Iterator[Sample]:
        """The database's bad inputs."""
        if self.info.error_inputs_func:
            yield from self._frozen((e.sample_input for e in self.info.error_inputs("cpu")), 1000, strided=False)

    @staticmethod
    def _frozen(made: Any, most: int, *, strided: bool) -> Iterator[Sample]:
        made = iter(made)
        for _ in range(most):
            try:
                sample = next(made)
                sample = sample.noncontiguous() if strided else sample
                args, kwargs = freeze(((sample.input, *sample.args), sample.kwargs))
            except StopIteration:
                return
            except OutsideSubsetError:
                continue
            except Exception:  # the database has no samples in this dtype
                return
            yield Sample(args, kwargs, bool(sample.broadcasts_input))


# ------------------------------------------------------------------------------------------------ run


def run(entry: Entry, only: str | None = None, form: str | None = None) -> Tally:
    """Every sample of one operation, in every dtype or in one, through every form or through one."""
    tally = Tally({entry.name})
    runs = [only] if only else [*RUNS, "bad"]
    forms = [f for f in entry.forms if form is None or f.name == form]
    tally.absent = entry.absent
    for which in (r for r in runs if r != "bad"):
        for reference in (True, False):  # PyTorch's larger set for the function alone
            mine = [f for f in forms if (f.name == "function") == reference]
            for sample in entry.samples(which, reference=reference) if mine else ():
                for each in mine:
                    check(entry, each, sample, which, tally)
    for sample in entry.bad() if "bad" in runs else ():
        for each in forms:
            check(entry, each, sample, "bad", tally)
    return tally


def check(entry: Entry, form: Form, sample: Sample, which: str, tally: Tally) -> None:
    """One call in both libraries."""
    if form.plain and (sample.kwargs or len(sample.args) > 2):
        return
    if form.of_tensors and not isinstance(sample.args[0], Frozen):
        return
    if form.inplace and sample.grows and which != "bad" and not entry.supports(which.split()[0]):
        return  # two mistakes: which one PyTorch sees first is its own business
    grad = which.startswith("float64") and entry.info.supports_autograd
    torch.manual_seed(0)
    theirs = call("torch", form.theirs, sample.frozen, grad=grad, inplace=form.inplace)
    if theirs.error is None and any(outside(y) for y in theirs.results):
        return
    tt.manual_seed(0)
    ours = call("tiny", form.ours, sample.frozen, grad=grad, inplace=form.inplace)
    values = entry.info.name not in NO_VALUES and not sample.kwargs.get(DROPPING.get(entry.info.name, ""))

    @cache
    def exact() -> Outcome:
        return call("torch", form.theirs, in_float64(sample.frozen), grad=False, inplace=form.inplace)

    @cache
    def near() -> list[Outcome]:
        moved = [nudged(sample.frozen, seed) for seed in range(8)]
        return [call("torch", form.theirs, each, grad=False, inplace=form.inplace) for each in moved]

    found = differences(ours, theirs, values=values, exact=exact, near=near)
    tally.count(entry.name, found, ours, form.name, which, lambda: sample.paste(form))


def outside(y: Any) -> bool:
    """Whether PyTorch's result is of a dtype that the subset lacks."""
    return isinstance(y, complex) or (isinstance(y, torch.Tensor) and str(y.dtype).removeprefix("torch.") not in DTYPES)


def entries() -> list[Entry]:
    return [entry for entry in map(Entry, DATABASE) if entry.covered]


if __name__ == "__main__":
    program.main(__doc__, "operations", SIZE, entries(), run, [*RUNS, "bad"])
