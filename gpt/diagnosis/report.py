"""What gpt.doctor prints: the losses, then every finding with its number, what is normal and what to try."""

from __future__ import annotations

import math
import textwrap
from dataclasses import asdict
from typing import Any

from gpt.cli import shown
from gpt.diagnosis.check import Check, explained, findings
from gpt.diagnosis.recorded import Recorded

WIDTH = 118


def text(run: Recorded, checks: list[Check], everything: bool) -> str:
    """Return the report. With `everything`, it has the checks that found nothing as well."""
    found, follow = findings(checks), explained(checks)
    quiet = [check for check in checks if not check.odd]
    lines = [f"step        {run.step:,} of {run.config.steps:,}", f"losses      {losses(run)} (nats per token)", ""]
    if found:
        lines += [f"{len(found)} finding{'s' if len(found) > 1 else ''} in {len(checks)} checks:", ""]
    for check in found:
        lines += [line for what in ("said", "normal", "advice") for line in entry(check, what)] + [""]
    for cause in found:
        names = ", ".join(name for name, by in follow.items() if by == cause.name)
        lines += [f"{names} {'follow' if ',' in names else 'follows'} from {cause.name}"] if names else []
    if not found:
        lines.append(f"nothing odd in {len(checks)} checks")
    lines += [f"            ({check.said})" for check in quiet if check.name == "range-test" and not everything]
    if everything:
        lines += ["", "all other checks:", ""]
        lines += [line for check in quiet for what in ("said", "normal") for line in entry(check, what)]
    elif not found:
        lines.append("            --all shows their numbers, --deep tries learning rates")
    return "\n".join(lines)


def losses(run: Recorded) -> str:
    """Return the last losses beside the baselines."""
    train = f"training {shown(run.last_train)}, " if run.last_train is not None else ""
    validation = f"validation {shown(run.evaluated[-1][1])}, " if run.evaluated else ""
    return f"{train}{validation}{run.baselines}"


def entry(check: Check, what: str) -> list[str]:
    """Return one line of a finding, broken where it is too long: `said`, `normal` or `advice`."""
    begin = (
        f"{check.name:<20}" if what == "said" else f"{' ' * 20}{ {'normal': 'normal: ', 'advice': 'try:    '}[what] }"
    )
    return textwrap.wrap(
        getattr(check, what), WIDTH, initial_indent=begin, subsequent_indent=" " * 28, break_on_hyphens=False
    )


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
