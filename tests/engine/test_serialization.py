"""save and load: round trips, the file format, and files that are not what they should be."""

from __future__ import annotations

import io
import math
import os
import sys
from collections import OrderedDict

import numpy as np
import pytest

import tinytensor as tt

pytest.importorskip("safetensors")
from safetensors import numpy as safetensors_numpy


def same(a, b):
    """Equal, with the same types all the way down."""
    if isinstance(a, tt.Tensor):
        return isinstance(b, tt.Tensor) and a.dtype is b.dtype and a.shape == b.shape and tt.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (a != a and b != b)


def nested():
    return {
        "model": {"wte.weight": tt.rand(3, 2), "h": [tt.arange(4), (tt.ones(()), tt.zeros(0, 2))]},
        "a.b": tt.ones(1),
        "a": {"b": tt.zeros(1)},
        3: -1,
        "3": None,
        "floats": (0.1, math.inf, -math.inf, math.nan, 1e-300, 2**80),
        "text": "ünï\n",
        "flags": [True, False, tt.tensor([True, False])],
        "half": tt.ones(2, dtype=tt.float16),
        "double": tt.rand(2, 2, dtype=tt.float64).T,
        "int32": tt.ones(2, dtype=tt.int32),
        "empty": [{}, [], ()],
    }


def test_round_trip(tmp_path):
    obj = nested()
    tt.save(obj, tmp_path / "file.st")
    assert same(tt.load(tmp_path / "file.st"), obj)
    assert same(tt.load(str(tmp_path / "file.st"), map_location="cpu"), obj)
    buffer = io.BytesIO()
    tt.save(obj, buffer)
    buffer.seek(0)
    assert same(tt.load(buffer, map_location=tt.device("cpu")), obj)
    assert os.listdir(tmp_path) == ["file.st"]


@pytest.mark.parametrize("obj", [tt.ones(2), [tt.zeros(2)], 3, "x", None, {}, OrderedDict(a=1)], ids=repr)
def test_single_values(obj):
    buffer = io.BytesIO()
    tt.save(obj, buffer)
    buffer.seek(0)
    expected = dict(obj) if isinstance(obj, OrderedDict) else obj
    assert same(tt.load(buffer), expected)


def test_loaded_tensors_are_free_and_writable(tmp_path):
    model = tt.nn.Linear(2, 2)
    tt.save({"weight": model.weight, "view": tt.arange(6)[::2]}, tmp_path / "f")
    loaded = tt.load(tmp_path / "f")
    assert not loaded["weight"].requires_grad and type(loaded["weight"]) is tt.Tensor
    loaded["weight"].zero_()
    assert loaded["view"].tolist() == [0, 2, 4] and model.weight.abs().sum() > 0


def test_a_state_dict_is_an_ordinary_safetensors_file(tmp_path):
    model = tt.nn.Sequential(tt.nn.Linear(2, 3), tt.nn.LayerNorm(3))
    tt.save(model.state_dict(), tmp_path / "model.safetensors")
    arrays = safetensors_numpy.load_file(tmp_path / "model.safetensors")
    assert {k: v.tolist() for k, v in arrays.items()} == {k: v.tolist() for k, v in model.state_dict().items()}
    safetensors_numpy.save_file(arrays, tmp_path / "foreign.safetensors")
    twin = tt.nn.Sequential(tt.nn.Linear(2, 3), tt.nn.LayerNorm(3))
    twin.load_state_dict(tt.load(tmp_path / "foreign.safetensors"))
    assert tt.equal(twin[0].weight, model[0].weight)


def test_optimizer_and_model_together(tmp_path):
    model = tt.nn.Linear(2, 2)
    opt = tt.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(2):
        model(tt.ones(1, 2)).sum().backward()
        opt.step()
    tt.save({"model": model.state_dict(), "optimizer": opt.state_dict(), "step": 2}, tmp_path / "c")
    twin = tt.nn.Linear(2, 2)
    again = tt.optim.AdamW(twin.parameters())
    saved = tt.load(tmp_path / "c")
    twin.load_state_dict(saved["model"])
    again.load_state_dict(saved["optimizer"])
    assert again.param_groups[0]["betas"] == (0.9, 0.999) and again.param_groups[0]["lr"] == 0.1
    for m, o in ((model, opt), (twin, again)):
        o.zero_grad()
        m(tt.ones(1, 2)).sum().backward()
        o.step()
    assert tt.equal(model.weight, twin.weight)


def test_weights_only_permits_what_is_never_there(tmp_path):
    tt.save({"a": tt.ones(2), "n": 3}, tmp_path / "f")
    for weights_only in (True, False):
        assert tt.load(tmp_path / "f", weights_only=weights_only)["n"] == 3


def test_what_cannot_be_saved_says_what_to_do(tmp_path):
    path = tmp_path / "f"
    with pytest.raises(TypeError, match=r"Linear is neither .*; save its \.state_dict\(\)"):
        tt.save(tt.nn.Linear(1, 1), path)
    with pytest.raises(TypeError, match=r"ndarray at 'a\.0' is neither"):
        tt.save({"a": [np.ones(1)]}, path)
    with pytest.raises(TypeError, match="keys of a dict are str or int"):
        tt.save({(1, 2): 3}, path)
    assert os.listdir(tmp_path) == []


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    tt.save({"a": tt.ones(2)}, path)
    for name in ("fsync", "replace"):

        def fail(*args):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="No space"):
                tt.save({"a": tt.zeros(2)}, path)
        assert os.listdir(tmp_path) == ["f"] and tt.load(path)["a"].tolist() == [1, 1]


def test_files_that_are_cut_off_or_something_else(tmp_path):
    path = tmp_path / "f"
    tt.save({"a": tt.rand(100), "b": [1, 2]}, path)
    whole = path.read_bytes()
    for n in (0, 4, 8, 30, len(whole) - 400, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(RuntimeError, match="not a complete safetensors file") as caught:
            tt.load(path)
        assert "\n" not in str(caught.value)
    path.write_bytes(b"hello" * 100)
    with pytest.raises(RuntimeError, match="not a complete safetensors file"):
        tt.load(path)
    with pytest.raises(FileNotFoundError):
        tt.load(tmp_path / "nothing")


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_are_refused(tmp_path, zipped):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "f.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(RuntimeError, match=r"is a PyTorch file.*convert it") as caught:
        tt.load(tmp_path / "f.pt")
    assert "\n" not in str(caught.value)


def test_without_safetensors(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        tt.save({}, tmp_path / "f")


@pytest.mark.parametrize("structure", ["{}", "no JSON", '{"tensor": "absent"}', '{"dict": [1]}', "[" * 100_000])
def test_metadata_that_is_not_ours_is_refused(tmp_path, structure):
    from safetensors.numpy import save_file

    save_file({"x": np.ones(2, np.float32)}, tmp_path / "x.st", {"tinytensor": structure})
    with pytest.raises(RuntimeError, match="did not write"):
        tt.load(tmp_path / "x.st")
