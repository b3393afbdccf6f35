"""The exchange of a step: the gradients of all ranks, their losses and requests to stop, added up in one buffer.

    buffer = [gradients of the matrices | of the vectors | loss | a number for each signal]

The backward writes the gradients there (tinytensor/nn/flat.py), so nothing is copied, and one all-reduce in place is all
that the ranks say to each other in a step. A gradient that is not finite on one rank makes the sum so on all of them, and
each computes the norm from the same sum: so all ranks stop after the same step, for the same reason.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpt.ranks.sharded import MORE, ShardedAdamW
from gpt.run.interrupt import SIGNALS, Interrupt
from tinytensor import Tensor
from tinytensor.backend import Array, array_module
from tinytensor.distributed.ranks import Ranks
from tinytensor.nn import flat
from tinytensor.nn.flat import Flat, Joined


class Exchange:
    """Adds up what the ranks have. The parameters are those of a model, in the Flats of a fused optimizer."""

    is_profiled = False  # then waiting for the others has a time of its own

    def __init__(self, ranks: Ranks, parameters: Sequence[Any], optimizer: Any, interrupt: Interrupt) -> None:
        self.ranks, self.interrupt = ranks, interrupt
        self.sharded = optimizer if isinstance(optimizer, ShardedAdamW) else None
        self.flats = [found for found in dict.fromkeys(map(flat.flat_of, parameters)) if found is not None]
        self.joined = Joined(self.flats, ranks.size, MORE) if self.sharded is None else self.sharded.joined
        # What is added up: the buffer itself; of float16 a copy in float32, in which sums keep their digits.
        self.half = self.joined.grad.dtype == np.float16
        self.sums = self.joined.grad.astype(np.float32) if self.half else self.joined.grad
        self.more = self.sums[-MORE:]  # the loss, and of how many ranks each signal has asked to stop
        interrupt.agreed = self.agreed

    def add_up(self, loss: Tensor) -> Tensor:
        """Return the sum of the losses of all ranks. Leaves the sum of their gradients in the parameters.

        A ShardedAdamW has the sum of its piece alone.
        """
        for each in self.flats:
            if not each.complete():  # a parameter that is not trained has no gradient, on any rank
                zero_gaps(each)
        asked = [float(self.interrupt.received == signal) for signal in SIGNALS]
        self.more[0], self.more[1:] = loss.array, array_module(self.more).asarray(asked)
        if self.half:
            self.sums[:-MORE] = self.joined.grad[:-MORE]
        if self.is_profiled:
            self.wait()
        self.reduce()
        if self.half:
            with np.errstate(over="ignore"):  # a sum above 65504 is inf, and the loss scale is halved
                self.joined.grad[:-MORE] = self.sums[:-MORE]
        total: Tensor = loss.clone()
        total.array[...] = self.more[0]
        return total

    def wait(self) -> None:
        """Wait for the other ranks."""
        self.ranks.barrier()

    def reduce(self) -> None:
        """Add up the buffers of all ranks."""
        if self.sharded is None:
            self.ranks.all_reduce(self.sums)
        else:
            self.sharded.reduce(self.more)

    def agreed(self) -> int | None:
        """Return the signal that one of the ranks had received before the last exchange, None if none had."""
        return next((signal for signal, asked in zip(SIGNALS, self.more[1:].tolist()) if asked), None)

    def agree(self) -> None:
        """Agree once more, after the last step: a signal may have come in an evaluation."""
        received = [each for each in self.ranks.collect(self.interrupt.received) if each is not None]
        self.interrupt.agreed = lambda: received[0] if received else None

    @np.errstate(all="ignore")  # an infinite gradient · 0 is nan, not a warning
    def clip(self, limit: float) -> float:
        """Cut a gradient that is longer than `limit` to that length; return its length, as clip_grad_norm_ does.

        The squares are added up piece by piece, so a ShardedAdamW, which has one piece, gets the same bits.
        """
        if self.sharded is None:
            pieces = map(self.joined.piece, range(self.ranks.size))
            gradient, squares = self.joined.grad[:-MORE], [square(self.joined.grad[piece]) for piece in pieces]
        else:
            gradient, squares = self.sharded.gradient, self.sharded.squares
        norm = math.sqrt(sum(squares))
        factor = limit / (norm + 1e-6)
        if not factor >= 1:
            gradient *= factor
        return norm


def zero_gaps(parameters: Flat) -> None:
    """Fill the places of parameters without a gradient with zeros, which add up to zeros."""
    for p, gradient in zip(parameters.parameters, parameters.gradients):
        if p.grad is None:
            gradient.fill(0)


def square(x: Array) -> float:
    """Return Σ x²."""
    return float(x @ x)
