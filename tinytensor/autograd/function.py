"""Function: an operation with a derivative of its own, as in torch.autograd.function."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from tinytensor import tape
from tinytensor.backend import array_module
from tinytensor.base import wrap
from tinytensor.functions.inplace import writable
from tinytensor.histories import adopt
from tinytensor.modes import is_grad_enabled, no_grad
from tinytensor.ops.arithmetic import unbroadcast
from tinytensor.primitive import OUTPUT, Primitive
from tinytensor.subset import outside
from tinytensor.tensor import Tensor

Backward = TypeVar("Backward", bound=Callable[..., Any])


class Function:
    """An operation with its own derivative. A subclass defines static methods forward(ctx, …) and backward(ctx, dy);
    `apply` calls it. forward computes without recording; backward returns a gradient for each argument of forward.

    With setup_context(ctx, inputs, output), forward takes no ctx.

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

    saved_tensors: tuple[Tensor | None, ...] = ()
    needs_input_grad: tuple[bool, ...] = ()
    materialize_grads = True
    dirty_tensors: tuple[Tensor, ...] = ()
    non_differentiable: tuple[Tensor, ...] = ()

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Return one result or a tuple of them; what is no Tensor is returned as it is."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Keep what backward needs, if forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Take one gradient for each result; return one, or None, for each argument of forward."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function."
        )

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep Tensors for backward, where they are ctx.saved_tensors."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                kind = type(t).__name__
                raise TypeError(f"save_for_backward can only save variables, but argument {i} is of type {kind}")
        self.saved_tensors = tensors

    def mark_dirty(self, *args: Tensor) -> None:
        """Say which inputs forward has changed in place. It must return them."""
        self.dirty_tensors = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Say which results have no gradient. Integers have none anyway."""
        self.non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default), or None, for a result that nobody used."""
        self.materialize_grads = value

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Run forward and record the call."""
        ctx = cls()
        with_context = cls.setup_context is Function.setup_context  # forward takes it
        if not with_context:
            bound = inspect.signature(cls.forward).bind(*args, **kwargs)
            bound.apply_defaults()
            args, kwargs = bound.args, bound.kwargs
        edges = tape.edges_of([x if isinstance(x, Tensor) else None for x in args])
        ctx.needs_input_grad = tuple(edge is not None for edge in edges) if edges else (False,) * len(args)
        with no_grad():
            if with_context:
                output = cls.forward(ctx, *args, **kwargs)
            else:
                output = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, output)
        ys = output if isinstance(output, tuple) else (output,)
        if any(all(x is not y for y in ys) for x in ctx.dirty_tensors):
            raise RuntimeError(
                "Some elements marked as dirty during the forward method were not returned as output."
                " The inputs that are modified inplace must all be outputs of the Function."
            )
        if not is_grad_enabled() or edges is None:
            return output
        results = _recorded(ctx, args, edges, ys, several=isinstance(output, tuple))
        return results if isinstance(output, tuple) else results[0]


def _recorded(
    ctx: Function, args: Sequence[Any], edges: tape.Edges, ys: tuple[Any, ...], several: bool
) -> tuple[Any, ...]:
    """The results of a call, with its node, or with one for each of several on top of it."""
    kinds: list[Any] = [(y.array.shape, y.array.dtype) if isinstance(y, Tensor) else None for y in ys]
    zeros = next((array_module(x.array).zeros for x in args if isinstance(x, Tensor)), np.zeros)

    def backward(dy: Any, ctx: Any, *_: Any) -> tuple[Any, ...]:
        arrays = list(dy) if several else [dy]
        if ctx.materialize_grads:
            arrays = [zeros(*kind) if d is None and kind else d for d, kind in zip(arrays, kinds, strict=True)]
        given = [None if d is None else wrap(d) for d in arrays]
        with no_grad():
            grads = ctx.backward(ctx, *given)
        return _checked(f"{type(ctx).__name__}Backward", args, edges, grads if isinstance(grads, tuple) else (grads,))

    primitive = Primitive(type(ctx).__name__, ctx.forward, backward, f"y = {type(ctx).__name__}(x)", "")
    # the arrays as well, so that the tape notices writes to them
    saved = (ctx, *(t.array for t in ctx.saved_tensors if t is not None))
    node = tape.Node(primitive, edges, saved, () if several or not kinds[0] else kinds[0][0])
    results = []
    for i, y in enumerate(ys):
        if not isinstance(y, Tensor) or y.array.dtype.kind != "f" or any(y is t for t in ctx.non_differentiable):
            results.append(y)
            continue
        own = tape.Node(OUTPUT, (node,), (i, len(ys)), y.array.shape) if several else node
        if any(y is x for x in ctx.dirty_tensors):
            writable(y, primitive.name)
            adopt(y, own)
        results.append(y if y._node is own else wrap(y.array, own))
    return tuple(results)


def _checked(name: str, args: Sequence[Any], edges: tape.Edges, grads: Sequence[Any]) -> tuple[Any, ...]:
    """What a backward returned, as an array or None for each argument; RuntimeError if it does not fit."""
    if len(grads) < len(args) or any(g is not None for g in grads[len(args) :]):
        raise RuntimeError(
            f"function {name} returned an incorrect number of gradients (expected {len(args)}, got {len(grads)})"
        )
    arrays: list[Any] = []
    for i, (g, x, edge) in enumerate(zip(grads, args, edges)):
        if g is None:
            arrays.append(None)
            continue
        if not isinstance(g, Tensor):
            raise RuntimeError(f"expected Variable or None (got {type(g).__name__})")
        if not isinstance(x, Tensor):
            raise RuntimeError(
                f"function {name} returned a gradient different from None at position {i + 1},"
                " but the corresponding forward input was not a Variable"
            )
        arrays.append(None if edge is None else _fitted(name, i, g.array, x.array.shape, x.array.dtype))
    return tuple(arrays)


def _fitted(name: str, i: int, g: Any, shape: tuple[int, ...], dtype: Any) -> Any:
    """g summed to a shape that broadcasts to its own, in this dtype."""
    extra = g.ndim - len(shape)
    if extra < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[extra:])):
        raise RuntimeError(
            f"Function {name} returned an invalid gradient at index {i} - got {list(g.shape)}"
            f" but expected shape compatible with {list(shape)}"
        )
    return unbroadcast(g, shape).astype(dtype, copy=False)


def once_differentiable(fn: Backward) -> Backward:
    """Say that a backward cannot be differentiated itself. Here none is: create_graph is outside of the subset."""
    return fn


__getattr__ = outside("tinytensor.autograd.function")
