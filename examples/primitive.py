"""A primitive of one's own: softsign, checked against calculus, and what a wrong derivative looks like.

python examples/primitive.py
python -m tinytensor.gradcheck --samples examples/primitive.py    # the same checks as the engine's own primitives

y = x / (1 + |x|),     dy/dx = 1 / (1 + |x|)²
"""

import numpy as np

import tinytensor as torch
from tinytensor.autograd import GradcheckError, gradcheck
from tinytensor.gradcheck.sample import unary
from tinytensor.gradcheck.samples import add
from tinytensor.primitive import primitive
from tinytensor.tape import apply


def softsign_forward(x):
    """Return y, and what the backward needs."""
    size = 1 + np.abs(x)
    return x / size, (size,)


def softsign_backward(dy, size):
    """Return the gradient of each input, as a tuple."""
    return (dy / (size * size),)


SOFTSIGN = primitive("softsign", softsign_forward, softsign_backward, formula="y = x / (1 + |x|)")

# For the table of checks: calls with several shapes, and the same function in PyTorch.
add("softsign", unary(lambda x: x / (1 + x.abs())))


def softsign(x: torch.Tensor) -> torch.Tensor:
    """The function that users call."""
    return apply(SOFTSIGN, x)


def main() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    y = softsign(x)
    y.sum().backward()
    print(f"{SOFTSIGN.name}: {SOFTSIGN.formula}")
    print("y     ", y.detach())
    print("dy/dx ", x.grad)
    print("gradcheck agrees with central differences:", gradcheck(softsign, (x,)))

    wrong = primitive("softsign_wrong", softsign_forward, lambda dy, size: (dy / size,), formula="a square is missing")
    try:
        gradcheck(lambda x: apply(wrong, x), (x,))
    except GradcheckError as error:
        print("and it finds the mistake in another one:", error)


if __name__ == "__main__":
    main()
