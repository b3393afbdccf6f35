"""Alters files of run folders, and asks for text, a loss, a diagnosis, and more training.

    python tests/hostile/altered.py --count 2000

Each command has to end with the right result, or with one line that says what is wrong and status 2. No traceback, no
hang, no large allocation, nothing written outside of the run folder. An alteration with checksums made again ("sealed")
and one in a folder of the first format, which had no checksum of metadata.json, may change the result.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import alone  # noqa: F401 first: no threads
import numpy as np
from safetensors.numpy import load as parse_arrays
from safetensors.numpy import save as format_arrays
from small_runs import GPT, MEMORY, Said, arrays_of, call, made

from gpt.run import checkpoint
from gpt.run.film import FILM, INDEX, name_of

KINDS = {
    "float32": GPT, "float16": [*GPT, "--dtype=float16"], "bigram": ["--model=bigram"], "recorded": [*GPT, "--record"],
    "tied": [*GPT, "--tied", "--no-bias", "--positions=learned"],
}  # fmt: skip
MOST_MEMORY = 400 << 20  # bytes that altered files may make a command take
SECONDS = 30  # after which a command hangs
# What takes the place of a value of a JSON file, as text: JSON has no nan, and Python reads it nevertheless.
NASTY = (
    "-1", "0", "1", "2", "0.5", "1e308", "1e999", "-1e999", "NaN", "Infinity", "-Infinity", "null", "true", '""', '"x"',
    '"cuda"', '"/dev/zero"', '"\\ud800"', '"\\u0000"', "[]", "{}", "[[[]]]", "9223372036854775808", "1" + "0" * 400,
    "1" + "0" * 5000, "100000000", "[" * 20_000 + "]" * 20_000, "[" + "2, " * 70 + "2]", '"' + "y" * 10_000 + '"',
)  # fmt: skip
BESIDE = (  # names that a run may have, or that it has for a moment
    "checkpoint.new", "checkpoint.old", "config.json.new", "sample.txt.new", ".lock", "best", "best/checkpoint.old", "loss.png",
    "profile.txt", "metrics.jsonl", "sample.txt", "failure.txt",
)  # fmt: skip
Alteration = Callable[[Path, "Bench"], str]


class Bench:
    """The runs to alter, what is right for each, and the folder outside that nobody may touch."""

    def __init__(self, place: Path, seed: int) -> None:
        self.place, self.random = place, random.Random(seed)
        self.outside = place / "outside"
        self.outside.mkdir()
        self.runs = {kind: made(place / kind, place / "text", "--steps=4", *line) for kind, line in KINDS.items()}
        self.other = made(place / "other", place / "text", "--steps=4", "--seed=1", *GPT, "--record")
        self.runs["first format"] = shutil.copytree(self.runs["float32"], place / "first format")
        path = self.runs["first format"] / "checkpoint/metadata.json"
        values = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in values.items() if k not in ("format", "checksum", "best", "pending")})
        )
        self.right = {kind: self.results(run) for kind, run in self.runs.items()}
        assert all(said.status == 0 for results in self.right.values() for said, _ in results.values()), self.right
        for name in ("canary", "canaries/weights.safetensors"):
            (self.outside / name).parent.mkdir(exist_ok=True)
            (self.outside / name).write_text("a file of somebody else\n")
        self.untouched = self.seen()

    def results(self, run: Path) -> dict[str, tuple[Said, dict[str, bytes]]]:
        """What the four commands say of a copy of the run, and its arrays after the last."""
        copy = self.place / "copy"
        remove(copy)
        shutil.copytree(run, copy, symlinks=True)
        return dict(self.commands(copy))

    def commands(self, run: Path) -> Iterator[tuple[str, tuple[Said, dict[str, bytes]]]]:
        yield "generate", (call("gpt.generate", [run, "--tokens=12", "--seed=1"]), {})
        yield "evaluate", (call("gpt.evaluate", [run, "--json"]), {})
        # It reports what metrics.jsonl says, which has no checksum: so what it says may change.
        yield "doctor", (call("gpt.doctor", [run, "--json"])._replace(out=""), {})
        said = call("gpt.train", ["--resume", run, "--steps=6", "--no-plot"])
        yield "resume", (said, arrays_of(run / "checkpoint") if said.status == 0 else {})

    def seen(self) -> list[tuple[str, int, str]]:
        """Everything that is in the folder outside."""
        return [
            (path.name, path.stat().st_mode, hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
            for path in sorted(self.outside.rglob("*"))
        ]


def remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        path.chmod(0o700)
        for folder in [each for each in path.rglob("*") if each.is_dir() and not each.is_symlink()]:
            folder.chmod(0o700)
        shutil.rmtree(path)


# ------------------------------------------------------------------------------------------------------ alterations


def some_file(run: Path, bench: Bench, *suffixes: str) -> Path:
    paths = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != ".lock"]
    return bench.random.choice([path for path in paths if not suffixes or path.suffix in suffixes])


def bytes_changed(run: Path, bench: Bench) -> str:
    """Flip bits, cut off, insert, overwrite."""
    path, pick = some_file(run, bench), bench.random
    content = bytearray(path.read_bytes())
    at = pick.randrange(len(content))
    how = pick.choice(["flip", "flips", "cut", "insert", "overwrite", "double", "empty"])
    if how in ("flip", "flips"):
        for _ in range(1 if how == "flip" else 20):
            content[pick.randrange(len(content))] ^= 1 << pick.randrange(8)
    elif how == "insert":
        content[at:at] = pick.randbytes(pick.choice([1, 8, 1000]))
    elif how == "overwrite":
        content[at : at + 16] = pick.choice([b"\0", b"\xff", b"9", b"["]) * len(content[at : at + 16])
    else:
        content = {"cut": content[:at], "double": content * 2, "empty": bytearray()}[how]
    path.write_bytes(content)
    return f"{how} in {path.relative_to(run)}"


def swapped(run: Path, bench: Bench) -> str:
    """Take a file of another run, or another file of this one."""
    path, pick = some_file(run, bench), bench.random
    source = pick.choice([bench.other / path.relative_to(run), some_file(run, bench)])
    shutil.copyfile(source, path) if source != path else path.unlink()
    return f"{path.relative_to(run)} from {source}"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def altered_json(text: str, bench: Bench) -> tuple[str, str]:
    """Delete a key, give one twice, or replace a value; return the text and what was done."""
    value, pick = json.loads(text), bench.random
    path = pick.choice([path for path in places(value) if path])
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    how = pick.choice(["delete", "twice", "replace", "replace", "replace"])
    if how == "delete" or not isinstance(holder, dict):
        del holder[path[-1]]
        return json.dumps(value), f"delete {path}"
    if how == "twice":
        holder["MARK"] = holder[path[-1]]
        return json.dumps(value).replace('"MARK"', json.dumps(path[-1])), f"twice {path}"
    new = pick.choice(NASTY)
    holder[path[-1]] = "MARK"
    return json.dumps(value).replace('"MARK"', new), f"{path} = {new[:40]}"


def json_changed(run: Path, bench: Bench) -> str:
    path = some_file(run, bench, ".json", ".jsonl")
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    at = bench.random.randrange(len(lines))
    lines[at], how = altered_json(lines[at], bench)
    sealed = path.name in ("metadata.json", INDEX) and bench.random.random() < 0.6
    path.write_text("\n".join(lines) + "\n")
    if sealed:
        seal(path)
    return f"{'sealed ' if sealed else ''}{how} in {path.relative_to(run)}"


def seal(metadata: Path) -> None:
    """Make the checksums of a checkpoint or a film again, where its metadata are still an object."""
    with contextlib.suppress(ValueError, RecursionError, TypeError, KeyError, OSError):
        values = json.loads(metadata.read_text())
        for moment in values["moments"] if metadata.name == INDEX else ():
            moment["sha256"] = hashlib.sha256((metadata.parent / name_of(moment["step"])).read_bytes()).hexdigest()
        for name in [each for each in checkpoint.FILES if (metadata.parent / each).exists()]:
            values["sha256"][name] = hashlib.sha256((metadata.parent / name).read_bytes()).hexdigest()
        if "format" in values or "checksum" in values:
            values = checkpoint.seal(values)
        metadata.write_text(json.dumps(values))


def header_changed(run: Path, bench: Bench) -> str:
    """Change the header of a safetensors file, mostly with its checksum made again."""
    path = some_file(run, bench, ".safetensors")
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    text, how = altered_json(content[8 : 8 + length].decode(), bench)
    if bench.random.random() < 0.15:
        length, text, how = (
            bench.random.choice([0, 2**63, 2**40, length - 1]),
            content[8 : 8 + length].decode(),
            "length",
        )
    else:
        length = len(text.encode())
    path.write_bytes(
        length.to_bytes(8, "little") + text.encode() + content[8 + int.from_bytes(content[:8], "little") :]
    )
    seal(path.parent / (INDEX if path.parent.name == FILM else "metadata.json"))
    return f"sealed header: {how} in {path.relative_to(run)}"


def numbers_changed(run: Path, bench: Bench) -> str:
    """Change a number, leave out an array, add one, or give one another type; with its checksum made again."""
    path, pick = some_file(run, bench, ".safetensors"), bench.random
    arrays = {name: array.copy() for name, array in parse_arrays(path.read_bytes()).items()}
    name = pick.choice(sorted(arrays))
    how = pick.choice(["number", "number", "number", "without", "more", "dtype", "shape"])
    if how == "number":
        value = pick.choice([np.nan, np.inf, -np.inf, -1.0, 1e30, 0.0])
        with np.errstate(over="ignore"):
            arrays[name].reshape(-1)[pick.randrange(arrays[name].size)] = value
        how = f"number {value}"
    elif how == "without":
        del arrays[name]
    elif how == "more":
        arrays["more.exp_avg"] = arrays[name]
    else:
        arrays[name] = arrays[name].astype(np.float64) if how == "dtype" else np.stack([arrays[name]] * 2)
    path.write_bytes(format_arrays(arrays))
    seal(path.parent / (INDEX if path.parent.name == FILM else "metadata.json"))
    return f"sealed array: {how} of {name} in {path.relative_to(run)}"


def special(run: Path, bench: Bench) -> str:
    """Put a link, a FIFO, a socket, a folder or a huge file in the place of something, or beside it."""
    pick = bench.random
    there = [path for path in sorted(run.rglob("*")) if path.exists()]
    beside = [run / name for name in BESIDE]
    path = pick.choice(there + [path for path in beside if path.parent.is_dir()])
    how = pick.choice(["link", "link to a folder", "link to its copy", "link to nothing", "link to itself", "link to a device",
                       "hard link", "FIFO", "socket", "folder", "huge", "missing", "permissions"])  # fmt: skip
    if how in ("huge", "permissions") and path.is_dir():
        how = "link to a folder"
    kept = bench.place / "kept"
    remove(kept)
    if how == "permissions":
        path.touch()
        path.chmod(0)
    elif how == "huge":
        with path.open("ab") as file:
            file.truncate(3 << 30)
    else:
        if path.exists():
            path.rename(kept)
        targets = {
            "link": bench.outside / "canary", "link to a folder": bench.outside / "canaries", "link to its copy": kept,
            "link to nothing": bench.outside / "nothing", "link to itself": path, "link to a device": Path("/dev/zero"),
        }  # fmt: skip
        if how in targets:
            path.symlink_to(targets[how])
        elif how == "hard link":
            os.link(bench.outside / "canary", path)
        elif how == "FIFO":
            os.mkfifo(path)
        elif how == "socket":
            with socket.socket(socket.AF_UNIX) as made_there:
                made_there.bind(os.path.relpath(path))
        elif how == "folder":
            path.mkdir()
    return f"{how} as {path.relative_to(run)}"


ALTERATIONS: tuple[Alteration, ...] = (
    bytes_changed,
    swapped,
    json_changed,
    json_changed,
    header_changed,
    numbers_changed,
    special,
)


# ------------------------------------------------------------------------------------------------------- the verdict


def hang(*_: object) -> None:
    raise AssertionError(f"it takes more than {SECONDS} seconds")


def complaint(
    said: Said, expected: tuple[Said, dict[str, bytes]], arrays: dict[str, bytes], free: bool, run: Path
) -> str:
    """What is wrong with the end of a command; "" if nothing is."""
    if "out of memory" in said.err or "Traceback" in said.err + said.out:
        return said.err
    if said.status == 2:
        return (
            ""
            if re.fullmatch(r"gpt\.\w+: .{10,}\n", said.err) and len(said.err) < 2000
            else f"not one line: {said.err!r}"
        )
    if said.status != 0 or not re.fullmatch(r"(gpt\.\w+: .{10,}\n)*", said.err):  # notes
        return f"status {said.status}: {said.err!r}"
    right, right_arrays = expected
    told = "note: " + str(run / "config.json") in said.out  # config.json was edited, which may change the rest
    if free or told or (arrays == right_arrays and (arrays or said.out == right.out)):
        return ""
    return f"another result: {said.out[:200]!r} for {right.out[:200]!r}"


def alter(bench: Bench, count: int) -> list[str]:
    """Make so many alterations; return the complaints. Prints how the commands ended."""
    complaints, ends = [], collections.Counter[str]()
    resource.setrlimit(resource.RLIMIT_AS, (used() + MOST_MEMORY, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, hang)
    for number in range(count):
        kind, alteration = bench.random.choice(sorted(bench.runs)), ALTERATIONS[number % len(ALTERATIONS)]
        run = bench.place / "copy"
        remove(run)
        shutil.copytree(bench.runs[kind], run)
        how = f"{number}: {kind}: {alteration(run, bench)}"
        # without the best weights the last are taken, and named
        free = "sealed" in how or kind == "first format" or how.endswith(("as best", "as best/checkpoint"))
        try:
            commands = bench.commands(run)
            signal.alarm(SECONDS)
            for name, (said, arrays) in commands:
                ends[f"{name} {'as it should be' if said.status == 0 else 'refused'}"] += 1
                wrong = complaint(said, bench.right[kind][name], arrays, free, run)
                complaints += [f"{how}: {name}: {wrong[:500]}"] if wrong else []
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            complaints.append(f"{how}: {''.join(traceback.format_exception(error, limit=-3))}")
        signal.alarm(0)
        if bench.seen() != bench.untouched:
            complaints.append(f"{how}: something outside of the run folder was changed")
            bench.untouched = bench.seen()
    print(f"{count} alterations: " + ", ".join(f"{name} {n}" for name, n in sorted(ends.items())))
    return complaints


def used() -> int:
    """The bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="alterations (default: 2000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=MEMORY) as name:
        os.chdir(name)  # a socket's name is short
        bench = Bench(Path(name), options.seed)
        complaints = alter(bench, options.count)
        remove(Path(name, "copy"))
    print("\n".join([*complaints, f"{len(complaints)} complaints"]))
    return int(bool(complaints))


if __name__ == "__main__":
    sys.exit(main())
