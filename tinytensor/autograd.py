"""torch.autograd: backward and grad, gradient modes, gradcheck, and Function for derivatives of one's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinytensor import tape
from tinytensor.base import wrap
from tinytensor.functions.backward import backward, grad
from tinytensor.gradcheck import GradcheckError, gradcheck
from tinytensor.modes import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from tinytensor.primitive import Primitive
from tinytensor.subset import outside
from tinytensor.tensor import Tensor


class Function:
    """An operation with its own derivative. A subclass defines static methods forward(ctx, …) and backward(ctx, dy);
    `apply` calls it. forward computes without recording; backward returns a gradient for each argument of forward.

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
        """Return one result or a tuple of them."""
        raise NotImplementedError("a Function needs a forward")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        """Take one gradient for each result; return one, or None, for each argument of forward."""
        raise NotImplementedError("a Function needs a backward")

    def save_for_backward(self, *tensors: Tensor) -> None:
        """Keep Tensors for backward, where they are ctx.saved_tensors."""
        self.saved_tensors = tensors

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Run forward and record the call."""
        ctx = cls()
        edges = tape.edges_of([x if isinstance(x, Tensor) else None for x in args])
        ctx.needs_input_grad = tuple(edge is not None for edge in edges) if edges else (False,) * len(args)
        with no_grad():
            output = cls.forward(ctx, *args)
        if not is_grad_enabled() or edges is None:
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
        saved = (ctx, *(t.array for t in ctx.saved_tensors))  # the arrays, so that the tape notices writes to them
        if several:
            return tape.outputs(primitive, edges, tuple(y.array for y in output), saved)
        return wrap(output.array, tape.Node(primitive, edges, saved, output.array.shape))


class _AnyTensor(type):
    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Tensor)


class Variable(metaclass=_AnyTensor):
    """The older name of a Tensor: Variable(x) is x without its history."""

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        return data.detach().requires_grad_(requires_grad)


__all__ = [
    "Function", "GradcheckError", "Variable", "backward", "enable_grad", "grad", "gradcheck", "inference_mode", "no_grad",
    "set_grad_enabled",
]  # fmt: skip

__getattr__ = outside("tinytensor.autograd")
