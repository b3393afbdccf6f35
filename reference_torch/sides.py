"""One training step by two engines, as a sequence of pairs of arrays in the order in which they are computed.

The engines have the same names, so one class runs either. Hooks keep the inputs and outputs of every module, and
`retain_grad` keeps their gradients.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpt.config import TrainConfig
from gpt.data import Batch

NORM = "norm of the gradient"


class Pair(NamedTuple):
    """One tensor of both engines. `name` is a module or parameter, `kind` says what of it: "output", "gradient", …"""

    name: str
    kind: str
    ours: NDArray[Any]
    theirs: NDArray[Any]


class Side:
    """An engine, `tinytensor` or `torch`, with its model and optimizer.

    values: (module, "input" or "output") -> the tensor of the last forward, in the order of computation. What the
    model returns is ("", "logits") and ("", "loss").
    """

    def __init__(self, engine: Any, model: Any, optimizer: Any) -> None:
        self.engine, self.model, self.optimizer = engine, model, optimizer
        self.values: dict[tuple[str, str], Any] = {}
        for name, module in model.named_modules():
            module.register_forward_hook(functools.partial(self._keep, name))

    def _keep(self, name: str, module: Any, args: tuple[Any, ...], output: Any) -> None:
        if not name:
            self.values["", "logits"], self.values["", "loss"] = output
            return
        is_layer = next(module.children(), None) is None
        if is_layer and args[0].is_floating_point():
            self.values[name, "input"] = args[0]
        self.values[name, "output"] = output

    def forward(self, batch: Batch) -> None:
        self.values.clear()
        self.model(*map(self.engine.from_numpy, batch))
        for value in self.values.values():
            value.retain_grad()

    def backward(self, share: float) -> None:
        """Accumulate the gradient of share · loss."""
        (self.values["", "loss"] * share).backward()

    def clip(self, limit: float) -> NDArray[Any]:
        """Clip the gradients. Return the norm that they had before."""
        return array(self.engine.nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def update(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()


def array(tensor: Any) -> NDArray[Any]:
    """Return the array of a tensor, on the same memory; for None, the gradient of nothing, an array without elements."""
    return np.empty(0) if tensor is None else np.asarray(tensor.detach().numpy())


def compared_step(
    ours: Side, theirs: Side, batches: Iterable[Batch], rate: float, config: TrainConfig
) -> Iterator[Pair]:
    """Make one step with both engines. Yields each pair as soon as it is computed, before anything that depends on it."""
    sides = ours, theirs
    for side in sides:
        side.optimizer.zero_grad()
    for batch in batches:
        for side in sides:
            side.forward(batch)
        yield from activations(ours, theirs)
        for side in sides:
            side.backward(1 / config.grad_accumulation)
        yield from gradients(ours, theirs)
    norms = [side.clip(config.grad_clip or math.inf) for side in sides]
    yield Pair("all parameters", NORM, *norms)
    for side in sides:
        side.update(rate)
    yield from moments_and_parameters(ours, theirs)


def activations(ours: Side, theirs: Side) -> Iterator[Pair]:
    """Yield inputs and outputs of modules, logits and loss. An input that is the output of an earlier module comes once."""
    seen: set[int] = set()
    for (name, kind), value in ours.values.items():
        if kind != "input" or id(value) not in seen:
            seen.add(id(value))
            yield pair(name, kind, value, theirs.values[name, kind])


def gradients(ours: Side, theirs: Side) -> Iterator[Pair]:
    """Yield gradients from the loss backwards: for each module those of its output, its parameters and its input.

    So the first one that is wrong comes from the backward of its own module. A tensor that several modules have comes
    once, where its gradient is complete; a parameter that they share comes once, under its first name.
    """
    parameters: dict[str, list[tuple[str, Any, Any]]] = {}
    for (name, p), q in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
        parameters.setdefault(name.rpartition(".")[0], []).append((name, p.grad, q.grad))
    seen: set[int] = set()
    for (name, kind), value in reversed(ours.values.items()):
        if kind != "loss" and id(value) not in seen:
            seen.add(id(value))
            yield pair(name, f"gradient of {kind}", value.grad, theirs.values[name, kind].grad)
        if kind == "output":
            for parameter, ours_grad, theirs_grad in parameters.get(name, ()):
                yield pair(parameter, "gradient", ours_grad, theirs_grad)


def moments_and_parameters(ours: Side, theirs: Side) -> Iterator[Pair]:
    """Yield, after the update, the averages of AdamW (of the gradient and of its square), then the parameters."""
    both = list(zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True))
    for moment in ("exp_avg", "exp_avg_sq"):
        for (name, p), q in both:
            yield pair(name, moment, ours.optimizer.state[p][moment], theirs.optimizer.state[q][moment])
    for (name, p), q in both:
        yield pair(name, "parameter", p, q)


def pair(name: str, kind: str, ours: Any, theirs: Any) -> Pair:
    return Pair(name or "model", kind, array(ours), array(theirs))
