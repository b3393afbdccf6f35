"""The GPT's training step on the real CuPy, beside NumPy's: python tests/emulated/training.py

The same weights and batches on both, in float32: the losses of STEPS steps, and what the last step asked of the device. The
exit status is 1 where losses or parameters (but the keys' bias) are further apart than LIMITS, the last step allocates
device memory, or the emulator could not do what CuPy wanted of it.
"""

from __future__ import annotations

from collections import Counter

import emulator  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from gpt.config import GPTConfig, TrainConfig
from gpt.model import GPT
from gpt.optimizer import make_optimizer
from tinytensor.nn.utils import clip_grad_norm_

STEPS = 20
LIMITS = {"losses": 1e-6, "parameters": 1e-4}  # of each loss, and of the largest element of each parameter
MODEL = GPTConfig(vocab_size=11, context=8, width=16, layers=4, heads=2)
COUNTED = ("launches", "products", "device to host", "host to device", "synchronizations", "allocations")


def train(where: str) -> tuple[list[float], dict[str, np.ndarray], Counter[str]]:
    """The losses, the parameters after the last step, and what that step, without reading its loss, cost."""
    tt.manual_seed(0)
    model = GPT(MODEL).to(where)
    optimizer = make_optimizer(model, TrainConfig())
    rng, losses = np.random.default_rng(0), []
    cost: Counter[str] = Counter()
    for _ in range(STEPS):
        ids, targets = (tt.tensor(rng.integers(0, MODEL.vocab_size, (2, MODEL.context))).to(where) for _ in range(2))
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
            p[MODEL.width : 2 * MODEL.width] = 0  # the keys': their gradient is rounding alone, which AdamW magnifies
    return losses, parameters, cost


def asked() -> Counter[str]:
    """All that the device was asked for until now."""
    return Counter({**emulator.count, "products": emulator.products()})


def main() -> int:
    """Train on both and compare; 0 if they agree."""
    losses, parameters, cost = train("cuda")
    expected, theirs, _ = train("cpu")
    print("step      CuPy     NumPy")
    for step, (x, y) in enumerate(zip(losses, expected, strict=True), 1):
        print(f"{step:>4}  {x:.6f}  {y:.6f}")
    apart = max(abs(x - y) / y for x, y in zip(losses, expected, strict=True))
    furthest = max(float(np.abs(parameters[n] - p).max() / np.abs(p).max()) for n, p in theirs.items())
    print(f"{STEPS} steps compared: losses {apart:.1e} apart, parameters {furthest:.1e}")
    print(f"a step of {MODEL.layers} layers: {', '.join(f'{cost[what]} {what}' for what in COUNTED)}")
    troubles = emulator.troubles()
    print("".join(f"emulator: {what}: {n}\n" for what, n in troubles.items()), end="")
    agree = apart <= LIMITS["losses"] and furthest <= LIMITS["parameters"]
    return int(not agree or cost["allocations"] > 0 or bool(troubles))


if __name__ == "__main__":
    emulator.finish(main())
