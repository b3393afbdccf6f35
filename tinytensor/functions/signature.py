"""How public functions read their arguments: PyTorch's other names for them, values that say nothing, and wrong kinds.

A function of this package has the parameters that it uses, and its annotations say which kinds of value they take.
`public` makes of it what users call. It calls the function, and looks at the arguments only if that fails, or if a flag
or a count is among them: any value at all counts as true or false, and True as 1. So a user pays for one call more, and
the engine for none.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from functools import cache
from opcode import opmap
from types import FunctionType
from typing import Any, TypeVar

import numpy as np

from tinytensor.base import is_tensor
from tinytensor.devices import device as Device
from tinytensor.dtypes import dtype as DType
from tinytensor.formats import contiguous_format, preserve_format, strided
from tinytensor.functions.operands import NUMBERS, as_tensor_like, number_alone
from tinytensor.parameters import in_place_of, own_names

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])
Arguments = tuple[tuple[Any, ...], dict[str, Any]]

# NumPy's names for parameters, which PyTorch takes as well
OTHER_NAMES = {"axis": "dim", "keepdims": "keepdim", "x": "input", "a": "input", "x1": "input", "x2": "other"}
OTHER_NAMES["from"] = "from_"  # a keyword in Python

# Parameters that PyTorch's functions have and ours lack: the values that change nothing, and the functions that have
# them (None: all). Any other value is outside the subset.
LIKE = "empty empty_like full_like ones_like rand_like randn_like zeros_like"
MAKERS = "arange eye full linspace normal ones rand randint randn randperm tensor zeros"
MAKERS += f" new_empty new_full new_ones new_zeros {LIKE}"
CASTS = "cpu cuda type"
NEUTRAL: dict[str, tuple[tuple[Any, ...], str | None]] = {
    "out": ((None,), None),
    "layout": ((None, strided), MAKERS),
    "pin_memory": ((None, False), MAKERS),
    "memory_format": ((None, contiguous_format, preserve_format), f"{LIKE} {CASTS} contiguous is_contiguous"),
    "non_blocking": ((False, True), CASTS),
    "dtype": ((None,), "cumsum cumsum_ norm prod"),
    "device": ((None, "cpu"), "BoolTensor ByteTensor DoubleTensor FloatTensor HalfTensor IntTensor LongTensor"),
    "p": ((), "bernoulli"),
    "rounding_mode": ((None,), "div div_ divide divide_"),
    "reduce": ((None,), "scatter scatter_"),
    "weight": ((None,), "histogram"),
    "range": ((None,), "histogram"),
    "sorted": ((True,), "unique"),
    "dim": ((None,), "unique"),
    "return_inverse": ((False,), "unique"),
    "return_counts": ((False,), "unique"),
    "output_size": ((None,), "repeat_interleave"),
    "sparse_grad": ((False,), "gather"),
    "implicit": ((False,), "expand"),
    "path": ((None,), "einsum"),
    "scale": ((1,), "elu_"),
    "input_scale": ((1,), "elu_"),
    "inputs": ((None,), "backward"),
    "max_norm": ((None,), "embedding"),
    "norm_type": ((2, 2.0), "embedding"),
    "scale_grad_by_freq": ((False,), "embedding"),
    "sparse": ((False,), "embedding"),
    "_stacklevel": ((3,), "softmax log_softmax"),
    "backend": (("inductor",), "compile"),
    "options": ((None,), "compile"),
    "disable": ((False,), "compile"),
}
MORE = {name for _, names in NEUTRAL.values() for name in (names or "").split()}  # the functions that have some of them
USE_INSTEAD = {
    "out": "assign the result, or copy it with copy_()",
    "rounding_mode": 'use floor_divide for "floor", (x / y).trunc() for "trunc"',
    "return_counts": "use bincount",
    "memory_format": "use contiguous_format",
}
NUMBERS_FIRST = {"add", "sub", "mul", "div", "floor_divide"}  # PyTorch's functions of two numbers


# ------------------------------------------------------------------------------------------- what fits


def _whole(x: Any) -> bool:
    if is_tensor(x):
        return x.array.ndim == 0 and x.array.dtype.kind in "iu"
    return isinstance(x, (int, np.integer)) and not isinstance(x, bool)


def _whole_numbers(x: Any) -> bool:  # a bool counts as 1 or 0, but for the first, as in PyTorch
    return isinstance(x, (tuple, list)) and all(_whole(y) or (i and isinstance(y, bool)) for i, y in enumerate(x))


def _number(x: Any) -> bool:
    return isinstance(x, NUMBERS) or (is_tensor(x) and x.array.ndim == 0)


# the names that annotations have → whether a value is of that kind, and what messages call it
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "Tensor": (is_tensor, "Tensor"),
    "Number": (_number, "number"),
    "float": (_number, "number"),
    "int": (_whole, "int"),
    "bool": (lambda x: isinstance(x, (bool, np.bool_)), "bool"),
    "None": (lambda x: x is None, "None"),
    "Omitted": (lambda x: False, ""),  # the default None, which users leave out and cannot pass
    "Sequence[int]": (_whole_numbers, "tuple of ints"),
    "Sequence[Tensor]": (
        lambda x: isinstance(x, (tuple, list)) and all(map(is_tensor, x)),
        "tuple of Tensors",
    ),
    "device": (lambda x: isinstance(x, Device) or _whole(x), "device"),
    "str": (lambda x: isinstance(x, str), "str"),
    "DType": (lambda x: isinstance(x, DType) or any(x is t for t in (float, int, bool)), "tinytensor.dtype"),
}
DIMS = "int | Sequence[int] | None"


@cache
def parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a function by name."""
    return dict(inspect.signature(function).parameters)


def kinds(parameter: inspect.Parameter) -> list[str]:
    """The names of the kinds that a parameter takes; none if it takes any, or kinds that are not checked here."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [] if parameter.kind in several else kinds_named(parameter.annotation)


@cache
def kinds_named(annotation: Any) -> list[str]:
    """The names of the kinds in an annotation."""
    if not isinstance(annotation, str):
        return []
    names = annotation.replace("Dims", DIMS).replace("builtins.", "").split(" | ")
    return names if all(name in KINDS for name in names) else []


def check_kinds(name: str, given: dict[str, Any], taken: dict[str, inspect.Parameter]) -> None:
    """TypeError for an argument of a kind that the annotation does not name."""
    for parameter, value in given.items():
        names = kinds(taken[parameter])
        if names and not any(KINDS[kind][0](value) for kind in names):
            wanted = " or ".join(filter(None, (KINDS[kind][1] for kind in names)))
            raise TypeError(f"{name}(): argument {parameter!r} must be {wanted}, not {told(value)}") from None
        if "int" in names and isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(
                f"{name}(): argument {parameter!r}: Overflow when unpacking long long: {value:.3g}"
            ) from None


def told(value: Any) -> str:
    """The kind of a value, and of the elements of a list."""
    kind = type(value).__name__
    inside = sorted({type(x).__name__ for x in value}) if isinstance(value, (tuple, list)) else []
    return f"{kind} of {', '.join(inside)}" if inside else kind


# ------------------------------------------------------------------------------------- settling a call


def settled(name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments | None:
    """The arguments as the function takes them; None if they were so already. Raises what is wrong with them."""
    taken = parameters(function)
    new = _under_own_names(name, kwargs, taken)
    several = next((p.name for p in taken.values() if p.kind is p.VAR_POSITIONAL), None)
    positional = (*args, new.pop(several)) if several in new else args  # permute(x, dims=(1, 0))
    for keyword in [k for k in new if k not in taken]:
        _neutral(name, keyword, new.pop(keyword), taken)
    try:
        bound = inspect.signature(function).bind(*positional, **new)
    except TypeError as error:
        raise TypeError(f"{name}(): {error}; it takes ({', '.join(map(str, taken))})") from None
    first = next(iter(bound.arguments), None)
    if first is not None and function.__name__ in NUMBERS_FIRST and isinstance(bound.arguments[first], NUMBERS):
        bound.arguments[first] = _number_as_tensor(bound.arguments[first], bound.arguments.get("other"))
        return bound.args, bound.kwargs
    check_kinds(name, bound.arguments, taken)
    return None if len(positional) == len(args) and new.keys() == kwargs.keys() else (positional, new)


def _under_own_names(name: str, kwargs: dict[str, Any], taken: dict[str, Any]) -> dict[str, Any]:
    new: dict[str, Any] = {}
    for keyword, value in kwargs.items():
        own = OTHER_NAMES.get(keyword, keyword)
        own = own if keyword not in taken and own in taken else keyword
        if own in new or (own != keyword and own in kwargs):
            raise TypeError(f"{name}() got both {own!r} and {keyword!r}, which mean the same") from None
        new[own] = value
    return new


def _neutral(name: str, keyword: str, value: Any, taken: dict[str, Any]) -> None:
    """Return if this argument, which the function lacks, says nothing; raise otherwise."""
    values, where = NEUTRAL.get(keyword, ((), ""))
    here = where is None or name in where.split()
    if not here:
        raise TypeError(
            f"{name}() got an unexpected keyword argument {keyword!r}; it takes {', '.join(taken)}"
        ) from None
    if not any(value is v or (type(value) is type(v) and value == v) for v in values):
        hint = USE_INSTEAD.get(keyword, "leave it out")
        raise NotImplementedError(
            f"{name}: {keyword}={told_value(value)} is outside tinytensor's subset; {hint}"
        ) from None


def told_value(value: Any) -> str:
    """A value for a message of one line."""
    return repr(value) if value is None or isinstance(value, (*NUMBERS, str)) else f"<{type(value).__name__}>"


def _number_as_tensor(number: Any, other: Any) -> Any:
    return as_tensor_like(number, other) if is_tensor(other) and not isinstance(number, bool) else number_alone(number)


def _ours(name: str, error: Exception) -> Exception:
    """The error itself; one that NumPy or Python raised in our code becomes one of ours, with the name of the function."""
    if not _born_elsewhere(error):
        return error
    builtin: Any = next(c for c in type(error).__mro__ if c.__module__ == "builtins")  # NumPy's take other arguments
    kind: type[Exception] = TypeError if builtin is AttributeError else builtin
    return kind(f"{name}(): {str(error).partition(chr(10))[0]}")


def _born_elsewhere(error: Exception) -> bool:
    """Whether no `raise` of ours raised it; False if code of the user's was running, in a hook, say."""
    step, last = error.__traceback__, None
    while step is not None:
        module = step.tb_frame.f_globals.get("__name__", "").partition(".")[0]
        if module not in ("tinytensor", "numpy", "cupy"):
            return False
        step, last = step.tb_next, step
    assert last is not None
    raised = last.tb_frame.f_code.co_code[last.tb_lasti] in (opmap["RAISE_VARARGS"], opmap["RERAISE"])
    return module != "tinytensor" or not raised


def mended(name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any], error: Exception) -> Arguments:
    """The arguments as the function takes them, after it raised this error. Raises what is wrong if they were so already."""
    new = settled(name, function, args, kwargs)
    if new is not None:
        return new
    own = _ours(name, error)
    if own is not error:
        raise own from error
    raise error


def public(function: Wrapped, name: str) -> Wrapped:
    """What users call for a function: it takes PyTorch's other names and neutral values, and refuses wrong kinds."""
    first, flags = _looked_at(function)
    call = _checked(function, name, first) if flags else _called(function, name)
    return in_place_of(function, call)  # type: ignore[no-any-return]


def _called(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            new = mended(name, function, args, kwargs, error)
        return function(*new[0], **new[1])

    return call


def _checked(function: Callable[..., Any], name: str, first: int) -> Callable[..., Any]:
    second = first + 1
    seen: set[Any] = set()  # kinds that fit: of all arguments from the first on; a keyword and its kind

    def call(*args: Any, **kwargs: Any) -> Any:
        n, there = len(args), None
        fits = n <= first
        if not fits:
            there = args[first].__class__ if n == second else (*map(type, args[first:]),)
            fits = there in seen
        for keyword in kwargs:
            fits = fits and (keyword, kwargs[keyword].__class__) in seen
        if not fits:
            new = settled(name, function, args, kwargs)
            if new is not None:
                return function(*new[0], **new[1])
            seen.update([there, *((k, value.__class__) for k, value in kwargs.items())])
        try:
            return function(*args, **kwargs)
        except Exception as error:
            new = mended(name, function, args, kwargs, error)
        return function(*new[0], **new[1])

    return call


@cache
def _looked_at(function: Callable[..., Any]) -> tuple[int, bool]:
    """The first place whose wrong kinds the function would not notice; whether it has to be called by `checked` at all."""
    found = {
        name: _judged(kind, name[:3] == "dim") for name, kind in function.__annotations__.items() if name != "return"
    }
    unnoticed = [name for name in found if found[name][0]]
    first = next((i for i, name in enumerate(own_names(function)[0]) if name in unnoticed), sys.maxsize)
    return first, any(flags for _, flags in found.values())


@cache
def _judged(annotation: Any, dim: bool) -> tuple[bool, bool]:
    """Whether a wrong kind may be computed with: "False" counts as true, True as 1, None as left out, an array as a number.
    Whether it's a flag, count or word.

    dims.py looks at dimensions itself.
    """
    names = set(kinds_named(annotation))
    unnoticed = not names.isdisjoint({"bool", "float", "Omitted"} | (set() if dim else {"int", "Sequence[int]"}))
    return unnoticed, unnoticed or not (dim or names <= {"Tensor", "Number", "None"})


def publish(names: dict[str, Any], module: str, these: Iterable[str] | None = None) -> None:
    """Make the functions among the names of a module public. Type checkers see the functions themselves."""
    for name in list(names if these is None else these):
        function = names[name]
        if isinstance(function, FunctionType) and function.__module__.startswith("tinytensor"):
            names[name] = public(function, name)
            names[name].__module__ = module  # where pickle finds it


def publish_methods(cls: type) -> None:
    """Make the methods of a class public, but for operators and those that take nothing beside the Tensor."""
    for name, function in list(vars(cls).items()):
        if name[:2] == "__" or not isinstance(function, FunctionType):
            continue
        if sum(map(len, own_names(function))) > 1 or name in MORE:
            setattr(cls, name, public(function, name))
