"""What an argument may be: `checked` reads the annotations of a function, and holds every call to them, as PyTorch does.

Without it a wrong argument would be taken for another: the string "False" for true, True for 1.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from tinytensor.base import TensorBase
from tinytensor.layouts import contiguous_format, preserve_format, strided

ABSENT: Any = object()  # the default of an argument that may be left out, but not be None
Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])

# Arguments that PyTorch has and that can say nothing here, with the values that are taken and dropped.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "layout": (None, strided), "pin_memory": (None, False), "memory_format": (None, contiguous_format, preserve_format),
    "out": (None,), "names": (None,),
}  # fmt: skip


def _scalar(x: Any) -> bool:
    return isinstance(x, TensorBase) and x.array.ndim == 0


def is_bool(x: Any) -> bool:
    return isinstance(x, (bool, np.bool_))


def is_whole(x: Any) -> bool:
    """A whole number, also NumPy's and a 0-d Tensor; no bool."""
    if isinstance(x, TensorBase):
        return _scalar(x) and x.array.dtype.kind in "iu"
    return hasattr(x, "__index__") and not is_bool(x)


def is_number(x: Any) -> bool:
    """A number, also NumPy's and a 0-d Tensor."""
    scalar = _scalar(x) and not x._requires_grad  # its gradient would be lost
    return scalar or isinstance(x, (bool, int, float, np.bool_, np.integer, np.floating))


def is_shape(x: Any) -> bool:
    return isinstance(x, (tuple, list)) or (isinstance(x, TensorBase) and x.array.ndim == 1)


# What stands in an annotation: how to test it, and what to call it. Any other annotation is not tested.
KINDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (is_bool, "bool"),
    "int": (is_whole, "int"),
    "float": (is_number, "Number"),
    "str": (lambda x: isinstance(x, str), "str"),
    "Tensor": (lambda x: isinstance(x, TensorBase), "Tensor"),
    "Shape": (is_shape, "tuple of ints"),
    "None": (lambda x: x is None, "None"),
}


def checked(function: Wrapped) -> Wrapped:
    """Decorator: TypeError for an argument that is not of a kind that its annotation names.

    Arguments in NEUTRAL are dropped at their neutral value; NotImplementedError for another value.
    """
    parameters = inspect.signature(function).parameters
    tests = {name: _kinds(p.annotation) for name, p in parameters.items()}
    in_order = [(name, tests[name]) for name, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for (name, kinds), value in zip(in_order, args, strict=False):  # Python says it where there are too many
            if kinds and not any(fits(value) for fits, _ in kinds):
                raise _misfit(function.__name__, name, kinds, value)
        for name in [*kwargs]:
            if name not in tests:
                _neutral(function.__name__, name, kwargs)
            elif (kinds := tests[name]) and not any(fits(kwargs[name]) for fits, _ in kinds):
                raise _misfit(function.__name__, name, kinds, kwargs[name])
        return function(*args, **kwargs)

    return call  # type: ignore[return-value]


def _kinds(annotation: str) -> list[tuple[Callable[[Any], bool], str]]:
    words = [word.strip().removeprefix("builtins.") for word in str(annotation).split("|")]
    return [KINDS[word] for word in words] if all(word in KINDS for word in words) else []


def _misfit(function: str, name: str, kinds: list[tuple[Any, str]], value: Any) -> TypeError:
    wanted = " or ".join(word for _, word in kinds)
    return TypeError(f"{function}(): argument {name!r} must be {wanted}, not {type(value).__name__}: {value!r:.40}")


def _neutral(function: str, name: str, kwargs: dict[str, Any]) -> None:
    """Drop an argument that can say nothing here. An unknown one stays, and Python refuses it."""
    if name not in NEUTRAL:
        return
    value = kwargs.pop(name)
    if not any(value is usual for usual in NEUTRAL[name]):
        raise NotImplementedError(
            f"{function}: {name}={value!r} is outside tinytensor's subset; leave it out, or use {NEUTRAL[name][-1]!r}"
        )
