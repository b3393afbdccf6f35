"""Ctrl-C at many moments of a program's life, from its first millisecond on: nothing but lines of its own is ever shown.

    python tests/programs/interrupts.py               # every program, at 50 moments up to 1 s
    python tests/programs/interrupts.py --moments 200 gpt.train

A program that runs ends with 130, or for the signal itself, which is 130 for a shell; a training run may end with its
steps saved. Before Python has found and read tinytensor/ctrl_c.py, it shows a traceback of its own: such ends are counted
apart.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tinytensor", "gpt", "benchmarks", "reference_torch")
TRAIN = "--data text --layers 1 --width 16 --heads 2 --context 16 --batch-size 4 --steps 30000 --eval-every 20"
PROGRAMS = {
    "gpt.train": f"{TRAIN} --quiet",
    "gpt.generate": "run --tokens 30000",
    "gpt.prepare": "long --tokenizer bpe:270 --quiet --out corpus",
    "gpt.evaluate": "run",
    "gpt.doctor": "run",
    "gpt.inspect": "run",
    "gpt.learn": "list",
    "gpt": "",
    "tinytensor.gradcheck": "",
    "benchmarks.overhead": "--engines tinytensor --repeats 1",
    "benchmarks.roofline": "",
    "reference_torch.train": f"{TRAIN} --quiet",
    "reference_torch.lockstep": "--data text --steps 30000 --quiet",
}


def command(program: str) -> list[str]:
    return [sys.executable, "-m", program, *PROGRAMS[program].split()]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def listen() -> None:
    """Let a new process take SIGINT, also where a shell started this one in the background: then it is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def prepare(folder: Path) -> None:
    """Make a text, and a run of one step."""
    (folder / "text").write_text("It was the best of times, it was the worst of times. " * 100)
    (folder / "long").write_text("It was the best of times, it was the worst of times. " * 1_200_000)
    line = [sys.executable, "-m", "gpt.train", *TRAIN.split(), "--steps=1", "--out=run", "--no-plot", "--quiet"]
    subprocess.run(line, cwd=folder, env=environment(), check=True)


def interrupted(program: str, folder: Path, seconds: float) -> tuple[str, str]:
    """Send SIGINT after so many seconds. Return how the program ended, and what it said on stderr."""
    with subprocess.Popen(
        command(program), cwd=folder, env=environment(), text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=listen,
    ) as process:  # fmt: skip
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate()
    lines = error.splitlines()
    files = [line for line in lines if line.startswith("  File")]
    own = [
        line for line in files if any(str(ROOT / package) in line for package in PACKAGES)
    ]  # .venv may be in ROOT too
    early = files and all("__init__.py" in line for line in own)
    if process.returncode in (130, -signal.SIGINT) and all(line.startswith(f"{program}: ") for line in lines):
        return "quiet", error
    if process.returncode == 0 and not error:
        return "over before", error
    return ("before the guard" if early else "wrong"), error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", choices=[[], *PROGRAMS], metavar="PROGRAM")
    parser.add_argument("--moments", type=int, default=50)
    given = parser.parse_args()
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for program in given.programs or PROGRAMS:
            ends: Counter[str] = Counter()
            for n in range(given.moments):
                how, error = interrupted(program, Path(name), 0.005 + n / given.moments)
                ends[how] += 1
                if how == "wrong":
                    print(f"{program} after {0.005 + n / given.moments:.3f} s:\n{error}")
            print(f"{program:<26}{', '.join(f'{count} {how}' for how, count in sorted(ends.items()))}", flush=True)
            worst = max(worst, ends["wrong"])
    return 1 if worst else 0


if __name__ == "__main__":
    sys.exit(main())
