"""The gradient check: the table of primitives, and the errors of each."""

from __future__ import annotations

import importlib
import math
import time
from types import SimpleNamespace
from typing import Any

from .engines import Engines


class Check:
    """The derivatives of the engine that the reader works with."""

    def __init__(self, engines: Engines) -> None:
        self.engines = engines

    def primitives(self, edits: dict[str, str]) -> dict[str, Any]:
        """The rows of the table with their files; and those whose file is edited, or all, where an edit concerns all."""
        self.engines.edit(edits)
        with self.engines.chosen.active():
            table = _samples()
            rows = []
            for name in table.SAMPLES:
                primitive = table.PRIMITIVES[name]
                rows.append({"name": name, "formula": primitive.formula, "file": _file_of(primitive.backward)})
        of_files = {row["file"] for row in rows}
        chosen = [row["name"] for row in rows if row["file"] in edits]
        shared = [path for path in edits if path not in of_files and path.startswith("tinytensor/")]
        return {"rows": rows, "edited": chosen, "shared": shared}

    def examine(self, name: str) -> dict[str, Any]:
        """The errors of one primitive, against central differences, its composed form and float32."""
        started = time.perf_counter()
        with self.engines.chosen.active():
            table = _samples()
            samples = table.SAMPLES[name]
            try:
                row = table.examine(table.PRIMITIVES[name], samples, False)
            except BaseException as error:  # also SystemExit: whatever it raises, it is this row that fails
                failed = self.engines.described(error)
                return {"name": name, "failed": failed, "wrong": ["failed"], "calls": len(samples)}
        errors = {check: finite(getattr(row, check)) for check in ("differences", "composed", "ulps")}
        return {
            "name": name, "errors": errors, "limits": table.LIMITS, "wrong": row.wrong(), "calls": len(samples),
            "seconds": time.perf_counter() - started,
        }  # fmt: skip


def finite(x: Any) -> Any:
    """x; None if there is none, and a word if it is not finite: JSON has no numbers for that."""
    if x is None:
        return None
    return float(x) if math.isfinite(x) else "nan" if math.isnan(x) else "inf"


def _samples() -> SimpleNamespace:
    """The samples, primitives and checks of the active engine, rotary among them."""
    importlib.import_module("tinytensor.ops").load_all()
    importlib.import_module("gpt.rotary_samples")
    table = importlib.import_module("tinytensor.gradcheck.table")
    return SimpleNamespace(
        SAMPLES=importlib.import_module("tinytensor.gradcheck.samples").SAMPLES,
        PRIMITIVES=importlib.import_module("tinytensor.primitive").PRIMITIVES,
        LIMITS=table.LIMITS,
        examine=table.examine,
    )


def _file_of(function: Any) -> str:
    """The file of a kernel as a path in the project; a wrapped one counts as what it wraps."""
    return str(getattr(function, "__module__", "")).replace(".", "/") + ".py"
