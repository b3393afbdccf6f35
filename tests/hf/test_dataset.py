"""gpt.train --data hf:NAME through the package `datasets`: its streaming classes read local files under the name of a dataset."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gpt import evaluate, prepare, train
from gpt.corpora import cached, hub, job, manifest
from gpt.corpora.hub import Part
from gpt.run import checkpoint

pytestmark = pytest.mark.hf

datasets = pytest.importorskip("datasets", reason="pip install -e '.[hf-test]'")
huggingface_hub = pytest.importorskip("huggingface_hub")
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = [f"document {i} é 😀 {'word ' * (i % 50)}" for i in range(300)]
TINY = [
    "--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--steps=4", "--eval-every=2", "--threads=1",
    "--no-plot", "--decay=0", "--warmup=0", "--quiet",
]  # fmt: skip
CARD = """---
dataset_info:
  features:
  - name: text
    dtype: string
  splits:
  - name: train
    num_bytes: 5000000
    num_examples: 300
---
"""
PROGRAM = """
import sys
from types import SimpleNamespace
sys.path[:0] = [sys.argv[1], sys.argv[2]]
import test_dataset
from gpt.corpora import job
from gpt.train import main
test_dataset.publish(setattr, sys.argv[3])
job.SAVED_EVERY = 0
job.ENOUGH = 2000
sys.exit(main(sys.argv[4:]))
"""


def publish(patch, folder):
    """Make a local folder the dataset some/name of the Hub, at one commit."""
    for function in ("load_dataset", "load_dataset_builder"):
        patch(datasets, function, named(getattr(datasets, function), folder))
    info = SimpleNamespace(sha=COMMIT)
    patch(huggingface_hub.HfApi, "dataset_info", lambda self, name, revision=None: info)


def named(load, folder):
    """The function of `datasets`, which finds some/name in a folder."""

    def found(name, subset=None, revision=None, **others):
        assert (name, revision) == ("some/name", COMMIT)
        return load(str(folder), subset, **others)

    return found


@pytest.fixture(params=["jsonl", "parquet"])
def folder(request, tmp_path, monkeypatch):
    """Three files of a dataset."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cached.CACHE_VARIABLE, str(tmp_path / "cache"))
    found = tmp_path / "files"
    found.mkdir()
    for i in range(3):
        part = TEXTS[i * 100 : i * 100 + 100]
        if request.param == "parquet":
            parquet.write_table(pa.table({"text": part}), found / f"train-{i:05}-of-00003.parquet", row_group_size=30)
        else:
            lines = "".join(json.dumps({"text": text}) + "\n" for text in part)
            (found / f"train-{i:05}-of-00003.jsonl").write_text(lines)
    (found / "README.md").write_text(CARD)
    publish(monkeypatch.setattr, found)
    return found


def weights(run):
    return Path(run, "checkpoint/weights.safetensors").read_bytes()


def test_rows_are_those_of_the_files_from_any_number_on(folder):
    for first in (0, 1, 99, 100, 250, 300):
        assert list(hub.rows(f"hf:some/name@{COMMIT}", "text", Part(), first)) == list(enumerate(TEXTS))[first:]
    assert hub.resolved("hf:some/name", Part()) == COMMIT
    assert hub.size(f"hf:some/name@{COMMIT}", Part()) == 5_000_000


def test_a_run_on_a_dataset_is_that_on_its_files(folder, monkeypatch, capsys):
    line = [*TINY[:-1], "--data=hf:some/name", "--tokenizer=bpe:280"]
    assert train.main([*line, "--out=a"]) == 0
    assert (
        f"streaming hf:some/name@{COMMIT} (5 MiB with all its columns, read twice, the first time to learn bpe:280) into "
        in capsys.readouterr().err
    )
    Path("all.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert prepare.main(["all.jsonl", "--tokenizer=bpe:280", "--out=corpus", "--quiet"]) == 0
    assert train.main([*TINY, "--data=corpus", "--out=b"]) == 0
    assert weights("a") == weights("b")
    assert train.main([*line, "--steps=2", "--quiet", "--out=part"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "load_dataset", lambda *_, **__: 1 / 0)
        assert train.main(["--resume=part", "--steps=4", "--quiet", "--no-plot"]) == 0  # without the network
    shutil.rmtree("cache")
    assert evaluate.main(["part"]) == 0  # it is streamed again
    assert weights("part") == weights("a")
    assert checkpoint.read(Path("part")).config.data == f"hf:some/name@{COMMIT}"


def test_killed_at_any_moment_it_ends_in_the_same_bits(folder):
    line = [sys.executable, "-c", PROGRAM, ROOT, Path(__file__).parent, folder, *TINY, "--data=hf:some/name"]
    killed = 0
    for size in (0, 1, 4000, 9000):
        process = subprocess.Popen([*line, "--out=run"], stderr=subprocess.PIPE, text=True)
        while process.poll() is None and written() <= size:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT if size == 4000 else signal.SIGKILL)
        _, error = process.communicate()
        killed += process.returncode in (-signal.SIGKILL, 130)
        assert process.returncode != 130 or "the same command goes on from there" in error or "interrupted" in error
    assert killed >= 2
    assert subprocess.run([*line, "--out=run"]).returncode == 0
    os.rename("cache", "first")
    assert subprocess.run([*line, "--out=whole"]).returncode == 0
    assert weights("run") == weights("whole")
    [one], [two] = (list(Path(each).rglob(manifest.MANIFEST)) for each in ("first", "cache"))
    assert one.read_bytes() == two.read_bytes() and not job.begun(one.parent)


def written():
    return sum(path.stat().st_size for path in Path("cache").rglob("train-*.bin")) if Path("cache").exists() else 0
