"""That an operation has the forms that it has in PyTorch under all names that PyTorch's database knows for it."""

from __future__ import annotations

import importlib

import pytest
from forms import ABSENT, absent, own_names
from test_databases import pytestmark as pytestmark  # runs, or is skipped, as they are


@pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own database
def test_an_operation_has_the_forms_that_it_has_in_pytorch() -> None:
    ours, names = own_names(), set()
    for op in importlib.import_module("ops").DATABASE:
        known = {n.rpartition(".")[2] for n in (op.name, *(alias.name for alias in op.aliases))}
        if ours & known and op.name.count(".") == op.name.count("nn.functional.") * 2:
            names |= known
    assert len(names) > 200
    assert absent(names) <= set(ABSENT)
