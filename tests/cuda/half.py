"""Training in float16 on the real CuPy, beside float32: python tests/cuda/half.py [--emulated]

The GPT by gpt.fast from the same weights on the same batches in both precisions, then with a loss scale that is too large, then
recorded as a CUDA graph, then stopped and resumed; and amp.GradScaler beside the host's over steps that overflow. The exit
status is 1 where losses or masters are further apart than LIMITS, an overflow changes a weight or is not recovered from, the bits
of a graph or of the resumed differ, the scalers do, and under the emulator where a step copies back, waits or allocates, or where
it could not do what CuPy wanted.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from gpt import data
from gpt.config import RECIPES, TrainConfig
from gpt.fast.gpu import GPUUpdate, fast_update
from gpt.fast.shards import Shards
from gpt.model import GPT
from gpt.optimizer import Outcome, learning_rate, make_optimizer
from gpt.run import checkpoint
from gpt.train import shard_gradient
from tinytensor import nn, optim
from tinytensor.amp import GradScaler

STEPS, FEW = 20, 12
# Of each loss, and of the largest element of each master. A float16 rounds to 5e-4 of itself at most, and AdamW divides what
# it is given by its size, so that 20 steps of rounded gradients leave the masters further apart than one rounding.
LIMITS = {"losses": 5e-4, "masters": 1e-2}
SMALL = {
    "vocab_size": 11,
    "context": 8,
    "width": 16,
    "layers": 4,
    "heads": 2,
    "batch_size": 2,
    "device": "cuda",
    "threads": 1,
}
CONFIGS = {name: dataclasses.replace(RECIPES[name], **SMALL) for name in ("nanogpt", "default")}
FORBIDDEN = ("device to host", "synchronizations", "allocations")


class Training:
    """A model in that configuration, step by step."""

    def __init__(self, config: TrainConfig, scale: float = 2.0**16) -> None:
        tt.manual_seed(0)
        self.config = config
        self.model = GPT(config).to(device=config.device, dtype=getattr(tt, config.dtype))
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = GradScaler("cpu", scale) if config.dtype == "float16" else None
        self.ids = np.random.default_rng(0).integers(0, config.vocab_size, 500)
        self.cost: Counter[str] = Counter()

    def steps(self, first: int, last: int) -> list[Outcome]:
        """Make the steps first … last − 1; what the last one asked of the device, the copy of its numbers left out, is `cost`."""
        told = []
        with Shards(self.model, self.config, shard_gradient, self.optimizer) as shards:
            update = fast_update(shards, self.optimizer, self.scaler)
            assert isinstance(update, GPUUpdate)
            launch, update.launch = update.launch, lambda step: self.counted(launch, step)
            for step in range(first, last):
                batches = [
                    data.batch(self.ids, self.config, step, micro) for micro in range(self.config.grad_accumulation)
                ]
                told.append(update(batches, step, learning_rate(step, self.config)))
        return told

    def counted(self, launch: Any, step: int | None) -> Any:
        before = asked()
        numbers = launch(step)
        self.cost = asked()
        self.cost.subtract(before)
        return numbers

    def weights(self) -> dict[str, np.ndarray]:
        """The masters, or the parameters where they need none."""
        states = self.optimizer.state
        masters = {n: states[p].get("master", p) if p in states else p for n, p in self.model.named_parameters()}
        return {name: p.detach().cpu().numpy().astype(np.float64) for name, p in masters.items()}


def asked() -> Counter[str]:
    """All that the device was asked for until now."""
    return Counter({**gpu.count, "products": gpu.products()})


def half(config: TrainConfig, **changes: Any) -> TrainConfig:
    return dataclasses.replace(config, dtype="float16", **changes)


def beside_float32(name: str, config: TrainConfig) -> list[str]:
    """The same steps in both precisions."""
    wide, narrow = Training(config), Training(half(config), 2.0**10)  # at which nothing is skipped
    losses, others = ([told.loss for told in training.steps(0, STEPS)] for training in (wide, narrow))
    apart = max(abs(x - y) / x for x, y in zip(losses, others, strict=True))
    expected, masters = wide.weights(), narrow.weights()
    for each in (expected, masters):
        for key in each:
            if key.endswith("qkv.bias"):
                each[key][config.width : 2 * config.width] = 0  # the keys': their gradient is rounding alone
    furthest = max(float(np.abs(masters[n] - p).max() / np.abs(p).max()) for n, p in expected.items())
    print(f"{name}: {STEPS} steps, loss {losses[0]:.4f} to {losses[-1]:.4f} in float32, to {others[-1]:.4f} in float16")
    print(f"{name}: losses {apart:.1e} apart, masters {furthest:.1e}; a step in float16: {in_words(narrow.cost)}, "
          f"in float32: {in_words(wide.cost)}")  # fmt: skip
    problems = [f"{name}: losses {apart:.1e} apart"] if not 0 < apart <= LIMITS["losses"] else []
    problems += [f"{name}: masters {furthest:.1e} apart"] if not 0 < furthest <= LIMITS["masters"] else []
    kinds = {p.dtype for p in narrow.model.parameters()} | {p.grad.dtype for p in narrow.model.parameters()}
    problems += [f"{name}: weights and gradients are {kinds}"] if kinds != {tt.float16} else []
    return problems + [f"{name}: a step asks for {narrow.cost[what]} {what}" for what in FORBIDDEN if narrow.cost[what]]


def in_words(cost: Counter[str]) -> str:
    return f"{cost['launches']} launches and {cost['products']} products"


def an_overflow() -> list[str]:
    """A loss scale at which the gradient of float16 is infinite: steps are skipped until it is small enough."""
    training = Training(half(CONFIGS["nanogpt"]), 2.0**30)
    before, told = training.weights(), []
    while not told or not math.isfinite(told[-1].norm):
        unchanged = training.weights()
        told += training.steps(len(told), len(told) + 1)
        if len(told) > 30:
            return ["an overflow: no end of it"]
        if not math.isfinite(told[-1].norm) and any(not np.array_equal(before[n], p) for n, p in unchanged.items()):
            return ["an overflow changed a weight"]
    skipped = len(told) - 1
    told += training.steps(len(told), len(told) + STEPS)
    scales = [each.scale for each in told]
    changed = any(not np.array_equal(before[n], p) for n, p in training.weights().items())
    counts = {state["step"].item() for state in training.optimizer.state.values()}
    print(f"an overflow: {skipped} steps skipped, the scale fell from {scales[0]:g} to {scales[-1]:g}; "
          f"then the loss from {told[skipped].loss:.4f} to {told[-1].loss:.4f}")  # fmt: skip
    halved = scales == [max(scales[0] / 2**i, scales[-1]) for i in range(len(scales))]
    right = (
        skipped > 0 and halved and changed and told[-1].loss < told[skipped].loss and counts == {len(told) - skipped}
    )
    return [] if right else [f"an overflow: {skipped} skipped, scales {scales}, steps {counts}"]


def recorded() -> list[str]:
    """With --cuda-graph: the same bits, those of a scale that falls included."""
    results = []
    for graph in (False, True):
        training = Training(half(CONFIGS["default"], cuda_graph=graph), 2.0**26)
        told = training.steps(0, FEW)
        results.append([np.array(told), *training.weights().values()])
    differ = [np.array_equal(x, y, equal_nan=True) for x, y in zip(*results, strict=True)].count(False)
    print(f"recorded as a CUDA graph: {differ} results differ; scale {told[0].scale:g} to {told[-1].scale:g}")
    return [] if not differ and told[0].scale > told[-1].scale else ["a graph in float16 gives other bits"]


def resumed() -> list[str]:
    """Stopped half way, saved, and gone on with: the same bits. The scale falls before and grows after."""
    config = half(CONFIGS["default"])
    whole, first, then = (Training(config, 2.0**20) for _ in range(3))
    for training in (whole, first):
        training.scaler.set_growth_interval(FEW // 2)
    told = whole.steps(0, FEW)
    first.steps(0, FEW // 2)
    weights = checkpoint.weight_arrays(first.model)
    then.model.load_state_dict({name: tt.from_numpy(array) for name, array in weights.items()})
    checkpoint.restore_optimizer(then.model, then.optimizer, checkpoint.optimizer_arrays(first.model, first.optimizer))
    then.scaler.load_state_dict(first.scaler.state_dict())
    rest = then.steps(FEW // 2, FEW)
    differ = [
        np.array_equal(x, y) for x, y in zip(whole.weights().values(), then.weights().values(), strict=True)
    ].count(False)
    grown = max(after.scale / before.scale for before, after in itertools.pairwise(rest))
    print(
        f"stopped and resumed: {differ} masters differ; the scale fell to {min(t.scale for t in told):g} and grew by {grown:g}"
    )
    return [] if not differ and rest == told[FEW // 2 :] and grown == 2 else ["resumed, float16 gives other bits"]


def scalers() -> list[str]:
    """amp.GradScaler on the device beside the host's: fused and not, unscaled first or not."""
    problems = []
    for kind, settings in (("AdamW", {"fused": True}), ("AdamW", {}), ("SGD", {})):
        for unscale in (False, True):
            host, device = (scaled(where, kind, settings, unscale) for where in ("cpu", "cuda"))
            apart = float(np.max([np.abs(x - y).max() for x, y in zip(host[:2], device[:2], strict=True)]))
            label = f"GradScaler, {kind} {settings or ''}{', unscaled first' if unscale else ''}"
            print(
                f"{label}: {apart:.1e} apart after {len(SLOPES)} steps, scale {device[1][-1]:g}; {device[2]} copies back a step"
            )
            read = int(not settings)  # another optimizer than a fused one is asked whether to step
            problems += [label] if not apart <= 1e-6 or (gpu.EMULATED and device[2] != read) else []
    return problems


SLOPES = (1.0, math.inf, -2.0, 3.0, 0.5, math.nan, 1.0, 1.0, 1.0, 1.0)


def scaled(where: str, kind: str, settings: dict[str, Any], unscale: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """The parameter and the scale after each step, and what the last one read back."""
    p = nn.Parameter(tt.tensor([1.0, -2.0, 0.5]).to(where))
    optimizer = getattr(optim, kind)([p], lr=0.1, **settings)
    scaler = GradScaler("cpu", 2**10, growth_factor=2, growth_interval=3)  # ints will do
    values, scales, copies = [], [], 0
    for slope in SLOPES:
        optimizer.zero_grad()
        with np.errstate(all="ignore"):
            scaler.scale((p * p).sum() * slope).backward()
            before = gpu.count["device to host"]
            if unscale:
                scaler.unscale_(optimizer)
            scaler.step(optimizer)
        scaler.update()
        copies = gpu.count["device to host"] - before
        values.append(p.detach().cpu().numpy().copy())
        scales.append(scaler.get_scale())
    return np.array(values), np.array(scales), copies


def memory() -> list[str]:
    """What training holds and needs in both precisions, of a model whose activations are the most of it."""
    config = dataclasses.replace(CONFIGS["default"], layers=2, width=32, context=64, batch_size=4)
    used = {}
    for dtype in ("float32", "float16"):
        tt.cuda.empty_cache()
        before = tt.cuda.memory_allocated()
        tt.cuda.reset_peak_memory_stats()
        training = Training(dataclasses.replace(config, dtype=dtype))
        training.steps(0, 2)
        used[dtype] = tt.cuda.max_memory_allocated() - before
        del training
    ratio = used["float16"] / used["float32"]
    print(f"memory at its peak: {used['float32']:,} bytes in float32, {used['float16']:,} in float16: {ratio:.2f}")
    return [f"float16 needs {ratio:.2f} of float32's memory"] if ratio > 0.75 else []


def main() -> int:
    """All of it; 0 if nothing is wrong and nothing was left undone."""
    wrong = [problem for name, config in CONFIGS.items() for problem in beside_float32(name, config)]
    wrong += [problem for check in (an_overflow, recorded, resumed, scalers, memory) for problem in check()]
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    print("\n".join(["", *wrong, f"{len(wrong)} problems"]))
    return int(bool(wrong))


if __name__ == "__main__":
    gpu.finish(main())
