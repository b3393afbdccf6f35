"""Is a derivative right? Compare it with central differences, element by element, in float64.

    J[i, j] = (fᵢ(x + ε eⱼ) − fᵢ(x − ε eⱼ)) / 2ε,        error about ε² f‴/6 + rounding/ε

Source: Press et al., "Numerical Recipes", 3rd edition, section 5.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytensor import tape
from tinytensor.tensor import Tensor, wrap


class GradcheckError(RuntimeError):
    """A derivative that is wrong: which output, which input, where, and by how much."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the Jacobian of func by backward equals that by central differences: |a − n| ≤ atol + rtol·|n|.

    inputs: Tensors in float64, those that require grad are checked. Raises GradcheckError with the place and the
    size of the worst error (or returns False with raise_exception=False); ValueError if there is nothing to check.

    >>> import tinytensor as tt
    >>> x = tt.rand(2, 3, dtype=tt.float64, requires_grad=True)
    >>> gradcheck(lambda x: x.exp().sum(0), x)
    True
    """
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = [x for x in args if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck expects at least one input that requires grad")
    if any(x.array.dtype != np.float64 for x in checked):
        raise ValueError("gradcheck needs float64 inputs: differences of float32 values lose too many digits")
    outputs = _listed(func(*args))
    for i in range(len(outputs)):
        for j, x in enumerate(checked):

            def output(i: int = i) -> Tensor:
                return _listed(func(*args))[i]

            numeric, exact = numeric_jacobian(output, x, eps), _jacobian(output, x)
            problem = _worst(exact, numeric, atol, rtol, f"output {i}, input {j} of shape {tuple(x.shape)}")
            if problem and raise_exception:
                raise GradcheckError(problem)
            if problem:
                return False
    return True


def numeric_jacobian(func: Callable[[], Tensor], x: Tensor, eps: float) -> np.ndarray[Any, Any]:
    """d func() / d x by central differences, (outputs, inputs); x is moved in place and put back."""
    columns = []
    with tape.no_grad():
        for j in np.ndindex(x.array.shape):
            old = x.array[j]
            try:
                x.array[j] = old + eps
                high = func().array.astype(np.float64).reshape(-1)
                x.array[j] = old - eps
                low = func().array.astype(np.float64).reshape(-1)
            finally:
                x.array[j] = old
            columns.append((high - low) / (2 * eps))
        return np.stack(columns, 1) if columns else np.zeros((func().array.size, 0))


def _jacobian(func: Callable[[], Tensor], x: Tensor) -> np.ndarray[Any, Any]:
    """d func() / d x by backward, one row per output element."""
    from tinytensor.autograd import grad

    y = func()
    rows = []
    for i in range(y.array.size):
        seed = np.zeros_like(y.array)
        seed.flat[i] = 1
        (g,) = grad(y, x, wrap(seed), retain_graph=True, allow_unused=True) if y.requires_grad else (None,)
        rows.append(np.zeros(x.array.size) if g is None else g.array.reshape(-1))
    return np.stack(rows) if rows else np.zeros((0, x.array.size))


def _worst(exact: Any, numeric: Any, atol: float, rtol: float, place: str) -> str:
    error = np.abs(exact - numeric)
    excess = error - (atol + rtol * np.abs(numeric))
    if error.size == 0 or (excess <= 0).all():
        return ""
    i, j = np.unravel_index(np.nanargmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
    wrong = int((~(excess <= 0)).sum())
    return (
        f"gradcheck: {place}: {wrong} of {error.size} derivatives are wrong; the worst is d output[{i}] / d input[{j}]"
        f" (flattened): backward says {exact[i, j]:.9g}, differences say {numeric[i, j]:.9g}"
    )


def _listed(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [y for y in x if y.array.dtype.kind == "f"]
