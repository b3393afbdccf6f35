"""Exchanges of Python objects between the ranks: anything that pickle takes. Unpickling runs code, so trust all ranks."""

from __future__ import annotations

from typing import Any

from tinytensor.distributed.collectives import rank_in
from tinytensor.distributed.world import world_of


def all_gather_object(object_list: list[Any], obj: Any, group: Any = None) -> None:
    """object_list[i] ← the obj of rank i, on all ranks. IndexError if the list is too short."""
    for i, value in enumerate(world_of(group).ranks.collect(obj)):
        object_list[i] = value


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: Any = None,
    group_dst: int | None = None,
) -> None:
    """On the rank dst (0): object_gather_list[i] ← the obj of rank i. ValueError for a list on another rank, or none there."""
    world = world_of(group)
    here = rank_in(world, "gather_object", dst, group_dst, default=0) == world.rank()
    if here and not object_gather_list:
        raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
    if not here and object_gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    values = world.ranks.collect(obj)
    for i, value in enumerate(values if object_gather_list else ()):
        object_gather_list[i] = value  # type: ignore[index]


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: Any = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """object_list[:] ← that of the rank src (0), of the same length. device: None, objects stay on the host."""
    if device is not None and str(device) != "cpu":
        raise NotImplementedError(
            f"broadcast_object_list: device={device} is outside tinytensor's subset: leave it out"
        )
    if not isinstance(object_list, list):
        raise TypeError(f"object_list must be a list, got {type(object_list)}")
    world = world_of(group)
    source = rank_in(world, "broadcast_object_list", src, group_src, default=0)
    values = world.ranks.share(object_list, source)
    if world.rank() != source:
        object_list[: len(values)] = values[: len(object_list)]
