"""The engine, as it is and as the reader edited it, in one Python: which one `import tinytensor` means, and the edits."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import linecache
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from .errors import Wrong, checked, described
from .product import product_by

PACKAGES = ("tinytensor", "gpt")


class Engine:
    """tinytensor and gpt from one folder. Only one engine at a time has its modules in sys.modules.

    product: what the engine takes as a @ b where NumPy has no BLAS, in place of its own.
    """

    def __init__(self, folder: Path, product: Any = None) -> None:
        self.folder, self.product = folder, product
        self.modules: dict[str, Any] = {}

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """A context in which `import tinytensor` and `import gpt` mean this engine.

        An import that fails leaves none of the modules that it brought: one may have done half of its work, and the next
        import would tell of that, not of what is wrong.
        """
        before, path, entries = dict(sys.modules), sys.path, list(sys.path)
        _take_out()
        sys.path.insert(0, str(self.folder))
        sys.modules.update(self.modules)
        try:
            if not self.modules and self.product is not None:
                without_blas: Any = importlib.import_module("tinytensor.without_blas")
                without_blas.faster = self.product
            yield
            self.modules = _take_out()
        except BaseException as error:
            if not self.imported(error.__traceback__):
                self.modules = _take_out()
            raise
        finally:  # whatever the reader's code did to these
            _take_out()
            sys.path = path
            path[:] = entries
            for name, module in before.items():
                sys.modules.setdefault(name, module)

    def imported(self, calls: TracebackType | None) -> bool:
        """Whether a module of this engine was being imported in these calls."""
        while calls is not None:
            code = calls.tb_frame.f_code
            if code.co_name == "<module>" and code.co_filename.startswith(str(self.folder)):
                return True
            calls = calls.tb_next
        return False

    def forget(self) -> None:
        """Import everything anew the next time."""
        self.modules = {}
        importlib.invalidate_caches()
        linecache.clearcache()


def _take_out() -> dict[str, Any]:
    """Remove the project's modules from sys.modules, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    return {name: sys.modules.pop(name) for name in names}


class Engines:
    """Both engines, and what the reader changed in one of them."""

    def __init__(self, original: Path, edited: Path, multiply: Callable[..., object] | None = None) -> None:
        product = None if multiply is None else product_by(multiply)
        self.original, self.edited = Engine(original, product), Engine(edited, product)
        self.edits: dict[str, str] = {}
        self.changes = 0  # how often the edits became others

    @property
    def chosen(self) -> Engine:
        """The one that the reader works with: the edited one if anything is edited."""
        return self.edited if self.edits else self.original

    def warm(self) -> dict[str, str]:
        """Import what a training needs, so that the first step does not wait for it; the versions of everything."""
        os.environ["MPLBACKEND"] = "agg"
        with self.original.active():
            importlib.import_module("gpt.train")
            importlib.import_module("gpt.sampling")
            version = str(importlib.import_module("tinytensor").__version__)
        return {"python": sys.version.partition(" ")[0], "numpy": np.__version__, "tinytensor": version}

    def edit(self, edits: dict[str, str]) -> None:
        """Let these be all edits, path: text. SyntaxError names the file and the line, before anything is changed."""
        if edits == self.edits:
            return
        for path, text in edits.items():
            checked(text, path)
            if not (self.original.folder / path).is_file():
                raise Wrong(f"there is no file {path} in the project")
        if not self.edited.folder.exists():
            shutil.copytree(self.original.folder, self.edited.folder)  # with what Python compiled already
        for path in {*self.edits, *edits}:
            self._write(path, edits.get(path))
        self.edits = dict(edits)
        self.changes += 1
        self.edited.forget()

    def _write(self, path: str, text: str | None) -> None:
        """Write a file of the edited engine; None: as it is in the other."""
        source, target = self.original.folder / path, self.edited.folder / path
        target.write_text(source.read_text("utf-8") if text is None else text, "utf-8")
        # Python would take an edit of the same second and length for what it compiled before.
        Path(importlib.util.cache_from_source(str(target))).unlink(missing_ok=True)

    def described(self, error: BaseException) -> dict[str, Any]:
        """An error in words."""
        return described(error, self.shown, self.edits)

    def shown(self, filename: str) -> str:
        """A file's path in the project."""
        for engine in (self.edited, self.original):
            with contextlib.suppress(ValueError):
                return Path(filename).relative_to(engine.folder).as_posix()
        return filename
