"""Warnings are errors (setup.cfg); random cases come from fixed seeds (profiles.py); no test reaches the network."""

from __future__ import annotations

import profiles
import pytest

import tinytensor
from tinytensor.gradcheck.table import LIMITS

profiles.load()

profiles.load()

profiles.load()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    tinytensor.manual_seed(0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the worst errors of the primitives that the tests have recorded, which their limits alone would not tell."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)]
    for check, limit in LIMITS.items():
        errors = [
            (value, r.nodeid) for r in reports for name, value in getattr(r, "user_properties", ()) if name == check
        ]
        if errors:
            error, where = max(errors)
            terminalreporter.write_line(f"worst {check} {error:.1e} of {len(errors)}, limit {limit:.0e}: {where}")
