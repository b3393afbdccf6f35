"""Train with the right line and with the wrong one, each run in a process of its own, and collect what differs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpt import corpus
from gpt.config import TrainConfig, flag
from gpt.corpus import Corpus
from gpt.errors import Stopped, UserError
from gpt.museum import Bug
from gpt.museum.panels import PANELS
from gpt.museum.process import command
from gpt.museum.process import run as run_process
from gpt.run import metrics

EVERY = 10  # steps of which a curve has the mean
STOPPING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # Windows has no SIGHUP
SAMPLE = 300  # characters of a text that is kept


@dataclass(frozen=True)
class Curve:
    """A training: its losses and gradient norms as means of EVERY steps, its evaluations, a sample, and what the doctor says."""

    seed: int
    first: float  # the loss of the first step
    train: list[float]
    norm: list[float]
    validation: list[tuple[int, float]]
    sample: str
    stopped: str  # the error that ended it before its last step; ""
    findings: dict[str, str]  # of gpt.doctor: name and what it says
    follows: list[str]  # findings that follow from these
    baselines: dict[str, float]


@dataclass(frozen=True)
class Trial:
    """The runs of a bug beside those of the right line, seed by seed, and the numbers of its second picture."""

    name: str
    config: dict[str, Any]
    right: list[Curve]
    wrong: list[Curve]
    panel: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def from_json(values: Mapping[str, Any]) -> Trial:
    """Invert Trial.as_json."""

    def curves(rows: list[dict[str, Any]]) -> list[Curve]:
        return [Curve(**{**row, "validation": [(step, loss) for step, loss in row["validation"]]}) for row in rows]

    return Trial(values["name"], values["config"], curves(values["right"]), curves(values["wrong"]), values["panel"])


def text_for(bug: Bug, data: str) -> str:
    """Return the text of the run: all of it, or its beginning, if the bug shows in a short text."""
    text = corpus.read(data)
    if not isinstance(text, Corpus):
        raise UserError(f"--data {data}: the museum takes a text, not a prepared corpus; give the path of a file")
    return text.text[: bug.characters] if bug.characters else text.text


def flags_of(config: Mapping[str, object]) -> list[str]:
    """Return the fields of the configuration as flags of gpt.train."""
    return [
        (flag(name) if value else "--no-" + flag(name)[2:]) if isinstance(value, bool) else f"{flag(name)}={value}"
        for name, value in config.items()
    ]


def train(
    name: str, config: Mapping[str, object], seed: int, text: Path, run: Path, look: Callable[[int], None]
) -> str:
    """Train in a child with that bug, or with none for "". Return the error that stopped it; "" if it made all steps."""
    line = ["--data", str(text), "--out", str(run), "--seed", str(seed), "--quiet", "--no-plot", *flags_of(config)]
    path = run / "metrics.jsonl"
    status, _, why = run_process(
        command(name, "gpt.train", line), lambda: look(path.read_bytes().count(b"\n") if path.exists() else 0)
    )
    if status and (status != 2 or not path.exists() or not name):
        raise UserError(f"the training {f'with {name}' if name else 'without a bug'} failed: {why}")
    return why


def curve_of(name: str, run: Path, seed: int, stopped: str) -> Curve:
    """Collect what a run has left, and what gpt.doctor says of it. The doctor's process has the same wrong line as the run's."""
    rows = metrics.read(run)
    status, output, _ = run_process(command(name, "gpt.doctor", [str(run), "--json"]))
    report = json.loads(output) if not status else {"findings": [], "follows": {}, "checks": [], "baselines": {}}
    said = {check["name"]: check["said"] for check in report["checks"]}
    sample = run / "sample.txt"
    return Curve(
        seed=seed,
        first=round(rows[0]["train_loss"], 3),
        train=means([row["train_loss"] for row in rows]),
        norm=means([row["grad_norm"] or 0.0 for row in rows]),
        validation=[(row["step"], round(row["val_loss"], 3)) for row in rows if row["val_loss"] is not None],
        sample=sample.read_text("utf-8")[:SAMPLE] if sample.exists() else "",
        stopped=stopped,
        findings={each: said[each] for each in report["findings"]},
        follows=list(report["follows"]),
        baselines={each: round(loss, 3) for each, loss in report["baselines"].items()},
    )


def means(values: Sequence[float]) -> list[float]:
    """Return the mean of each EVERY values, with four digits."""
    whole = np.array(values[: len(values) // EVERY * EVERY]).reshape(-1, EVERY).mean(1)
    return [float(f"{x:.4g}") for x in whole]


def stop(number: int, _: object) -> None:
    """Stop the training that runs now, and what would follow."""
    raise Stopped(number, "stopped; the trainings are gone, and figures that were drawn stay")


def in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class Workshop:
    """Trains the runs of one or more bugs in a folder that goes away. Bugs with the same recipe share the right runs."""

    def __init__(self, seeds: Sequence[int], steps: int | None, data: str, say: Callable[[str], None]) -> None:
        self.seeds, self.steps, self.data, self.say = seeds, steps, data, say
        self.right: dict[str, tuple[list[Curve], list[Path]]] = {}  # by recipe and text: the curves and the run folders

    def __enter__(self) -> Workshop:
        self._before = {number: signal.getsignal(number) for number in STOPPING} if in_main_thread() else {}
        for number in self._before:
            signal.signal(number, stop)
        self._folder = tempfile.TemporaryDirectory(prefix="museum-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
        for number, before in self._before.items():
            signal.signal(number, before)

    def config(self, bug: Bug) -> dict[str, object]:
        """Return the configuration of its run: with other steps, evaluations keep their number."""
        config = bug.config
        if self.steps is not None:
            before = int(str(config["steps"]))
            config["steps"] = self.steps
            config["eval_every"] = max(1, int(str(config["eval_every"])) * self.steps // before)
        TrainConfig(**config)  # type: ignore[arg-type]  # refuses what is impossible before the first run
        return config

    def trial(self, bug: Bug) -> Trial:
        """Train all runs of the bug."""
        config = self.config(bug)
        key = json.dumps([config, bug.characters])
        text = self.folder / f"text-{bug.characters}"
        if not text.exists():
            text.write_text(text_for(bug, self.data), "utf-8")
        if key not in self.right:
            self.right[key] = self.runs("", config, text, f"right-{len(self.right)}")
        right, right_folders = self.right[key]
        wrong, wrong_folders = self.runs(bug.name, config, text, bug.name)
        panel = PANELS[bug.shows].collect(bug.name, right, wrong, right_folders, wrong_folders)
        return Trial(bug.name, config, right, wrong, panel)

    def runs(self, name: str, config: Mapping[str, object], text: Path, folder: str) -> tuple[list[Curve], list[Path]]:
        """Train one run for each seed."""
        curves, folders = [], []
        for seed in self.seeds:
            run = self.folder / f"{folder}-{seed}"
            with progress(f"{name or 'right'}, seed {seed}", int(str(config["steps"]))) as look:
                stopped = train(name, config, seed, text, run, look)
            curve = curve_of(name, run, seed, stopped)
            curves.append(curve)
            folders.append(run)
            self.say(summary(name or "right", curve))
        return curves, folders


def summary(name: str, curve: Curve) -> str:
    """Return a line about a run."""
    last = f"training {np.mean(curve.train[-2:]):6.3f}" if curve.train else "no step"
    validation = f"  validation {curve.validation[-1][1]:6.3f}" if curve.validation else ""
    found = f"  doctor: {', '.join(curve.findings)}" if curve.findings else "  doctor: nothing odd"
    return f"{name:<20} seed {curve.seed:<5} {last}{validation}{found}{'  stopped: ' + curve.stopped if curve.stopped else ''}"


@contextlib.contextmanager
def progress(name: str, steps: int) -> Iterator[Callable[[int], None]]:
    """A context with a bar on a terminal; yields a function that takes the steps that are done. It began at once."""
    from tqdm import tqdm

    began = time.monotonic()
    with tqdm(total=steps, desc=name, leave=False, disable=None, unit=" steps", ncols=90) as bar:

        def look(done: int) -> None:
            if time.monotonic() - began > 1:
                bar.update(done - bar.n)

        yield look
