"""What the commands share: flags made from the configuration, and errors in one line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import functools
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from gpt.config import DEVICES, RECIPES, TYPES, TrainConfig, check, flag
from gpt.errors import UserError
from tinytensor import devices
from tinytensor.cuda import OutOfMemoryError

RESUMABLE = ("steps", "eval_every", "device", "cuda_graph", "tf32", "threads")  # may change when a run goes on


def command(name: str) -> Callable[[Callable[[list[str]], int]], Callable[..., int]]:
    """Turn exceptions of main(argv) into an exit status and one line: 2 for a UserError, 130 for Ctrl-C."""

    def decorate(body: Callable[[list[str]], int]) -> Callable[..., int]:
        @functools.wraps(body)
        def main(argv: Sequence[str] | None = None) -> int:
            if hasattr(sys.stdout, "reconfigure"):  # a terminal may lack a text's characters
                sys.stdout.reconfigure(errors="backslashreplace")
            try:
                return body(list(sys.argv[1:] if argv is None else argv))
            except UserError as error:
                return fail(name, str(error), 2)
            except (MemoryError, OutOfMemoryError) as error:
                sizes = "--batch-size, --context, --width or --layers"
                return fail(name, f"out of memory; lower {sizes}. {error}", 2)
            except KeyboardInterrupt:
                return fail(name, "interrupted", 130)
            except BrokenPipeError:  # the reader left, as `head` does
                silence()
                return 141
            except OSError as error:
                where = f"{error.filename}: " if error.filename else ""
                return fail(name, f"{where}{error.strerror or error}", 2)

        return main

    return decorate


def fail(name: str, message: str, status: int) -> int:
    with contextlib.suppress(OSError):  # a terminal that was closed
        print(f"{name}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status


def say(text: str) -> None:
    """Print at once. If the reader left, as `head` does, the program goes on without printing."""
    try:
        print(text, flush=True)
    except OSError:
        silence()


def silence() -> None:
    """Throw away everything that is printed from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UserError, and suggests the right flag for a misspelt one."""

    def __init__(self, name: str, description: str) -> None:
        super().__init__(f"python -m {name}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        if message.startswith("unrecognized arguments: --"):
            word = message.split()[2].split("=")[0]
            close = difflib.get_close_matches(word, self._option_string_actions, 1, 0.7)
            message += f"; did you mean {close[0]}?" if close else f"; see {self.prog} --help"
        raise UserError(re.sub(r"^argument \S+: (?=--)", "", message))  # one flag named twice


def add_config_arguments(parser: argparse.ArgumentParser, without: Collection[str] = (), **defaults: object) -> None:
    """Add a flag for each field of TrainConfig but those in `without`. The result has only the flags that were given.

    `defaults` are shown in the help in place of the fields' own; the command has to apply them.
    """
    groups: dict[str, Any] = {}
    for each in dataclasses.fields(TrainConfig):
        if "group" not in each.metadata or each.name in without:
            continue
        title = each.metadata["group"]
        group = groups.setdefault(title, None) or parser.add_argument_group(title)
        groups[title] = group
        default = defaults.get(each.name, each.metadata["shown"] or each.default)
        unit = f" [{each.metadata['unit']}]" if each.metadata["unit"] else ""
        text = f"{each.metadata['text']}{unit} (default: {default})".replace("%", "%%")
        how: dict[str, Any] = {"default": argparse.SUPPRESS, "dest": each.name, "help": text}
        if each.type == "bool":
            group.add_argument(flag(each.name), action=argparse.BooleanOptionalAction, **how)
        else:
            rule = each.metadata["rule"]
            metavar = {"int": "N", "float": "X", "str": "|".join(rule.choices) or "NAME"}[str(each.type)]
            convert = functools.partial(parse_value, each)
            group.add_argument(flag(each.name), type=convert, metavar=metavar, **how)


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


def add_device_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag --device, for another device than that of the run."""
    parser.add_argument("--device", choices=DEVICES, help="where the arrays are (default: where the run was trained)")


def check_device(device: str, tf32: bool = False) -> None:
    """Raise UserError if there is no such device, with what is missing; or if it has no TF32 and needs it."""
    if device == "cuda":
        try:
            cupy = devices.cupy()
        except RuntimeError as error:
            raise UserError(f"--device cuda: {error}; or take --device cpu") from None
        capability = int(cupy.cuda.Device().compute_capability)
        if tf32 and capability < 80:
            raise UserError(
                f"--tf32: this GPU has compute capability {capability / 10}, TF32 needs 8.0; take --no-tf32"
            )
