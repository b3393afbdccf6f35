"""Every module that tinytensor has, on every sample and bad input of PyTorch's own database of modules.

python tests/databases/modules.py LSTM BatchNorm1d
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # tinytensor comes from PYTHONPATH, or else from the tree of this file
    sys.path += [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])]

import program
from compare import ENGINES, Outcome, attempt, differences, flat, gradients, tensors
from report import Tally
from torch_databases import database
from translate import Frozen, OutsideSubsetError, freeze, in_float64, nudged, shown, thaw

import tinytensor as tt
import torch

DATABASE = database("module_db")
SIZE = len(DATABASE)
DTYPES = ("float64", "float32")


class Entry:
    """A module of the database."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.name = info.module_cls.__name__
        self.covered = hasattr(tt.nn, self.name)

    def samples(self, dtype: str, training: bool, bad: bool) -> list[Any]:
        """(constructor's arguments, forward's arguments), frozen."""
        make = self.info.module_error_inputs_func if bad else self.info.module_inputs_func
        if make is None:
            return []
        torch.manual_seed(0)
        made = make(self.info, device="cpu", dtype=getattr(torch, dtype), requires_grad=True, training=training)
        samples = []
        for each in made:
            each = each.module_error_input if bad else each
            calls = (each.constructor_input, each.forward_input)
            try:
                samples.append(freeze([(c.args, c.kwargs) if c else None for c in calls]))
            except OutsideSubsetError:
                continue
        return samples


def run(entry: Entry, only: str | None = None, form: str | None = None) -> Tally:
    """Every sample of a module, in training and in evaluation (the forms)."""
    tally = Tally({entry.name})
    for dtype in [only] if only else DTYPES:
        for training in (True, False):
            for bad in (False, True):
                for sample in entry.samples(dtype, training, bad):
                    mode = "train" if training else "eval"
                    if form in (None, mode):
                        check(entry.name, sample, dtype, mode, tally)
    return tally


def check(name: str, sample: Any, dtype: str, mode: str, tally: Tally) -> None:
    """One module in both libraries, with the weights that PyTorch drew."""
    state: dict[str, Frozen] = {}
    (args, kwargs), forward = sample
    torch.manual_seed(0)  # the weights that PyTorch draws
    theirs = attempt("torch", work("torch", name, sample, dtype, mode, state, given=False))
    ours = attempt("tiny", work("tiny", name, sample, dtype, mode, state))
    random = mode == "train" and bool(kwargs.get("dropout"))

    @cache
    def exact() -> Outcome:
        return attempt("torch", work("torch", name, in_float64(sample), "float64", mode, in_float64(state)))

    @cache
    def near() -> list[Outcome]:
        moved = [(nudged(sample, seed), nudged(state, seed)) for seed in range(8)]
        return [attempt("torch", work("torch", name, each, dtype, mode, weights)) for each, weights in moved]

    found = differences(ours, theirs, values=not random, exact=exact, near=near)
    example = f"torch.nn.{name}{_arguments(args, kwargs)}" + (_arguments(*forward) if forward else "")
    tally.count(name, found, ours, mode, dtype, example)


def _arguments(args: Any, kwargs: Any) -> str:
    return "(" + ", ".join([*map(shown, args), *(f"{k}={shown(v)}" for k, v in kwargs.items())]) + ")"


def work(
    library: str, name: str, sample: Any, dtype: str, mode: str, state: dict[str, Frozen], given: bool = True
) -> Callable[[Outcome], None]:
    """Construct, load the weights, go forward, take the gradients of inputs and parameters, look at the state."""

    def do(outcome: Outcome) -> None:
        engine = ENGINES[library]
        construct, forward = thaw(sample, library, {})
        module = getattr(engine.nn, name)(*construct[0], **construct[1]).to(getattr(engine, dtype))
        getattr(module, mode)()
        if given:
            module.load_state_dict(thaw(state, library, {}))
        else:
            state.update(freeze(dict(module.state_dict())))
        if forward is not None:
            outcome.inputs = tensors(list(forward))
            outcome.results = flat(module(*forward[0], **forward[1]))
            outcome.during = "gradient"
            parameters = dict(module.named_parameters())
            outcome.results.append(", ".join(parameters))
            outcome.gradients = gradients(library, outcome.results, [*outcome.inputs, *parameters.values()])
        after = dict(module.state_dict())
        outcome.results += [", ".join(after), *(x.detach() for x in after.values()), module.training]

    return do


def entries() -> list[Entry]:
    return [entry for entry in map(Entry, DATABASE) if entry.covered]


if __name__ == "__main__":
    program.main(__doc__, "modules", SIZE, entries(), run, DTYPES)
