"""`backward` and `grad`: they check their arguments and play the tape backwards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import tape
from tinytensor.base import TensorBase, wrap
from tinytensor.modes import thread

if TYPE_CHECKING:
    from tinytensor.tensor import Tensor


def backward(
    tensors: Sequence[Tensor] | Tensor,
    grad_tensors: Sequence[Tensor | None] | Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> None:
    """Accumulate the gradient of Σ tensors·grad_tensors in the .grad of every leaf that they were computed from."""
    run_backward(listed(tensors), listed(grad_tensors), retain_graph, create_graph)


def grad(
    outputs: Sequence[Tensor] | Tensor,
    inputs: Sequence[Tensor] | Tensor,
    grad_outputs: Sequence[Tensor | None] | Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of Σ outputs·grad_outputs with respect to inputs, leaves or results; no leaf's .grad changes.

    If the outputs do not depend on an input: RuntimeError, or None with allow_unused.

    >>> import tinytensor as tt
    >>> x = tt.tensor(3.0, requires_grad=True)
    >>> grad(x**2, x)
    (tensor(6.),)
    """
    wanted = listed(inputs)
    for x in wanted:
        if not x.requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    edges = [x.grad_fn or x for x in wanted]
    found = run_backward(listed(outputs), listed(grad_outputs), retain_graph, create_graph, frozenset(edges))
    if not allow_unused and any(edge not in found for edge in edges):
        raise RuntimeError(
            "One of the differentiated Tensors appears to not have been used in the graph."
            " Set allow_unused=True if this is the desired behavior."
        )
    return tuple(wrap(found[edge]) if edge in found else None for edge in edges)


def listed(x: Any) -> list[Any]:
    """One Tensor, several, or None, as a list."""
    return [] if x is None else [x] if isinstance(x, TensorBase) else list(x)


def run_backward(
    outputs: Sequence[Tensor],
    seeds: Sequence[Tensor | None],
    retain_graph: bool | None,
    create_graph: bool,
    targets: frozenset[tape.Edge] | None = None,
) -> dict[tape.Edge, Any]:
    """Check the arguments and play the tape backwards. seeds: gradients of the outputs (None: 1). PyTorch's name."""
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
        roots.append((y.grad_fn or y, seed.array.astype(y.array.dtype, copy=False)))
    if thread.mode.watch is not None:
        thread.mode.watch.look_at([edge for edge, _ in roots])
    with np.errstate(all="ignore"):  # an infinite gradient is a result, not a warning
        return tape.backward(roots, retain_graph=bool(retain_graph), targets=targets)
