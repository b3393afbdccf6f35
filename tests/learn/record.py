"""Write gpt/learn/recorded.json, PyTorch's numbers for the exercises: python tests/learn/record.py

Inputs are drawn from a fixed seed and rounded to two decimals, so that the file is short; results have all digits.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import torch
import torch.nn.functional as F
from gpt.learn import EXERCISES
from gpt.learn.derivatives import adamw
from gpt.learn.graphs import GRAPHS
from gpt.learn.pair import Given, Pair
from gpt.learn.recorded import FILE, packed

SEED = 7
Tensors = dict[str, torch.Tensor]
OMITTED = {"chain", "ladder"}  # PyTorch's numbers say nothing more about them


def rotary(x: torch.Tensor) -> torch.Tensor:
    T, D = x.shape[-2:]
    angle = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    turned = torch.view_as_complex(x.reshape(*x.shape[:-1], D // 2, 2)) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).flatten(-2)


def cross_entropy(x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(x, target, ignore_index=-1)


FUNCTIONS: dict[str, Callable[..., torch.Tensor]] = {
    "mul": lambda a, b: a * b,
    "unbroadcast": lambda x, shape: x.expand(shape),
    "matmul": lambda a, b: a @ b,
    "relu": lambda x: F.relu(x),
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "dropout": lambda x, keep, p: x * keep / (1 - p),
    "embedding": lambda w, ids: F.embedding(ids, w),
    "linear": lambda x, w, b: F.linear(x, w, b),
    "softmax": lambda x: F.softmax(x, -1),
    "cross_entropy": cross_entropy,
    "layer_norm": lambda x, w, b: F.layer_norm(x, w.shape, w, b),
    "rms_norm": lambda x, w: F.rms_norm(x, w.shape, w, 1e-5),
    "rotary": rotary,
    "attention": lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, is_causal=True, scale=1 / math.sqrt(q.shape[-1])
    ),
}


def rounded(given: Iterator[Given]) -> Iterator[Given]:
    for inputs, static in given:
        yield {name: np.asarray(x.round(2) + 0.0) for name, x in inputs.items()}, static


def tensors(arrays: dict[str, Any]) -> Tensors:
    return {name: torch.tensor(x) if isinstance(x, np.ndarray) else x for name, x in arrays.items()}


def gradients(function: Callable[..., torch.Tensor], inputs: Any, static: Any, dy: Any) -> tuple[Any, Any]:
    """A dy for the result, unless there is one, and the gradients of the inputs."""
    xs = {name: x.requires_grad_() for name, x in tensors(inputs).items()}
    y = function(**xs, **tensors(static))
    dy = np.asarray(dy(tuple(y.shape)))
    y.backward(torch.tensor(dy))
    return dy, {name: x.grad.numpy() for name, x in xs.items() if x.grad is not None}


def pair(exercise: Pair) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    for inputs, static in [*rounded(exercise.draw(rng)), *exercise.edges()]:
        function = FUNCTIONS[exercise.name]
        dy, found = gradients(function, inputs, static, lambda shape: rng.standard_normal(shape).round(2) + 0.0)
        yield {"inputs": inputs, "static": static, "result": {"dy": dy},
               "gradients": {f"d{name}": x for name, x in found.items()}}  # fmt: skip


def update() -> Iterator[dict[str, Any]]:
    """A step of torch.optim.AdamW whose state is given."""
    for inputs, static in rounded(adamw.draw(np.random.default_rng(SEED))):
        p, g, m, v = tensors(inputs).values()
        optimizer = torch.optim.AdamW([p.requires_grad_()], lr=static["lr"], betas=(static["beta1"], static["beta2"]),
                                      eps=static["eps"], weight_decay=static["weight_decay"])  # fmt: skip
        optimizer.state[p] = {"step": torch.tensor(float(static["t"] - 1)), "exp_avg": m, "exp_avg_sq": v}
        p.grad = g
        optimizer.step()
        yield {"inputs": inputs, "static": static, "result": {},
               "gradients": {"p": p.detach().numpy(), "m": m.numpy(), "v": v.numpy()}}  # fmt: skip


class Torch:
    """The operations of graphs on torch's Tensors."""

    add, mul, tanh = staticmethod(torch.add), staticmethod(torch.mul), staticmethod(torch.tanh)


def tape() -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(SEED)
    for name, (_, build) in GRAPHS.items():
        if name not in OMITTED:
            inputs = {key: rng.uniform(0.4, 0.9, 2).round(2) for key in ("x", "y")}
            function = functools.partial(build, Torch())
            dy, found = gradients(function, inputs, {}, lambda shape: rng.standard_normal(shape).round(2))
            yield {"inputs": inputs, "static": {"graph": name}, "result": {"dy": dy},
                   "gradients": {f"{key}.grad": x for key, x in found.items()}}  # fmt: skip


def recorded() -> dict[str, Any]:
    """What the file holds, packed for JSON."""
    rows = {each.name: list(pair(each)) for each in EXERCISES if isinstance(each, Pair)}
    rows.update(adamw=list(update()), tape=list(tape()))
    return {
        name: [{key: {k: packed(v) for k, v in part.items()} for key, part in row.items()} for row in found]
        for name, found in rows.items()
    }


def text() -> str:
    """The file: a line for each call."""
    blocks = [
        f' "{name}": [\n' + ",\n".join(f"  {json.dumps(row)}" for row in rows) + "\n ]"
        for name, rows in recorded().items()
    ]
    return "{\n" + ",\n".join(blocks) + "\n}\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
