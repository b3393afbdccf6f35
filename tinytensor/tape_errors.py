"""The errors of the tape: what was wrong, with the shapes, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence

from tinytensor.backend import Array
from tinytensor.primitive import Primitive


def inside_a_kernel(primitive: Primitive) -> RuntimeError:
    """For a kernel that calls a function of Tensors."""
    return RuntimeError(f"{primitive.name} was called inside a kernel: kernels work on arrays, not on Tensors")


def shapes_do_not_fit(primitive: Primitive, arrays: Sequence[Array | None], error: ValueError) -> RuntimeError:
    """For inputs of a forward; `error` is what NumPy says."""
    shapes = " and ".join(str(tuple(x.shape)) for x in arrays if x is not None)
    hint = f"; what fits: {primitive.fits}" if primitive.fits else ""
    return RuntimeError(f"{primitive.name}: shapes {shapes} do not fit{hint} ({error})")


def a_second_time(primitive: Primitive) -> RuntimeError:
    """For a backward through a node that was played before."""
    return RuntimeError(
        f"backward through {primitive.name} a second time:"
        " the arrays that it saved were dropped when backward ran;"
        " call backward(retain_graph=True) the first time, or run the forward again"
    )


def wrong_number(primitive: Primitive, gradients: int, inputs: int) -> ValueError:
    """For a backward that returns a gradient too many or too few."""
    return ValueError(f"the backward of {primitive.name} returned {gradients} gradients for {inputs} inputs")


def wrong_shape(primitive: Primitive, gradient: tuple[int, ...], value: tuple[int, ...]) -> RuntimeError:
    """For a backward that returns a gradient of another shape than that of the value."""
    return RuntimeError(
        f"the backward of {primitive.name} returned a gradient of shape {gradient} for an input of shape {value}:"
        " where the forward broadcasts, the backward has to sum"
    )
