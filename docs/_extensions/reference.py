"""The API reference: an entry for each public name, from its docstring, in groups by the files that define them.

`tests/pytorch/public_names.txt` lists the public names, and a test holds it complete. A page of docs/api names files:

    .. public:: tinytensor/functions/powers.py tinytensor/functions/unary.py

and has an entry for each public object that is defined there. Names of one object (`abs` and `absolute`), and the form
that writes in place (`abs_`), share an entry. A build fails if a public name is on no page.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from docstrings import as_rst, first_sentence
from docutils import nodes
from docutils.statemachine import StringList
from repository import ROOT, SCHEME, files, folders
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.inspect import stringify_signature

NAMES = ROOT / "tests" / "pytorch" / "public_names.txt"
LOGGER = logging.getLogger(__name__)
Kind = str  # function, class, exception, data, module


@dataclass
class Entry:
    """One public object: all its names, the shortest first, and where it is defined."""

    names: list[str]
    object: Any
    kind: Kind
    file: str
    line: int
    in_place: list[str] = field(default_factory=list)
    members: list[str] = field(default_factory=list)


# ------------------------------------------------------------------------------------------ what is public


def resolve(name: str) -> Any:
    """The object of a dotted name. An attribute comes before a module of the same name."""
    parts = name.split(".")
    found: Any = importlib.import_module(parts[0])
    for i, part in enumerate(parts[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parts[:i]))
        found = getattr(found, part)
    return found


@cache
def entries() -> list[Entry]:
    """All entries. The names of members are with their class."""
    found: dict[Any, Entry] = {}
    for name in sorted(NAMES.read_text("utf-8").split(), key=lambda name: (name.count("."), name)):
        above = found.get(_key(resolve(name.rpartition(".")[0]))) if "." in name else None
        if above is not None and above.kind in ("class", "exception"):
            above.members.append(name.rpartition(".")[2])
            continue
        value = resolve(name)
        key = _key(value, name)
        if key in found:
            found[key].names.append(name)
        else:
            found[key] = Entry([name], value, _kind(value), *_place(value))
    return _with_in_place_forms(list(found.values()))


def _key(value: Any, name: str = "") -> Any:
    """Two names with equal keys are names of one object; numbers have no identity."""
    return (
        name
        if name and isinstance(value, (int, float, str))
        else id(inspect.unwrap(value) if callable(value) else value)
    )


def _kind(value: Any) -> Kind:
    if isinstance(value, ModuleType):
        return "module"
    if inspect.isclass(value):
        return "exception" if issubclass(value, BaseException) else "class"
    return "function" if callable(value) and hasattr(value, "__name__") else "data"


def _place(value: Any) -> tuple[str, int]:
    """The file and the line that define an object; of a plain value, those of its kind."""
    if isinstance(value, ModuleType):
        return _relative(value.__file__), 1
    value = inspect.unwrap(value) if callable(value) else value
    code = getattr(value, "__code__", None)
    if code is not None:
        return _relative(code.co_filename), code.co_firstlineno
    kind = value if inspect.isclass(value) else type(value)
    module = sys.modules[kind.__module__]
    if not getattr(module, "__file__", None) or kind.__module__.split(".")[0] not in ("tinytensor", "gpt"):
        return "", 0
    text = Path(str(module.__file__)).read_text("utf-8")
    match = re.search(rf"^ *class {kind.__name__}\b", text, re.MULTILINE)
    return _relative(module.__file__), text[: match.start()].count("\n") + 1 if match else 1


def _relative(path: str | None) -> str:
    try:
        return Path(str(path)).resolve().relative_to(ROOT).as_posix()
    except ValueError:
        return ""


def _with_in_place_forms(found: list[Entry]) -> list[Entry]:
    """exp_ joins the entry of exp."""
    by_name = {name: entry for entry in found for name in entry.names}
    kept = []
    for entry in found:
        base = by_name.get(entry.names[0].rstrip("_"))
        if entry.kind == "function" and entry.names[0].endswith("_") and base is not None and base is not entry:
            base.in_place += entry.names
        else:
            kept.append(entry)
    for entry in kept:
        written = [name for name in entry.names if name.endswith("_") and name[:-1] in entry.names]
        entry.in_place += written
        entry.names = sorted((name for name in entry.names if name not in written), key=lambda name: _rank(entry, name))
    return kept


def _rank(entry: Entry, name: str) -> tuple[bool, int, bool, str]:
    """The first name of an object is the one that its definition has."""
    value = inspect.unwrap(entry.object) if callable(entry.object) else entry.object
    module, _, last = name.rpartition(".")
    home = getattr(value, "__module__", "") if entry.kind != "data" else "tinytensor"
    return last != getattr(value, "__name__", last), name.count("."), not f"{home}.".startswith(f"{module}."), name


# ------------------------------------------------------------------------------------------ their text


def signature(value: Any, method: bool = False) -> str:
    """The parameters and the result of a function, as the source has them."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return "()"
    shown = [p for p in found.parameters.values() if not p.name.startswith("_")]
    if method and shown and shown[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        shown = shown[1:]
    if inspect.isclass(value):
        found = found.replace(return_annotation=inspect.Signature.empty)
    try:
        text = stringify_signature(found.replace(parameters=shown), unqualified_typehints=True)
    except Exception:  # an annotation that is no type
        text = str(found.replace(parameters=shown))
    return text.replace("builtins.", "").replace("np.ndarray[Any, Any]", "np.ndarray")


def parameters(value: Any) -> frozenset[str]:
    try:
        return frozenset(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return frozenset()


def docstring(value: Any) -> str:
    """The object's own docstring, or that of the kind of a plain value."""
    if inspect.isclass(value):
        return inspect.cleandoc(vars(value).get("__doc__") or "")
    return inspect.getdoc(value) or ""


@cache
def known() -> frozenset[str]:
    return frozenset(NAMES.read_text("utf-8").split())


def linker(module: str = "tinytensor") -> Callable[[str], str | None]:
    """A function that knows public names and paths of the repository."""

    def link(text: str) -> str | None:
        if "/" in text and text.rstrip("/") in files() | folders():
            return f":repository:`{text}`"
        name = text.removesuffix("()")
        if not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            return None
        name = re.sub(r"^F\.", "nn.functional.", name)
        tries = [name, f"{module}.{name}"] + ([f"tinytensor.{name}", f"tinytensor.nn.{name}"] if "." in name else [])
        target = next((full for full in tries if full in known() and "." in full), None)
        return f":py:obj:`{text} <{target}>`" if target else None

    return link


def _indented(lines: list[str], by: int = 3) -> list[str]:
    return [" " * by + line if line else "" for line in lines]


def _entry(entry: Entry) -> list[str]:
    """The directive of an entry with its text and its members."""
    module = entry.names[0].rpartition(".")[0]
    own = [name for name in entry.names if name.rpartition(".")[0] == module]
    others = [name for name in entry.names if name not in own]
    form = signature(entry.object) if entry.kind != "data" else ""
    first = f".. py:{entry.kind}:: "
    shown = [f"{name}{form}" for name in own]
    shown += [f"{name}{form}" for name in entry.in_place if name.rpartition(".")[0] == module]
    lines = [first + shown[0], *(" " * len(first) + line for line in shown[1:]), ""]
    text = docstring(entry.object) if entry.kind != "data" or entry.file else ""
    body = as_rst(text, parameters(entry.object), linker(module)) if entry.kind != "data" else _value(entry)
    if entry.in_place:
        body += [f"{', '.join(f'``{_last(name)}``' for name in entry.in_place)}: in place.", ""]
    if others:
        body += [f"Also as {', '.join(f'``{name}``' for name in others)}.", ""]
    for member in _members(entry):
        body += _member(entry, member)
    return lines + _indented(body) + [""]


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _value(entry: Entry) -> list[str]:
    shown = repr(entry.object)
    return (
        [f"``{shown}``", ""] if len(shown) < 60 and " at 0x" not in shown else [f"A {type(entry.object).__name__}.", ""]
    )


def _members(entry: Entry) -> Iterator[str]:
    """The public members, in the order of the source as far as there is one."""
    if entry.kind in ("class", "exception"):
        order = {name: i for i, name in enumerate(vars(entry.object))}
        yield from sorted(entry.members, key=lambda name: order.get(name, -1))


def _member(entry: Entry, name: str) -> list[str]:
    value = inspect.getattr_static(entry.object, name, None)
    full = f"{entry.names[0]}.{name}"
    called = getattr(entry.object, name, None)
    if callable(called) and not inspect.isclass(called):
        static = isinstance(value, (staticmethod, classmethod))
        head = [f".. py:method:: {full}{signature(called, method=not static)}"]
        head += [f"   :{'classmethod' if isinstance(value, classmethod) else 'staticmethod'}:"] if static else []
        text = docstring(called)
    else:
        head = [f".. py:{'property' if isinstance(value, property) else 'attribute'}:: {full}"]
        text = docstring(value) if isinstance(value, property) else ""
    return [*head, "", *_indented(as_rst(text, parameters(called), linker(entry.names[0]))), ""]


# ------------------------------------------------------------------------------------------ directives


class Written(SphinxDirective):
    """A directive that writes reStructuredText."""

    def parsed(self, lines: list[str], places: dict[str, tuple[str, int]]) -> list[nodes.Node]:
        """The nodes of these lines, with a link to its source at each object that has a place."""
        content = StringList(lines, source=f"{self.env.docname} (docstrings)")
        found = self.parse_text_to_nodes(content, allow_section_headings=True)
        for node in found:
            for signature_node in node.findall(addnodes.desc_signature):
                full = signature_node.get("module") or ""
                name = ".".join(filter(None, [full, signature_node.get("fullname")]))
                if name in places and places[name][0]:
                    path, line = places[name]
                    uri = f"{SCHEME}{path}#L{line}"
                    signature_node += nodes.reference("", "source", refuri=uri, internal=True, classes=["source-link"])
        return found

    def depend(self, paths: set[str]) -> None:
        for path in paths:
            if path:
                self.env.note_dependency(str(ROOT / path))


class Public(Written):
    """Entries of the public objects that are defined in some files, or that are named, after a table of them."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        chosen: list[Entry] = []
        for selector in self.arguments[0].split():
            hits = [entry for entry in entries() if _selected(entry, selector) and entry.kind != "module"]
            if not hits:
                raise self.error(f"no public name is defined in {selector}")
            hits.sort(key=lambda entry: (entry.file, entry.line, entry.names[0]))
            chosen += [entry for entry in hits if entry not in chosen]
        lines = _table(chosen) if len(chosen) > 3 else []
        places = {}
        for entry in chosen:
            lines += _entry(entry)
            places.update(_places(entry))
        self.depend({entry.file for entry in chosen} | {"tests/pytorch/public_names.txt"})
        return [*self._aliases(chosen), *self.parsed(lines, places)]

    def _aliases(self, chosen: list[Entry]) -> list[nodes.Node]:
        """Other paths of an object are names that one can search for and link to."""
        domain = self.env.domains.python_domain
        for entry in chosen:
            kind = "function" if entry.kind == "data" else entry.kind
            module = entry.names[0].rpartition(".")[0]
            for name in [*entry.names[1:], *entry.in_place]:
                if name.rpartition(".")[0] != module:
                    domain.note_object(name, "data" if entry.kind == "data" else kind, entry.names[0], aliased=True)
        return []


def _selected(entry: Entry, selector: str) -> bool:
    if "/" in selector:
        return entry.file == selector or (selector.endswith("/") and entry.file.startswith(selector))
    return selector in entry.names


def _table(chosen: list[Entry]) -> list[str]:
    lines = [".. list-table::", "   :class: names", "   :widths: 30 70", ""]
    for entry in chosen:
        module = entry.names[0].rpartition(".")[0]
        text = docstring(entry.object) if entry.kind != "data" else ""
        short = first_sentence(text, linker(module)) if text else (_value(entry)[0] if entry.kind == "data" else "")
        start = short if not short or re.match(r"[A-Za-z`:]", short) else f"\\ {short}"
        lines += [f"   * - :py:obj:`{entry.names[0].rpartition('.')[2]} <{entry.names[0]}>`", f"     - {start}"]
    return [*lines, ""]


def _places(entry: Entry) -> Iterator[tuple[str, tuple[str, int]]]:
    for name in [*entry.names, *entry.in_place]:
        yield name, (entry.file, entry.line)
    for member in entry.members:
        value = inspect.getattr_static(entry.object, member, None)
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if callable(value):
            yield f"{entry.names[0]}.{member}", _place(value)


class TensorClass(Written):
    """The class itself; its members are in the sections of its page."""

    def run(self) -> list[nodes.Node]:
        entry = next(entry for entry in entries() if entry.names[0] == "tinytensor.Tensor")
        lines = _entry(Entry(entry.names, entry.object, entry.kind, entry.file, entry.line))
        return self.parsed(lines, {"tinytensor.Tensor": (entry.file, entry.line)})


class TensorMethods(Written):
    """The methods of Tensor: those that are functions as well refer to them; the others have their text here."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        wanted = self.arguments[0].split()
        rows = [row for row in tensor_methods() if ("own" if row.function is None else row.function.file) in wanted]
        lines: list[str] = []
        for row in rows:
            first = ".. py:method:: "
            shown = [f"tinytensor.Tensor.{name}{signature(value, method=True)}" for name, value in row.forms]
            lines += [first + shown[0], *(" " * len(first) + line for line in shown[1:]), ""]
            if row.function is not None:
                lines += [f"   :py:obj:`{row.function.names[0]}` of this Tensor.", ""]
            else:
                value = row.forms[0][1]
                lines += [*_indented(as_rst(docstring(value), parameters(value), linker("tinytensor.Tensor"))), ""]
        if "own" in wanted:
            for name, value in tensor_attributes():
                lines += [f".. py:attribute:: tinytensor.Tensor.{name}", ""]
                text = docstring(value) if isinstance(value, property) else ""
                lines += [*_indented(as_rst(text, link=linker())), ""]
        self.depend({"tinytensor/methods.py", "tinytensor/tensor.py"})
        places = {f"tinytensor.Tensor.{name}": _place(value) for row in rows for name, value in row.forms}
        return self.parsed(lines, places)


@dataclass
class Row:
    """Methods of Tensor that are names of one function: abs, absolute, abs_, absolute_."""

    forms: list[tuple[str, Any]]
    function: Entry | None


def _tensor_members() -> list[str]:
    return next(entry.members for entry in entries() if entry.names[0] == "tinytensor.Tensor")


@cache
def tensor_methods() -> list[Row]:
    import tinytensor

    by_name = {name: entry for entry in entries() for name in [*entry.names, *entry.in_place]}
    rows: dict[Any, Row] = {}
    for name in sorted(_tensor_members(), key=lambda name: (name.endswith("_"), name)):
        value = inspect.getattr_static(tinytensor.Tensor, name, None)
        value = getattr(value, "__func__", value)
        if not callable(value):
            continue
        function = by_name.get(f"tinytensor.{name}") or by_name.get(f"tinytensor.{name.rstrip('_')}")
        if function is not None and (function.kind != "function" or function.file.startswith("tinytensor/inside")):
            function = None
        key = function.names[0] if function else (name.rstrip("_") if name.rstrip("_") in rows else name)
        rows.setdefault(key, Row([], function)).forms.append((name, value))
    return sorted(rows.values(), key=lambda row: row.forms[0][0])


def tensor_attributes() -> Iterator[tuple[str, Any]]:
    import tinytensor

    for name in _tensor_members():
        value = inspect.getattr_static(tinytensor.Tensor, name, None)
        if not callable(getattr(value, "__func__", value)):
            yield name, value


class Modules(Written):
    """The public modules whose names begin so, each with its docstring."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        for entry in entries():
            if entry.kind == "module" and re.fullmatch(self.arguments[0], entry.names[0]):
                lines += [f".. py:module:: {name}" for name in entry.names]
                text = as_rst(docstring(entry.object), link=linker())
                lines += ["", f"``{entry.names[0]}``", "", *_indented(text), ""]
        return self.parsed(lines, {})


class Classes(Written):
    """The classes of some files that public functions return, with those members that have a docstring."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        lines: list[str] = []
        places = {}
        listed = {id(entry.object) for entry in entries()}
        for path in self.arguments[0].split():
            module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
            own = [v for v in vars(module).values() if inspect.isclass(v) and v.__module__ == module.__name__]
            for value in own:
                name = value.__name__
                if name[0] != "_" and id(value) not in listed:
                    members = [m for m, v in vars(value).items() if m[0] != "_" and _documented(v)]
                    entry = Entry([f"{module.__name__}.{name}"], value, _kind(value), *_place(value), members=members)
                    lines += _entry(entry)
                    places.update(_places(entry))
            self.depend({path})
        return self.parsed(lines, places)


def _documented(value: Any) -> bool:
    value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    return inspect.isfunction(value) and bool(value.__doc__)


class Programs(Written):
    """What `python -m …` prints for --help, for each program of a package, and what its docstring says."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        package = self.arguments[0]
        lines: list[str] = []
        for path in sorted([*(ROOT / package).glob("*.py"), *(ROOT / package).glob("*/__main__.py")]):
            text = path.read_text("utf-8")
            if (
                (path.parent == ROOT / package and path.stem.startswith("_"))
                or "\ndef main(" not in text
                or "__main__" not in text
            ):
                continue
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            module = importlib.import_module(name)
            title = f"python -m {name.removesuffix('.__main__')}"
            lines += [title, "-" * len(title), "", *as_rst(docstring(module), link=linker()), ""]
            lines += [".. code-block:: text", "   :class: help", "", *_indented(help_of(module).splitlines()), ""]
            self.depend({path.relative_to(ROOT).as_posix()})
        return self.parsed(lines, {})


def help_of(module: ModuleType) -> str:
    """What a program prints for --help, as wide as the page."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit), _columns("86"):
        module.main(["--help"])
    return said.getvalue()


@contextlib.contextmanager
def _columns(width: str) -> Iterator[None]:
    before, argv = os.environ.get("COLUMNS"), sys.argv
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        sys.argv = argv
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before


class RepositoryRole(SphinxRole):
    """A link to a file or folder of the repository."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        uri = f"{SCHEME}{self.text.rstrip('/')}"
        return [nodes.reference(self.rawtext, self.text, refuri=uri, internal=True, classes=["repository-link"])], []


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """A warning, which fails the build, for each public name that is on no page."""
    there = env.domains.python_domain.objects
    missing = sorted(name for name in known() if name not in there and name not in env.domains.python_domain.modules)
    if missing:
        LOGGER.warning("public names on no page of docs/api: %s", ", ".join(missing))


class OwnTypes(SphinxTransform):
    """`int`, `float` and `bool` in a signature are Python's, not the dtypes of those names. They link nowhere."""

    default_priority = 700

    def apply(self, **kwargs: Any) -> None:
        for signature in self.document.findall(addnodes.desc_signature):
            for link in list(signature.findall(addnodes.pending_xref)):
                if link.get("reftarget") in ("int", "float", "bool", "complex"):
                    link.replace_self(link.children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(OwnTypes)
    app.add_directive("public", Public)
    app.add_directive("tensor-class", TensorClass)
    app.add_directive("tensor-methods", TensorMethods)
    app.add_directive("public-modules", Modules)
    app.add_directive("classes-of", Classes)
    app.add_directive("programs", Programs)
    app.add_role("repository", RepositoryRole())
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
