"""Arrays of a page: what is packed comes back, whatever it is, and no character of it means anything in HTML."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from profiles import cases

from gpt.inspection.gradients import even, expanded
from gpt.inspection.pack import Packer, View, unpacked

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
NUMBERS = st.sampled_from(["f4", "i4", "u1"]).flatmap(
    lambda dtype: arrays.arrays(dtype, SHAPES).map(lambda x: (dtype, x))
)


@cases(100)
@given(st.lists(NUMBERS, max_size=4))
def test_numbers_come_back_bit_for_bit(given):
    packer = Packer()
    for i, (dtype, x) in enumerate(given):
        packer.add(f"array {i}", x, dtype)
    text = packer.text()
    found = unpacked(text, packer.index, packer.scales)
    assert list(found) == [f"array {i}" for i in range(len(given))]
    for (_, x), y in zip(given, found.values()):
        assert y.shape == x.shape and y.dtype == x.dtype and y.tobytes() == x.tobytes()
    assert text.isascii() and not set(text) & set("<>&\"'\\/ \n")


@cases(100)
@given(
    arrays.arrays("f4", SHAPES, elements=st.floats(-(2.0**90), 2.0**90, width=32)), st.sampled_from([1e-30, 1.0, 1e8])
)
def test_a_scaled_number_loses_its_last_digits_alone(x, factor):
    x = np.asarray(x * np.float32(factor))
    packer = Packer()
    packer.add_scaled("x", x)
    y = unpacked(packer.text(), packer.index, packer.scales)["x"]
    largest = np.abs(x).max(initial=0.0).astype(np.float64)
    assert (np.abs(y - x) <= 2.0**-11 * np.abs(x, dtype=np.float64) + 2.0**-25 * largest).all()


def test_the_bytes_are_where_the_page_looks_for_them():
    """As page/data.js reads it: byte k of number i at offset + k·count + i; other characters for <, > and &."""
    packer = Packer()
    packer.add("first", np.array([7], np.uint8), "u1")
    packer.add_scaled("half", np.array([-4.0, 1.0]))
    packer.add("x", np.array([[1.5, -2.0, 3.25]], np.float32), "f4")
    text = packer.text()
    plain = base64.b85decode(text.replace(",", "<").replace(".", ">").replace(":", "&"))
    content = zlib.decompress(plain, -15)
    index = packer.index["x"]
    assert index == {"shape": [1, 3], "dtype": "f4", "offset": 5} and len(content) == 17
    numbers = [bytes(content[5 + k * 3 + i] for k in range(4)) for i in range(3)]
    assert np.frombuffer(b"".join(numbers), "<f4").tolist() == [1.5, -2.0, 3.25]
    halves = [bytes(content[1 + k * 2 + i] for k in range(2)) for i in range(2)]
    assert np.frombuffer(b"".join(halves), "<f2").tolist() == [-1.0, 0.25] and packer.scales == {"half": 4.0}


def test_a_name_is_taken_once():
    packer = Packer()
    packer.add("x", np.zeros(2), "f4")
    with pytest.raises(ValueError, match="'x' is there already"):
        packer.add("x", np.zeros(2), "f4")


@cases(100)
@given(st.data())
def test_a_view_has_the_numbers_of_its_places(data):
    """Transposed, cut and put together again, as attention does with heads."""
    T, H, D = (data.draw(st.integers(1, 4)) for _ in range(3))
    x = np.arange(T * H * D).reshape(T, H, D)
    places = x.transpose(data.draw(st.permutations(range(3))))
    if data.draw(st.booleans()):
        places = places.reshape(places.shape[0], -1)
    view = even(places)
    assert view is not None and np.array_equal(expanded(view).reshape(places.shape), places)
    packer = Packer()
    packer.add_scaled("base", np.arange(T * H * D, dtype=np.float32))
    packer.add_view("moved", "base", view, places.shape, packer.scales["base"])
    found = unpacked(packer.text(), packer.index, packer.scales)
    assert np.allclose(found["moved"], places, rtol=1e-3) and found["moved"].shape == places.shape


def test_uneven_places_are_no_view():
    assert even(np.array([0, 1, 3])) is None and even(np.array([[0, 1], [2, 4]])) is None
    assert even(np.array([4, 2, 0])) == View((3,), (-2,), 4) and even(np.array(5)) == View((), (), 5)
