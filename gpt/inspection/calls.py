"""What a page says of every call of a primitive: its formula, its lines, its pair of functions, its inputs, its check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gpt.inspection import excerpts
from gpt.inspection.excerpts import Place
from gpt.inspection.pack import Packer
from gpt.inspection.values import Array, Pass
from tinytensor.inside.check import argument, check_call
from tinytensor.inside.explain import source_of
from tinytensor.inside.watch import Call

THOROUGH = {"elements": 4, "directions": 1}  # what is compared of each input of a call
QUICK = {"elements": 1, "directions": 1}


def described(found: Pass, packer: Packer, thorough: bool) -> list[dict[str, Any]]:
    """A row for each call, in order. Arrays that are constants of a call go into the packer."""
    return [_row(found, i, call, packer, THOROUGH if thorough else QUICK) for i, call in enumerate(found.calls)]


def _row(found: Pass, number: int, call: Call, packer: Packer, effort: dict[str, int]) -> dict[str, Any]:
    outputs = [found.names[id(x)] for x in call.outputs]
    return {
        "primitive": call.primitive.name,
        "formula": call.primitive.formula,
        "module": call.path,
        "lines": [[excerpts.short(line.file), line.number, line.function] for line in call.lines],
        "pair": {way: place and [excerpts.short(place[0]), *place[1:]] for way, place in pair(call).items()},
        "static": {name: _constant(found, f"s:{number}.{name}", value, packer) for name, value in call.static.items()},
        "arguments": [argument(call, i) for i in range(len(call.inputs))],
        "inputs": [_input(found, x) for x in call.inputs],
        "output": outputs[0] if len(outputs) == 1 else outputs,
        "check": checked(call, effort),
    }


def pair(call: Call) -> dict[str, Place | None]:
    """Where the two functions of a call stand; None if there is no file."""
    sources = {"forward": source_of(call.primitive.forward), "backward": source_of(call.primitive.backward)}
    return {way: None if each is None else (each.file, each.first, each.last) for way, each in sources.items()}


def checked(call: Call, effort: dict[str, int]) -> dict[str, Any] | None:
    """Its gradients beside central differences (tinytensor/inside/check.py); None where nothing could be compared.

    A number that is not finite is None, since JSON has none.
    """
    found = check_call(call, **effort)
    kept = ("ok", "error", "tolerance", "scale", "elements", "directions", "kinks", "recorded", "worst")
    row = {name: getattr(found, name) for name in kept}
    return (
        None if found.ok is None else {name: None if x in (np.inf, -np.inf) or x != x else x for name, x in row.items()}
    )


def _input(found: Pass, x: Array | None) -> Any:
    """The name of an input; what it is, if it has none."""
    if x is None:
        return None
    if id(x) in found.names:
        return found.names[id(x)]
    return {"shape": list(x.shape), "what": str(x.item()) if x.size == 1 else "a constant"}


def _constant(found: Pass, name: str, value: Any, packer: Packer) -> Any:
    """A keyword argument of a call in JSON."""
    if isinstance(value, np.ndarray):
        if id(value) in found.names:
            return {"what": found.names[id(value)]}
        packer.add(name, value, "f4" if value.dtype.kind == "f" else "u1" if value.dtype == bool else "i4")
        return {"array": name}
    if isinstance(value, (list, tuple)):
        return [_constant(found, f"{name}.{i}", each, packer) for i, each in enumerate(value)]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    number = float(value) if isinstance(value, (float, np.number)) else None
    return number if number is not None and np.isfinite(number) else str(value)


def places(found: Pass) -> Iterator[Place]:
    """What the source of all calls is: the pairs, and the functions that called them."""
    for call in found.calls:
        yield from (place for place in pair(call).values() if place is not None)
        yield from (excerpts.around(line.file, line.number) for line in call.lines)
