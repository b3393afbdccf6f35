"""Gradients on request: `backward` into leaves, `grad` as values, and the check of derivatives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor import tape
from tinytensor.gradcheck import GradcheckError, gradcheck
from tinytensor.primitive import Primitive
from tinytensor.subset import outside
from tinytensor.tape import enable_grad, inference_mode, no_grad, set_grad_enabled
from tinytensor.tensor import Tensor, wrap


def backward(
    tensors: Sequence[Tensor] | Tensor,
    grad_tensors: Sequence[Tensor | None] | Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Add the gradient of Σ tensors·grad_tensors to the .grad of every leaf below."""
    _play(_listed(tensors), _listed(grad_tensors), retain_graph, create_graph, None)


def grad(
    outputs: Sequence[Tensor] | Tensor,
    inputs: Sequence[Tensor] | Tensor,
    grad_outputs: Sequence[Tensor | None] | Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of Σ outputs·grad_outputs with respect to inputs, which may be results; no .grad is touched.

    RuntimeError for an input that outputs do not depend on, unless allow_unused (then None).

    >>> import tinytensor as tt
    >>> x = tt.tensor(3.0, requires_grad=True)
    >>> grad(x**2, x)
    (tensor(6.),)
    """
    wanted = _listed(inputs)
    for x in wanted:
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    edges = [x._node or x for x in wanted]
    found = _play(_listed(outputs), _listed(grad_outputs), retain_graph, create_graph, frozenset(edges))
    if not allow_unused and any(edge not in found for edge in edges):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph."
            " Set allow_unused=True if this is the desired behavior."
        )
    return tuple(wrap(found[edge]) if edge in found else None for edge in edges)


class Function:
    """A derivative of one's own: a subclass has static methods forward(ctx, …) and backward(ctx, dy), and is called by
    its `apply`. forward computes on Tensors without a tape; backward gives a gradient for each argument of forward.

    >>> import tinytensor as tt
    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * dy
    >>> x = tt.tensor(3.0, requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """

    saved_tensors: tuple[Tensor, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        """One result or a tuple of them."""
        raise NotImplementedError("a Function needs a forward")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        """Of one gradient for each result one, or None, for each argument of forward."""
        raise NotImplementedError("a Function needs a backward")

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep Tensors for backward, where they are ctx.saved_tensors."""
        self.saved_tensors = tensors

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward, and record it."""
        ctx = cls()
        edges = tape.edges_of([x if isinstance(x, Tensor) else None for x in args])
        ctx.needs_input_grad = tuple(edge is not None for edge in edges) if edges else (False,) * len(args)
        with no_grad():
            output = cls.forward(ctx, *args)
        if not tape.is_grad_enabled() or edges is None:
            return output
        several = isinstance(output, tuple)
        kinds = [(y.array.shape, y.array.dtype) for y in (output if several else (output,))]

        def backward(dy: Any, ctx: Any, *_: Any) -> tuple[Any, ...]:
            dys = dy if several else [dy]
            given = [wrap(np.zeros(*kind) if d is None else d) for d, kind in zip(dys, kinds, strict=True)]
            with no_grad():
                grads = cls.backward(ctx, *given)
            grads = grads if isinstance(grads, tuple) else (grads,)
            return tuple(None if g is None else g.array for g in grads)

        primitive = Primitive(cls.__name__, cls.forward, backward, f"y = {cls.__name__}(x)", "")
        saved = (ctx, *(t.array for t in ctx.saved_tensors))  # the arrays so that writes to them show
        node = tape.Node(primitive, edges, saved, () if several else output.array.shape)
        if not several:
            return wrap(output.array, node)
        return tuple(
            wrap(y.array, tape.Node(None, (node,), (i, len(kinds)), y.array.shape)) for i, y in enumerate(output)
        )


class _AnyTensor(type):
    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_AnyTensor):
    """The older name of a Tensor with a history: Variable(x) is x without one."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)


def _listed(x: Any) -> list[Any]:
    return [] if x is None else [x] if isinstance(x, Tensor) else list(x)


def _play(
    outputs: list[Tensor],
    seeds: list[Tensor | None],
    retain_graph: bool | None,
    create_graph: bool,
    targets: frozenset[tape.Edge] | None,
) -> dict[tape.Edge, Any]:
    if create_graph:
        raise NotImplementedError("create_graph=True (derivatives of derivatives) is outside tinytensor's subset")
    if seeds and len(seeds) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(seeds)} gradients")
    roots: list[tuple[tape.Edge, Any]] = []
    for i, y in enumerate(outputs):
        if not y.requires_grad:
            raise RuntimeError(f"element {i} of tensors does not require grad and does not have a grad_fn")
        seed = seeds[i] if i < len(seeds) else None
        if seed is None:
            if y.array.size != 1:
                raise RuntimeError(
                    f"grad can be implicitly created only for scalar outputs, not for shape {tuple(y.shape)}:"
                    " reduce it (.sum(), .mean()) or pass gradient="
                )
            seed = wrap(np.ones_like(y.array))
        elif seed.array.shape != y.array.shape:
            raise RuntimeError(
                f"gradient has shape {tuple(seed.shape)}, the output {tuple(y.shape)}: they must be equal"
            )
        roots.append((tape.edge(y), seed.array.astype(y.array.dtype, copy=False)))
    with np.errstate(all="ignore"):  # an infinite gradient is a result, not a warning
        return tape.backward(roots, retain_graph=bool(retain_graph), targets=targets)


__all__ = [
    "Function", "GradcheckError", "Variable", "backward", "enable_grad", "grad", "gradcheck", "inference_mode", "no_grad",
    "set_grad_enabled",
]  # fmt: skip

__getattr__ = outside("tinytensor.autograd")
