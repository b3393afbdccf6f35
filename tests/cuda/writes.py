"""In-place writes, views, detached Tensors and held gradients on the real CuPy: python tests/cuda/writes.py [--emulated]

Prints a line for each program; the exit status is 1 where values or gradients are not those of the host.
"""

from __future__ import annotations

import copy
from typing import Any

import gpu  # first: before cupy is imported

import tinytensor as tt
from tinytensor.nn.flat import Flat

PROGRAMS = [
    "y.view(-1)[t.tensor([1, 5]).to(y.device)] = x[1, :2] * 3; z = y",
    "v = y.t()[1:]; y[0] *= x[1]; z = v.sum(0) + y[0, :2]",
    "h = x.detach() * 0; v = h.view(6); h[0] = x[0] * 2; z = h.sum() + v.sum()",
    "h = x.detach() * 0; d = h.detach()[1:]; h[1] = x[0] * 2; z = h.sum() + d.sum()",
]


def run(device: str, program: str) -> Any:
    x = tt.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], device=device, requires_grad=True)
    names = {"t": tt, "x": x, "y": x * 2}
    exec(program, names)
    names["z"].sum().backward()
    return names["z"].tolist(), x.grad.tolist()


def dates(device: str) -> Any:
    """A write to an alias of an alias is one to the memory."""
    x = tt.ones(2, device=device)
    w = tt.ones(2, device=device).requires_grad_()
    y = (x * w).sum()
    x.detach().detach()[:1].fill_(2)
    try:
        y.backward()
    except RuntimeError as error:
        return "inplace" in str(error)
    return False


def held(device: str) -> Any:
    p = tt.nn.Parameter(tt.ones(2, 3, device=device))
    flat = Flat([p])
    (p * 2).sum().backward()
    view, p.grad = p.grad[0], None
    (p * 5).sum().backward()
    found, own = view.tolist(), flat.complete()
    del view
    p.grad = None
    (p * 3).sum().backward()
    return found, own, flat.complete()


def copied(device: str) -> Any:
    x = tt.ones(2, 3, device=device)
    a, b = copy.deepcopy([x, x[1]])
    b.fill_(4)
    return a.tolist(), x.tolist()


def main() -> int:
    tasks: list[Any] = [(p, lambda d, p=p: run(d, p)) for p in PROGRAMS]
    tasks += [(f.__name__, f) for f in (dates, held, copied)]
    wrong = 0
    for name, task in tasks:
        same = task("cuda") == task("cpu")
        wrong += not same
        print("same " if same else "WRONG", name, flush=True)
    return min(wrong, 1)


if __name__ == "__main__":
    gpu.finish(main())
