"""gpt.prepare as a process: killed at any moment it ends in the same bits, and neither it nor gpt.train loads the text."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpt import corpus
from gpt.corpora import job, manifest

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]
COPIES = 80  # of Python's documentation: 30 MB
SAVES_OFTEN = """
import sys
sys.path.insert(0, sys.argv[1])
from gpt.corpora import job
from gpt.prepare import main
job.SAVED_EVERY = 0.2
sys.exit(main(sys.argv[2:]))
"""
PEAK = """
import sys
sys.path.insert(0, sys.argv[1])
from gpt.prepare import main as prepare
from gpt.train import main as train
status = {"prepare": prepare, "train": train}[sys.argv[2]](sys.argv[3:])
with open("/proc/self/status") as file:  # of this program alone: ru_maxrss would include the memory of its parent
    print(status, next(line.split()[1] for line in file if line.startswith("VmHWM:")))
"""


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """Paragraphs in random order: a text of 30 MB, and a document for each copy."""
    folder = tmp_path_factory.mktemp("text")
    paragraphs = corpus.python_docs().split("\n\n")
    draw = random.Random(1)
    (folder / "parts").mkdir()
    with open(folder / "text.txt", "w") as file:
        for i in range(COPIES):
            draw.shuffle(paragraphs)
            copy = "\n\n".join(paragraphs) + "\n\n"
            file.write(copy)
            if i < 40:
                (folder / "parts" / f"{i}.txt").write_text(copy)
    return folder


def content(folder):
    names = sorted(set(os.listdir(folder)) - {manifest.VERIFIED})
    return {name: Path(folder, name).read_bytes() for name in names}


def peak(*arguments):
    """The most memory that a program had, in MiB, and what it printed."""
    done = subprocess.run([sys.executable, "-c", PEAK, ROOT, *arguments], capture_output=True, text=True)
    *lines, last = done.stdout.splitlines()
    assert last.split()[0] == "0", done.stderr
    return int(last.split()[1]) / 1024, "\n".join(lines)


@pytest.mark.parametrize("which", ["text.txt", "parts"])
def test_killed_at_any_moment_it_ends_in_the_same_bits(which, text, tmp_path):
    line = [
        sys.executable,
        "-c",
        SAVES_OFTEN,
        ROOT,
        text / which,
        "--tokenizer=bpe:400",
        "--sample=1",
        "--quiet",
        "--out",
    ]
    assert subprocess.run([*line, tmp_path / "whole"]).returncode == 0
    out, begun = tmp_path / "out", 0
    for megabytes in (0, 1, 2, 5, 9):
        process = subprocess.Popen([*line, out])
        while process.poll() is None and sum(path.stat().st_size for path in out.glob("*.bin")) <= megabytes * 1e6:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        begun += job.begun(out)
    assert begun >= 3
    assert subprocess.run([*line, out]).returncode == 0
    assert content(out) == content(tmp_path / "whole")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/status is of Linux")
def test_neither_preparing_nor_training_loads_the_text(text, tmp_path):
    for tokenizer in ("chars", "bytes"):
        most, _ = peak(
            "prepare", str(text / "text.txt"), f"--tokenizer={tokenizer}", "--quiet", f"--out={tmp_path / tokenizer}"
        )
        assert most < 100
    model = ["--layers=1", "--width=32", "--steps=300", "--eval-every=100", "--no-plot", "--threads=1", "--quiet"]
    short = text / "short.txt"
    with open(text / "text.txt") as file:
        short.write_text(file.read(1_300_000))  # as many tokens as the 5-gram takes of a text of any size
    least, _ = peak("train", *model, f"--data={short}", f"--out={tmp_path / 'short'}")
    most, _ = peak("train", *model, f"--data={tmp_path / 'bytes'}", f"--out={tmp_path / 'run'}")
    assert most < least + 40
