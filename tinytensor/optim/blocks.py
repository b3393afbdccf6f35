"""Updates in blocks: a large array is updated piece by piece, so that all passes but the first find it in the cache.

Every element of an update depends on the same element of its arrays alone, so the blocks give the numbers of the whole,
in any order and on any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.optim.optimizer import Optimizer

BLOCK = 1 << 17  # elements; smaller blocks cost more Python, which threads cannot share


class BlockOptimizer(Optimizer):
    """An Optimizer whose updates run in blocks, on scratch arrays that it keeps: a step allocates nothing."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        self._scratch: dict[Any, list[Array]] = {}
        super().__init__(params, defaults)

    def _in_blocks(self, update: Callable[..., None], scratch: int, p: Array, *others: Array) -> None:
        """update(p, *others, *scratch arrays of the shape of p), in blocks if the arrays are large and on the host."""
        arrays = (p, *others)
        small = p.size <= BLOCK or not isinstance(p, np.ndarray)
        if small or not all(x.flags.c_contiguous for x in arrays):
            return update(*arrays, *self._spare(scratch, p, p.shape))
        flat = [x.reshape(-1) for x in arrays]

        @np.errstate(all="ignore")  # in the threads as well
        def block(start: int) -> None:
            piece = [x[start : start + BLOCK] for x in flat]
            update(*piece, *(x[: len(piece[0])] for x in self._spare(scratch, p, (BLOCK,))))

        for _ in self.map(block, range(0, p.size, BLOCK)):
            pass

    def _spare(self, count: int, p: Array, shape: tuple[int, ...]) -> list[Array]:
        """Scratch arrays for p, made once for each shape and thread."""
        key = (type(p), p.dtype, shape, threading.get_ident())
        if key not in self._scratch:
            self._scratch[key] = [array_module(p).empty(shape, p.dtype) for _ in range(count)]
        return self._scratch[key]
