"""Warnings are errors (setup.cfg); random cases come from fixed seeds (profiles.py); no test reaches the network.

A run of everything is shared by as many processes as there are cores, where pytest-xdist is installed: -n 0 does
without. A run of chosen files stays in one, since starting others would take longer than most files do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

if "PYTEST_XDIST_WORKER" in os.environ:  # before NumPy is imported: a core each, or their BLAS threads fight for them
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

import profiles
import pytest
from tables import table

import tinytensor
from gpt.fast.threads import usable_cores
from tinytensor.gradcheck.table import LIMITS

profiles.load()


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """-n CORES, unless files, -n, or something that wants one process were asked for.

    pytest-cov looks at -n before this hook runs, so --cov stays in one process unless -n is given.
    """
    option = config.option
    everything = config.args_source == pytest.Config.ArgsSource.TESTPATHS and not hasattr(config, "workerinput")
    alone = option.collectonly or option.usepdb or option.capture == "no" or getattr(option, "cov_source", None)
    if everything and not alone and getattr(option, "numprocesses", 0) is None and usable_cores() > 1:
        option.numprocesses, option.dist = usable_cores(), "worksteal"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    tinytensor.manual_seed(0)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Threads that share small work, on cores that other tests use, mostly wait for each other."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the worst errors of the primitives that the tests have recorded, what agreed with PyTorch's databases, and what
    programs said of what they counted."""
    reports = [r for outcome in ("passed", "failed") for r in terminalreporter.getreports(outcome)]
    for name, limit in LIMITS.items():
        errors = [(value, r.nodeid) for r in reports for key, value in getattr(r, "user_properties", ()) if key == name]
        if errors:
            error, where = max(errors)
            terminalreporter.write_line(f"worst {name} {error:.1e} of {len(errors)}, limit {limit:.0e}: {where}")
    databases: dict[str, tuple[int, list[int]]] = {}
    for name, size, counts in [
        v for r in reports for key, v in getattr(r, "user_properties", ()) if key == "databases"
    ]:
        databases[name] = size, [sum(pair) for pair in zip(counts, databases.get(name, (0, [0] * len(counts)))[1])]
    if databases:
        terminalreporter.write_line(table(databases))
    for said in [value for r in reports for key, value in getattr(r, "user_properties", ()) if key == "said"]:
        terminalreporter.write_line("\n  ".join(said.splitlines()))
