"""The names of a function's parameters, and functions in place of others.

`inspect.signature` and `functools.wraps` do as much, and take ten times as long. An import makes hundreds of functions.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from inspect import CO_VARARGS, CO_VARKEYWORDS
from types import CodeType
from typing import Any


def own_names(function: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of its parameters: those that have a place, and all others."""
    while (inner := getattr(function, "__wrapped__", None)) is not None:
        function = inner
    code: CodeType | None = getattr(function, "__code__", None)
    if code is None:  # a partial, say
        return (), tuple(inspect.signature(function).parameters)
    n, flags = code.co_argcount, code.co_flags
    names, end = code.co_varnames, n + code.co_kwonlyargcount
    if flags & (CO_VARARGS | CO_VARKEYWORDS):
        end += bool(flags & CO_VARARGS) + bool(flags & CO_VARKEYWORDS)
    return names[:n], names[n:end]


def in_place_of(function: Callable[..., Any], call: Any) -> Any:
    """call, with the name, the text and the annotations of a function that it calls."""
    call.__name__, call.__qualname__, call.__doc__ = function.__name__, function.__qualname__, function.__doc__
    call.__module__, call.__annotations__, call.__wrapped__ = function.__module__, function.__annotations__, function
    return call
