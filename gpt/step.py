"""One update of the weights: the gradient of its batches, clipping, AdamW."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gpt.parallel import Batch, Shards
from tinytensor import Tensor, cuda, full, int64, nn, stack, zeros
from tinytensor.optim import AdamW


class Outcome(NamedTuple):
    """What an update tells: the batches' mean loss, the norm of its gradient before clipping, the loss scale if there is one."""

    loss: float
    norm: float
    scale: float = 1.0


class Update:
    """update(batches, step, rate) -> Outcome.

    Where the norm is not finite the weights stay what they were: the run can say what is wrong with them, or go on where
    a loss scale was too large, which is halved then.
    """

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        self.shards, self.optimizer, self.scaler = shards, optimizer, shards.scaler
        self.limit = shards.config.grad_clip or math.inf
        self.one, self.bound = (full((), number, device=shards.config.device) for number in (1.0, self.limit))
        self.scaler.scale(self.one)  # the first makes the scale, where it is given; threads could make two

    def __call__(self, batches: Sequence[Batch], step: int, rate: float) -> Outcome:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.shards.gradient(batches, step)
        norm, scale = self.clip()
        if self.scaler.is_enabled() or math.isfinite(norm.item()):
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return Outcome(loss.item(), norm.item(), scale.item())

    def clip(self) -> tuple[Tensor, Tensor]:
        """Bound the norm of the gradient; gives what it was, and the loss scale.

        A scaled gradient has a scaled bound: in float16 it cannot be divided before, or it would vanish.
        """
        parameters = self.shards.parameters[0]
        if not self.scaler.is_enabled():
            return nn.utils.clip_grad_norm_(parameters, self.limit), self.one
        scale = self.scaler.scale(self.one)
        return nn.utils.clip_grad_norm_(parameters, self.scaler.scale(self.bound)) / scale, scale


class UpdateOnGPU(Update):
    """The same, asked for as a whole before anything is read: nothing waits in between, and all numbers come in one copy.

    What differs from step to step lies on the GPU: the batches in one buffer, the learning rate, AdamW's count of steps.
    """

    def __init__(self, shards: Shards, optimizer: AdamW) -> None:
        super().__init__(shards, optimizer)
        config = shards.config
        shape = config.grad_accumulation, 2, config.batch_size, config.context
        self.batches, self.rate = zeros(shape, dtype=int64, device="cuda"), zeros((), device="cuda")
        for group in optimizer.param_groups:
            group.update(lr=self.rate, capturable=True)

    def __call__(self, batches: Sequence[Batch], step: int, rate: float) -> Outcome:
        self.rate.fill_(rate)
        self.batches.array.set(np.stack(batches))
        return Outcome(*self.run(step).tolist())

    def run(self, step: int) -> Tensor:
        """Ask for the update; gives what it tells, (2,) or (3,)."""
        return self.launch(step)

    def launch(self, step: int | None) -> Tensor:
        loss = self.shards.gradient([(ids, targets) for ids, targets in self.batches.array], step)
        norm, scale = self.clip()
        if not self.scaler.is_enabled():
            # Not zero where the norm is not finite: then the kernel changes nothing.
            self.optimizer.found_inf = norm * 0  # type: ignore[attr-defined]
            self.optimizer.step()
            return stack([loss, norm])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return stack([loss, norm, scale])


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
