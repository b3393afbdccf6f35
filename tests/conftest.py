"""Warnings are errors (setup.cfg); random cases come from fixed seeds (profiles.py); no test reaches the network."""

from __future__ import annotations

import profiles
import pytest

import tinytensor

profiles.load()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    tinytensor.manual_seed(0)
