"""The numbers that are recorded are PyTorch's: recorded again, they are the same."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from gpt.learn import exercises
from gpt.learn.recorded import FILE, rows

pytest.importorskip("torch")


def test_installed_pytorch_says_the_same() -> None:
    import record

    found = json.loads(record.text())
    kept = json.loads(FILE.read_text("utf-8"))
    assert list(found) == list(kept)
    count = 0
    for name, calls in kept.items():
        assert len(calls) == len(found[name])
        for old, new in zip(calls, found[name]):
            assert (old["inputs"], old["static"], old["result"]) == (new["inputs"], new["static"], new["result"])
            for key, packed in old["gradients"].items():
                a, b = np.array(packed["data"]), np.array(new["gradients"][key]["data"])
                assert packed["shape"] == new["gradients"][key]["shape"]
                assert np.abs(a - b).max(initial=0) <= 1e-13 * np.abs(b).max(
                    initial=0.1
                )  # versions may round differently
                count += a.size
    assert count > 1000


def test_every_derivative_is_recorded_with_edges() -> None:
    names = {each.name for each in exercises() if each.kind == "derivative"}
    assert set(json.loads(FILE.read_text("utf-8"))) == names
    for name in names - {"tape"}:
        inputs = [x for row in rows(name) for x in row["inputs"].values()]
        assert any(x.size == 0 for x in inputs) or name in ("embedding", "cross_entropy"), name
    assert any((row["inputs"]["x"] == 0).any() for row in rows("relu"))
    assert any((row["static"]["target"] < 0).any() for row in rows("cross_entropy"))
    assert any(row["static"]["ids"].size == 0 for row in rows("embedding"))
    assert any(
        len(set(ids.tolist())) < ids.size for row in rows("embedding") for ids in [row["static"]["ids"].reshape(-1)]
    )
    assert FILE.stat().st_size < 100_000


def test_arrays_are_new_each_time() -> None:
    """A reader's file may change them, and the next check in this process must not see that."""
    rows("mul")[0]["inputs"]["a"][:] = 0
    assert rows("mul")[0]["inputs"]["a"].any()
