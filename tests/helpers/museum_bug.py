"""A plugin of pytest, -p museum_bug: switches the bug on that MUSEUM_BUG names, before any test imports the engine."""

from __future__ import annotations

import os

from gpt.museum import BUGS
from gpt.museum.hook import switch_on

if name := os.environ.get("MUSEUM_BUG"):
    switch_on(BUGS[name])
