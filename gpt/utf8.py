"""UTF-8 as text: without a byte-order mark, with LF as line ends, or an error that says where the first wrong byte is."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain

from gpt.errors import UserError

MARK = "\ufeff"
BYTE_ORDER_MARK = codecs.BOM_UTF8
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
REPLACE = ", or take --errors replace"  # what gpt.prepare advises beside


def decoded(raw: bytes, name: str) -> str:
    """Return the text of a file that is in memory. Raises UserError with the offset of the first byte that is no UTF-8."""
    mark = len(BYTE_ORDER_MARK) if raw.startswith(BYTE_ORDER_MARK) else 0
    try:
        text = raw[mark:].decode()
    except UnicodeDecodeError as error:
        raise not_utf8(name, error, mark, raw[:2]) from None
    return with_lf(text)


def decoded_parts(content: Iterable[bytes], name: str, replace: bool = False) -> Iterator[str]:
    """Yield the text of a file that comes in parts: together what `decoded` returns. `replace` takes U+FFFD for wrong bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace" if replace else "strict")
    chunks, at, held, is_first = iter(content), 0, "", True
    begin = next(chunks, b"")
    if len(begin) == 1:  # two bytes tell UTF-16
        begin += next(chunks, b"")

    def step(chunk: bytes, final: bool) -> str:
        pending = len(decoder.getstate()[0])
        try:
            return decoder.decode(chunk, final)
        except UnicodeDecodeError as error:
            raise not_utf8(name, error, at - pending, begin[:2], REPLACE) from None

    for chunk in chain([begin], chunks):
        text = held + step(chunk, False)
        at += len(chunk)
        if is_first and text:
            text, is_first = text.removeprefix(MARK), False
        held = "\r" if text.endswith("\r") else ""  # the LF may be in the next chunk
        if text := with_lf(text[: len(text) - len(held)]):
            yield text
    if text := held + step(b"", True):
        yield text


def decoded_value(raw: bytes, name: str, offset: int = 0, replace: bool = False) -> str:
    """Return the text of a part of a file, as it is; `offset` is where it begins there."""
    try:
        return raw.decode("utf-8", "replace" if replace else "strict")
    except UnicodeDecodeError as error:
        raise not_utf8(name, error, offset, b"", REPLACE) from None


def with_lf(text: str) -> str:
    """Return the text with line ends of Windows turned into LF. To look for one is much faster than to replace none."""
    return text.replace("\r\n", "\n") if "\r" in text else text


def not_utf8(name: str, error: UnicodeDecodeError, offset: int, begin: bytes, more: str = "") -> UserError:
    """Say which byte it is; the bytes that `error` is about begin at `offset`, and the file with `begin`."""
    encoding = "UTF-16" if begin in UTF16 else "WINDOWS-1252"
    return UserError(
        f"{name} is not UTF-8: byte 0x{error.object[error.start]:02x} at offset {offset + error.start:,} ({error.reason}); "
        f"convert it first, for example with iconv -f {encoding} -t UTF-8{more}"
    )
