"""Exercises at the command line: list them, start one, check what was written.

python -m gpt.learn list                 the exercises, and which of them are started and solved
python -m gpt.learn start mul            writes exercises/mul.py: what to write, the forward that is given, an empty backward
python -m gpt.learn check mul            executes that file, and says what is right or wrong
python -m gpt.learn check                checks all that were started
"""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from pathlib import Path
from typing import Any

from gpt.cli import Parser, command, fail, number, path, say, word
from gpt.config import SEED, Rule
from gpt.errors import UserError, reading
from gpt.learn import Report, check_text, exercise, exercises
from gpt.learn.folder import Folder
from gpt.learn.limits import check_apart, ending_after

DEFAULT_SECONDS = 20.0
SECONDS = Rule("a number of seconds above 0 and at most 86,400", lambda x: 0 < x <= 86_400)
LARGEST = 1_000_000  # bytes of a file
LIST = """List the exercises in the order of the chapters, with their kind, and what became of yours: not started,
started, solved, or changed since it was solved."""
START = "Write a file with what to write, what is given, and an empty function."
CHECK = "Execute what was written, and say what is right or wrong."
HOW = """A derivative is compared with difference quotients on numbers that are drawn anew, and with numbers that PyTorch
computed. A test is run on right code, and on mutants, which are right but for one mistake: it has to fail on each. The
exit status is 0 if all that was checked is right, 1 if not, 2 if the command line is
wrong or a file cannot be read; the other files are checked all the same."""


class CommandParser(Parser):
    """The parser of one command, as argparse makes it, with the errors of gpt.cli."""

    def __init__(self, prog: str, description: str, epilog: str | None = None, **_: object) -> None:
        super().__init__(prog.removeprefix("python -m "), description)
        self.epilog = epilog


@command("gpt.learn")
def main(argv: list[str]) -> int:
    parser = Parser("gpt.learn", "Exercises: write a derivative of the engine, or a test that notices mistakes.")
    parser.epilog = "Begin with: python -m gpt.learn list. Each command explains its flags with --help."
    commands = parser.add_subparsers(metavar="COMMAND", parser_class=CommandParser, dest="command")
    add_commands(commands)
    options, unknown = parser.parse_known_args(argv)
    if options.command is None:
        parser.print_help()
        return 2
    if unknown:  # told by the parser of the command, which knows the flags
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    folder = Folder(options.folder)
    return {"list": show, "start": start, "check": check}[options.command](folder, options)


def add_commands(commands: Any) -> None:
    """Add list, start and check with their flags."""
    listed = commands.add_parser(
        "list", help="the exercises, and which of them are started and solved", description=LIST
    )
    started = commands.add_parser("start", help="write the file of an exercise", description=START)
    started.add_argument("name", metavar="NAME", help="an exercise, as `list` names it")
    started.add_argument("--again", action="store_true", help="start again: the file that is there becomes NAME.1.py")
    checked = commands.add_parser("check", help="check a file, or all that were started", description=CHECK, epilog=HOW)
    checked.add_argument("name", metavar="NAME", nargs="?", help="an exercise (default: all that were started)")
    checked.add_argument("file", metavar="FILE", nargs="?",
                         help="the file (default: NAME.py in the folder); -: standard input")  # fmt: skip
    checked.add_argument("--seconds", type=number(float, SECONDS), default=DEFAULT_SECONDS, metavar="X",
                         help=f"stop an exercise that takes longer (default: {DEFAULT_SECONDS:g})")  # fmt: skip
    checked.add_argument("--seed", type=number(int, SEED), metavar="N",
                         help="draw the numbers from this seed (default: new ones each time)")  # fmt: skip
    checked.add_argument("--json", action="store_true",
                         help="print one JSON object for each exercise: name, passed, lines, seed")  # fmt: skip
    checked.add_argument("--in-process", action="store_true", help="execute the file in this process, not in one of its "
                         "own: sooner done, but a file that breaks the process ends the check")  # fmt: skip
    for each in (listed, started, checked):
        each.add_argument("--folder", type=path, default=Path("exercises"), metavar="FOLDER",
                          help="where your files are (default: exercises)")  # fmt: skip


def show(folder: Folder, options: argparse.Namespace) -> int:
    """Print the table."""
    rows = [(each.name, each.kind, each.chapter, folder.status(each.name), each.title) for each in exercises()]
    heads = ("exercise", "kind", "chapter", "status", "")
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads) - 1)]
    for row in (heads, *rows):
        print("  ".join([*(text.ljust(width) for text, width in zip(row, widths)), row[-1]]).rstrip())
    solved = sum(row[3] == "solved" for row in rows)
    print(f"\n{len(rows)} exercises, {solved} solved in {word(folder.path)}.", upcoming(folder))
    return 0


def upcoming(folder: Folder) -> str:
    """What one may do next."""
    statuses = {each.name: folder.status(each.name) for each in exercises()}
    for status, verb in (("started", "check"), ("changed", "check"), ("not started", "start")):
        names = [name for name, found in statuses.items() if found == status]
        if names:
            return f"Next: python -m gpt.learn {verb} {names[0]}{folder.flag()}"
    return "All are solved."


def start(folder: Folder, options: argparse.Namespace) -> int:
    """Write the file of an exercise."""
    chosen = exercise(options.name)
    kept = folder.start(chosen, options.again)
    if kept is not None:
        say(f"{word(kept)}: what you had written")
    say(f"{word(folder.file(chosen.name))}: {chosen.title}")
    say(f"Write {chosen.function} in it, then: python -m gpt.learn check {chosen.name}{folder.flag()}")
    return 0


def check(folder: Folder, options: argparse.Namespace) -> int:
    """Check one file, or all that were started. Return 0 if all are right, 1 if not, 2 if one cannot be read."""
    names = [exercise(options.name).name] if options.name else folder.started()
    if not names:
        raise UserError(
            f"no exercise is started in {word(folder.path)}; python -m gpt.learn start {exercises()[0].name}"
        )
    passed = unread = 0
    for name in names:
        try:
            text = read(folder, name, options.file)
        except UserError as error:
            if options.name:
                raise
            unread += 1  # the others are checked all the same
            fail("gpt.learn", str(error), 2)
            continue
        seed = secrets.randbelow(2**31) if options.seed is None else options.seed
        if options.in_process:
            with ending_after(options.seconds):
                report = check_text(name, text, seed)
        else:
            report = check_apart(name, text, seed, options.seconds)
        if report.passed and options.file is None:
            folder.solved(name, text)
        print_report(report, seed, options.json)
        passed += report.passed
    if len(names) > 1 and not options.json:
        say(f"{passed} of {len(names)} are right" + (f", and {unread} could not be read" if unread else ""))
    elif passed and options.file is None and not options.json:
        say(upcoming(folder))
    return 2 if unread else int(passed < len(names))


def print_report(report: Report, seed: int, as_json: bool) -> None:
    """Print what a check found."""
    if as_json:
        say(
            json.dumps(
                {"name": report.name, "passed": report.passed, "lines": report.lines, "seed": seed}, ensure_ascii=False
            )
        )
        return
    for line in report.lines:
        say(line)
    if not report.passed:
        say(f"  (--seed {seed} draws the same numbers again)")


def read(folder: Folder, name: str, file: str | None) -> str:
    """Return the text of a reader's file; UserError if it cannot be read, or is none that an exercise needs."""
    if file == "-":
        return sys.stdin.buffer.read().decode("utf-8-sig", "replace")
    where = folder.file(name) if file is None else path(file)
    missing = f"{word(where)} is not there; python -m gpt.learn start {name}{folder.flag()} writes it"
    with reading(word(where), missing=missing if file is None else f"{word(where)} is not there"):
        if where.exists() and not where.is_file():
            raise UserError(f"{word(where)} is no file")
        if where.stat().st_size > LARGEST:
            raise UserError(f"{word(where)} has {where.stat().st_size:,} bytes; an exercise needs at most {LARGEST:,}")
        content = where.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{word(where)}, line {line}: no UTF-8; save the file in this encoding") from None


if __name__ == "__main__":
    sys.exit(main())
