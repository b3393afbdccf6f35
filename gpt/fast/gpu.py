"""Updates on a GPU: asked for as a whole before anything is read, or recorded once as a CUDA graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from gpt.data import Batch
from gpt.fast.half import HalfUpdate
from gpt.fast.shards import Shards
from gpt.optimizer import Outcome
from tinytensor import Tensor, cuda, int64, nn, stack, zeros
from tinytensor.amp import GradScaler
from tinytensor.optim import AdamW

Update: TypeAlias = Callable[[Sequence[Batch], int, float], Outcome]  # update(batches, step, rate)


def fast_update(shards: Shards, optimizer: AdamW, scaler: GradScaler | None = None) -> Update | None:
    """Return the update for a GPU, a CUDA graph, float16 or many ranks; None where `update` of gpt/train.py is the one."""
    config = shards.config
    if config.device != "cpu":
        return (GraphedUpdate if config.cuda_graph else GPUUpdate)(shards, optimizer, scaler)
    if scaler is not None:
        return HalfUpdate(shards, optimizer, scaler)
    if shards.exchange is not None:
        from gpt.ranks.update import RanksUpdate

        return RanksUpdate(shards, optimizer)
    return None


class GPUUpdate:
    """update(batches, step, rate) -> Outcome: nothing waits for the GPU in between, and all numbers come in one copy.

    What differs from step to step lies on the GPU: the batches in one buffer, the learning rate, AdamW's count of steps.
    """

    def __init__(self, shards: Shards, optimizer: AdamW, scaler: GradScaler | None) -> None:
        self.shards, self.optimizer = shards, optimizer
        self.half = HalfUpdate(shards, optimizer, scaler) if scaler else None
        config = shards.config
        shape = config.grad_accumulation, 2, shards.rows.stop - shards.rows.start, config.context
        self.batches, self.rate = zeros(shape, dtype=int64, device="cuda"), zeros((), device="cuda")
        for group in optimizer.param_groups:
            group.update(lr=self.rate, capturable=True)

    def __call__(self, batches: Sequence[Batch], step: int, rate: float) -> Outcome:
        self.rate.fill_(rate)
        self.batches.array.set(np.stack(batches))
        return Outcome(*self.run(step).tolist())

    def run(self, step: int) -> Tensor:
        """Ask for the update; return its numbers, (2,) or (3,): loss, norm and, in float16, the loss scale."""
        return self.launch(step)

    def launch(self, step: int | None) -> Tensor:
        batches = [(ids, targets) for ids, targets in self.batches]
        if self.half:
            return stack(self.half.launch(batches, step))
        loss = self.shards.gradient(batches, step)
        limit = self.shards.config.grad_clip or math.inf
        norm = nn.utils.clip_grad_norm_(self.shards.parameters, limit)
        # 0 where the norm is finite, else nan: then AdamW's kernel changes nothing.
        self.optimizer.found_inf = norm * 0
        self.optimizer.step()
        return stack([loss, norm])


class GraphedUpdate(GPUUpdate):
    """The same, recorded as a CUDA graph: from then on a step is one launch.

    The first steps are not recorded, but run in the memory of the graph. What is made once (compiled kernels, AdamW's
    moments) does not belong into a graph, and the memory that these steps free is there for it.
    """

    WARM_UP = 2  # steps

    def __init__(self, shards: Shards, optimizer: AdamW, scaler: GradScaler | None) -> None:
        super().__init__(shards, optimizer, scaler)
        self.stream, self.memory, self.graph = cuda.Stream(), cuda.MemPool(), cuda.CUDAGraph()
        self.runs = 0
        self.numbers: Tensor | None = None  # where the graph writes loss and norm

    def run(self, step: int) -> Tensor:
        self.runs += 1
        self.shards.seed(step)
        if self.runs <= self.WARM_UP:
            self.stream.wait_stream(cuda.current_stream())
            with cuda.stream(self.stream), cuda.use_mem_pool(self.memory):
                numbers = self.launch(None)
            cuda.current_stream().wait_stream(self.stream)
            return numbers
        if self.numbers is None:
            with cuda.graph(self.graph, pool=self.memory.id, stream=self.stream):
                self.numbers = self.launch(None)
        self.graph.replay()
        return self.numbers
