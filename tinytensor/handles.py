"""RemovableHandle: what registering a hook returns. A hook is a function that is called while others run."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from typing import Any

_next_id = itertools.count().__next__


class RemovableHandle:
    """The key of a hook in a dictionary of hooks. `remove()`, or the end of a `with` block, takes the hook away.

    A handle does not keep the hooks alive. extra_dict: a dictionary, or a list of them, from which `remove` takes the
    key as well. The dictionaries need weak references, as an OrderedDict has.
    """

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.id: int = _next_id()
        extra = extra_dict if isinstance(extra_dict, (list, tuple)) else [] if extra_dict is None else [extra_dict]
        self._dicts = [weakref.ref(hooks) for hooks in (hooks_dict, *extra)]

    def remove(self) -> None:
        """Take the hook away. Nothing happens if that was done before."""
        for reference in self._dicts:
            hooks = reference()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __getstate__(self) -> dict[str, Any]:  # a copy of a model that has a handle: the copy's removes from the copy
        return {"id": self.id, "hooks": [reference() for reference in self._dicts]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.id = state["id"]
        self._dicts = [weakref.ref(OrderedDict() if hooks is None else hooks) for hooks in state["hooks"]]


def register(hooks: OrderedDict[int, Any], hook: Any, *, prepend: bool = False) -> RemovableHandle:
    """Add a hook after those that are there, or with prepend before them."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle
