"""trace: every value of a model by its name, with its gradient; and edits of them, with which the model then runs on.

    with tinytensor.trace(model) as t:
        logits, loss = model(ids, targets)
        loss.backward()
    t["blocks.0.attention.weights"]          # a Tensor; its gradient is t["blocks.0.attention.weights"].grad
    t.calls                                  # every call of a primitive (inside/watch.py), which `explain` reads

    PATH.input, PATH.output       what a module took and returned; PATH alone is its output
    PATH.input.1, PATH.output.1   where there are several, beginning with .0; .1.0 within one of them
    PATH.input.mask               by keyword, key of a dictionary, field of a dataclass or a named tuple
    PATH.scores, PATH.weights     of attention within the module: (…, T, S), before and after the softmax
    PATH.weight, …                a parameter
    NAME#2                        of the second call of the same module

The model's own values have no path: "input.0", "output.1". An input is the Tensor itself: its gradient counts all uses of it,
and an edit of it is for this module alone. An edit of NAME is for the first call, of NAME#2 for the second. Traced,
attention runs written out in smaller operations, so that its scores and weights exist; results differ from those of the
fused operation by rounding. Values are not copied: who writes into one in place changes what is kept here. Only the thread
that traces is seen.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import difflib
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from tinytensor.base import is_tensor
from tinytensor.creation import tensor
from tinytensor.functions import linalg
from tinytensor.functions.signature import public
from tinytensor.inside.watch import Call, Observer, observed
from tinytensor.nn.layers import LayerNorm
from tinytensor.nn.module import Module
from tinytensor.nn.norms import RMSNorm
from tinytensor.tensor import Tensor

of_matrix = public(linalg.trace, "trace")
ABSENT: Any = object()
Edit: TypeAlias = Callable[[Tensor], Tensor]  # takes a value, returns what goes on in its place


class UnknownName(KeyError):
    """A name that no value has."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError shows the repr, with quotes around


class Seeing:
    """A method of a trace, as a hook. A copy of the model, made or pickled inside of `with`, has one that sees nothing."""

    def __init__(self, method: Callable[..., Any] | None = None) -> None:
        self.method = method

    def __call__(self, *args: Any) -> Any:
        return None if self.method is None else self.method(*args)

    def __reduce__(self) -> Any:
        return Seeing, ()


def trace(input: Any = ABSENT, *, calls: bool = True, **more: Any) -> Any:
    """trace(model) and trace(): see Trace. trace(matrix): Σ x[i, i], as in PyTorch."""
    if input is ABSENT or isinstance(input, Module):
        return Trace(None if input is ABSENT else input, calls=calls, **more)
    return of_matrix(input, **more)


class Trace(Observer):
    """The values of a model, and of each call of a primitive, from `with` to its end.

    model: None records the calls alone. calls=False records the model's values alone, which takes less memory. An edit
    that met no value raises KeyError at the end, with names that are like it.
    """

    def __init__(self, model: Module | None = None, *, calls: bool = True) -> None:
        self.model = model
        self.calls: list[Call] = []
        self.values: dict[str, Tensor] = {}
        self.edits: dict[str, list[Edit]] = {}
        self._keeps_calls = calls
        self._unused: set[str] = set()
        self._count: dict[str, int] = {}
        self._paths: dict[Module, str] = {}
        self._running: list[tuple[Module, str]] = []  # modules whose forwards run, and their paths, each with its "#2"
        self._thread: int | None = None  # the one that traces; None outside of `with`
        self._opened = contextlib.ExitStack()

    # ------------------------------------------------------------------------------ on and off

    def __enter__(self) -> Trace:
        if self._thread is not None:
            raise RuntimeError("this trace is open already: make another one, tinytensor.trace(model)")
        with contextlib.ExitStack() as opened:  # undone if something fails half-way
            opened.enter_context(observed(self))
            for path, module in self.model.named_modules() if self.model is not None else ():
                self._paths[module] = path
                opened.enter_context(module.register_forward_pre_hook(Seeing(self._enters), with_kwargs=True))
                opened.enter_context(module.register_forward_hook(Seeing(self._leaves), always_call=True))
            self._opened, self._thread = opened.pop_all(), threading.get_ident()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._opened.close()
        self._thread = None
        self._running.clear()
        if kind is None and self._unused:
            raise UnknownName(f"an edit met no value: {self._unknown(min(self._unused), list(self.values))}")

    # --------------------------------------------------------------------------------- reading

    def __getitem__(self, name: str) -> Tensor:
        """The value, or the parameter, of this name. KeyError with names that are like it."""
        found = self._find(name)
        if found is None:
            raise UnknownName(self._unknown(name))
        return found

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __iter__(self) -> Iterator[str]:
        """The names: values in the order in which they were computed, then parameters."""
        return iter([*self.values, *self._parameters()])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _find(self, name: str) -> Tensor | None:
        found = self.values.get(name)
        if found is None:
            path, mark, number = name.partition("#")
            found = self.values.get(f"{path}.output{mark}{number}")
        return self._parameters().get(name) if found is None else found

    def _parameters(self) -> dict[str, Any]:
        return {} if self.model is None else dict(self.model.named_parameters(remove_duplicate=False))

    def _unknown(self, name: str, names: list[str] | None = None) -> str:
        if not self.values:
            return f"{name!r} is no name of a value: there are none yet; call the model inside of `with`"
        names = list(self) if names is None else names
        like = difflib.get_close_matches(name, names, n=4, cutoff=0.5) or names[:4]
        return f"{name!r} is no name of a value; there are {', '.join(like)}"

    # --------------------------------------------------------------------------------- editing

    def edit(self, name: str, change: Edit | Tensor | np.ndarray[Any, Any] | float) -> None:
        """Let change(x) take the place of the value x; or a Tensor, an array, a number that broadcasts to its shape.

        Gradients flow through the change. ValueError for a parameter: change that itself, under no_grad.
        """
        if name in self._parameters():
            raise ValueError(f"{name} is a parameter: change it itself, under no_grad, and change it back afterwards")
        function = change if callable(change) else lambda x: _filled(x, ..., change)
        self.edits.setdefault(self._full(name), []).append(function)
        self._unused.add(self._full(name))

    def patch(self, name: str, value: Trace | Tensor | np.ndarray[Any, Any] | float, index: Any = ...) -> None:
        """Put a value in the place of x[index], all of it by default; of another trace, its value of this name, there."""
        self.edit(name, lambda x: _filled(x, index, value[name].detach()[index] if isinstance(value, Trace) else value))

    def ablate(self, name: str, index: Any = ..., *, head: int | None = None) -> None:
        """Put zeros in the place of x[index]; head: a head of the attention of this module, which then adds nothing."""
        if head is None:
            return self.patch(name, 0.0, index)
        self.patch(f"{name}.weights", 0.0, (..., head, slice(None), slice(None)))

    def freeze(self, name: str, like: Trace | None = None) -> None:
        """Let a LayerNorm or RMSNorm take its mean and deviation as constants: those of this run, or of another trace.

        Then what it computes is linear in its input, and no gradient flows through the statistics.
        """
        norm = {path: module for module, path in self._paths.items()}.get(name)
        if not isinstance(norm, (LayerNorm, RMSNorm)):
            raise ValueError(f"{name} is no LayerNorm or RMSNorm of the model, inside of `with`")
        self.edit(
            f"{name}.output",
            lambda _: _frozen(norm, self[f"{name}.input"], (self if like is None else like)[f"{name}.input"]),
        )

    def _full(self, name: str) -> str:
        """PATH.output for the path of a module. A child that is called "input" or "output" needs the whole name."""
        path, mark, number = name.partition("#")
        module, _, kind = path.rpartition(".")
        modules = set(self._paths.values())
        is_own = kind in ("input", "output") and module in modules
        return f"{path}.output{mark}{number}" if path in modules and not is_own else name

    # ------------------------------------------------------------------------------- recording

    def forward(self, call: Call) -> None:
        if self._keeps_calls:
            self.calls.append(call)

    def point(self, name: str, x: Tensor) -> Tensor:
        return self._keep(self._running[-1][1] if self._running else "", name, x)

    def _enters(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if threading.get_ident() != self._thread:
            return None  # hooks run in every thread
        path = self._paths[module]
        self._count[path] = self._count.get(path, 0) + 1
        path = path if self._count[path] == 1 else f"{path}#{self._count[path]}"
        self._running.append((module, path))
        return self._keep_all(path, "input", args), self._keep_all(path, "input", kwargs)

    def _leaves(self, module: Module, args: tuple[Any, ...], output: Any) -> Any:
        """Also called, with None, if the forward raised an Exception: the caller may go on without this module."""
        if threading.get_ident() != self._thread or not self._running or self._running[-1][0] is not module:
            return output  # the last: another hook raised before _enters
        output = self._keep_all(self._running[-1][1], "output", output)
        self._running.pop()
        return output

    def _keep_all(self, path: str, name: str, x: Any, around: tuple[int, ...] = ()) -> Any:
        """Keep each Tensor of x; return x, or a copy with what edits put in their places. around: what x lies in."""
        if is_tensor(x):
            return self._keep(path, name, x)
        parts = {} if id(x) in around else _parts(x)
        alone = len(parts) == 1 and type(x) is tuple and not around  # one argument has no number
        new = {
            key: self._keep_all(path, name if alone else f"{name}.{key}", part, (*around, id(x)))
            for key, part in parts.items()
        }
        return x if all(new[key] is part for key, part in parts.items()) else _with_parts(x, new)

    def _keep(self, path: str, kind: str, x: Tensor) -> Tensor:
        """Keep x under its name, or what the edits of that name make of it. Return it."""
        path, mark, number = path.partition("#")
        name = f"{path}.{kind}{mark}{number}" if path else f"{kind}{mark}{number}"
        for change in self.edits.get(name, ()):
            self._unused.discard(name)
            shape, x = x.shape, change(x)
            if not is_tensor(x) or x.shape != shape:
                got = f"of {tuple(x.shape)}" if is_tensor(x) else type(x).__name__
                raise ValueError(f"the edit of {name} must return a Tensor of {tuple(shape)}, not {got}")
        if x.requires_grad and not x.is_leaf:
            x.retain_grad()
        self.values[name] = x
        return x

    def __repr__(self) -> str:
        """A table: names, shapes, and the root mean squares of values and gradients."""
        rows = [("name", "shape", "rms", "rms of its gradient")]
        for name in self:
            x = self[name]
            rows.append((name, str(tuple(x.shape)), _rms(x), _rms(x.grad) if x.is_leaf or x.requires_grad else "–"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _parts(x: Any) -> dict[Any, Any]:
    """What a container has, by number, key or name; nothing for what is no container."""
    if isinstance(x, dict):
        return dict(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return dict(zip(x._fields, x))
    if isinstance(x, (tuple, list)):
        return dict(enumerate(x))
    if dataclasses.is_dataclass(x) and not isinstance(x, (type, Module)):
        return {f.name: getattr(x, f.name) for f in dataclasses.fields(x) if hasattr(x, f.name)}
    return {}


def _with_parts(x: Any, parts: dict[Any, Any]) -> Any:
    """A copy of a container with these parts."""
    if isinstance(x, tuple):
        return type(x)(*parts.values()) if hasattr(x, "_fields") else type(x)(parts.values())
    new = copy.copy(x)
    for key, part in parts.items():
        if isinstance(x, (dict, list)):
            new[key] = part
        else:
            object.__setattr__(new, key, part)  # also of a frozen dataclass
    return new


def _filled(x: Tensor, index: Any, value: Any) -> Tensor:
    """x with value in the place of x[index]."""
    y = x.clone()
    y[index] = tensor(value, dtype=x.dtype, device=x.device) if isinstance(value, np.ndarray) else value
    return y


def _frozen(norm: Any, x: Tensor, like: Tensor) -> Tensor:
    """norm(x) with the statistics of like: w (x − μ) / σ + b."""
    dims, like = tuple(range(-len(norm.normalized_shape), 0)), like.detach()
    mean = like.mean(dims, keepdim=True) if isinstance(norm, LayerNorm) else 0.0
    eps = norm.eps if norm.eps is not None else np.finfo(like.array.dtype).eps
    y: Tensor = (x - mean) * ((like - mean).square().mean(dims, keepdim=True) + eps).rsqrt()
    y = y if norm.weight is None else y * norm.weight
    bias: Tensor | None = getattr(norm, "bias", None)  # an RMSNorm has none
    return y if bias is None else y + bias


def _rms(x: Tensor | None) -> str:
    """√(Σ x²/n) of the finite numbers: masked scores are −∞."""
    finite = None if x is None else x.detach().cpu().array.astype(np.float64)
    finite = None if finite is None else finite[np.isfinite(finite)]
    return f"{np.sqrt(np.mean(finite**2)):.3g}" if finite is not None and finite.size else "–"
