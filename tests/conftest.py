"""Warnings are errors (setup.cfg); random cases come from fixed seeds; no test reaches the network."""

from __future__ import annotations

import pytest

import tinytensor


@pytest.fixture(autouse=True)
def _seeded() -> None:
    tinytensor.manual_seed(0)
