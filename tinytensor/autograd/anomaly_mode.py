"""Anomaly detection: the operation that made the first nan is named, with the line that called it and its module.

    with detect_anomaly():
        model(x).sum().backward()    # RuntimeError: Function 'SqrtBackward0' returned nan values in its 0th output. …

A nan in a backward is an error, as in PyTorch. Beyond PyTorch, a forward that makes nan or infinity of finite numbers is
told by a warning, and so is a backward that makes infinity of a finite gradient: there the nan often begins. It holds for
the thread that asks, where PyTorch's holds for the process. Each operation is looked at, so a step takes longer.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinytensor.backend import array_module, is_array
from tinytensor.graph import backward_name
from tinytensor.inside.watch import Call, Observer, observed

SLOWER = (
    "Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled for debugging."
)


class _Thread(threading.local):
    def __init__(self) -> None:
        self.enabled, self.check_nan = False, True
        self.opened = contextlib.ExitStack()


_thread = _Thread()


class Anomalies(Observer):
    """Looks at each call for numbers that are not finite. check_nan=False: only says where a backward that fails was called."""

    every_node = True  # also those that were recorded before

    def __init__(self, check_nan: bool) -> None:
        self.check_nan = check_nan
        self.told: set[tuple[str, str, str]] = set()  # the warnings that were given

    def forward(self, call: Call) -> None:
        """Warn of a call that makes nan or infinity of finite numbers, once for each line."""
        if self.check_nan and (what := _first(call.outputs)) and not _first((*call.inputs, *call.static.values())):
            self.warn(call, f"{call.primitive.name} made {what} of finite numbers")

    def backward(self, call: Call) -> None:
        """RuntimeError for a nan among the gradients that a backward returned."""
        if not self.check_nan:
            return
        name, gradients = backward_name(call.primitive.name), _listed(call.gradients or ())
        for i, g in enumerate(gradients):
            if g is not None and array_module(g).isnan(g).any():
                self.failed(call)
                where = f" It is the backward of {_place(call)}." if call.lines else ""
                raise RuntimeError(f"Function '{name}' returned nan values in its {i}th output.{where}")
        if _first(gradients) and not _first(_listed([call.dy])):
            self.warn(call, f"{name} made infinity of a finite gradient")

    def failed(self, call: Call) -> None:
        """Say where the forward of a backward that failed was called."""
        name = backward_name(call.primitive.name)
        if call.lines:
            what = f"Error detected in {name}. Traceback of forward call that caused the error:\n  {_place(call)}"
        else:
            what = f"Error detected in {name}. No forward pass information available."
            what += " Enable detect anomaly during forward pass for more information."
        _warn(what, call)

    def warn(self, call: Call, what: str) -> None:
        """Give a warning that was not given before."""
        place = _place(call) if call.lines else "a forward that was not watched"
        if (key := (what, place, call.path)) not in self.told:
            self.told.add(key)
            _warn(f"{what}: {place}", call)


def _warn(what: str, call: Call) -> None:
    """A warning at the line that called the operation, where it is known."""
    if call.lines:
        warnings.warn_explicit(what, UserWarning, call.line.file, call.line.number)
    else:
        warnings.warn(what, stacklevel=2)


def _place(call: Call) -> str:
    """file:line, in function; the module path where there is one."""
    within = f", in module {call.path or type(call.within[-1].module).__name__}" if call.within else ""
    return f"{call.line}, in {call.line.function}{within}"


def _listed(arrays: Iterable[Any]) -> list[Any]:
    """The arrays; of a call with several outputs the gradients come as a list."""
    return [x for item in arrays for x in (item if isinstance(item, list) else [item])]


def _first(values: Iterable[Any]) -> str:
    """ "nan" or "infinity" if one of the values, arrays or numbers, has it; nan before infinity."""
    found = ""
    for x in values:
        if isinstance(x, (float, np.floating)) or (is_array(x) and x.dtype.kind == "f"):
            xp = array_module(x) if is_array(x) else np
            if xp.isnan(x).any():
                return "nan"
            found = "infinity" if not found and xp.isinf(x).any() else found
    return found


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Switch the detection of this thread."""
    if not isinstance(mode, bool) or not isinstance(check_nan, bool):
        raise TypeError(
            f"anomaly detection is on or off: mode and check_nan must be bools, not {mode!r} and {check_nan!r}"
        )
    _thread.opened.close()
    _thread.enabled, _thread.check_nan = mode, check_nan
    if mode:
        _thread.opened.enter_context(observed(Anomalies(check_nan)))


def is_anomaly_enabled() -> bool:
    """Whether this thread detects anomalies."""
    return _thread.enabled


def is_anomaly_check_nan_enabled() -> bool:
    """Whether a nan is an anomaly, if anomalies are detected."""
    return _thread.check_nan


class set_detect_anomaly:
    """Switch anomaly detection on or off, in this thread: a context manager, or a plain call.

    check_nan=False looks at no number: it only warns of the line whose backward raised an error.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self.previous = _thread.enabled, _thread.check_nan
        set_anomaly_enabled(mode, check_nan)

    def __enter__(self) -> None:
        pass  # the call has already switched it

    def __exit__(self, *_: object) -> None:
        set_anomaly_enabled(*self.previous)


class detect_anomaly:
    """Detect anomalies inside `with`. It warns that this is slow; check_nan: see set_detect_anomaly."""

    def __init__(self, check_nan: bool = True) -> None:
        self.previous, self.check_nan = (_thread.enabled, _thread.check_nan), check_nan
        warnings.warn(SLOWER, stacklevel=2)

    def __enter__(self) -> None:
        set_anomaly_enabled(True, self.check_nan)

    def __exit__(self, *_: object) -> None:
        set_anomaly_enabled(*self.previous)
