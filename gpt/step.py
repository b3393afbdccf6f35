"""One update of the weights: the gradient of its batches, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gpt.parallel import Batch, Shards
from tinytensor import Tensor, cuda, int64, nn, stack, zeros
from tinytensor.optim import AdamW


class Update:
    """update(batches, step, rate) -> the batches' mean loss, and the norm of its gradient before clipping.

    Where the norm is not finite the weights stay what they were, so that the run can say what is wrong with them.
    """

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        self.shards, self.optimizer = shards, optimizer
        self.limit = shards.config.grad_clip or math.inf

    def __call__(self, batches: Sequence[Batch], step: int, rate: float) -> tuple[float, float]:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.shards.gradient(batches, step)
        norm = self.clip().item()
        if math.isfinite(norm):
            self.optimizer.step()
        return loss.item(), norm

    def clip(self) -> Tensor:
        """Bound the norm of the gradient; gives what it was."""
        return nn.utils.clip_grad_norm_(self.shards.parameters[0], self.limit)


class UpdateOnGPU(Update):
    """The same, asked for as a whole before anything is read: nothing waits in between, and both numbers come in one copy.

    What differs from step to step lies on the GPU: the batches in one buffer, the learning rate, AdamW's count of steps.
    """

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        super().__init__(shards, optimizer)
        config = shards.config
        shape = config.grad_accumulation, 2, config.batch_size, config.context
        self.batches, self.rate = zeros(shape, dtype=int64, device="cuda"), zeros((), device="cuda")
        for group in optimizer.param_groups:
            group.update(lr=self.rate, capturable=True)

    def __call__(self, batches: Sequence[Batch], step: int, rate: float) -> tuple[float, float]:
        self.rate.fill_(rate)
        self.batches.array.set(np.stack(batches))
        loss, norm = self.run(step).tolist()
        return loss, norm

    def run(self, step: int) -> Tensor:
        """Ask for the update; gives the loss and the norm, (2,)."""
        return self.launch(step)

    def launch(self, step: int | None) -> Tensor:
        loss = self.shards.gradient([(ids, targets) for ids, targets in self.batches.array], step)
        norm = self.clip()
        # Not zero where the norm is not finite: then the kernel changes nothing.
        self.optimizer.found_inf = norm * 0  # type: ignore[attr-defined]
        self.optimizer.step()
        return stack([loss, norm])


class GraphedUpdate(UpdateOnGPU):
    """The same again, recorded once as a CUDA graph: from then on a step is one launch.

    The first steps are made as they come, in the graph's memory: what is made once (compiled kernels, AdamW's moments) has no
    place in a graph, and memory that they leave is there for it.
    """

    WARM_UP = 2  # steps

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        super().__init__(shards, optimizer)
        self.stream, self.memory, self.graph = cuda.Stream(), cuda.MemPool(), cuda.CUDAGraph()
        self.steps = 0
        self.numbers: Tensor | None = None  # where the graph leaves the loss and the norm

    def run(self, step: int) -> Tensor:
        self.steps += 1
        self.shards.seed(step)
        if self.steps <= self.WARM_UP:
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


def make_update(shards: Shards, optimizer: AdamW) -> Update:
    """The one for the configuration's machine."""
    config = shards.config
    if config.device == "cpu":
        return Update(shards, optimizer)
    return (GraphedUpdate if config.cuda_graph else UpdateOnGPU)(shards, optimizer)
