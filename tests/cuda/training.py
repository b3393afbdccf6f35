"""The GPT's training step on the real CuPy, beside NumPy's: python tests/cuda/training.py [--emulated]

The same weights and batches on both, in float32: the losses of STEPS steps, and what the last step asked of the device,
with the table's own pairs and with the fused kernels. The exit status is 1 where losses or parameters (but the keys' bias)
are further apart than LIMITS, and under the emulator where the last step asks for what it must not (`FORBIDDEN`) or for more
than `MOST`, or where it could not do what CuPy wanted.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from unittest import mock

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from gpt.config import RECIPES, TrainConfig
from gpt.model import GPT
from gpt.optimizer import make_optimizer
from tinytensor import dispatch
from tinytensor.nn.utils import clip_grad_norm_

STEPS = 20
LIMITS = {"losses": 1e-6, "parameters": 1e-4}  # of each loss, and of the largest element of each parameter
SMALL = {"vocab_size": 11, "context": 8, "width": 16, "layers": 4, "heads": 2}
CONFIGS = {name: dataclasses.replace(RECIPES[name], **SMALL) for name in ("nanogpt", "default")}
MOST = {"nanogpt": 109, "default": 163}  # launches and products
COUNTED = ("launches", "products", "device to host", "host to device", "synchronizations", "allocations")
FORBIDDEN = ("device to host", "host to device", "synchronizations", "allocations")


def train(where: str, config: TrainConfig) -> tuple[list[float], dict[str, np.ndarray], Counter[str]]:
    """The losses, the parameters after the last step, and what that step, without reading its loss, cost."""
    tt.manual_seed(0)
    model = GPT(config).to(where)
    optimizer = make_optimizer(model, config)
    rng, losses = np.random.default_rng(0), []
    cost: Counter[str] = Counter()
    for _ in range(STEPS):
        ids, targets = (tt.tensor(rng.integers(0, config.vocab_size, (2, config.context))).to(where) for _ in range(2))
        before = asked()
        _, loss = model(ids, targets)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        cost = asked()
        cost.subtract(before)
        losses.append(loss.item())
    parameters = {name: p.detach().cpu().numpy().copy() for name, p in model.named_parameters()}
    for name, p in parameters.items():
        if name.endswith("qkv.bias"):
            p[config.width : 2 * config.width] = 0  # the keys': their gradient is rounding alone, which AdamW magnifies
    return losses, parameters, cost


def asked() -> Counter[str]:
    """All that the device was asked for until now."""
    return Counter({**gpu.count, "products": gpu.products()})


def compare(name: str, config: TrainConfig) -> bool:
    """Train on both and compare; whether they agree."""
    with mock.patch.dict(dispatch.registered, replacement=lambda primitive, *_: primitive):
        _, _, plain = train("cuda", config)
    losses, parameters, cost = train("cuda", config)
    expected, theirs, _ = train("cpu", config)
    apart = max(abs(x - y) / y for x, y in zip(losses, expected, strict=True))
    furthest = max(float(np.abs(parameters[n] - p).max() / np.abs(p).max()) for n, p in theirs.items())
    print(f"{name}: losses {losses[0]:.6f} to {losses[-1]:.6f}, NumPy's {expected[0]:.6f} to {expected[-1]:.6f}")
    print(f"{name}: {STEPS} steps compared: losses {apart:.1e} apart, parameters {furthest:.1e}")
    for kernels, asked_for in (("the table's own pairs", plain), ("fused kernels", cost)) if gpu.EMULATED else ():
        print(f"{name}: a step by {kernels}: {', '.join(f'{asked_for[what]} {what}' for what in COUNTED)}")
    few = cost["launches"] + cost["products"] <= MOST[name] and not any(cost[what] for what in FORBIDDEN)
    return few and apart <= LIMITS["losses"] and furthest <= LIMITS["parameters"]


def main() -> int:
    """Compare every configuration; 0 if all agree and nothing was left undone."""
    agree = [compare(name, config) for name, config in CONFIGS.items()]
    troubles = gpu.troubles()
    print("".join(f"emulator: {what}: {n}\n" for what, n in troubles.items()), end="")
    return int(not all(agree) or bool(troubles))


if __name__ == "__main__":
    gpu.finish(main())
