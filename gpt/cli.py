"""What the commands share: flags made from the configuration, and errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import functools
import os
import re
import shlex
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from gpt.config import DEVICES, HUB, RECIPES, TYPES, Rule, TrainConfig, check, flag
from gpt.errors import Stopped, UserError
from tinytensor import devices
from tinytensor.cuda import OutOfMemoryError
from tinytensor.cuda.nccl import take_device
from tinytensor.distributed.ranks import STARTED, known
from tinytensor.terminal import fail, program, say, silence

__all__ = ["fail", "say", "silence"]

Made = TypeVar("Made")
MISSING = "the following arguments are required: "  # argparse's words
NO_THREAD = "can't start new thread"  # Python's words, also where the memory for its stack is missing
# The fields of the configuration that may change when a run goes on.
RESUMABLE = ("steps", "eval_every", "patience", "device", "cuda_graph", "tf32", "threads")


def command(name: str, ranks: bool = False) -> Callable[[Callable[[list[str]], int]], Callable[..., int]]:
    """Make main(argv) a program (tinytensor/terminal.py) that says in one line what a user can put right, with status 2.

    With `ranks` mpiexec may start it several times: gpt/ranks/failing.py then says errors once for all processes.
    """

    def decorate(body: Callable[[list[str]], int]) -> Callable[..., int]:
        @program(name)
        @functools.wraps(body)
        def main(argv: list[str]) -> int:
            try:
                if ranks and any(os.environ.get(variable) for variable in STARTED):
                    from gpt.ranks.failing import together  # imports mpi4py

                    return together(name, body, argv, told)
                return body(argv)
            except Exception as error:
                line = told(error)
                if line is None:
                    raise
                return fail(name, *line)

        return main

    return decorate


def told(error: BaseException) -> tuple[str, int] | None:
    """Return the line and the exit status for an error that a user can put right, or for a request to stop; else None."""
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, Stopped):
        return str(error), 128 + error.number
    if isinstance(error, (MemoryError, OutOfMemoryError)):
        return f"out of memory; lower --batch-size, --context, --width or --layers. {error}", 2
    if isinstance(error, RuntimeError) and str(error) == NO_THREAD:
        return "out of memory, or of threads: the system starts no more; lower --threads, or raise ulimit -u", 2
    return None


def overview(package: str, commands: dict[str, str], argv: list[str]) -> int:
    """Print the commands of a package: what `python -m` with its name alone is for."""
    if argv and argv[0] not in ("-h", "--help"):
        meant = f"{package}.{argv[0]}"
        advice = f"python -m {meant} is one" if meant in commands else f"python -m {package} lists them"
        raise UserError(f"there is no command {argv[0]!r} here; {advice}")
    print("Commands; each explains its flags with --help:\n")
    for name, text in commands.items():
        print(f"  python -m {name:<{max(map(len, commands)) + 2}}{text}")
    return 0


def note(name: str, message: str) -> None:
    """Print a line on stderr, beside what the program is asked for."""
    fail(name, message, 0)


def attempt(name: str, what: str, make: Callable[[], Made]) -> Made | None:
    """Return make(). If it fails, whatever the reason, say so in a line and return None: the program goes on without."""
    try:
        return make()
    except Exception as error:
        note(name, f"no {what}: {error if isinstance(error, UserError) else f'{type(error).__name__}: {error}'}")
        return None


def word(path: Path | str) -> str:
    """Return the path as a word of a command line that can be copied into a shell."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)  # else it would be taken for a flag


def python() -> str:
    """Return the running interpreter as a command line in this folder names it, .venv/bin/python; "python" if it is elsewhere."""
    try:
        return word(Path(sys.executable).relative_to(Path.cwd()))
    except (ValueError, OSError):  # OSError: this folder was removed
        return "python"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, and suggests the right flag for a misspelt one."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(f"python -m {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        close, missing = [], message.startswith(MISSING) and "RUN" in message.removeprefix(MISSING).split(", ")
        if message.startswith("unrecognized arguments: --"):
            given = message.split()[2].split("=")[0]
            close = difflib.get_close_matches(given, self._option_string_actions, 1, 0.7)
        if message.startswith("unrecognized arguments: -n "):
            message += f"; several processes train by mpiexec -n N {python()} -m {self.prog.split()[-1]} …"
        message = re.sub(r"^argument \S+: (?=--)", "", message)  # one flag named twice
        newest = newest_run() if missing else None
        message += f"; the newest here is {word(newest)}" if newest is not None else ""
        raise UserError(message + (f"; did you mean {close[0]}?" if close else f"; see {self.prog} --help"))


def newest_run() -> Path | None:
    """Return the folder in ./runs whose checkpoint was written last; None if there is none."""
    with contextlib.suppress(OSError):
        saved = max(Path("runs").glob("*/checkpoint"), key=lambda found: found.stat().st_mtime, default=None)
        return saved and saved.parent
    return None


def trainer(bug: str) -> str:
    """Return the command that trains, with that bug of the museum, or with none for ""; flags follow."""
    return f"{python()} -m gpt.museum {bug} --" if bug else f"{python()} -m gpt.train"


def add_config_arguments(parser: argparse.ArgumentParser, without: Collection[str] = (), **defaults: object) -> None:
    """Add a flag for each field of TrainConfig but those in `without`. The result has only the flags that were given.

    `defaults` are shown in the help in place of the fields' own; the command has to apply them.
    """
    groups: dict[str, Any] = {}
    for each in dataclasses.fields(TrainConfig):
        if "group" not in each.metadata or each.name in without:
            continue
        title = each.metadata["group"]
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        default = defaults.get(each.name, each.metadata["shown"] or each.default)
        unit = f" [{each.metadata['unit']}]" if each.metadata["unit"] else ""
        text = f"{each.metadata['text']}{unit} (default: {default})".replace("%", "%%")
        how: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": each.name, "help": text}
        if each.type == "bool":
            groups[title].add_argument(flag(each.name), action=argparse.BooleanOptionalAction, **how)
        else:
            rule = each.metadata["rule"]
            metavar = {"int": "N", "float": "X", "str": "|".join(rule.choices) or "NAME"}[str(each.type)]
            convert = functools.partial(parse_value, each)
            groups[title].add_argument(flag(each.name), type=convert, metavar=metavar, **how)


def parse_value(each: dataclasses.Field[Any], text: str) -> object:
    """Convert the text to a value of the field. The error says what would be right."""
    try:
        value = TYPES[str(each.type)](text)
    except ValueError:
        value = text  # of the wrong type: `check` refuses it, in the words of the field
    try:
        check(each, value)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return value


def new_config(recipe: str, given: dict[str, Any]) -> TrainConfig:
    """Return the recipe, changed by the flags that were given."""
    config = dataclasses.replace(RECIPES[recipe], **given)
    if config.model == "bigram":
        transformer_only = [
            each.name
            for each in dataclasses.fields(config)
            if each.name in given and each.metadata["group"] == "transformer"
        ]
        if transformer_only:
            names = ", ".join(map(flag, transformer_only))
            raise UserError(f"{names}: --model bigram has no transformer; leave it out")
    return config


def resumed_config(saved: TrainConfig, step: int, given: dict[str, Any]) -> TrainConfig:
    """Return the configuration of the run, changed by the flags that were given. Only RESUMABLE ones may differ."""
    for name, value in given.items():
        if name not in RESUMABLE and value != getattr(saved, name):
            raise UserError(
                f"{flag(name)} {value}: a resumed run keeps its {getattr(saved, name)}; "
                f"leave the flag out (only {', '.join(map(flag, RESUMABLE))} may change)"
            )
    config = dataclasses.replace(saved, **given)
    if config.steps < step:
        raise UserError(f"--steps {config.steps}: the run is at step {step} already; give more")
    return config


def number(kind: type[int] | type[float], rule: Rule) -> Any:
    """Make an argparse type: it converts a text to a number and checks the rule."""

    def convert(text: str) -> int | float:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or value != value or not rule.holds(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {rule.text}")
        return value

    return convert


def path(text: str) -> Path:
    """Convert a flag to a path. A shell expands ~ at the beginning of a word alone, so not in --out=~/run."""
    if not text:
        raise argparse.ArgumentTypeError("it must be a path, not an empty text")
    return Path(os.path.expanduser(text))


def trained(text: str) -> Path | str:
    """Convert a flag to a run folder, or leave the name of a pretrained model, hf:NAME, as it is."""
    return text if text.startswith(HUB) else path(text)


def shown(loss: float, digits: int = 3) -> str:
    """Return the loss with so many digits, and without the sign of a zero."""
    return f"{round(loss, digits) + 0.0:.{digits}f}"


def add_run_arguments(parser: argparse.ArgumentParser, device: bool = True) -> None:
    """Add what names a trained model: the run folder, --last for the last weights in place of the best, --device."""
    parser.add_argument("run", metavar="RUN", type=trained,
                        help="a folder that gpt.train made; or hf:FOLDER, hf:NAME: a GPT-2, Llama, Qwen3 or GPT-NeoX of "
                        "Hugging Face")  # fmt: skip
    parser.add_argument("--last", action="store_true",
                        help="take the last weights (default: the best, with the lowest validation loss)")  # fmt: skip
    parser.add_argument("--tokenizer", metavar="FOLDER", help="where to take the tokenizer of a model of Hugging Face "
                        "from (default: its folder): another folder, hf:NAME, gpt2 or bytes")  # fmt: skip
    if device:
        parser.add_argument(
            "--device", choices=DEVICES, help="where the arrays are (default: where the run was trained)"
        )


def check_device(device: str, tf32: bool = False) -> None:
    """Raise UserError if there is no such device, with what is missing; or if it has no TF32 and needs it."""
    if device == "cuda":
        try:
            cupy = devices.cupy()
        except RuntimeError as error:
            raise UserError(f"--device cuda: {error}; or take --device cpu") from None
        take_device(known(), cupy)  # of several ranks on a host, each has a GPU
        capability = int(cupy.cuda.Device().compute_capability)
        if tf32 and capability < 80:
            raise UserError(
                f"--tf32: this GPU has compute capability {capability / 10}, TF32 needs 8.0; take --no-tf32"
            )
