"""Switch a bug on: an import hook replaces one line of one module's source, in this process alone, before it is compiled.

Nothing on the disk changes. Tracebacks, `inspect.getsource` and debuggers show the wrong line, since that line runs.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import linecache
import sys
import traceback
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import CodeType, ModuleType

from gpt import mistake
from gpt.museum import Bug


def module_of(file: str) -> str:
    """Return the name of the module in a file: tinytensor/ops/gelu.py -> tinytensor.ops.gelu."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def replaced(source: str, bug: Bug) -> str:
    """Return the source with the wrong line in the place of the right one. ValueError unless that is there exactly once."""
    lines = source.split("\n")
    if (count := lines.count(bug.right)) != 1:
        raise ValueError(f"{bug.file} has the line of {bug.name} {count} times, and not once: {bug.right.strip()}")
    lines[lines.index(bug.right)] = bug.wrong
    return "\n".join(lines)


class Loader(importlib.machinery.SourceFileLoader):
    """Loads the module with its wrong line. It reads and writes no bytecode, since that belongs to the right one."""

    def __init__(self, name: str, path: str, bug: Bug) -> None:
        super().__init__(name, path)
        self.bug = bug

    def get_source(self, fullname: str) -> str:
        source = super().get_source(fullname)
        assert source is not None
        return replaced(source, self.bug)

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        lines = [line + "\n" for line in source.split("\n")]
        linecache.cache[self.path] = (len(source), None, lines, self.path)  # None: no date, so it is never read again
        return compile(source, self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the one module that has the bug."""

    def __init__(self, bug: Bug) -> None:
        self.bug, self.name = bug, module_of(bug.file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return None
        loader = Loader(fullname, spec.origin, self.bug)
        return importlib.util.spec_from_file_location(
            fullname, spec.origin, loader=loader, submodule_search_locations=spec.submodule_search_locations
        )


def switch_on(bug: Bug) -> None:
    """Let this process import the wrong line. RuntimeError if the module was imported before: then it would not run."""
    if module_of(bug.file) in sys.modules:
        raise RuntimeError(
            f"{module_of(bug.file)} was imported before {bug.name} was switched on; take a fresh process"
        )
    sys.meta_path.insert(0, Finder(bug))
    mistake.name = bug.name  # checkpoints keep it, and programs compare it
    sys.excepthook = traceback.print_exception  # Python's own, up to 3.12, shows the lines of the file on the disk
