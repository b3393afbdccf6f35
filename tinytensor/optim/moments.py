"""What Adam keeps from step to step: two moments of the gradient, the number of steps, masters of float16 weights.

`state[p]` holds them for each parameter, as in PyTorch. For a whole Flat they are vectors, and the Tensors in `state`
are parts of these vectors, so saving and loading know nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytensor.backend import Array, array_module
from tinytensor.base import wrap
from tinytensor.buffers import part_of, vector
from tinytensor.creation import tensor
from tinytensor.dtypes import from_numpy_dtype
from tinytensor.nn.flat import Flat
from tinytensor.optim.blocks import BlockOptimizer
from tinytensor.tensor import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")  # m and v


@dataclass
class Kept:
    """What is kept for one array: a parameter, or all parameters of a Flat."""

    m: Array
    v: Array
    master: Array | None  # the float32 weights of which float16 weights are the rounded copies
    steps: Any  # on the GPU an array, to which the kernel adds 1; else the "step" Tensors of the states, on the host
    own: list[tuple[Tensor, Tensor]]  # (v, step) in the state of each parameter, to see whether a state was exchanged
    level: bool | None = None  # whether all parameters have made the same number of steps; None: not known

    def one_step(self) -> bool:
        """Whether one update serves all parameters. On a GPU the answer is kept, because asking waits for the GPU."""
        if isinstance(self.steps, list):
            return len({step.array.item() for step in self.steps}) == 1
        if self.level is None:
            self.level = bool((self.steps == self.steps[0]).all())
        return self.level


class MomentOptimizer(BlockOptimizer):
    """Makes and finds what is kept, for single parameters and for a Flat."""

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any], master_weights: bool) -> None:
        self._flats: dict[Flat, Kept] = {}
        self.master_weights = master_weights
        super().__init__(params, defaults)

    def _wide(self, p: Array) -> Any:
        """The dtype of the moments of p: float32 for a float16 weight with a master."""
        return np.dtype("float32") if self.master_weights and p.dtype == np.float16 else p.dtype

    def _counts_on_gpu(self, p: Array, group: dict[str, Any]) -> bool:
        """Whether the number of steps is on the GPU, so that a step reads nothing back."""
        return not isinstance(p, np.ndarray) and bool(group.get("fused") or group.get("capturable"))

    def _kept_of(self, p: Tensor, group: dict[str, Any]) -> Kept:
        """What is kept for one parameter; zeros, made now, if it has made no step."""
        state, x, wide = self.state[p], p.array, self._wide(p.array)
        if not state:
            on_gpu = self._counts_on_gpu(x, group)
            state["step"] = wrap(array_module(x).zeros((), np.float32)) if on_gpu else tensor(0.0)
            for name in MOMENTS:
                state[name] = wrap(array_module(x).zeros_like(x, dtype=wide))
        if wide != x.dtype and "master" not in state:
            state["master"] = wrap(x.astype(wide))
        m, v, master, step = (state.get(name) for name in (*MOMENTS, "master", "step"))
        assert m is not None and v is not None and step is not None
        steps = step.array if step.is_cuda else [step]
        return Kept(m.array, v.array, None if master is None else master.array, steps, [])

    def _kept_of_all(self, flat: Flat, group: dict[str, Any]) -> Kept:
        """What is kept for all parameters of a Flat: vectors, of which the Tensors in their states are parts."""
        kept = self._flats.get(flat)
        states = [self.state[p] for p in flat.parameters]
        if kept is not None and all(
            state.get("exp_avg_sq") is v and state.get("step") is step for state, (v, step) in zip(states, kept.own)
        ):
            return kept  # no state was exchanged by load_state_dict
        like = flat.data[:0].astype(self._wide(flat.data))
        names = (*MOMENTS, "master") if like.dtype != flat.data.dtype else MOMENTS
        vectors = [vector(flat.data.size, like) for _ in names]
        counts = vector(len(states), like.astype(np.float32)) if self._counts_on_gpu(flat.data, group) else None
        # move what the states hold into the vectors, then let the states refer to the vectors
        for i, (p, state, *parts) in enumerate(zip(flat.parameters, states, *map(flat.parts, vectors))):
            fresh = tensor(0.0) if counts is None else wrap(part_of(counts, i, ()))
            if counts is not None and "step" in state:
                fresh.array[...] = state.pop("step").array
            state.setdefault("step", fresh)
            for name, part in zip(names, parts):
                if name in state or name == "master":
                    part[...] = state[name].array if name in state else p.array
                state[name] = wrap(part)
        own = [(state["exp_avg_sq"], state["step"]) for state in states]
        m, v, *master = vectors
        steps = [step for _, step in own] if counts is None else counts
        self._flats[flat] = Kept(m, v, master[0] if master else None, steps, own)
        return self._flats[flat]

    def _restored(self, group: dict[str, Any], p: Tensor, name: str, value: Any) -> Any:
        if name == "step" and self._counts_on_gpu(p.array, group):
            return tensor(float(value), device=p.device)
        if isinstance(value, Tensor) and name in (*MOMENTS, "master"):
            return value.detach().to(device=p.device).clone().to(from_numpy_dtype(self._wide(p.array)))
        return super()._restored(group, p, name, value)
