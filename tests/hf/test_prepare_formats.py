"""gpt.prepare reads zstandard, parquet and datasets of Hugging Face: the same documents give the same corpus."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gpt import prepare
from gpt.corpora import documents, hub
from gpt.corpora.documents import How
from gpt.corpora.sources import Source

pytestmark = pytest.mark.hf

pa = pytest.importorskip("pyarrow", reason="pip install -e '.[hf-test]'")
parquet = pytest.importorskip("pyarrow.parquet")
zstandard = pytest.importorskip("zstandard")
pytest.importorskip("datasets")

TEXTS = [f"document {i} é 😀 {'word ' * (i % 50)}" for i in range(300)]
LINES = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS).encode()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(LINES)


def checksum(given, *flags):
    out = f"out-{len(os.listdir())}"
    assert prepare.main([given, *flags, "--tokenizer=bytes", "--quiet", f"--out={out}"]) == 0
    return json.loads(Path(out, "corpus.json").read_text())["checksum"]


def refused(capsys, given, *flags):
    assert prepare.main([given, *flags, "--quiet", "--out=refused"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not Path("refused").exists()
    return error


def dataset():
    os.mkdir("folder")
    Path("folder/train.jsonl").write_bytes(LINES)
    return "hf:folder"


def test_all_formats_give_the_same_corpus():
    pack = zstandard.ZstdCompressor().compress
    Path("b.jsonl.zst").write_bytes(pack(LINES[:5000]) + pack(LINES[5000:]))  # two frames
    parquet.write_table(pa.table({"n": range(300), "text": TEXTS}), "c.parquet", row_group_size=70)
    parquet.write_table(pa.table({"body": pa.array(TEXTS, pa.large_string())}), "d.parquet", compression="gzip")
    first = checksum("a.jsonl")
    assert checksum("b.jsonl.zst") == checksum("c.parquet") == checksum("d.parquet", "--field=body") == first
    assert checksum(dataset()) == first


@pytest.mark.parametrize("first", [0, 1, 69, 70, 71, 299, 300])
def test_going_on_skips_the_documents_before(first):
    parquet.write_table(pa.table({"text": TEXTS}), "c.parquet", row_group_size=70)
    Path("a.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(LINES))
    for name in ("a.jsonl", "a.jsonl.zst", "c.parquet"):
        found = os.stat(name)
        source = Source(name, found.st_size, found.st_mtime_ns)
        rest = [(i, "".join(each.texts())) for i, each in documents.documents(source, How(), first=first)]
        assert rest == list(enumerate(TEXTS))[first:]
    assert list(hub.rows(dataset(), "text", hub.Part(), first)) == list(enumerate(TEXTS))[first:]


def test_a_small_file_may_hold_much():
    """A quarter of a gigabyte of zeros in some kilobytes is unpacked piece by piece."""
    Path("zeros.zst").write_bytes(zstandard.ZstdCompressor().compress(bytes(1 << 28)))
    found = os.stat("zeros.zst")
    with documents.opened(Source("zeros.zst", found.st_size, found.st_mtime_ns)) as file:
        sizes = [len(part) for part in documents.unzstd(file, "zeros.zst", id)]
    assert sum(sizes) == 1 << 28
    assert max(sizes) <= 1 << 27


def test_what_is_refused(capsys):
    Path("cut.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(LINES)[:-50])
    assert "cut.jsonl.zst is cut off: its last zstandard frame has no end" in refused(capsys, "cut.jsonl.zst")
    Path("false.zst").write_bytes(b"no zstandard")
    assert "false.zst is no zstandard" in refused(capsys, "false.zst")
    parquet.write_table(pa.table({"text": ["a", None], "n": [1, 2]}), "null.parquet")
    assert "null.parquet, row 2: 'text' is null, not a text" in refused(capsys, "null.parquet")
    assert "has no column 'x': it has 'text', 'n'" in refused(capsys, "null.parquet", "--field=x")
    assert "the column 'n' has int64, not text" in refused(capsys, "null.parquet", "--field=n")
    Path("false.parquet").write_bytes(b"PAR1 no parquet PAR1")
    assert "false.parquet is cut off or no parquet" in refused(capsys, "false.parquet")
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())})
    parquet.write_table(table, "bytes.parquet")
    assert "bytes.parquet, row 1 is not UTF-8: byte 0xff at offset 0" in refused(capsys, "bytes.parquet")
    name = dataset()
    assert "folder has no field 'x': it has 'text'" in refused(capsys, name, "--field=x")
    assert "folder cannot be read" in refused(capsys, name, "--split=none")
    assert "one dataset at most" in refused(capsys, name, name)
