"""Work shared by threads: a map over items in order, and BLAS with one thread while several of Python's are at work."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from tinytensor.distributed.ranks import Ranks

if TYPE_CHECKING:
    from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Return the number of cores that this process may use; containers and taskset can make it small."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_each(ranks: Ranks) -> int:
    """Return the number of cores for each of the ranks that share those of this process."""
    return max(1, usable_cores() // ranks.sharing)


def one_blas_thread() -> threadpool_limits:
    """A context in which BLAS starts no threads of its own.

    BLAS's threads wait for each other in busy loops. Where other work shares the cores, this makes small products many
    times slower.
    """
    from threadpoolctl import threadpool_limits  # here, so that what computes nothing runs without it

    return threadpool_limits(1, user_api="blas")


def one_blas_thread_each(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the items. BLAS has one thread while one is computed; between them it has as many as the caller set."""
    from threadpoolctl import ThreadpoolController

    blas: Any = ThreadpoolController()
    end: Any = object()
    if all(each["num_threads"] == 1 for each in blas.select(user_api="blas").info()):  # setting it takes 20 us
        yield from items
        return
    while True:
        with blas.limit(limits=1, user_api="blas"):
            item = next(items, end)
        if item is end:
            return
        yield item


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    each: Callable[[Result], object] | None = None,
) -> list[Result]:
    """Return [function(item) for item in items], computed by several threads. Calls each(result) in that order.

    Two items for each thread wait at most: all of them together may not fit into memory.
    """
    results: list[Result] = []
    waiting: deque[Future[Result]] = deque()

    def take() -> None:
        results.append(waiting.popleft().result())
        if each is not None:
            each(results[-1])

    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                if len(waiting) > 2 * threads:
                    take()
                waiting.append(pool.submit(function, item))
            while waiting:
                take()
        finally:
            for each_left in waiting:
                each_left.cancel()
    return results
