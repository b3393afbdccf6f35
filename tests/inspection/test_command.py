"""python -m gpt.inspect: what is taken where a flag is left out, what is said, what is refused."""

from __future__ import annotations

import json
import re
import shutil
import webbrowser
from pathlib import Path

import numpy as np
import pytest
from test_write import parsed

from gpt.build import build
from gpt.config import TrainConfig
from gpt.inspect import main
from gpt.inspection import stored, subject, write
from gpt.inspection.collect import collect
from gpt.inspection.pack import unpacked
from gpt.inspection.subject import text_ids
from gpt.tokenizers import ByteTokenizer, CharTokenizer
from gpt.train import main as train

pytestmark = pytest.mark.programs
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--threads=1",
    "--steps=2", "--eval-every=2", "--no-plot", "--quiet",
]  # fmt: skip
LINE = "a stitch in time saves nine, they said again.\n"
TEXT = LINE * 40


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("inspect"))


def trained(folder: Path, *flags: str, text: str = TEXT) -> Path:
    (folder / "text").write_text(text, encoding="utf-8")
    assert train([*TINY, *flags, "--data", str(folder / "text"), "--out", str(folder / "run")]) == 0
    return folder / "run"


def page(path: Path) -> dict:
    found = parsed(path.read_text("utf-8")).text
    data = json.loads(found["data"])
    arrays = unpacked(found["bytes"].strip(), data["arrays"], data["scales"])
    return data | json.loads(arrays["json"].tobytes()) | {"unpacked": arrays}


def text_of(data: dict) -> str:
    return "".join(token["text"] for token in data["tokens"])


def test_without_flags_it_shows_a_line_of_the_validation_text(run, capsys):
    assert main([str(run)]) == 0
    data = page(run / "inspect.html")
    assert text_of(data) == LINE[:16] and data["run"]["text"] == {"shown": 16, "of": len(LINE) - 1}
    assert re.fullmatch(
        r".*inspect\.html: 0\.\d\d MB, 16 tokens, the best weights, of step 2, .*\n", capsys.readouterr().out
    )
    assert data["baselines"]["bigram"][0] < data["baselines"]["uniform"][0] and data["run"]["step"] == 2


def test_texts_may_be_longer_than_the_context(run, tmp_path, capsys):
    long = "nine times nine again and again"
    assert main([str(run), "--text", long, "--patch", long * 2, "--out", str(tmp_path / "p.html")]) == 0
    said = capsys.readouterr().err
    assert "the text has 31 tokens; the page shows the first 16, the model's context" in said
    assert "the text of --patch has 62 tokens; the page shows the first 16" in said
    data = page(tmp_path / "p.html")
    assert text_of(data) == long[:16] and len(data["patch"]["tokens"]) == 16 and len(data["notes"]) == 2


def test_a_page_has_a_largest_number_of_tokens(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(subject, "LONGEST", 5)
    assert main([str(run), "--text", LINE[:-1], "--out", str(tmp_path / "p.html")]) == 0
    assert "has 45 tokens; the page shows the first 5, as many as a page has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--text", ""], "--text '' is empty; give at least 2"),
        (["--text", "a"], "--text 'a' is one token; give at least 2"),
        (["--text", "as<b>"], "--text has the characters '<', '>', 'b' (the first at offset 2)"),
        (["--text", "a\udcff"], "--text has the character '\\udcff' at offset 1"),
        (["--text", "nine", "--patch", "Z"], "--patch has the character 'Z' at offset 0"),
        (["--text", "nine", "--data", "/nonexistent/text"], "cannot read /nonexistent/text: No such file"),
        (["--text", "nine", "--tokenizer", "bytes"], "has its own; leave the flag out"),
        (["--out", ""], "--out: it must be a path, not an empty text"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode() if isinstance(value, list) else "",
)  # fmt: skip
def test_what_is_refused(run, flags, message, capsys):
    assert main([str(run), *flags]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


def test_a_corpus_that_is_gone_or_changed_is_said(tmp_path, capsys):
    run = trained(tmp_path)
    (tmp_path / "text").write_text(TEXT + "more")
    assert main([str(run), "--text", "nine"]) == 0
    assert "no baselines:" in (said := capsys.readouterr().err) and "has changed since" in said
    assert page(run / "inspect.html")["baselines"] is None
    (tmp_path / "text").unlink()
    assert main([str(run), "--text", "nine"]) == 0
    assert "no baselines: cannot read" in (said := capsys.readouterr().err) and "shakespeare" not in said
    assert said.count("--data PATH") == 1
    assert main([str(run)]) == 2
    said = capsys.readouterr().err
    assert "there is no text to take a line of: cannot read" in said
    assert said.endswith("No such file or directory; --data PATH names its text, or give --text TEXT\n")
    (tmp_path / "other").write_text(TEXT)
    assert main([str(run), "--text", "nine", "--data", str(tmp_path / "other")]) == 0
    assert page(run / "inspect.html")["baselines"]


def test_text_that_the_model_cannot_read_leaves_no_baselines(run, tmp_path, capsys):
    (tmp_path / "other").write_text("Ü" * 100)
    assert main([str(run), "--text", "nine", "--data", str(tmp_path / "other"), "--out", str(tmp_path / "p.html")]) == 0
    assert "no baselines: " in capsys.readouterr().err


def test_of_a_long_corpus_the_beginning_is_counted(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(subject, "COUNTED", 100)
    assert main([str(run), "--text", "nine", "--out", str(tmp_path / "p.html")]) == 0
    assert "the baselines count the first 100 characters of" in capsys.readouterr().err
    count = TEXT[:100].count("i")
    V = page(tmp_path / "p.html")["run"]["config"]["vocab_size"]
    assert page(tmp_path / "p.html")["baselines"]["unigram"][0] == pytest.approx(-np.log((count + 1) / (100 + V)))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_precisions_are_computed_in_float32(tmp_path, dtype, capsys):
    run = trained(tmp_path, f"--dtype={dtype}")
    assert main([str(run)]) == 0
    assert f"the model was trained in {dtype}; the page computes in float32" in capsys.readouterr().err
    data = page(run / "inspect.html")
    assert data["run"]["dtype"] == dtype and data["unpacked"]["g:embedding.output"].any()


def test_bytes_and_pieces_of_text(tmp_path):
    """Every byte of a character is a token: what is not UTF-8 on its own is written as an escape."""
    run = trained(tmp_path, "--tokenizer=bytes")
    hostile = "é</script>\u202e\U0001f469"
    assert main([str(run), "--text", hostile]) == 0
    tokens = [token["text"] for token in page(run / "inspect.html")["tokens"]]
    assert tokens[:3] == ["\\xc3", "\\xa9", "<"] and len(tokens) == 16


def test_a_prepared_corpus(tmp_path):
    from gpt.prepare import main as prepare

    (tmp_path / "text").write_text(TEXT * 20)
    assert prepare([str(tmp_path / "text"), "--out", str(tmp_path / "corpus"), "--tokenizer=bytes"]) == 0
    out = tmp_path / "run"
    assert train([*TINY, "--tokenizer=bytes", "--data", str(tmp_path / "corpus"), "--out", str(out)]) == 0
    assert main([str(out)]) == 0
    data = page(out / "inspect.html")
    assert len(data["tokens"]) == 16 and data["baselines"]["bigram"][0] > 0 and text_of(data) in TEXT * 20


def test_a_model_of_hugging_face(run, tmp_path, capsys, monkeypatch):
    from gpt.export import main as export

    assert export([str(run), str(tmp_path / "folder")]) == 0
    monkeypatch.chdir(tmp_path)
    name = f"hf:{tmp_path / 'folder'}"
    assert main([name]) == 2
    assert "there is no text to take a line of" in capsys.readouterr().err
    assert main([name, "--text", "nine"]) == 0
    assert "does not say on which text it was trained; --data PATH names one" in capsys.readouterr().err
    theirs = page(tmp_path / "inspect.html")
    assert main([str(run), "--text", "nine"]) == 0
    assert theirs["loss"] == page(run / "inspect.html")["loss"] and theirs["run"]["step"] is None


def test_open_shows_the_page(run, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or len(opened) == 1)
    for _ in range(2):
        assert main([str(run), "--text", "nine", "--open"]) == 0
    assert opened == [(run / "inspect.html").resolve().as_uri()] * 2
    assert capsys.readouterr().err.count("--open: there is no browser here") == 1


def test_a_run_folder_without_a_checkpoint(tmp_path, run, capsys):
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoint", "best", "*.html"))
    assert main([str(tmp_path / "run")]) == 2 and not (tmp_path / "run" / "inspect.html").exists()
    assert "is not a run folder" in capsys.readouterr().err


def random_model(**options):
    """A model and a text of 64 characters, as large as the default one; its weights compress less than trained ones."""
    random = np.random.default_rng(0)
    config = TrainConfig(**options)
    model = build(config).eval()
    for p in model.parameters():
        p.data.normal_(std=0.3)
    tokenizer = CharTokenizer("".join(map(chr, range(59, 59 + 65))))
    ids = random.integers(0, 65, 64)
    return subject.Subject(
        "run", "", model, config, tokenizer, ids, 64, patch=ids[::-1], train=random.integers(0, 65, 9999)
    )


@pytest.mark.page
def test_the_page_of_the_default_model_is_below_3_mb():
    data, arrays = collect(random_model())
    assert len(write.page(data, arrays).encode()) < 3e6 and data["lens"] is None


def test_a_model_of_twenty_megabytes_keeps_its_weights_and_a_larger_one_does_not():
    assert not stored.is_large(random_model(width=256, layers=6).model)
    assert stored.is_large(random_model(width=256, layers=7).model)


def test_line_ends_of_windows_are_those_of_training():
    tokenizer = ByteTokenizer()
    assert text_ids(tokenizer, "a\r\nb", "--text").tolist() == tokenizer.encode("a\nb").tolist()
