"""Is a derivative right? Compare it with central differences, element by element, in float64.

    J[i, j] = (fᵢ(x + ε eⱼ) − fᵢ(x − ε eⱼ)) / 2ε,        error about ε² f‴/6 + rounding/ε

`gradcheck` checks any function of Tensors. `python -m tinytensor.gradcheck` checks every row of the table of primitives
and prints the largest errors (table.py has the checks, samples.py the inputs).
Source: Press et al., "Numerical Recipes", 3rd edition, section 5.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytensor.base import wrap
from tinytensor.functions.backward import grad
from tinytensor.modes import no_grad
from tinytensor.tensor import Tensor


class GradcheckError(RuntimeError):
    """A wrong derivative: the output, the input, the place and the error."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    raise_exception: bool = True,
) -> bool:
    """Whether the Jacobian of func by backward equals that by central differences: |a − n| ≤ atol + rtol·|n|.

    inputs: Tensors in float64; those that require grad are checked. GradcheckError names the place and the size of the
    largest error (raise_exception=False: returns False); ValueError if there is nothing to check.
    atol and rtol are stricter than PyTorch's 1e-5 and 1e-3, at which a derivative that is 1.001 times too large passes.

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
    try:
        for i in range(len(_listed(func(*args)))):
            for j, x in enumerate(checked):

                def output(i: int = i) -> Tensor:
                    return _listed(func(*args))[i]

                place = f"output {i}, input {j} of shape {tuple(x.shape)}"
                exact, numeric = _jacobian(output, x, place), numeric_jacobian(output, x, eps)
                _compare(exact, numeric, atol + rtol * np.abs(numeric), x.ndim, place)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def numeric_jacobian(func: Callable[[], Tensor], x: Tensor, eps: float) -> np.ndarray[Any, Any]:
    """d func() / d x by central differences, (*output, *input); x changes in place and is restored."""
    with no_grad():
        columns = [np.empty((*func().array.shape, 0))]
        for j in np.ndindex(x.array.shape):
            old = x.array[j]
            try:
                x.array[j] = old + eps
                high = func().array.astype(np.float64)
                x.array[j] = old - eps
                low = func().array.astype(np.float64)
            finally:
                x.array[j] = old
            columns.append(((high - low) / (2 * eps))[..., None])
    joined: np.ndarray[Any, Any] = np.concatenate(columns, -1)
    return joined.reshape((*joined.shape[:-1], *x.array.shape))


def _jacobian(func: Callable[[], Tensor], x: Tensor, place: str) -> np.ndarray[Any, Any]:
    """d func() / d x by backward, (*output, *input): one backward for each element of the output."""
    y = func()
    exact = np.zeros((*y.array.shape, *x.array.shape))
    for i in np.ndindex(y.array.shape) if y.requires_grad else ():
        seed = np.zeros_like(y.array)
        seed[i] = 1
        try:
            (g,) = grad(y, x, wrap(seed), retain_graph=True, allow_unused=True)
        except RuntimeError as error:  # a gradient of another shape, say
            raise GradcheckError(f"gradcheck: {place}: {error}") from error
        if g is not None:
            exact[i] = g.array
    return exact


def _compare(exact: Any, numeric: Any, tolerance: Any, input_ndim: int, place: str) -> None:
    excess = np.abs(exact - numeric) - tolerance
    wrong = int((~(excess <= 0)).sum())  # nan is wrong
    if wrong:
        at = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
        n = excess.ndim - input_ndim
        i, j = (", ".join(map(str, map(int, part))) for part in (at[:n], at[n:]))
        raise GradcheckError(
            f"gradcheck: {place}: {wrong} of {excess.size} derivatives are wrong; the worst is d output[{i}] / d input[{j}]:"
            f" backward says {exact[at]:.9g}, differences say {numeric[at]:.9g}"
        )


def _listed(x: Any) -> list[Tensor]:
    return [x] if isinstance(x, Tensor) else [y for y in x if y.array.dtype.kind == "f"]
