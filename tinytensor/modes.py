"""Gradient modes: whether a thread records its calls. `no_grad`, `enable_grad` and others switch it.

    with no_grad():          # inside, results have no history, and nothing is saved for a backward
        loss = model(x)

Each thread has its own mode, so one thread can evaluate while another trains.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Wrapped = TypeVar("Wrapped", bound=Callable[..., Any])

_in_kernel: contextvars.ContextVar[bool] = contextvars.ContextVar("in_kernel", default=False)


class Mode:
    """How a thread calls kernels: `enabled` says whether it records them, `run(kernel, *arguments)` calls one.

    `watch` is None unless somebody looks at the calls of the thread, as `tinytensor.trace` does (inside/watch.py).

    Kernels run in their own context, where NumPy's floating point warnings are off: infinity and nan are valid results,
    as in PyTorch. (`np.errstate` around every call would take longer than a small kernel.)
    """

    __slots__ = ("enabled", "run", "watch")

    watch: Any

    def __init__(self) -> None:
        self.enabled = True
        self.watch = None
        quiet = contextvars.Context()
        quiet.run(np.seterr, all="ignore")
        quiet.run(_in_kernel.set, True)
        self.run = quiet.run


class _Thread(threading.local):
    def __init__(self) -> None:
        self.mode = Mode()


thread = _Thread()  # thread.mode is the mode of the thread that asks


def in_kernel() -> bool:
    """Whether the caller is a kernel, which works on arrays and may not call `apply`."""
    return _in_kernel.get()


def is_grad_enabled() -> bool:
    """Whether this thread records calls."""
    return thread.mode.enabled


class set_grad_enabled:
    """Record calls or not, in this thread: a context manager, a decorator, or a plain call."""

    def __init__(self, mode: bool) -> None:
        self.previous = thread.mode.enabled
        self.mode = mode
        thread.mode.enabled = mode

    def __enter__(self) -> None:
        pass  # the call has already set the mode

    def __exit__(self, *_: object) -> None:
        thread.mode.enabled = self.previous

    def __call__(self, function: Wrapped) -> Wrapped:
        thread.mode.enabled = self.previous
        return _decorate(function, self.mode)


class no_grad:
    """Record nothing in this thread: `with no_grad():` or `@no_grad()`."""

    mode = False

    def __new__(cls, function: Any = None) -> Any:
        """`@no_grad` without parentheses decorates at once."""
        return super().__new__(cls) if function is None else _decorate(function, cls.mode)

    def __enter__(self) -> None:
        self.previous, thread.mode.enabled = thread.mode.enabled, self.mode

    def __exit__(self, *_: object) -> None:
        thread.mode.enabled = self.previous

    def __call__(self, function: Wrapped) -> Wrapped:
        return _decorate(function, self.mode)


class enable_grad(no_grad):
    """Record again, inside a no_grad."""

    mode = True


class inference_mode(no_grad):
    """The same as no_grad: PyTorch saves further bookkeeping here, and this tape has none.

    `inference_mode(False)` records, as enable_grad does.
    """

    def __new__(cls, mode: Any = True) -> Any:
        return object.__new__(cls) if isinstance(mode, bool) else _decorate(mode, False)

    def __init__(self, mode: bool = True) -> None:
        self.mode = not mode


def _decorate(function: Wrapped, mode: bool) -> Wrapped:
    """function, run under a gradient mode; a generator runs each of its steps under it."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with enable_grad() if mode else no_grad():
            return function(*args, **kwargs)

    def resumed(resume: Callable[..., Any], *args: Any) -> Any:
        with enable_grad() if mode else no_grad():
            return resume(*args)

    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        try:
            item = resumed(next, generator)
            while True:
                try:
                    sent = yield item
                except GeneratorExit:
                    resumed(generator.close)
                    raise
                except BaseException as error:
                    item = resumed(generator.throw, error)
                else:
                    item = resumed(generator.send, sent)
        except StopIteration as stop:
            return stop.value

    return generate if inspect.isgeneratorfunction(function) else call  # type: ignore[return-value]
