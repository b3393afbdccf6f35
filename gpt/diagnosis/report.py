"""What gpt.doctor prints: the losses, then every finding with its number, what is normal and what to try."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import asdict
from typing import Any

from gpt import cli
from gpt.diagnosis.check import Check, explained, findings
from gpt.diagnosis.recorded import Recorded

WIDTH = 118
PARTS = ("said", "normal", "advice")  # of an entry
INSPECT = "python -m gpt.inspect"
# Findings whose place can be seen in the page of gpt.inspect.
SHOWN = {"attention-saturated", "attention-uniform", "no-order", "dead-units", "gradient-layers", "no-gradient"}


def text(run: Recorded, checks: list[Check], everything: bool, name: str = "RUN") -> str:
    """Return the report on the run of this name. With `everything`, it has the other checks as well as the findings."""
    found, follow = findings(checks), explained(checks)
    others = [check for check in checks if check not in found]
    lines = [f"step        {run.step:,} of {run.config.steps:,}", f"losses      {losses(run)} (nats per token)", ""]
    if found:
        lines += [f"{len(found)} finding{'s' if len(found) > 1 else ''} in {len(checks)} checks:", ""]
    for check in found:
        lines += [line for what in PARTS for line in entry(check, what)] + [""]
    for cause in found:
        names = ", ".join(name for name, by in follow.items() if by == cause.name)
        lines += [f"{names} {'follow' if ',' in names else 'follows'} from {cause.name}"] if names else []
    if not found:
        lines.append(f"nothing odd in {len(checks)} checks")
    if SHOWN & {check.name for check in checks if check.odd}:
        lines.append(f"{INSPECT} {cli.word(name)} shows where")
    shown = others if everything else [check for check in others if check.name == "range-test"]  # the verdict of --deep
    if not found and not everything:
        lines.append(f"            --all shows their numbers{'' if shown else ', --deep tries learning rates'}")
    if everything:
        lines += ["", "the other checks:" if found else "all checks:"]
    lines += [""] * bool(shown)
    lines += [line for check in shown for what in PARTS[: 3 if check.odd else 2] for line in entry(check, what)]
    return "\n".join(lines)


def losses(run: Recorded) -> str:
    """Return the last losses beside the baselines."""
    train = f"training {cli.shown(run.last_train)}, " if run.last_train is not None else ""
    validation = f"validation {cli.shown(run.evaluated[-1][1])}, " if run.evaluated else ""
    return f"{train}{validation}{run.baselines}"


def entry(check: Check, what: str) -> list[str]:
    """Return one part of a finding, a flag and its value on one line, broken where it is too long."""
    begin = (
        f"{check.name:<20}" if what == "said" else f"{' ' * 20}{ {'normal': 'normal: ', 'advice': 'try:    '}[what] }"
    )
    together = re.sub(r"(?<![\w-])(--[\w-]+) ", "\\1\N{NO-BREAK SPACE}", getattr(check, what))
    broken = textwrap.wrap(together, WIDTH, initial_indent=begin, subsequent_indent=" " * 28, break_on_hyphens=False)
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in broken]


def for_programs(name: str, run: Recorded, checks: list[Check]) -> dict[str, Any]:
    """Return the same as one JSON object."""
    follow = explained(checks)
    return {
        "run": name,
        "step": run.step,
        "steps": run.config.steps,
        "train_loss": finite(run.last_train),
        "val_loss": run.evaluated[-1][1] if run.evaluated else None,
        "baselines": run.baselines.losses(),
        "findings": [check.name for check in findings(checks)],
        "follows": follow,
        "checks": [{**asdict(check), "value": finite(check.value)} for check in checks],
    }


def finite(value: float | None) -> float | None:
    """Return the value; None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None


def in_a_line(checks: list[Check]) -> str:
    """Return the findings in a line; "" if there is none."""
    found = findings(checks)
    more = f" (and {', '.join(check.name for check in found[1:])})" if len(found) > 1 else ""
    return f"{found[0].name}: {found[0].said}{more}" if found else ""
