"""The files in which a function runs between the drawing of a batch and the updated weights: python tests/house/executed.py

It runs three updates of the default training under `sys.setprofile`, and prints a JSON object: for each file of tinytensor
and gpt the functions that ran, those of threads as well. What an import runs is left out.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = tuple(str(ROOT / package) + os.sep for package in ("tinytensor", "gpt"))
UPDATES = 3
ARGUMENTS = [
    f"--steps={UPDATES}",
    "--threads=2",
    "--eval-windows=2",
    "--quiet",
    "--no-plot",
]  # on two cores, --threads is 2
FIRST = ("gpt/data.py", "batch")  # a call of this begins an update …
LAST = ("tinytensor/optim/", "step")  # … and a return from this ends it


class Recorder:
    """A profile function that notes each call between FIRST and LAST."""

    def __init__(self) -> None:
        self.on = False
        self.updates = 0
        self.functions: dict[str, set[str]] = defaultdict(set)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event not in ("call", "return"):
            return
        path = frame.f_code.co_filename
        if not path.startswith(PACKAGES):
            return
        path, name = os.path.relpath(path, ROOT).replace(os.sep, "/"), frame.f_code.co_name
        if event == "call" and (path, name) == FIRST and not self.on:
            self.on = True
            self.note(frame.f_back)
        if self.on and event == "call" and is_function(frame) and not in_an_import(frame):
            self.functions[path].add(name)
        if event == "return" and self.on and path.startswith(LAST[0]) and name == LAST[1]:
            self.on = False
            self.updates += 1

    def note(self, caller: FrameType | None) -> None:
        """Who draws the batch began to run before."""
        assert caller is not None
        path = os.path.relpath(caller.f_code.co_filename, ROOT).replace(os.sep, "/")
        self.functions[path].add(caller.f_code.co_name)


def is_function(frame: FrameType) -> bool:
    """Not the body of a module or a class."""
    return bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)


def in_an_import(frame: FrameType | None) -> bool:
    """Whether an import made the call."""
    while frame is not None and "importlib" not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None


def main() -> None:
    """Print what three updates run."""
    sys.path.insert(0, str(ROOT))
    from gpt import train

    record = Recorder()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder, "text")
        text.write_text("It was the best of times, it was the worst of times. " * 60, "utf-8")
        arguments = [*ARGUMENTS, f"--data={text}", f"--out={Path(folder, 'run')}"]
        threading.setprofile(record)
        sys.setprofile(record)
        try:
            status = train.main(arguments)
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    assert status in (0, None), status
    assert record.updates == UPDATES, f"{FIRST} to {LAST}: {record.updates} times"
    print(json.dumps({path: sorted(names) for path, names in record.functions.items()}))


if __name__ == "__main__":
    main()
