"""UTF-8 as text: in one go and in parts it is the same text, or the same error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

from gpt import utf8
from gpt.errors import UserError

RAW = st.one_of(
    st.binary(max_size=40),
    st.text("ab é\n\r😀\ufeff", max_size=40).map(str.encode),
    st.text("ab é\r\n", max_size=9).map(lambda text: text.encode("utf-16")),
)


def outcome(read):
    """The text, or the error."""
    try:
        return read()
    except UserError as error:
        return str(error)


def first_wrong(data):
    """The offset of the first byte that is no UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error.start
    return None


@cases(150)
@given(RAW, st.integers(1, 9))
def test_parts_are_what_the_whole_is(data, size):
    chunks = [data[i : i + size] for i in range(0, len(data), size)]
    whole = outcome(lambda: utf8.decoded(data, "name"))
    parts = outcome(lambda: "".join(utf8.decoded_parts(chunks, "name")))
    assert parts == whole or parts == whole + utf8.REPLACE
    wrong = first_wrong(data)
    if wrong is None:
        assert whole == data.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    else:
        assert whole.startswith(f"name is not UTF-8: byte 0x{data[wrong]:02x} at offset {wrong} ")
    replaced = data.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    assert "".join(utf8.decoded_parts(chunks, "name", replace=True)) == replaced


@cases(60)
@given(st.binary(max_size=20), st.integers(0, 10**6))
def test_a_value_is_at_its_place_in_the_file(data, offset):
    found = outcome(lambda: utf8.decoded_value(data, "name", offset))
    wrong = first_wrong(data)
    if wrong is None:
        assert found == data.decode()
    else:
        assert f"at offset {offset + wrong:,} (" in found and found.endswith(", or take --errors replace")
    assert utf8.decoded_value(data, "name", offset, replace=True) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1252"])
def test_the_advice_names_the_encoding_that_it_may_be(encoding):
    mark = "\ufeff" if encoding != "cp1252" else ""
    raw = (mark + "é\n" * 9).encode(encoding)
    advice = f"iconv -f {'WINDOWS-1252' if encoding == 'cp1252' else 'UTF-16'} -t UTF-8"
    for read in (lambda: utf8.decoded(raw, "name"), lambda: list(utf8.decoded_parts([raw[:1], raw[1:]], "name"))):
        with pytest.raises(UserError, match=advice):
            read()
