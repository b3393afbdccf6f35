"""Every operation that tinytensor has, on every sample and bad input of PyTorch's own database of operations.

    python tests/databases/ops.py                          # all
    python tests/databases/ops.py cumsum nn.functional.pad --dtype float32 --form method --show

Each sample runs in every dtype, contiguous and not, through function, method, in-place form, operator and aliases.
"""

from __future__ import annotations

import argparse
import operator
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # the tree in PYTHONPATH, or the one that this file is in
    sys.path.append(str(Path(__file__).parents[2]))

import numpy as np
import torch
from compare import Outcome, call, differences, numbers
from report import Tally, table
from torch.testing._internal.common_methods_invocations import op_db
from translate import DTYPES, Frozen, OutsideSubsetError, freeze, name_of, shown, translated

import tinytensor as tt

RUNS = ("float64", "float64 strided", "float32", "float16", "int64", "int32", "uint8", "bool")
MOST = 130  # samples of one operation in one dtype
REFUSED_MOST = 4  # where PyTorch does not support the dtype: only the error is compared

# results whose values depend on a generator, or on what was in memory
NO_VALUES = {
    "bernoulli", "cauchy", "dropout", "empty", "empty_like", "exponential", "geometric", "log_normal", "multinomial",
    "new_empty", "nn.functional.dropout", "normal", "rand_like", "randint", "randn", "randn_like", "uniform",
}  # fmt: skip
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


@dataclass(frozen=True)
class Sample:
    """The arguments of one call, frozen."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

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
            yield Sample(args, kwargs)


# ------------------------------------------------------------------------------------------------ run


def run(entry: Entry, runs: tuple[str, ...] = RUNS, form: str | None = None) -> Tally:
    """Every sample of one operation, through every form."""
    tally = Tally({entry.name})
    forms = [f for f in entry.forms if form is None or f.name == form]
    tally.absent = entry.absent
    for which in runs:
        for reference in (True, False):  # PyTorch's larger set for the function alone
            mine = [f for f in forms if (f.name == "function") == reference]
            for sample in entry.samples(which, reference=reference) if mine else ():
                for each in mine:
                    check(entry, each, sample, which, tally)
    for sample in entry.bad() if "bad" in runs or runs is RUNS else ():
        for each in forms:
            check(entry, each, sample, "bad", tally)
    return tally


def check(entry: Entry, form: Form, sample: Sample, which: str, tally: Tally) -> None:
    """One call in both libraries."""
    if form.plain and (sample.kwargs or len(sample.args) > 2):
        return
    grad = which.startswith("float64") and entry.info.supports_autograd
    torch.manual_seed(0)
    theirs = call("torch", form.theirs, sample.frozen, grad=grad, inplace=form.inplace)
    if theirs.error is None and any(outside(y) for y in theirs.results):
        return
    tt.manual_seed(0)
    ours = call("tiny", form.ours, sample.frozen, grad=grad, inplace=form.inplace)
    tally.samples += 1
    values = entry.info.name not in NO_VALUES and not sample.kwargs.get("dropout_p")
    found = list(differences(ours, theirs, values=values, closer=Yardstick(form, sample)))
    if ours.refused and ours.error is not None:
        tally.refused += 1
    elif not found:
        tally.agree += 1
    for difference in found:
        tally.mismatch(entry.name, difference.kind, difference.detail, form.name, which, sample.paste(form))


def outside(y: Any) -> bool:
    """Whether PyTorch's result is of a dtype that the subset lacks."""
    return isinstance(y, complex) or (isinstance(y, torch.Tensor) and str(y.dtype).removeprefix("torch.") not in DTYPES)


class Yardstick:
    """Whether a result of float32 or float16 is about as close to that of float64 as PyTorch's is."""

    def __init__(self, form: Form, sample: Sample) -> None:
        self.form, self.sample = form, sample

    @cached_property
    def exact(self) -> Outcome:
        frozen = in_float64(self.sample.frozen)
        return call("torch", self.form.theirs, frozen, grad=False, inplace=self.form.inplace)

    def __call__(self, i: int, y: np.ndarray, z: np.ndarray) -> bool:
        if y.dtype not in (np.float32, np.float16) or self.exact.error is not None or len(self.exact.results) <= i:
            return False
        right = numbers(self.exact.results[i])
        if right.shape != y.shape or right.dtype != np.float64:
            return False
        with np.errstate(all="ignore"):
            right = right.astype(y.dtype).astype(np.float64)
            y, z, eps = y.astype(np.float64), z.astype(np.float64), np.finfo(y.dtype).eps
            known = np.isfinite(right)
            if not np.array_equal(y[~known], right[~known], equal_nan=True) or not known.any():
                return bool(np.array_equal(y, right, equal_nan=True))
            ours, theirs = np.abs(y - right)[known].max(), np.abs(z - right)[known].max()
            return bool(ours <= 2 * theirs + eps * np.abs(right[known]).max())


def in_float64(value: Any) -> Any:
    if isinstance(value, Frozen):
        if not value.dtype.startswith("float"):
            return value
        t = value.torch({}).detach()
        return freeze(torch.empty_strided(t.shape, t.stride(), dtype=torch.float64).copy_(t) if t.numel() else t.double())
    if isinstance(value, (list, tuple)):
        return type(value)(in_float64(x) for x in value)
    if isinstance(value, dict):
        return {k: in_float64(x) for k, x in value.items()}
    return torch.float64 if isinstance(value, torch.dtype) and value.is_floating_point else value


def entries() -> list[Entry]:
    return [entry for entry in map(Entry, op_db) if entry.covered]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--dtype", choices=[*RUNS, "bad"])
    parser.add_argument("--form")
    parser.add_argument("--show", action="store_true", help="print where tinytensor's error was raised")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    total = Tally()
    for entry in entries():
        if options.names and entry.name not in options.names and entry.info.name not in options.names:
            continue
        total.update(run(entry, (options.dtype,) if options.dtype else RUNS, options.form))
    for group in total.wrong.values():
        print(group)
    print(table([("operations", total, len(op_db))]))
    sys.stdout.flush()
    os._exit(1 if total.wrong else 0)


if __name__ == "__main__":
    main()
