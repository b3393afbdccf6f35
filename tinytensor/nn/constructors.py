"""What the constructors of layers take beside the arguments that our layers use.

PyTorch's layers with parameters take `device` and `dtype`. Some take arguments of which only the neutral value lies in
the subset: they are dropped, and any other value is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from functools import wraps
from typing import Any

from tinytensor.devices import device as Device
from tinytensor.dtypes import to_numpy_dtype
from tinytensor.nn.module import Module

# Layer → argument → its neutral value, in PyTorch's order, behind our own arguments.
RECURRENT = {"bidirectional": False}
NEUTRAL: dict[str, dict[str, Any]] = {
    "Embedding": {
        "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False, "_weight": None, "_freeze": False,
    },
    "RNN": RECURRENT, "GRU": RECURRENT, "LSTM": {**RECURRENT, "proj_size": 0},
}  # fmt: skip


def placed(*layers: type[Module]) -> None:
    """Give the constructors of these layers `device`, `dtype` and their neutral arguments."""
    for layer in layers:
        layer.__init__ = _constructor(layer.__name__, layer.__init__)  # type: ignore[method-assign]


def _constructor(name: str, own: Any) -> Any:
    parameters = [p for p in inspect.signature(own).parameters.values() if p.name != "self"]
    by_position = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    neutral = NEUTRAL.get(name, {})
    order = [*by_position, *neutral, "device", "dtype"]

    @wraps(own)
    def construct(self: Module, *args: Any, **kwargs: Any) -> None:
        if len(args) > len(by_position):  # PyTorch's order goes on with the arguments that ours lack
            kwargs |= _named(name, order[len(by_position) :], args[len(by_position) :], kwargs)
            args = args[: len(by_position)]
        for argument in neutral.keys() & kwargs.keys():
            value, usual = kwargs.pop(argument), neutral[argument]
            if not (value is usual or (type(value) is not bool and isinstance(value, (int, float)) and value == usual)):
                raise NotImplementedError(
                    f"{name}: {argument}={value!r} is outside tinytensor's subset; leave it out, or use {usual!r}"
                )
        device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
        if dtype is not None and to_numpy_dtype(dtype).kind != "f":
            raise RuntimeError(f"{name}: only floating point parameters can require gradients, not {dtype}")
        if device is not None and not isinstance(device, (str, Device)):
            raise TypeError(f"{name}: device must be a device or a string such as 'cpu', not {device!r}")
        own(self, *args, **kwargs)
        if (device, dtype) != (None, None):
            self.to(device=device, dtype=dtype)

    return construct


def _named(name: str, order: list[str], values: Iterable[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Further arguments by position, by name. TypeError for too many, and for one that is given twice."""
    values = list(values)
    named = dict(zip(order, values, strict=False))
    twice = named.keys() & kwargs.keys()
    if len(values) > len(order) or twice:
        raise TypeError(f"{name}(): {f'{min(twice)} is given twice' if twice else f'{len(values)} arguments too many'}")
    return named
