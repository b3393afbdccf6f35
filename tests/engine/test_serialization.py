"""save and load: round trips, the file format, and files that are not what they should be."""

from __future__ import annotations

import copy
import dataclasses
import io
import math
import os
import sys
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import tinytensor as tt
from tinytensor import serialization

pytest.importorskip("safetensors")
from safetensors import numpy as safetensors_numpy


def same(a, b):
    """Equal, with the same types all the way down."""
    if isinstance(a, tt.Tensor):
        return isinstance(b, tt.Tensor) and a.dtype is b.dtype and a.shape == b.shape and tt.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items(), strict=True))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b or repr(a) == repr(b)  # nan, also in a complex number


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
    assert same(tt.load(buffer), obj)


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


class Twice(dict):
    """A dict of another class."""


CANNOT = [
    (lambda: tt.nn.Linear(1, 1), r"obj is a Linear, neither a Tensor nor a plain value; save its \.state_dict\(\)"),
    (lambda: {"a": [1, object()]}, r"obj\['a'\]\[1\] is a object, neither"),
    (lambda: {"model": Config(1, (tt.ones(1), object()))}, r"obj\['model'\]\.layer\[1\] is a object, neither"),
    (lambda: {(1, object()): 3}, r"a key of obj\[1\] is a object"),
    (lambda: [np.array(["text"])], r"obj\[0\] is an array of <U4, which a safetensors file cannot hold"),
    (lambda: np.ones(2, np.complex128), "obj is an array of complex128"),
    (lambda: {"x": Twice(a=1)}, r"obj\['x'\] is a Twice"),
    (lambda: Config, "obj is a type"),
    (lambda: (cycle := [1], cycle.append(cycle), cycle)[2], "obj contains itself"),
]


@pytest.mark.parametrize("make, message", CANNOT)
def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path, make, message):
    path = tmp_path / "f"
    tt.save({"old": 1}, path)
    with pytest.raises(TypeError, match=f"^save: {message}") as caught:
        tt.save(make(), path)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["f"] and tt.load(path) == {"old": 1}


# ------------------------------------------------------------------------------------ what is kept


@dataclasses.dataclass
class Config:
    """One that load may make once it is allowed."""

    width: int
    layer: object = None

    def __post_init__(self):
        assert self.width != 13, "load calls nothing"


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object = 0


def loaded(obj):
    buffer = io.BytesIO()
    tt.save(obj, buffer)
    buffer.seek(0)
    return tt.load(buffer)


def test_dataclasses_are_made_only_if_that_is_allowed(monkeypatch):
    monkeypatch.setattr(serialization, "_safe", {})
    config = Config(12, [Point(tt.ones(2), {"a": Point(1)})])
    config.width = 13
    with pytest.raises(RuntimeError, match=r"the file holds a .*Config, which .*add_safe_globals") as caught:
        loaded(config)
    assert "\n" not in str(caught.value)
    serialization.add_safe_globals([Config, Point])
    twin = loaded(config)
    assert type(twin) is Config and twin.width == 13 and twin.layer[0].x.tolist() == [1, 1]
    assert twin.layer[0].y == {"a": Point(1)}


def test_no_length_of_a_header_looks_like_another_format():
    """Its first byte takes every value that a length can have: they are multiples of 8."""
    first = set()
    for length in range(1, 400):
        obj = {"k" * length: tt.ones(2)}
        tt.save(obj, buffer := io.BytesIO())
        first.add(buffer.getvalue()[0])
        assert list(tt.load(io.BytesIO(buffer.getvalue()))) == list(obj)
        with pytest.raises(RuntimeError, match="not a complete safetensors file"):
            tt.load(io.BytesIO(buffer.getvalue()[:-1]))
    assert first == set(range(0, 256, 8))


SHARING = [
    lambda x: [x, x],
    lambda x: [x, x[1]],
    lambda x: [x[1:, 0], x.t()[::2], x.view(12)[5:7]],
    lambda x: {"a": x[0], "b": (x[1], x[:, 1])},
    lambda x: [x.detach(), x],
    lambda x: [x[:1].expand(1, 4), x],
]


@pytest.mark.parametrize("keep", [loaded, copy.deepcopy], ids=["save", "deepcopy"])
@pytest.mark.parametrize("make", SHARING)
def test_what_shares_memory_does_so_afterwards(keep, make):
    def flat(obj):
        if isinstance(obj, tt.Tensor):
            return [obj]
        return [t for part in (obj.values() if isinstance(obj, dict) else obj) for t in flat(part)]

    old = flat(make(tt.arange(12.0).view(3, 4)))
    new = flat(keep(make(tt.arange(12.0).view(3, 4))))
    for i in range(len(old)):
        for tensors in (old, new):
            tensors[i][..., 0] += 10 * (i + 1)
        assert [t.tolist() for t in new] == [t.tolist() for t in old]
    assert not any(np.shares_memory(a.array, b.array) for a in old for b in new)


IN_OTHER_MEMORY = [
    np.arange(8, dtype=np.float64).view(np.float32)[3:],
    np.frombuffer(bytearray(np.arange(6, dtype=np.float32).tobytes()), np.uint8).view(np.float32)[2:].reshape(2, 2),
    np.ones(3, [("a", "i4"), ("b", "f4")])["b"],
    np.arange(4, dtype=np.complex128).imag,
]


@pytest.mark.parametrize("keep", [loaded, copy.deepcopy], ids=["save", "deepcopy"])
@pytest.mark.parametrize("array", IN_OTHER_MEMORY, ids=["float64", "bytes", "structure", "complex"])
def test_memory_that_holds_another_dtype(keep, array):
    """Elements are counted in the dtype of the Tensor; and a write through a view reaches the gradient."""
    x = tt.from_numpy(array)
    for t in (x, x[1:], x[..., ::2], x.t()):
        assert keep(t).tolist() == t.tolist()
    a, b = keep([x, x[1:]])
    b.fill_(7.0)
    assert a[1:].tolist() == b.tolist()
    w = tt.ones(2, requires_grad=True)
    y = tt.from_numpy(array.copy())
    z = tt.from_numpy(array)
    z[0] = (w * 3).sum()
    y[0] = 6.0
    assert z.tolist() == y.tolist()
    z[:1].sum().backward()
    assert w.grad.tolist() == [3.0 * x[:1].numel()] * 2


def test_a_field_of_a_packed_structure_is_refused():
    """As in PyTorch: its elements do not lie a whole number of elements apart."""
    with pytest.raises(ValueError, match="not a multiple of the element byte size"):
        tt.from_numpy(np.zeros(3, [("a", "i1"), ("b", "f4")])["b"])


def test_a_small_view_of_a_large_memory_makes_a_small_file(tmp_path):
    """PyTorch writes the whole memory; of two views the part between them is written as well."""
    x = tt.zeros(1_000_000)
    tt.save(x[3:5], tmp_path / "one")
    tt.save([x[3:5], x[4:9]], tmp_path / "two")
    assert max(os.path.getsize(tmp_path / name) for name in ("one", "two")) < 1000


arrays = st.builds(
    lambda dtype, shape, order: np.arange(math.prod(shape)).reshape(shape).astype(dtype).copy(order=order),
    st.sampled_from(["?", "u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8"]),
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from("CF"),
)
numbers = st.integers() | st.floats() | st.booleans() | st.complex_numbers() | st.integers(2, 9).map(lambda n: n**9999)
keys = (
    st.text()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.none()
    | st.binary()
    | st.tuples(st.text(), st.booleans())
)
plain = st.none() | numbers | st.text() | st.binary() | st.just(tt.float16) | st.just(tt.device("cpu"))
tensors = st.sampled_from(["float32", "float64", "int64", "bool"]).map(
    lambda name: tt.ones(2, 1, dtype=getattr(tt, name))
)
values = st.recursive(
    plain | arrays | tensors | arrays.filter(np.size).map(lambda x: x.reshape(-1)[0]),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.dictionaries(keys, inner).map(OrderedDict)
        | st.sets(keys)
        | st.frozensets(keys)
    ),
    max_leaves=12,
)


@cases(150)
@given(values)
def test_any_nested_value_comes_back(obj):
    assert same(loaded(obj), obj)


CONTENT = io.BytesIO()
tt.save({"a": tt.rand(4), "b": [1, (tt.ones(2, 2), {2, 3})], "v": (w := tt.arange(9))[2:5], "w": w}, CONTENT)


places = st.integers(0, len(CONTENT.getvalue()) - 1)


@cases(300)
@given(st.lists(st.tuples(places, st.binary(min_size=1, max_size=9)), min_size=1, max_size=3), st.none() | places)
def test_altered_and_truncated_files_are_read_or_refused_in_one_line(changes, end):
    content = bytearray(CONTENT.getvalue())
    for at, new in changes:
        content[at : at + len(new)] = new
    said = ""
    try:
        tt.load(io.BytesIO(bytes(content[:end])))
    except RuntimeError as error:
        said = str(error)
    assert "\n" not in said
    assert end is None or said


@pytest.mark.parametrize("f", [1, None, [], object()])
def test_what_is_no_file_is_refused_in_words(f: object) -> None:
    with pytest.raises(AttributeError, match=r"save: expected a path, or a file with write\(\), not a "):
        tt.save({"a": 1}, f)
    with pytest.raises(AttributeError, match=r"load: expected a path, or a file with read\(\), not a "):
        tt.load(f)


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "f"
    tt.save({"a": tt.ones(2)}, path)
    for name in ("fsync", "replace"):

        def fail(*args):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="No space") as caught:
                tt.save({"a": tt.zeros(2)}, path)
        assert caught.value.filename == str(path)
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
