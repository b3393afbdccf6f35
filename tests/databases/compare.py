"""What a call did, in either library, and what differs.

Tolerances are set once, by dtype. float64: both libraries sum in an order of their own, which costs some digits of 16.
float32 and float16: PyTorch is the yardstick. A value may differ by a few units in the last place, or has to be as close
to the result of float64 as PyTorch's own (`closer` asks).
"""

from __future__ import annotations

import dis
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from translate import Frozen, thaw

import tinytensor as tt
import torch

TOLERANCE = {"float64": (1e-10, 1e-12), "float32": (2e-6, 1e-6), "float16": (2e-3, 1e-5)}  # relative, absolute
PACKAGE = str(Path(tt.__file__).parent)
ENGINES: dict[str, Any] = {"torch": torch, "tiny": tt}
HERE = str(Path(__file__).parent)


@dataclass
class Outcome:
    """What one call did: its results, the gradients of its inputs, and its inputs afterwards; or its error."""

    results: list[Any] = field(default_factory=list)
    gradients: list[Any] | None = None
    inputs: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    during: str = "call"  # or gradient

    @property
    def refused(self) -> bool:
        """Whether tinytensor said that this is outside its subset."""
        kinds = (NotImplementedError, AttributeError, TypeError)
        return isinstance(self.error, kinds) and "subset" in str(self.error)


def flat(value: Any) -> list[Any]:
    """The Tensors and numbers of a result."""
    if isinstance(value, (list, tuple)) and not isinstance(value, (torch.Size, tt.Size)):
        return [x for item in value for x in flat(item)]
    return [value]


def tensors(value: Any) -> list[Any]:
    """The Tensors among arguments, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return [x for item in value for x in tensors(item)]
    return [value] if is_tensor(value) else []


def is_tensor(x: Any) -> bool:
    return isinstance(x, (torch.Tensor, tt.Tensor))


def numbers(t: Any) -> np.ndarray:
    array: np.ndarray = t.detach().resolve_conj().resolve_neg().numpy() if isinstance(t, torch.Tensor) else t.array
    return array


def name(dtype: Any) -> str:
    return str(dtype).rpartition(".")[2]


def attempt(library: str, work: Callable[[Outcome], None]) -> Outcome:
    """Do the work, which fills the outcome; note the error, if there is one."""
    outcome = Outcome()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library == "tiny":
            warnings.simplefilter("error", RuntimeWarning)  # NumPy's, which no user may see
        try:
            work(outcome)
        except Exception as error:
            outcome.error = error
    return outcome


def call(library: str, function: Callable[..., Any], frozen: Any, *, grad: bool, inplace: bool) -> Outcome:
    """Call function(*args, **kwargs) with frozen = (args, kwargs), and take gradients if `grad`."""

    def work(outcome: Outcome) -> None:
        args, kwargs = thaw(frozen, library, {})
        outcome.inputs = tensors([args, kwargs])
        if inplace and args and is_tensor(args[0]):
            if args[0].requires_grad:  # a leaf may not change
                args = (args[0].clone(), *args[1:])
            outcome.results = [args[0]]
        outcome.results += flat(function(*args, **kwargs))
        if grad:
            outcome.during = "gradient"
            outcome.gradients = gradients(library, outcome.results, outcome.inputs)

    return attempt(library, work)


def gradients(library: str, results: list[Any], leaves: list[Any]) -> list[Any] | None:
    """Of Σ (a fixed projection of each result), for each leaf that requires grad."""
    engine = ENGINES[library]
    wanted = [x for x in leaves if x.requires_grad]
    outputs = [y for y in {id(y): y for y in results}.values() if is_tensor(y) and y.requires_grad]
    if not wanted or not outputs:
        return None
    weights = [_projection(engine, y) for y in outputs]
    return list(engine.autograd.grad(outputs, wanted, weights, allow_unused=True))


def _projection(engine: Any, y: Any) -> Any:
    weights = np.cos(np.arange(int(np.prod(tuple(y.shape)))) + 1.0).reshape(tuple(y.shape))
    return engine.from_numpy(weights.astype(name(y.dtype)))


# ----------------------------------------------------------------------------------------- differences


@dataclass(frozen=True)
class Difference:
    kind: str
    detail: str


def differences(
    ours: Outcome,
    theirs: Outcome,
    *,
    values: bool = True,
    exact: Callable[[], Outcome] | None = None,
    near: Callable[[], list[Outcome]] = list,
) -> Iterator[Difference]:
    """What differs between two outcomes. exact: PyTorch's outcome in float64, where a result of less is questionable.

    near: PyTorch's outcomes of the same arguments a rounding off, which show how far such a result may be from the exact.
    """
    if ours.error is not None or theirs.error is not None:
        yield from _errors(ours, theirs)
        return
    if len(ours.results) != len(theirs.results):
        yield Difference("results", f"{len(ours.results)}, PyTorch {len(theirs.results)}")
        return

    def same(which: str, i: int, y: np.ndarray, z: np.ndarray) -> bool:
        if close(y, z) or exact is None:
            return close(y, z)
        return as_close(y, z, exact(), which, i) or any(
            as_close(y, numbers(getattr(other, which)[i]), exact(), which, i)
            for other in near()
            if other.error is None and getattr(other, which)  # gradients are taken in float64 alone
        )

    for i, (y, z) in enumerate(zip(ours.results, theirs.results, strict=True)):
        if not is_tensor(y) or not is_tensor(z):
            yield from _plain(y, z, values)
            continue
        yield from _geometry(y, z, ours, theirs)
        if values and _alike(y, z) and not same("results", i, numbers(y), numbers(z)):
            yield Difference("value", _worst(numbers(y), numbers(z)))
    for i, (y, z) in enumerate(zip(ours.inputs, theirs.inputs, strict=True)):
        if values and not same("inputs", i, numbers(y), numbers(z)):
            yield Difference("input changed", "an input has other values after the call")
    if (ours.gradients is None) != (theirs.gradients is None):
        yield Difference("gradient", f"{'none' if ours.gradients is None else 'some'}, PyTorch the other")
        return
    for i, (y, z) in enumerate(zip(ours.gradients or (), theirs.gradients or (), strict=True)):
        if y is None or z is None:
            if y is not z:
                yield Difference("gradient", "is None, PyTorch has one" if y is None else "is there, PyTorch has None")
        elif not _alike(y, z):
            yield Difference("gradient", f"{name(y.dtype)} {tuple(y.shape)}, PyTorch {name(z.dtype)} {tuple(z.shape)}")
        elif values and not same("gradients", i, numbers(y), numbers(z)):
            yield Difference("gradient", _worst(numbers(y), numbers(z)))


def _alike(y: Any, z: Any) -> bool:
    return name(y.dtype) == name(z.dtype) and tuple(y.shape) == tuple(z.shape)


def _geometry(y: Any, z: Any, ours: Outcome, theirs: Outcome) -> Iterator[Difference]:
    """dtype, shape, requires_grad, and where a result lies in memory."""
    if name(y.dtype) != name(z.dtype):
        yield Difference("dtype", f"{name(y.dtype)}, PyTorch {name(z.dtype)}")
    if tuple(y.shape) != tuple(z.shape):
        yield Difference("shape", f"{tuple(y.shape)}, PyTorch {tuple(z.shape)}")
        return
    if y.requires_grad != z.requires_grad:
        yield Difference("requires_grad", f"{y.requires_grad}, PyTorch {z.requires_grad}")
    if y.is_contiguous() != z.is_contiguous():
        yield Difference("contiguous", f"{y.is_contiguous()}, PyTorch {z.is_contiguous()}")
    if not z.numel():
        return
    mine, its = _shared(y, ours), _shared(z, theirs)
    if mine != its:
        yield Difference("view", f"shares memory with input {mine}, in PyTorch {its}")
    elif its and _steps(y) != _steps(z):
        yield Difference("view", f"strides {_steps(y)}, PyTorch {_steps(z)}")


def _steps(x: Any) -> tuple[int, ...]:
    """The strides of the dimensions that have more than one element, in elements."""
    strides = x.stride() if isinstance(x, torch.Tensor) else [n // x.array.itemsize for n in x.array.strides]
    return tuple(step for step, n in zip(strides, x.shape, strict=True) if n > 1)


def _plain(y: Any, z: Any, values: bool) -> Iterator[Difference]:
    """What is no Tensor. Of a dict PyTorch's may have more: what the subset lacks has no key."""
    if isinstance(y, dict) and isinstance(z, dict):
        for key in y:
            if key not in z or y[key] != z[key]:
                yield Difference("value", f"[{key!r}] {y[key]}, PyTorch {z.get(key, 'has no such key')}")
        return
    if isinstance(z, (torch.dtype, torch.device)):
        y, z = str(y).rpartition(".")[2], str(z).rpartition(".")[2]
    if type(y) is not type(z):
        yield Difference("type", f"{type(y).__name__}, PyTorch {type(z).__name__}")
    elif values and y != z and not (isinstance(z, float) and close(np.array(y), np.array(z))):
        yield Difference("value", f"{y!r}, PyTorch {z!r}")


def close(y: np.ndarray, z: np.ndarray) -> bool:
    if y.dtype.kind != "f":
        return bool(np.array_equal(y, z))
    relative, absolute = TOLERANCE[z.dtype.name]
    with np.errstate(all="ignore"):
        if y.dtype == np.float16:
            y, z = y.astype(np.float32), z.astype(np.float32)
        return bool(np.allclose(y, z, relative, absolute, equal_nan=True))


def as_close(y: np.ndarray, z: np.ndarray, exact: Outcome, which: str, i: int) -> bool:
    """Whether a result of float32 or float16 is as close to that of float64 as PyTorch's, give or take a factor of 2."""
    found = getattr(exact, which)
    if y.dtype not in (np.float32, np.float16) or exact.error is not None or not found or len(found) <= i:
        return False
    right = numbers(found[i])
    if right.shape != y.shape or right.dtype != np.float64:
        return False
    eps = np.finfo(y.dtype).eps
    with np.errstate(all="ignore"):
        right = right.astype(y.dtype).astype(np.float64)
        y, z = y.astype(np.float64), z.astype(np.float64)
        known = np.isfinite(right)
        if not np.array_equal(y[~known], right[~known], equal_nan=True) or not known.any():
            return bool(np.array_equal(y, right, equal_nan=True))
        ours, theirs = np.abs(y - right)[known].max(), np.abs(z - right)[known].max()
        return bool(ours <= 2 * theirs + eps * np.abs(right[known]).max())


def _worst(y: np.ndarray, z: np.ndarray) -> str:
    """The kind of difference, without numbers that would keep equal ones apart."""
    if y.dtype.kind != "f":
        return "other whole numbers"
    with np.errstate(all="ignore"):
        y, z = y.astype(np.float64), z.astype(np.float64)
        for test, what in ((np.isnan, "nan"), (np.isinf, "infinity")):
            if not np.array_equal(test(y), test(z)):
                return f"{what} where PyTorch has none, or none where it has"
        finite = np.isfinite(z)
        error = np.abs(y - z)[finite] / np.maximum(np.abs(z[finite]), 1e-300)
        worst = error.max() if error.size else 0.0
        return "off by " + ("> 1 %" if worst > 1e-2 else "> 1e-4" if worst > 1e-4 else "rounding")


def _shared(y: Any, outcome: Outcome) -> Any:
    """Which inputs a result shares its storage with."""
    return [i for i, x in enumerate(outcome.inputs) if _storage(x) == _storage(y)]


def _storage(x: Any) -> int:
    if isinstance(x, torch.Tensor):
        return x.untyped_storage().data_ptr()
    array = x.array
    while isinstance(array.base, np.ndarray):
        array = array.base
    return int(array.__array_interface__["data"][0])


# ------------------------------------------------------------------------------------------- errors


def _errors(ours: Outcome, theirs: Outcome) -> Iterator[Difference]:
    if ours.error is None:
        yield Difference("accepts", f"PyTorch refuses ({type(theirs.error).__name__}: {_line(theirs.error)})")
        return
    if ours.refused:
        return
    said = f"{type(ours.error).__name__}: {_line(ours.error)}"
    if theirs.error is None:
        yield Difference("refuses", f"{said} [in the {ours.during}]" if ours.during != "call" else said)
        return
    if type(ours.error).__name__ != type(theirs.error).__name__:
        yield Difference("error", f"{said}; PyTorch {type(theirs.error).__name__}: {_line(theirs.error)}")
    elif born := inside(ours.error):
        yield Difference("born inside", f"{said} ({born})")


def inside(error: BaseException) -> str | None:
    """Where an error was born, unless a `raise` of tinytensor, or the call itself (wrong names of arguments), raised it."""
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, _ = frames[-1]
    file = frame.f_code.co_filename
    if file.startswith(HERE) or len(frames) == 1:
        return None  # Python could not bind the arguments
    if "torch/testing" in file:
        return None
    if not file.startswith(PACKAGE):
        return Path(file).name
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    assert tb is not None
    if _raises(tb.tb_frame.f_code, tb.tb_lasti):
        return None
    return f"{Path(file).relative_to(PACKAGE)}:{tb.tb_lineno}"


def _raises(code: Any, position: int) -> bool:
    return any(i.offset == position and i.opname == "RAISE_VARARGS" for i in dis.get_instructions(code))


def _line(error: BaseException | None) -> str:
    """The first line of a message, with its numbers replaced, so that equal ones count as one."""
    line = str(error).strip().split("\n")[0][:140]
    line = re.sub(r"(tinytensor\.|torch\.)?\b(u?int|float)(8|16|32|64)\b|tinytensor\.bool", "T", line)
    line = re.sub(
        r"'(Long|Int|Byte|Bool|Half|Float|Double)'|\b(Long|Int|Byte|Bool|Half|Float|Double)\b|'(int|float|bool)'",
        "T",
        line,
    )
    line = re.sub(r"-?\d+(\.\d+)?(e[+-]\d+)?", "#", line)
    return re.sub(r"#(, #)+", "#…", line)


__all__ = ["Difference", "Frozen", "Outcome", "call", "close", "differences", "flat", "inside"]
