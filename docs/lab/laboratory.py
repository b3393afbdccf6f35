"""What the page of the laboratory asks of Python: the engine, as it is and as the reader edited it, side by side.

worker.js calls `answer(name, arguments)` with JSON and returns JSON to the page. Nothing here needs a browser, so the
tests call it natively as well. `ORIGINAL` has the project's packages as they were built; `EDITED` is a copy of them with
the reader's edits.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import importlib
import importlib.util
import io
import json
import math
import os
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

PACKAGES = ("tinytensor", "gpt")
SAMPLE = 64  # characters of a sample
SMALL = 4096  # multiplications; NumPy does fewer before a call of the page is over
LAYERS, WIDTH, HEADS, CONTEXT, BATCH = 2, 64, 4, 64, 8
STEP_DTYPE, MAGIC = "F32", "tinytensor laboratory"


class Wrong(Exception):
    """What the reader has to be told in one line, without a traceback."""


class Engine:
    """tinytensor and gpt from one folder. Only one engine at a time has its modules in sys.modules.

    product: what the engine takes as a @ b where NumPy has no BLAS, in place of its own.
    """

    def __init__(self, folder: Path, product: Any = None) -> None:
        self.folder, self.product = folder, product
        self.modules: dict[str, Any] = {}

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """A context in which `import tinytensor` and `import gpt` mean this engine."""
        before = _take_out()
        sys.path.insert(0, str(self.folder))
        sys.modules.update(self.modules)
        try:
            if not self.modules and self.product is not None:
                without_blas: Any = importlib.import_module("tinytensor.without_blas")
                without_blas.faster = self.product
            yield
        finally:
            self.modules = _take_out()
            sys.path.remove(str(self.folder))
            sys.modules.update(before)

    def forget(self) -> None:
        """Import everything anew the next time."""
        self.modules = {}
        importlib.invalidate_caches()


def product_by(multiply: Callable[..., object]) -> Callable[[Any, Any, Any], Any]:
    """a @ b of float32 matrices, and of equal batches of them, by the page's function (product.wat); None for others.

    multiply(a, its strides of a row and of a column, b, its stride of a row, y, its stride of a row, n, k, m, the two sizes
    of the batch, and the strides along them of a, b and y): addresses and strides in bytes.
    """

    def product(a: Any, b: Any, out: Any) -> Any:
        if not (type(a) is type(b) is np.ndarray and a.dtype == b.dtype == np.float32 and 2 <= a.ndim == b.ndim <= 4):
            return None
        if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-2] or a.size * b.shape[-1] < SMALL:
            return None
        b = b if b.strides[-1] == b.itemsize else b.copy()
        shape = (*a.shape[:-1], b.shape[-1])
        y = np.empty(shape, a.dtype) if out is None else out
        if out is not None and not (
            type(y) is np.ndarray and y.dtype == a.dtype and y.shape == shape and y.strides[-1] == y.itemsize
            and not np.may_share_memory(y, a) and not np.may_share_memory(y, b)
        ):  # fmt: skip
            return None
        address_a, address_b, address_y = (x.__array_interface__["data"][0] for x in (a, b, y))
        batch = (1, 1, *shape[:-2])[-2:]
        steps = [step for x in (a, b, y) for step in (0, 0, *x.strides[:-2])[-2:]]
        sizes = *a.shape[-2:], b.shape[-1]
        multiply(address_a, *a.strides[-2:], address_b, b.strides[-2], address_y, y.strides[-2], *sizes, *batch, *steps)
        return y

    return product


def _take_out() -> dict[str, Any]:
    """Remove the project's modules from sys.modules, and return them."""
    names = [name for name in sys.modules if name.partition(".")[0] in PACKAGES]
    return {name: sys.modules.pop(name) for name in names}


# ------------------------------------------------------------------------------------------------------------- edits


class Laboratory:
    """The two engines, what the reader changed, and the trainings."""

    def __init__(self, original: Path, edited: Path, multiply: Callable[..., object] | None = None) -> None:
        product = None if multiply is None else product_by(multiply)
        self.original, self.edited = Engine(original, product), Engine(edited, product)
        self.edits: dict[str, str] = {}
        self.trainers: dict[str, Trainer] = {}
        self.kept: tuple[Any, Trainer] | None = None  # the training of the original engine, and for which text
        self.step = 0  # that the page has seen
        self.namespaces: dict[str, dict[str, Any]] = {}  # of the cells of each chapter

    @property
    def engine(self) -> Engine:
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
        for path, text in edits.items():
            checked(text, path)
        if edits == self.edits:
            return
        if not self.edited.folder.exists():
            shutil.copytree(self.original.folder, self.edited.folder)  # with what Python compiled already
        for path in {*self.edits, *edits}:
            source, target = self.original.folder / path, self.edited.folder / path
            if not source.is_file():
                raise Wrong(f"there is no file {path} in the project")
            target.write_text(edits.get(path, source.read_text("utf-8")), "utf-8")
            # Python would take an edit of the same second and length for what it compiled before.
            Path(importlib.util.cache_from_source(str(target))).unlink(missing_ok=True)
        self.edits = dict(edits)
        self.edited.forget()
        self.namespaces.clear()

    # ------------------------------------------------------------------------------------------------ gradient check

    def primitives(self, edits: dict[str, str]) -> dict[str, Any]:
        """The rows of the table with their files; and those whose file is edited, or all, where an edit concerns all."""
        self.edit(edits)
        with self.engine.active():
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
        with self.engine.active():
            table = _samples()
            samples = table.SAMPLES[name]
            try:
                row = table.examine(table.PRIMITIVES[name], samples, False)
            except Exception as error:
                return {"name": name, "failed": self.described(error), "wrong": ["failed"], "calls": len(samples)}
        errors = {check: _finite(getattr(row, check)) for check in ("differences", "composed", "ulps")}
        return {
            "name": name, "errors": errors, "limits": table.LIMITS, "wrong": row.wrong(), "calls": len(samples),
            "seconds": time.perf_counter() - started,
        }  # fmt: skip

    # ------------------------------------------------------------------------------------------------------ training

    def start(
        self, edits: dict[str, str], text: str, steps: int, compare: bool, flags: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make the model for a text: with the edited engine if there are edits, with the original one if asked for.

        flags: fields of the configuration, for a bug that the usual one does not show. The training of the original engine
        is kept: the next edit is compared with the steps that it has made.
        """
        self.edit(edits)
        self.trainers = {}
        if edits:
            self.trainers["edited"] = Trainer(self.edited, text, steps, flags)
        if compare or not edits:
            key = text, steps, flags
            if self.kept is None or self.kept[0] != key or not edits:
                self.kept = key, Trainer(self.original, text, steps, flags)
            self.trainers["original"] = self.kept[1]
        self.step = 0
        return self.facts()

    def facts(self) -> dict[str, Any]:
        """What is being trained."""
        trainer = self.trained()
        return {
            "sides": list(self.trainers), "step": self.step, "steps": trainer.steps,
            "characters": len(trainer.ids) + len(trainer.held_out), "different": trainer.tokenizer.vocab_size,
            "parameters": sum(p.numel() for p in trainer.parameters), "uniform": math.log(trainer.tokenizer.vocab_size),
            "unigram": trainer.unigram,
        }  # fmt: skip

    def trained(self) -> Trainer:
        """The model that the reader looks at: that of the edited engine, if there is one."""
        if not self.trainers:
            raise Wrong("no model is there yet: train one first")
        return self.trainers.get("edited") or self.trainers["original"]

    def advance(self, count: int) -> dict[str, Any]:
        """Make steps with every engine; of each step its number and losses. Stops at the last step."""
        first, trainer = self.step, self.trained()
        self.step = min(self.step + count, trainer.steps)
        losses = {side: each.reach(self.step) for side, each in self.trainers.items()}
        rows = [
            {"step": step + 1, "losses": {side: _finite(each[step]) for side, each in losses.items()}}
            for step in range(first, self.step)
        ]
        return {"rows": rows, "left": trainer.steps - self.step}

    def samples(self) -> dict[str, Any]:
        """What each model writes after the steps so far, and its loss on text that it was not trained on."""
        return {side: each.look(self.step) for side, each in self.trainers.items()}

    def page(self, text: str) -> str:
        """The page of gpt.inspect for the model that was just trained."""
        trainer = self.trained()
        with trainer.engine.active():
            return trainer.inspect(text)

    def save(self) -> str:
        """The weights as the bytes of a safetensors file, in base 64."""
        return base64.b64encode(self.trained().saved()).decode()

    def load(self, edits: dict[str, str], content: str, text: str, steps: int) -> dict[str, Any]:
        """Take the weights of a file that `save` wrote."""
        self.edit(edits)
        arrays, about = parsed(base64.b64decode(content))
        self.trainers = {}
        side = "edited" if self.edits else "original"
        self.trainers[side] = Trainer(self.engine, text, steps, None, (arrays, about))
        self.step, self.kept = self.trainers[side].step, None
        return self.facts()

    # -------------------------------------------------------------------------------------------------------- cells

    def cell(self, edits: dict[str, str], chapter: str, code: str, number: int) -> dict[str, Any]:
        """Run a cell of a chapter: what it prints, the value of its last line, its figures, its error."""
        self.edit(edits)
        namespace = self.namespaces.setdefault(chapter, {"__name__": "__main__"})
        printed, failed, value = io.StringIO(), None, None
        with self.engine.active(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                value = _run(code, f"cell {number}", namespace)
                shown = None if value is None else repr(value)
            except BaseException as error:  # also SystemExit, which a program of a chapter may raise
                failed, shown = self.described(error), None
            figures = _figures()
        return {"printed": printed.getvalue(), "value": shown, "figures": figures, "failed": failed}

    def restart(self, chapter: str) -> None:
        """Forget the names of a chapter."""
        self.namespaces.pop(chapter, None)

    # ------------------------------------------------------------------------------------- exercises and the museum

    def exercises(self) -> list[dict[str, str]]:
        """The exercises of gpt.learn, and the text that each begins with."""
        with self.original.active():
            learn = importlib.import_module("gpt.learn")
            return [
                {"name": each.name, "title": each.title, "kind": each.kind, "chapter": each.chapter,
                 "start": learn.start_text(each.name)}
                for each in learn.exercises()
            ]  # fmt: skip

    def check_exercise(self, name: str, text: str) -> dict[str, Any]:
        """Check the reader's file of an exercise, against the original engine."""
        checked(text, f"{name}.py")
        printed = io.StringIO()
        with self.original.active(), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            report = importlib.import_module("gpt.learn").check_text(name, text)
            return {"passed": bool(report.passed), "lines": [str(line) for line in report.lines]}

    def bugs(self) -> list[dict[str, Any]]:
        """The bugs of gpt.museum, each one line of a file."""
        with self.original.active():
            museum = importlib.import_module("gpt.museum")
            return [
                {
                    "name": bug.name, "title": bug.title, "file": bug.file, "right": bug.right, "wrong": bug.wrong,
                    "why": bug.why, "chapter": bug.chapter, "recipe": bug.recipe, "flags": dict(bug.flags),
                }
                for bug in museum.BUGS.values()
            ]  # fmt: skip

    # ------------------------------------------------------------------------------------------------------- errors

    def described(self, error: BaseException) -> dict[str, Any]:
        """An error in words: its kind and message, the last place of it in what the reader wrote, and all lines."""
        if isinstance(error, Wrong):
            return {"kind": "", "message": str(error), "place": None, "lines": []}
        frames: list[dict[str, Any]] = [
            {"file": self.shown(frame.filename), "line": frame.lineno, "name": frame.name, "text": frame.line or ""}
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename != __file__ and "importlib" not in frame.filename
        ]
        place: dict[str, Any] | None = None
        if isinstance(error, SyntaxError):
            place = {"file": self.shown(error.filename or ""), "line": error.lineno, "text": (error.text or "").strip()}
        else:
            own = [frame for frame in frames if frame["file"] in self.edits or not frame["file"].endswith(".py")]
            place = own[-1] if own else frames[-1] if frames else None
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return {"kind": type(error).__name__, "message": message, "place": place, "lines": frames}

    def shown(self, filename: str) -> str:
        """A file's path in the project."""
        for engine in (self.edited, self.original):
            with contextlib.suppress(ValueError):
                return Path(filename).relative_to(engine.folder).as_posix()
        return filename


def checked(text: str, path: str) -> None:
    """SyntaxError, with the line in question, unless the text is Python."""
    try:
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        lines = text.splitlines()
        error.filename = path  # None for a null byte
        error.text = lines[error.lineno - 1] if error.lineno and error.lineno <= len(lines) else ""
        raise
    except ValueError as error:  # a null byte, in older Pythons
        raise SyntaxError(str(error), (path, 1, 0, "")) from None


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


def _finite(x: Any) -> Any:
    """x; None if there is none, and a word if it is not finite: JSON has no numbers for that."""
    if x is None:
        return None
    return float(x) if math.isfinite(x) else "nan" if math.isnan(x) else "inf"


def _run(code: str, name: str, namespace: dict[str, Any]) -> Any:
    """Execute the code; return the value of its last line, if that is an expression and does not end with ;"""
    tree = ast.parse(code, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec", dont_inherit=True), namespace)
    if last is None:
        return None
    value = eval(compile(ast.Expression(last.value), name, "eval", dont_inherit=True), namespace)  # type: ignore[attr-defined]
    return None if code.rstrip().endswith(";") else value


def _figures() -> list[str]:
    """The open figures of matplotlib as PNG in base 64; they are closed."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return []
    found = []
    for number in pyplot.get_fignums():
        content = io.BytesIO()
        pyplot.figure(number).savefig(content, format="png", dpi=144, bbox_inches="tight")
        found.append(base64.b64encode(content.getvalue()).decode())
    pyplot.close("all")
    return found


# ---------------------------------------------------------------------------------------------------------- training


class Trainer:
    """A training of one engine: gpt.train.update, step by step, in one thread."""

    def __init__(
        self, engine: Engine, text: str, steps: int, flags: dict[str, Any] | None = None, loaded: Any = None
    ) -> None:
        self.engine, self.step = engine, 0
        self.losses: list[float] = []  # of each step's batch
        self.looks: dict[int, dict[str, Any]] = {}  # by step
        with engine.active():
            from gpt import train
            from gpt.build import build
            from gpt.config import TrainConfig
            from gpt.fast.shards import Shards
            from gpt.optimizer import learning_rate, make_optimizer
            from gpt.tokenizers import CharTokenizer
            from tinytensor import manual_seed

            arrays: dict[str, Any] | None = None
            about: dict[str, Any] = {}
            if loaded is not None:
                arrays, about = loaded
            self.tokenizer = CharTokenizer(about["characters"]) if about else CharTokenizer.from_text(text)
            ids = self.tokenizer.encode(text, "the text", small=True)
            cut = len(ids) * 9 // 10
            self.ids, self.held_out = ids[:cut], ids[cut:]
            if len(self.held_out) <= CONTEXT:
                raise Wrong(f"the text has {len(ids):,} characters; it needs at least {10 * (CONTEXT + 1):,}")
            steps = (flags or {}).get("steps", steps)
            usual: dict[str, Any] = {
                "layers": LAYERS, "width": WIDTH, "heads": HEADS, "context": CONTEXT, "batch_size": BATCH, "steps": steps,
                "warmup": min(30, steps // 10), "threads": 1, "data": "a text", "vocab_size": self.tokenizer.vocab_size,
            }  # fmt: skip
            self.config = TrainConfig(**{**usual, **(flags or {})})
            self.steps = steps
            manual_seed(self.config.seed)
            self.model: Any = build(self.config)
            if arrays is not None:
                take(self.model, arrays)
                self.step = int(about.get("step", 0))
                self.steps = self.step + steps
                self.losses = [math.nan] * self.step
            self.optimizer = make_optimizer(self.model, self.config)
            self.shards = Shards(self.model, self.config, train.shard_gradient)
            self.parameters = list(self.model.parameters())
            self.update: Callable[..., Any] = train.update
            self.rate: Callable[..., float] = learning_rate
        counts = np.bincount(self.ids, minlength=self.tokenizer.vocab_size) + 1
        self.unigram = float(-(np.log(counts / counts.sum())[np.asarray(self.held_out, np.int64)]).mean())

    def reach(self, step: int) -> list[float]:
        """Train up to that step, if it is not there yet; returns the loss of every step."""
        with self.engine.active(), np.errstate(all="ignore"):
            from gpt import data

            self.model.train()
            while self.step < step:
                micro_steps = range(self.config.grad_accumulation)
                batches = [data.batch(self.ids, self.config, self.step, i, self.shards.rows) for i in micro_steps]
                rate = self.rate(min(self.step, self.config.steps - 1), self.config)
                outcome = self.update(self.shards, self.optimizer, batches, self.step, rate)
                self.step += 1
                self.losses.append(float(outcome.loss))
        return self.losses

    def look(self, step: int) -> dict[str, Any]:
        """A sample and the loss on held-out text after that step, which has to be the last one; or what was seen then."""
        if step == self.step:
            self.looks[step] = {"text": self.sample(), "loss": _finite(self.validate())}
        return self.looks.get(step, {"text": None, "loss": None})

    def sample(self) -> str:
        """What the model writes after the beginning of a line, with the same random numbers each time."""
        with self.engine.active(), np.errstate(all="ignore"):
            from gpt.sampling import sample
            from tinytensor import Generator

            random = Generator().manual_seed(1)
            try:
                ids = list(sample(self.model, [self.tokenizer.start], SAMPLE, temperature=0.8, generator=random))
            except (ValueError, RuntimeError, FloatingPointError) as error:  # the numbers are not finite
                return f"(no sample: {error})"
            return str(self.tokenizer.decode(ids))

    def validate(self) -> float:
        """The loss on windows that are evenly spaced over the text that training never draws."""
        with self.engine.active(), np.errstate(all="ignore"):
            from tinytensor import from_numpy, no_grad

            self.model.eval()
            starts = np.linspace(0, len(self.held_out) - CONTEXT - 1, 2 * BATCH).astype(np.int64)
            windows = self.held_out[starts[:, None] + np.arange(CONTEXT + 1)].astype(np.int64)
            with no_grad():
                x, y = (from_numpy(np.ascontiguousarray(part)) for part in (windows[:, :-1], windows[:, 1:]))
                _, loss = self.model(x, y)
            return float(loss.item())

    def inspect(self, text: str) -> str:
        """The page of gpt.inspect, as HTML. The engine is active."""
        from gpt.errors import UserError
        from gpt.inspection import subject, write
        from gpt.inspection.collect import collect

        self.model.eval()
        try:
            ids = subject.text_ids(self.tokenizer, text, "the text")
            longest = min(CONTEXT, subject.LONGEST)
            chosen = subject.Subject(
                "the laboratory", f"those after {self.step:,} steps in the laboratory", self.model, self.config,
                self.tokenizer, ids[:longest], len(ids), train=self.ids, step=self.step,
                command="the laboratory, in the browser",
            )  # fmt: skip
            data, arrays = collect(chosen)
        except UserError as error:
            raise Wrong(str(error)) from None
        return str(write.page(data, arrays))

    def saved(self) -> bytes:
        """A safetensors file: the length of the header in 8 bytes, the header in JSON, the numbers one after the other."""
        about = {"made": MAGIC, "step": self.step, "characters": self.tokenizer.characters}
        header: dict[str, Any] = {"__metadata__": {"laboratory": json.dumps(about)}}
        content = b""
        for name, parameter in self.model.named_parameters():
            array = np.ascontiguousarray(parameter.numpy(force=True), "<f4")
            header[name] = {
                "dtype": STEP_DTYPE, "shape": list(array.shape), "data_offsets": [len(content), len(content) + array.nbytes],
            }  # fmt: skip
            content += array.tobytes()
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + content


def parsed(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays of a file that `saved` made, and what it says of them. Wrong for any other."""
    refused = Wrong("this file has no weights of the laboratory: choose one that “Save the weights” wrote")
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        about = json.loads(header.pop("__metadata__")["laboratory"])
        if about["made"] != MAGIC or not isinstance(about["characters"], str):
            raise refused
        arrays = {}
        for name, each in header.items():
            start, end = each["data_offsets"]
            part = content[8 + length + start : 8 + length + end]
            arrays[name] = np.frombuffer(part, "<f4").reshape(each["shape"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise refused from None
    return arrays, about


def take(model: Any, arrays: dict[str, Any]) -> None:
    """Write the arrays into the parameters of the model. Wrong if the names or shapes are others."""
    parameters = dict(model.named_parameters())
    wanted = {name: tuple(p.shape) for name, p in parameters.items()}
    found = {name: array.shape for name, array in arrays.items()}
    if wanted != found:
        name = next(iter(sorted({*wanted, *found}, key=lambda each: (wanted.get(each) == found.get(each), each))))
        raise Wrong(
            f"these weights fit another model: {name} is {found.get(name, 'missing')}, the model has "
            f"{wanted.get(name, 'none of it')}"
        )
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise Wrong("these weights have numbers that are not finite")
    from tinytensor import from_numpy, no_grad

    with no_grad():
        for name, p in parameters.items():
            p.copy_(from_numpy(arrays[name].copy()))


# ------------------------------------------------------------------------------------------------------- the worker


CALLS = (
    "warm", "primitives", "examine", "start", "advance", "samples", "page", "save", "load", "cell", "restart", "exercises",
    "check_exercise", "bugs",
)  # fmt: skip


def answer(laboratory: Laboratory, name: str, arguments: str) -> str:
    """Call a method by its name with JSON, and return JSON: {"value": …} or {"failed": …}."""
    try:
        if name not in CALLS:
            raise Wrong(f"the laboratory has no {name}")
        return json.dumps({"value": getattr(laboratory, name)(**json.loads(arguments))}, allow_nan=False)
    except BaseException as error:  # whatever the reader's code raises, SystemExit too, must not end the worker
        return json.dumps({"failed": laboratory.described(error)})
