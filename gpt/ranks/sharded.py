"""The optimizer's state shared out: each of n ranks keeps the moments of its piece of the weights, 1/n of all.

A step has three exchanges in place of one: each rank gets the sum of its piece of the gradients (reduce-scatter), updates
its piece of the weights, and gets the other pieces from the others (all-gather). That moves as many bytes as an
all-reduce, which consists of both. In between, a few numbers of all ranks: the losses, signals, squares for the norm.
Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020, stage 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpt.build import Model
from gpt.config import TrainConfig
from gpt.optimizer import parameter_groups
from gpt.run.interrupt import SIGNALS
from tinytensor import Tensor, from_numpy, tensor
from tinytensor.backend import Array
from tinytensor.buffers import vector
from tinytensor.distributed.ranks import Ranks
from tinytensor.nn.flat import Joined, flat_of
from tinytensor.optim import AdamW
from tinytensor.optim.moments import MOMENTS, Kept

MORE = 1 + len(SIGNALS)  # numbers behind the gradients: the loss, and whether each signal was received


class ShardedAdamW(AdamW):
    """AdamW(fused=True) whose state is shared out among the ranks. The weights come out as those of AdamW, bit for bit.

    Beside the piece that it keeps (`m`, `v`, both (n,)), `state` is empty, as PyTorch's ZeroRedundancyOptimizer has it:
    `consolidate_state_dict` fills it on one rank.
    """

    def __init__(self, groups: list[dict[str, Any]], ranks: Ranks, **settings: Any) -> None:
        super().__init__(groups, fused=True, **settings)
        self.ranks = ranks
        self.flats = [flat_of(group["params"][0]) for group in self.param_groups]
        self.joined = Joined(self.flats, ranks.size, MORE)  # type: ignore[arg-type]  # fused: none of them is None
        self.piece = self.joined.piece(ranks.rank)
        size, like = self.joined.size, self.joined.data
        self.gradient, self.m, self.v = (vector(size, like) for _ in range(3))
        self.steps = tensor(0.0)
        self.squares: list[float] = []  # of the piece of each rank

    def reduce(self, more: Array) -> None:
        """Let `gradient` be the sum of the ranks' gradients, in the piece of this rank, and `more` that of theirs."""
        self.ranks.reduce_scatter(self.joined.grad[:-MORE], self.gradient)
        table = np.zeros((self.ranks.size, MORE + 1))  # float64
        table[self.ranks.rank] = [*more.tolist(), float(self.gradient @ self.gradient)]
        self.ranks.all_gather(table[self.ranks.rank], table)
        more[...] = table[:, :-1].astype(more.dtype).sum(0)  # in the order of the ranks
        self.squares = table[:, -1].tolist()

    def step(self, closure: Any = None) -> Any:
        """Update the piece of this rank, and get the others."""
        loss = super().step(closure)
        self.ranks.all_gather(self.joined.data[self.piece], self.joined.data)
        return loss

    def _update_group(self, params: list[Any], settings: dict[str, Any]) -> None:
        group = settings.pop("group")
        number = next(i for i, each in enumerate(self.param_groups) if each is group)
        if number == 0:
            self.steps.array += 1
        own = self._within(number)
        weights, step = self.joined.data[self.piece][own], tensor(self.steps.item() - 1)  # _advance counts it
        if weights.size:
            self._advance(
                weights, self.gradient[own], Kept(self.m[own], self.v[own], None, [step], []), settings, group
            )

    def _within(self, number: int) -> slice:
        """Which part of the piece belongs to a group."""
        begin, end = self.joined.starts[number : number + 2]
        first, last = max(begin, self.piece.start), min(end, self.piece.stop)
        return slice(first - self.piece.start, max(first, last) - self.piece.start)

    # ---------------------------------------------------------------------------------------- saving and loading

    def consolidate_state_dict(self, to: int = 0) -> None:
        """Fill `state` on the rank `to` with the moments of all parameters, as AdamW has them. All ranks call it."""
        self.state.clear()
        if not self.steps.item():
            return
        wholes = [self._gathered(piece, to) for piece in (self.m, self.v)]  # in the order of MOMENTS
        if self.ranks.rank != to:
            return
        for flat, start in zip(self.flats, self.joined.starts):
            assert flat is not None
            for p, *moments in zip(flat.parameters, *(flat.parts(whole, start) for whole in wholes)):
                self.state[p] = {"step": tensor(self.steps.item()), **dict(zip(MOMENTS, map(from_numpy, moments)))}

    def _gathered(self, piece: Array, to: int) -> Array:
        """The pieces of all ranks, one after another, on the rank `to`; elsewhere nothing."""
        whole = vector(self.joined.size * self.ranks.size if self.ranks.rank == to else 0, piece)
        self.ranks.gather(piece, whole, to)
        return whole

    def receive(self, parameter: Tensor, key: str, array: Array) -> None:
        """Take what belongs to this rank of a saved state: the `key` ("step", "exp_avg", …) of a parameter."""
        if key == "step":
            return self.steps.array.fill(array)  # type: ignore[no-any-return]  # the same for all
        flat = flat_of(parameter)
        assert flat is not None
        start = self.joined.starts[self.flats.index(flat)]
        for p in flat.parameters:
            if p is parameter:
                break
            start += p.array.size
        first, last = max(start, self.piece.start), min(start + array.size, self.piece.stop)
        if first < last:
            kept = {"exp_avg": self.m, "exp_avg_sq": self.v}[key]
            kept[first - self.piece.start : last - self.piece.start] = array.reshape(-1)[first - start : last - start]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state_dict of AdamW: each rank takes its piece."""
        params = [p for group in self.param_groups for p in group["params"]]
        for number, entries in state_dict["state"].items():
            for key, value in entries.items():
                self.receive(params[number], key, value.array if isinstance(value, Tensor) else np.asarray(value))


def make_sharded(model: Model, config: TrainConfig, ranks: Ranks) -> ShardedAdamW:
    """The optimizer of gpt/optimizer.py, shared out."""
    betas = (config.beta1, config.beta2)
    return ShardedAdamW(parameter_groups(model, config), ranks, lr=config.learning_rate, betas=betas)
