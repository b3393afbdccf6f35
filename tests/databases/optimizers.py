"""Every optimizer that tinytensor has, on every input and bad input of PyTorch's own database of optimizers.

python tests/databases/optimizers.py SGD AdamW
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # tinytensor comes from PYTHONPATH, or else from the tree of this file
    sys.path += [str(Path(__file__).parents[1] / "helpers"), str(Path(__file__).parents[2])]

import numpy as np
import program
from compare import ENGINES, Outcome, attempt, differences
from report import Tally
from torch_databases import database
from translate import OutsideSubsetError, freeze, shown, thaw

import tinytensor as tt
import torch

DATABASE = database("optim_db")
SIZE = len(DATABASE)
DTYPES = ("float64", "float32")
STEPS = 5
SHAPES = ((3, 4), (3,), ())


class Entry:
    """An optimizer of the database."""

    def __init__(self, info: Any) -> None:
        self.info = info
        self.name = info.optim_cls.__name__
        self.covered = hasattr(tt.optim, self.name)

    def samples(self, dtype: str) -> list[tuple[Any, dict[str, Any], str]]:
        """(parameters or None, keyword arguments, what it is), frozen."""
        torch.manual_seed(0)
        made = [(each, "") for each in self.info.optim_inputs_func("cpu")]
        bad = self.info.optim_error_inputs_func("cpu", getattr(torch, dtype))
        made += [(each.optimizer_error_input, "bad: ") for each in bad]
        samples = []
        for each, what in made:
            try:
                samples.append((*freeze((each.params, each.kwargs)), what + each.desc))
            except OutsideSubsetError:
                continue
        return samples


def run(entry: Entry, only: str | None = None, form: str | None = None) -> Tally:
    """Every input of an optimizer: steps, or a refusal (the forms)."""
    tally = Tally({entry.name})
    for dtype in [only] if only else DTYPES:
        for params, kwargs, what in entry.samples(dtype):
            theirs = attempt("torch", work("torch", entry.name, params, kwargs, dtype))
            ours = attempt("tiny", work("tiny", entry.name, params, kwargs, dtype))
            example = (
                f"torch.optim.{entry.name}({shown(params) if params is not None else 'params'}, **{shown(kwargs)})"
            )
            kind = "bad" if what.startswith("bad") else "steps"
            if form in (None, kind):
                tally.count(entry.name, differences(ours, theirs), ours, kind, dtype, example)
    return tally


def work(library: str, name: str, params: Any, kwargs: Any, dtype: str) -> Callable[[Outcome], None]:
    """Some steps; the state moves to a second optimizer, on copies of the parameters, and that takes some more."""
    make = getattr(ENGINES[library].optim, name)

    def do(outcome: Outcome) -> None:
        mine = thaw(params, library, {}) if params is not None else parameters(library, dtype)
        optimizer = make(mine, **thaw(kwargs, library, {}))
        for step in range(STEPS):
            outcome.during = f"step {step}"
            move(library, optimizer, step)
            outcome.results += [p.detach().clone() for group in optimizer.param_groups for p in group["params"]]
        state = optimizer.state_dict()
        outcome.results += described(state)
        if params is None:
            outcome.during = "load_state_dict"
            copies = parameters(library, dtype)
            with ENGINES[library].no_grad():
                for copy, p in zip(copies, mine, strict=True):
                    copy.copy_(p)
            second = make(copies, **thaw(kwargs, library, {}))
            second.load_state_dict(state)
            move(library, second, STEPS)
            outcome.results += [p.detach() for p in copies]

    return do


def parameters(library: str, dtype: str) -> list[Any]:
    rng = np.random.default_rng(0)
    engine = ENGINES[library]
    arrays = [np.asarray(rng.normal(size=shape), dtype) for shape in SHAPES]
    return [engine.nn.Parameter(engine.from_numpy(a)) for a in arrays]


def move(library: str, optimizer: Any, step: int) -> None:
    """One step with the gradients of that step. At step 1 the last parameter has none."""
    rng = np.random.default_rng(step + 1)
    for group in optimizer.param_groups:
        for i, p in enumerate(group["params"]):
            gradient = np.asarray(rng.normal(size=tuple(p.shape)), str(p.dtype).rpartition(".")[2])
            p.grad = None if step == 1 and i == len(group["params"]) - 1 else ENGINES[library].from_numpy(gradient)
    optimizer.step()


def described(state: Any) -> list[Any]:
    """state_dict() as a list: the keys, and for each parameter its entries in the order of their names."""
    found: list[Any] = [", ".join(state), str(sorted(state["state"]))]
    for _, entries in sorted(state["state"].items()):
        found.append(", ".join(sorted(entries)))
        found += [copied(entries[key]) for key in sorted(entries)]
    for group in state["param_groups"]:
        tensors = sorted(key for key, value in group.items() if isinstance(value, (torch.Tensor, tt.Tensor)))
        found += [", ".join(tensors), *(copied(group[key]) for key in tensors)]
        found.append({key: value for key, value in group.items() if key not in tensors})
    return found


def copied(value: Any) -> Any:
    """A state as it is now: another optimizer may go on with the same Tensors."""
    return value.detach().clone() if isinstance(value, (torch.Tensor, tt.Tensor)) else value


def entries() -> list[Entry]:
    return [entry for entry in map(Entry, DATABASE) if entry.covered]


if __name__ == "__main__":
    program.main(__doc__, "optimizers", SIZE, entries(), run, DTYPES)
