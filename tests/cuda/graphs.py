"""CUDA graphs on the real CuPy: python tests/cuda/graphs.py [--emulated]

Training as gpt.train does it, recorded and not: STEPS steps have to agree bit for bit, losses, norms, weights and AdamW's
moments. Then what one replay asks of the device, that nobody else is given a graph's memory, and that what cannot be recorded
is refused with the line that asked for it. The exit status is 1 where one of these fails.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np

import tinytensor as tt
from gpt import data
from gpt.config import RECIPES, TrainConfig
from gpt.fast.gpu import GPUUpdate, GraphedUpdate, fast_update
from gpt.fast.half import make_scaler
from gpt.fast.shards import Shards
from gpt.model import GPT
from gpt.optimizer import learning_rate, make_optimizer
from gpt.train import shard_gradient
from tinytensor import cuda
from tinytensor.nn import functional as F

STEPS = 20
SMALL = {
    "vocab_size": 11,
    "context": 8,
    "width": 16,
    "layers": 2,
    "heads": 2,
    "batch_size": 3,
    "steps": STEPS,
    "warmup": 3,
}
CONFIGS = {
    "nanogpt": dataclasses.replace(RECIPES["nanogpt"], **SMALL, device="cuda"),
    "default": dataclasses.replace(RECIPES["default"], **SMALL, device="cuda"),
    "dropout, two batches a step": dataclasses.replace(
        RECIPES["default"], **SMALL, device="cuda", dropout=0.2, grad_accumulation=2
    ),
    "float16": dataclasses.replace(RECIPES["default"], **SMALL, device="cuda", dtype="float16"),
    "tf32": dataclasses.replace(RECIPES["nanogpt"], **SMALL, device="cuda", tf32=True),
}
COUNTED = ("launches", "products", "memsets", "device to device")
FORBIDDEN = ("device to host", "host to device", "synchronizations", "allocations")
CAPTURE = "allocations while a stream is captured"


def asked(work: Callable[[], object]) -> Counter[str]:
    """What the work asks of the device."""
    before = Counter({**gpu.count, "products": gpu.products()})
    work()
    after = Counter({**gpu.count, "products": gpu.products()})
    after.subtract(before)
    return after


def train(config: TrainConfig) -> tuple[list[Any], GPUUpdate]:
    """Everything that the steps leave: loss and norm of each, weights and moments after the last; and who made them."""
    tt.manual_seed(0)
    tt.set_float32_matmul_precision("high" if config.tf32 else "highest")
    model = GPT(config).to(device="cuda", dtype=getattr(tt, config.dtype))
    optimizer = make_optimizer(model, config)
    ids = np.random.default_rng(0).integers(0, config.vocab_size, 500)
    left: list[Any] = []
    with Shards(model, config, shard_gradient, optimizer) as shards:
        update = fast_update(shards, optimizer, make_scaler(config))
        assert isinstance(update, GPUUpdate)
        for step in range(STEPS):
            batches = [data.batch(ids, config, step, micro) for micro in range(config.grad_accumulation)]
            left += update(batches, step, learning_rate(step, config))
    tensors = [*model.parameters(), *(value for state in optimizer.state.values() for value in state.values())]
    return left + [t.detach().cpu().numpy() for t in tensors], update


def compare(name: str, config: TrainConfig) -> list[str]:
    """Train with a graph and without; what is wrong."""
    plain, update = train(config)
    graphed, recorded = train(dataclasses.replace(config, cuda_graph=True))
    assert isinstance(recorded, GraphedUpdate)
    apart = sum(not np.array_equal(x, y) for x, y in zip(plain, graphed, strict=True))
    wrong = [f"{name}: {apart} of {len(plain)} results differ"] if apart else []
    if config.tf32 and graphed[:STEPS] == train(dataclasses.replace(config, tf32=False))[0][:STEPS]:
        wrong.append(f"{name}: TF32 makes no difference")
    once = asked(lambda: update.launch(None))
    replay = asked(recorded.graph.replay)
    replay["launches"] -= gpu.EMULATED and config.dropout > 0  # it tells the graph where its random numbers begin
    for what in COUNTED:
        if replay[what] != once[what]:
            wrong.append(f"{name}: a replay asks for {replay[what]} {what}, a step for {once[what]}")
    wrong += [f"{name}: a replay asks for {replay[what]} {what}" for what in FORBIDDEN if replay[what]]
    counts = ", ".join(f"{replay[what]} {what}" for what in (*COUNTED, *FORBIDDEN))
    counts += (
        f"; {gpu.count.pop(CAPTURE, 0)} {CAPTURE}"  # which CUDA permits in CuPy's mode of capture, the relaxed one
    )
    print(f"{name}: {STEPS} steps, {len(plain)} results, {apart} differ; a replay: {counts}")
    return wrong


def memory_is_its_own() -> list[str]:
    """A graph whose intermediate results are gone, and somebody who fills all the memory that he can get."""
    x, graph, stream = tt.ones(1000).cuda(), cuda.CUDAGraph(), cuda.Stream()
    y = x
    with cuda.graph(graph, stream=stream):
        for _ in range(5):
            y = y * 2 + 1
    with cuda.stream(stream):  # CuPy has memory for each stream
        others = [x * float("nan") for _ in range(50)]
    stream.synchronize()
    for _ in range(2):
        graph.replay()
    wrong = [] if (y == 63).all() else ["a graph's own memory was given to somebody else"]
    if not all(bool(other.isnan().all()) for other in others):
        wrong.append("a graph writes to memory that is not its own")
    used = cuda.memory_allocated()
    graph.reset()
    del y
    return wrong + ([] if cuda.memory_allocated() < used else ["a graph's memory is in use when it is gone"])


def other_numbers_at_every_replay() -> list[str]:
    """Dropout recorded twice in a graph, against the same calls without one."""
    x, graph = tt.ones(300).cuda(), cuda.CUDAGraph()
    with cuda.graph(graph):
        y, z = F.dropout(x, 0.5), F.dropout(x, 0.5)
    recorded = []
    tt.manual_seed(7)
    for _ in range(3):
        graph.replay()
        recorded += [y.tolist(), z.tolist()]
    tt.manual_seed(7)
    expected = [F.dropout(x, 0.5).tolist() for _ in range(6)]
    return [] if recorded == expected else ["the masks of replays are not those that would be drawn without a graph"]


def refused(what: str, work: Callable[[], object], *parts: str) -> list[str]:
    """What is wrong with the refusal to record the work; the parts should be in its message, which is printed."""
    try:
        with cuda.graph(cuda.CUDAGraph()):
            work()
    except RuntimeError as error:
        print(f"{what}: {error}")
        return [f"{what}: {part!r} is not said" for part in parts if part not in str(error)]
    return [f"{what} was not refused"]


def refusals() -> list[str]:
    """Work that cannot be recorded, and graphs that cannot be replayed."""
    x = tt.ones(3, 3).cuda()
    from_gpu, to_gpu, library = "copies from the GPU", "copies to the GPU", "calls a library by way of CuPy"
    wrong = [
        *refused("a planted float()", lambda: float(x.sum()), "float(x.sum())", "(graphs.py:", from_gpu),
        *refused("a tensor of the host's", lambda: x.add_(tt.tensor([1.0, 2.0, 3.0]).cuda()), "(graphs.py:", to_gpu),
        *refused("a boolean mask", lambda: x[x > 0], "x[x > 0]", "(graphs.py:", from_gpu),
        *refused("a wait", cuda.synchronize, "cuda.synchronize waits for the GPU"),
        *refused("a product past the engine", lambda: x.array @ x.array, "x.array @ x.array", library),
    ]
    graph = cuda.CUDAGraph()
    for what, work in (
        ("replayed before it was recorded", graph.replay),
        ("on the default stream", graph.capture_begin),
    ):
        try:
            work()
            wrong.append(f"{what}: not refused")
        except RuntimeError:
            pass
    with cuda.graph(graph):  # after all that
        y = x @ x
    graph.replay()
    return wrong + ([] if (y == 3).all() else ["a graph after a refused one is wrong"])


def main() -> int:
    """Run all; 0 if nothing is wrong."""
    wrong = [line for name, config in CONFIGS.items() for line in compare(name, config)]
    wrong += memory_is_its_own() + other_numbers_at_every_replay() + refusals()
    wrong += [f"emulator: {what}: {n}" for what, n in gpu.troubles().items()]
    print(*wrong, "", f"{len(CONFIGS)} trainings recorded and not: the same; {len(wrong)} problems", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    gpu.finish(main())
