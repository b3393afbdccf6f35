"""linear: the example of a function that only checks its arguments and calls `apply`.

The other functions of this package follow the same pattern: the public function takes Tensors and raises PyTorch's
errors; `apply` runs the forward of the primitive on the arrays and records it for backward. The mathematics, forward
and backward, is in the file of `tinytensor.ops` with the same name.

    >>> import tinytensor as torch
    >>> x, weight = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    >>> linear(x, weight)  # 1·3 + 2·4, 1·5 + 2·6, 1·7 + 2·8
    tensor([[11., 17., 23.]])
"""

from __future__ import annotations

from tinytensor.nn.functional.checks import no_bools, same_dtype
from tinytensor.ops.linear import LINEAR
from tinytensor.tape import apply
from tinytensor.tensor import Tensor


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x Wᵀ + b: x (…, I), weight W (O, I), bias b (O,) → y (…, O). RuntimeError if sizes or dtypes differ."""
    # check …
    same_dtype("linear", input, weight, bias)  # PyTorch refuses mixed dtypes; NumPy would promote them silently
    no_bools("linear", input)  # matrices of bools have no product there
    # … and call: the arrays of the Tensors go to linear_forward, the result is a Tensor with a node
    return apply(LINEAR, input, weight, bias)  # linear_forward checks the sizes; LINEAR.fits is for the error
