"""Folders of the cache that are made once, by whichever process is first; one beside it never sees half of one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def made(folder: Path, make: Callable[[Path], None]) -> Path:
    """The folder; where there is none yet, `make` has filled it."""
    if not folder.exists():
        half = folder.with_suffix(f".{os.getpid()}")
        half.mkdir()
        make(half)
        try:
            half.rename(folder)
        except OSError:  # another process was faster
            shutil.rmtree(half)
    return folder
