"""The exhibits: what runs/museum.sh has measured of every bug, in curves.json beside this file; and its facts in words."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gpt.errors import UserError, reading
from gpt.museum import BUGS, Bug
from gpt.museum.panels import PANELS
from gpt.museum.trial import Curve, Trial, from_json
from gpt.run import files

DATA = Path(__file__).with_name("curves.json")


def write(path: Path, trials: Iterable[Trial], about: str) -> None:
    """Write the trials as JSON, a line for each. Trials with the same right runs share them."""
    shared: list[Any] = []
    rows = {}
    for trial in trials:
        values = trial.as_json()
        if values["right"] not in shared:
            shared.append(values["right"])
        rows[trial.name] = {**values, "right": shared.index(values["right"])}
    lines = [json.dumps(about), *map(compact, shared), *map(compact, rows.values())]
    text = f'{{"about": {lines[0]},\n"right": [\n' + ",\n".join(lines[1 : 1 + len(shared)])
    text += '\n],\n"bugs": [\n' + ",\n".join(lines[1 + len(shared) :]) + "\n]}\n"
    files.write(path, text)


def compact(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def read(path: Path = DATA) -> dict[str, Trial]:
    """Return the trials in the file by their names, in the order of BUGS. UserError if it is not there, or no such file."""
    with reading(path):
        text = path.read_text("utf-8")
    try:
        values = json.loads(text)
        found = {row["name"]: from_json({**row, "right": values["right"][row["right"]]}) for row in values["bugs"]}
    except (ValueError, KeyError, TypeError, IndexError):
        raise UserError(f"{path} has no curves of the museum; runs/museum.sh makes it") from None
    return {name: found[name] for name in BUGS if name in found}


@functools.cache
def exhibits() -> dict[str, Trial]:
    return read()


def last(curves: list[Curve], what: str) -> float:
    """Return the median over the seeds of the last training loss (20 steps), or of the last validation loss."""
    made = [c for c in curves if c.train and c.validation]
    ends = [float(np.mean(c.train[-2:])) if what == "train" else c.validation[-1][1] for c in made]
    return float(np.median(ends)) if ends else float("nan")


def length(curves: list[Curve]) -> float:
    """Return the median over the seeds of the median length of the gradient."""
    return float(np.median([float(np.median(c.norm)) for c in curves if c.norm] or [float("nan")]))


def findings(curves: list[Curve]) -> dict[str, int]:
    """Return the doctor's findings, and in how many of the runs they are."""
    return {
        name: sum(name in c.findings for c in curves) for name in dict.fromkeys(n for c in curves for n in c.findings)
    }


def numbers(trial: Trial) -> list[str]:
    """Return the numbers of the runs as sentences, without a name."""
    right, wrong = trial.right, trial.wrong
    lines = [
        f"first loss: right {np.median([c.first for c in right]):.3f}, wrong {np.median([c.first for c in wrong]):.3f}",
        f"last training loss: right {last(right, 'train'):.3f}, wrong {last(wrong, 'train'):.3f}",
        f"last validation loss: right {last(right, 'validation'):.3f}, wrong {last(wrong, 'validation'):.3f}",
        f"median length of the gradient: right {length(right):.2g}, wrong {length(wrong):.2g}",
    ]
    lines += [f"after {len(c.train) * 10} steps, seed {c.seed}: {c.stopped}" for c in wrong if c.stopped]
    return lines + panel_numbers(BUGS[trial.name], trial.panel)


def panel_numbers(bug: Bug, panel: dict[str, Any]) -> list[str]:
    """Return what the second picture shows, as a sentence."""
    if not panel:
        return []
    wrong = np.median(panel["wrong"], axis=0)
    title = PANELS[bug.shows].title
    if "right" not in panel:
        return [f"{title}: " + ", ".join(f"{x:.0%} {name}" for name, x in zip(panel["labels"], wrong, strict=True))]
    right = np.median(panel["right"], axis=0)
    if "labels" in panel:
        both = zip(panel["labels"], right, wrong, strict=True)
        return [f"{title}: " + "; ".join(f"{name} right {a:.3g}, wrong {b:.3g}" for name, a, b in both)]
    places = sorted({0, len(wrong) // 4, len(wrong) // 2, len(wrong) - 1})
    some = ", ".join(f"{wrong[i]:.2g} of {panel['label']} {i}" for i in places)
    return [f"{title}: right {right[0]:.2g} of all, wrong {some}"]
