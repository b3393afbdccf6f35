"""Reducer: the mean of gradients over all ranks, exchanged while the backward goes on.

Gradients lie in buckets, in the order in which a backward usually completes them: that of the last parameter first. A
hook copies each gradient into its bucket as soon as it is complete. A full bucket is sent at once, by an all-reduce that
does not wait; the backward goes on with the layers below. When it has ended, every .grad gets the mean.

All ranks send the buckets in the same order, though their gradients may be complete in another one. Behind the gradients
a bucket has a number for each of its parameters: 1 on a rank that has a gradient for it. So the sum says on how many.
Source: Li et al., "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", VLDB 2020.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytensor.accumulate import Accumulator, accumulate_grad
from tinytensor.backend import Array, array_module
from tinytensor.buffers import part_of, vector
from tinytensor.distributed.world import ProcessGroup
from tinytensor.grad_hooks import of_leaf
from tinytensor.writes import note_write


class Place:
    """Where the gradient of one parameter lies in its bucket."""

    def __init__(self, name: str, parameter: Any) -> None:
        self.name, self.parameter = name, parameter
        self.used = False  # a backward that was not sent has added to its .grad
        self.ready = False
        self.bucket: Bucket
        self.values: Array

    def fill(self, grad: Array | None, scale: float) -> None:
        """Put what .grad will be on this rank into the bucket: the old gradient and the new one, divided by the ranks."""
        old = self.parameter._grad
        self.values[...] = 0 if grad is None else grad
        if old is not None:
            self.values += old.array
        self.values *= scale

    def take(self) -> None:
        """.grad ← what the bucket holds."""
        p = self.parameter
        if p._grad is None:
            own = self.values.astype(p.array.dtype)
            accumulate_grad(p, own, True, Accumulator(None, None).take_buffer(p))
        else:
            with np.errstate(over="ignore"):  # float16 rounds to infinity
                p._grad.array[...] = self.values
        note_write(p._grad.array)


class Bucket:
    """Some gradients of one dtype in one array, and the request of its all-reduce."""

    def __init__(self, places: Sequence[Place]) -> None:
        first = places[0].parameter.array
        like = first.reshape(-1)[:1].astype(np.float32) if first.dtype == np.float16 else first  # MPI has no float16
        self.places, self.request, self.missing = places, None, len(places)
        count = sum(place.parameter.array.size for place in places)
        self.array = vector(count + len(places), like)
        self.counts = part_of(self.array, count, (len(places),))  # of the ranks that have a gradient, for each place
        start = 0
        for place in places:
            place.bucket = self
            place.values = part_of(self.array, start, place.parameter.array.shape)
            start += place.parameter.array.size


def in_buckets(places: Sequence[Place], limits: Sequence[int]) -> list[Bucket]:
    """Buckets of one dtype and device each, in the order of the places; each is full at its limit in bytes."""
    buckets: list[Bucket] = []
    waiting: list[Place] = []
    for i, place in enumerate(places):
        waiting.append(place)
        following = places[i + 1].parameter.array if i + 1 < len(places) else None
        own = place.parameter.array
        other = following is None or (type(following), following.dtype) != (type(own), own.dtype)
        limit = limits[min(len(buckets), len(limits) - 1)]
        if other or sum(each.parameter.array.nbytes for each in waiting) >= limit:
            buckets.append(Bucket(waiting))
            waiting = []
    return buckets


class Reducer:
    """Averages the gradients of the parameters after every backward that `expect` has announced."""

    def __init__(
        self, world: ProcessGroup, named: Sequence[tuple[str, Any]], limits: Sequence[int], unused_allowed: bool
    ) -> None:
        self.world, self.unused_allowed = world, unused_allowed
        self.places = [Place(name, p) for name, p in reversed(named)]
        self.buckets = in_buckets(self.places, limits)
        self.announced = 0  # forwards whose backward is still to come
        self._begin()
        self._handles = [handle for place in self.places for handle in self._hooks(place)]

    def _hooks(self, place: Place) -> tuple[Any, Any]:
        me = weakref.ref(self)  # the parameters live on without a reducer

        def complete(grads: tuple[Any]) -> None:
            if (reducer := me()) is not None:
                reducer.complete(place, None if grads[0] is None else grads[0].array)

        def accumulated(*_: Any) -> None:
            if (reducer := me()) is not None:
                reducer.accumulated()

        leaf = place.parameter  # before: once the gradient is complete; after: when every leaf has its .grad
        return of_leaf(leaf, "before", complete), of_leaf(leaf, "after", accumulated)

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def _begin(self) -> None:
        self.sent = self.seen = self.ended = 0  # buckets; gradients that were complete; gradients that are in .grad
        for bucket in self.buckets:
            bucket.request, bucket.missing = None, len(bucket.places)
        for place in self.places:
            place.ready = False

    def expect(self) -> None:
        """Announce a backward. RuntimeError if the last one broke off: other ranks may wait for its buckets."""
        if self.seen:
            raise RuntimeError(
                "Expected to have finished reduction in the prior iteration before starting a new one: the last backward"
                " broke off, so the ranks no longer agree on what to exchange"
            )
        self.announced += 1

    def complete(self, place: Place, grad: Array | None) -> None:
        """The gradient of one parameter is complete; None: there is none."""
        if not self.announced:
            place.used = place.used or grad is not None
            return
        self.seen += 1
        if grad is not None and not place.ready:
            place.ready = True
            place.fill(grad, 1 / self.world.size())
            place.bucket.missing -= 1
        while self.sent < len(self.buckets) and not self.buckets[self.sent].missing:
            self._send()
        for bucket in self.buckets[: self.sent]:
            if bucket.request is not None:
                bucket.request.Test()  # MPI gets on with its work while it is called

    def _send(self) -> None:
        bucket = self.buckets[self.sent]
        own = [place.ready or place.used for place in bucket.places]
        bucket.counts[...] = array_module(bucket.array).asarray(own, bucket.array.dtype)
        bucket.request = self.world.exchanges.all_reduce(bucket.array, "sum")
        self.sent += 1

    def accumulated(self) -> None:
        """A leaf has its .grad, as all others have. After the last one, put the mean in its place."""
        self.ended += self.seen > 0
        if self.seen and self.ended == self.seen:
            self._finish()

    def _finish(self) -> None:
        """Send the rest, wait for all. RuntimeError names the parameters that some rank has not used, unless it may be so."""
        for place in self.places:
            if not place.ready:  # 0, or what backwards have left there that were not sent
                place.fill(None, 1 / self.world.size())
        while self.sent < len(self.buckets):
            self._send()
        unused = []
        for bucket in self.buckets:
            if bucket.request is not None:
                bucket.request.Wait()
            for place, count in zip(bucket.places, bucket.counts.tolist(), strict=True):
                if count:  # else its .grad stays as it is
                    place.take()
                if count < self.world.size():
                    unused.append(f"{place.name} on {self.world.size() - int(count)}")
                place.used = False
        self.announced -= 1
        self._begin()
        if unused and not self.unused_allowed:
            raise RuntimeError(
                f"parameters without a gradient, of {self.world.size()} ranks: {', '.join(unused[::-1])};"
                " if the loss does not need them, pass find_unused_parameters=True to DistributedDataParallel"
            )
