"""A reader's file: its text is executed here, with NumPy and Python's mathematics alone, and its errors are told by line.

Three things hold, so that what is checked is what the reader wrote:

* The text itself is compiled. No module is looked up by the name of the exercise, so no other file can stand in for it.
* Imports of anything but NumPy and some of Python's own modules are refused; of these it gets stand-ins (gpt/learn/offered.py)
  that neither execute text nor reach files or other modules. The ways around that are refused too: names such as `__import__`,
  functions such as `eval`, attributes that begin with an underscore, attributes of frames.
* While the file runs, Python reports each call to a profile function. A call of the engine, of PyTorch or the like is refused.

It is no sandbox. Who knows Python's insides gets around it; it keeps readers from deceiving themselves.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import Any

import numpy as np

from gpt.learn.exercise import Fault
from gpt.learn.offered import FILES, OFFERED, imported

ENGINES = {"tinytensor", "gpt", "reference_torch", "torch", "jax", "autograd", "cupy", "tensorflow"}
WITHHELD = {
    "breakpoint", "compile", "delattr", "eval", "exec", "getattr", "globals", "help", "input", "locals", "open",
    "setattr", "vars",
}  # fmt: skip
# Attributes that lead out of the file: to the memory of an array, to other modules, to functions that execute text.
INSIDE = {
    "attrgetter", "builtins", "cffi", "ctypes", "ctypeslib", "distutils", "evaluate", "evaluate_forward_ref", "f2py",
    "get_type_hints", "importlib", "inspect", "lib", "measure", "modules", "os", "rundocs", "runstring", "subprocess",
    "sys", "update_wrapper",
}  # fmt: skip
FRAMES = ("ag_", "co_", "cr_", "f_", "gi_", "tb_")  # attributes of frames, tracebacks, generators and code begin so
NAMES = {"__name__", "__file__", "__doc__"}  # the names between underscores that a file may use
LONGEST = 200_000  # characters
KEPT = 100_000  # characters that it prints
MESSAGE = 300  # characters of an error that a report shows
PRINTED = 20  # lines of what the file prints that a report shows


class Printed(io.StringIO):
    """What a file prints: the beginning is kept, so that an endless loop does not fill the memory with it."""

    def write(self, text: str) -> int:
        if self.tell() < KEPT:
            super().write(text)
        return len(text)


class Reader:
    """The text of a reader's file, ready to run: `load` executes it, `call` calls one of its functions."""

    def __init__(self, text: str, name: str) -> None:
        self.name = f"{name}.py"
        self.lines = text.splitlines()
        self.printed = Printed()
        self.engine = ""  # the module of an engine that the file called
        if len(text) > LONGEST:
            raise Fault(f"the file has {len(text):,} characters; an exercise needs at most {LONGEST:,}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text, self.name)
                refuse(tree)
                # optimize=0: asserts stay, also under python -O
                self.code: CodeType = compile(tree, self.name, "exec", dont_inherit=True, optimize=0)
        except SyntaxError as error:
            where = f"line {error.lineno}" if error.lineno else "the file"
            source = [f"    {error.text.strip()}"] if error.text else []
            raise Fault(f"{where} is no Python: {error.msg}", *source) from None
        except (ValueError, RecursionError, MemoryError) as error:  # a zero character, a thousand brackets
            raise Fault(f"the file is no Python: {error}") from None

    def load(self, function: str) -> Callable[..., Any]:
        """Execute the file in a namespace of its own, and return its function of that name."""
        names: dict[str, Any] = {"__name__": "exercise", "__file__": self.name, "__builtins__": allowed()}
        self.call(lambda: exec(self.code, names))
        found = names.get(function)
        if not callable(found):
            what = "is no function" if function in names else "is missing"
            raise Fault(f"{function} {what}: the file has to define it, as the one of `start` does")
        return found  # type: ignore[no-any-return]

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return function(*arguments); Fault with the line of the file if it raises, or does what no exercise may do."""
        try:
            with self._watched():
                result = function(*arguments)
        except (KeyboardInterrupt, Fault):
            raise
        except BaseException as error:  # also SystemExit: a file does not end its check
            raise Fault(*self.told(error)) from None
        if self.engine:
            raise Fault(f"the file calls {self.engine}, which has the answer; write it with NumPy alone")
        return result

    def told(self, error: BaseException) -> list[str]:
        """Return what went wrong, with the line of the file and its text."""
        message = text_of(error)
        if isinstance(error, NotImplementedError):
            said = f"nothing is written yet: {message}" if message else "nothing is written yet"
        elif isinstance(error, ValueError) and "read-only" in message:
            said = "it writes into an array that it was given, and that others still need; make a new one"
        elif isinstance(error, RecursionError):
            said = "RecursionError: a function calls itself too often; a loop has no such limit"
        else:
            said = f"{type(error).__name__}: {message}" if message else type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        line = next((frame.lineno for frame in reversed(frames) if frame.filename == self.name), None)
        if line is None:
            return [said]
        return [f"line {line}: {said}", *self.source(line)]

    def source(self, line: int) -> list[str]:
        """Return the text of a line, as a report shows it."""
        return [f"    {self.lines[line - 1].strip()}"] if 0 < line <= len(self.lines) else []

    def output(self) -> list[str]:
        """Return what the file printed, as lines of a report."""
        lines = self.printed.getvalue().splitlines()
        more = [f"    … and {len(lines) - PRINTED} lines more"] if len(lines) > PRINTED else []
        return ["it printed:", *(f"    {printable(line)}" for line in lines[:PRINTED]), *more] if lines else []

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Catch what the file prints, note which engine it calls, and refuse it if it changes NumPy.

        NumPy's global random numbers begin anew, and go on afterwards where they were: a file remembers nothing in them.
        """
        before, random, profile = (
            [dict(vars(each)) for each in OFFERED.values()],
            np.random.get_state(),
            sys.getprofile(),
        )
        out = contextlib.redirect_stdout(self.printed), contextlib.redirect_stderr(self.printed)
        np.random.seed()
        with out[0], out[1], warnings.catch_warnings(), np.errstate(all="ignore"), np.printoptions():
            warnings.simplefilter("ignore")
            sys.setprofile(self._see)
            try:
                yield
            finally:
                sys.setprofile(profile)
                changed = put_back(before)
                np.random.set_state(random)
        if changed:
            raise Fault(f"the file changes a module that others use: {changed[0]}; give your function another name")

    def _see(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            module = str(frame.f_globals.get("__name__", ""))
            if module.partition(".")[0] in ENGINES and not module.startswith("gpt.learn"):
                self.engine = self.engine or module


def put_back(before: list[dict[str, Any]]) -> list[str]:
    """Make the stand-ins what they were, and return the names that had changed, or had come to them."""
    found = []
    for module, names in zip(OFFERED.values(), before):
        now = vars(module)
        changed = [name for name, value in names.items() if now.get(name, module) is not value]
        added = [name for name in now if name not in names]
        for name in changed:
            setattr(module, name, names[name])
        for name in added:
            delattr(module, name)
        found += [f"{module.__name__}.{name}" for name in (*changed, *added)]
    return found


def text_of(error: BaseException) -> str:
    """The message of an error in one line; a class of the file's own may fail to make one."""
    try:
        message = " ".join(str(error).split())
    except Exception:
        return "(its message cannot be made)"
    return printable(message if len(message) <= MESSAGE else f"{message[:MESSAGE]} …")


def printable(text: str) -> str:
    """The text without what would control a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def refuse(tree: ast.AST) -> None:
    """Raise Fault for an import of something else than OFFERED, and for what leads out of the file."""
    for node in ast.walk(tree):
        line = f"line {node.lineno}" if hasattr(node, "lineno") else ""
        if isinstance(node, ast.Import):
            for alias in node.names:
                allow(alias.name, line)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            allow(module, line)
            for alias in node.names:
                allow_name(module, alias.name, line)
        elif isinstance(node, ast.Attribute):
            allow_attribute(node.attr, line)
        elif isinstance(node, ast.MatchClass):
            if node.patterns:  # their attributes are named by the class, in __match_args__
                raise Fault(f"{line} reads attributes by their position in a class: {OUTSIDE}")
            for name in node.kwd_attrs:
                allow_attribute(name, line)
        elif isinstance(node, ast.Name) and node.id.startswith("__") and node.id not in NAMES:
            raise Fault(f"{line} reads {node.id}: {OUTSIDE}")


OUTSIDE = "an exercise looks at numbers, not at how Python keeps its functions"


def allow_attribute(name: str, line: str) -> None:
    """Raise Fault if an attribute of this name leads out of the file."""
    if name in FILES:
        raise Fault(f"{line} reads .{name}: an exercise reads and writes no files")
    if name in INSIDE or name.startswith(("_", *FRAMES)):
        raise Fault(f"{line} reads .{name}: {OUTSIDE}")


def allow_name(module: str, name: str, line: str) -> None:
    """Raise Fault if an exercise may not import this name from the module."""
    # what a module lacks, Python would take from the true one: `from numpy import lib`
    if name != "*" and (name.startswith("_") or not hasattr(OFFERED[module], name)):
        raise Fault(f"{line} imports {name}, which no exercise needs")


def allow(module: str, line: str) -> None:
    """Raise Fault if an exercise may not import this module."""
    if module not in OFFERED:
        why = "it has the answer" if module.partition(".")[0] in ENGINES else "an exercise has to work without it"
        raise Fault(f"{line} imports {module}: {why}; NumPy (np) and math are enough")


def allowed() -> dict[str, Any]:
    """Python's own functions, without those that lead out of the file, and with imports of the stand-ins alone."""
    own = {name: value for name, value in vars(builtins).items() if name not in ("__loader__", "__spec__")}
    return {**own, **{name: withheld(name) for name in WITHHELD}, "__import__": imported}


def withheld(name: str) -> Callable[..., Any]:
    """A function in the place of one of Python's that says that it is not there."""

    def refusing(*_: Any, **__: Any) -> Any:
        raise Fault(f"the file calls {name}(), which no exercise needs: {OUTSIDE}")

    return refusing
