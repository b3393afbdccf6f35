"""Runs that were spoilt on purpose get their diagnosis and no other; healthy ones get none (spoilt.py has them all)."""

from __future__ import annotations

import pytest
import spoilt

from gpt.diagnosis.check import findings

pytestmark = pytest.mark.programs


@pytest.mark.parametrize("name", spoilt.CASES)
def test_a_run_gets_its_diagnosis_and_no_other(name, tmp_path):
    case = spoilt.CASES[name]
    found = findings(spoilt.examined(case, spoilt.made(case, tmp_path / "case")))
    assert [check.name for check in found] == [case.expected] * bool(case.expected)
