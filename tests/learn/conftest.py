"""The solutions of exercises are no tests of this project, though some are tests."""

from __future__ import annotations

collect_ignore = ["solutions"]
