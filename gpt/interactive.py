"""A text that a person and the model write in turn, on a terminal or from a pipe."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gpt.build import Model
from gpt.cache import Cache
from gpt.cli import note
from gpt.completion import Shown, encode_prompt
from gpt.errors import UserError
from gpt.fast.decode import Reader
from gpt.sampling import Text, draw
from gpt.tokenizers import Tokenizer
from tinytensor import Generator, inference_mode


def print_piece(text: str) -> None:
    """Print a piece of a text at once."""
    print(text, end="", flush=True)


class Dialogue:
    """The text so far, of which the model sees as much as its context holds.

    A line continues it as it stands, without a line end. What the model writes stays in it, stop texts included, also where
    Ctrl-C cut it short.
    """

    def __init__(
        self, model: Model, tokenizer: Tokenizer, ids: Sequence[int], seed: int, use_cache: bool = True
    ) -> None:
        context = model.config.context
        cache = Cache(context) if use_cache else None
        self.tokenizer, self.generator = tokenizer, Generator().manual_seed(seed)
        self.text, self.read = Text(ids, context, cache), Reader(model.eval(), cache)

    def add(self, line: str, what: str = "the line") -> None:
        """Continue the text. An empty line adds nothing, but the start of a text that has nothing yet."""
        if line or not self.text.tokens:
            self.text.extend(encode_prompt(self.tokenizer, line, what))

    def answer(
        self,
        tokens: int,
        stops: Sequence[str],
        *how: Any,
        show: Callable[[str], None] = print_piece,
        stoppable: bool = True,
    ) -> tuple[int, str]:
        """Show what the model writes, as it comes; `how` is that of `draw`.

        Return the number of tokens, and why it ended: "length", "stop", or "interrupt" after Ctrl-C, if that is to end the
        answer alone.
        """
        shown, count, end = Shown(self.tokenizer, stops), 0, "length"
        try:
            while count < tokens and not shown.stopped:
                with inference_mode():
                    logits = self.read(self.text.unread())
                    seen, known = self.text.seen, self.tokenizer.vocab_size
                    token = draw(logits, self.generator, *how, seen=seen, vocabulary=known)
                self.text.extend([token])
                count += 1
                show(shown.take(token))
        except KeyboardInterrupt:
            if not stoppable:
                raise
            end = "interrupt"
        show(shown.rest())
        return count, "stop" if shown.stopped else end


def ask(terminal: bool) -> list[str]:
    """Return the next line; with those after it while they end in a backslash, which is taken away. EOFError: no more."""
    lines = [input("> " if terminal else "")]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1][:-1]
        try:
            lines.append(input(". " if terminal else ""))
        except EOFError:  # what is there is the line; the next question finds the end again
            break
    return lines


def converse(dialogue: Dialogue, tokens: int, stops: Sequence[str], *how: Any, as_json: bool = False) -> None:
    """Ask for a line and answer it until there are no more: Ctrl-D, or the end of a pipe.

    On a terminal a line that cannot be is asked for again, and Ctrl-C ends an answer. Of a pipe nobody can give another line,
    so there both end the program.
    """
    terminal, number = sys.stdin.isatty(), 1
    if terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # input() edits lines with it
    while True:
        try:
            lines = ask(terminal)
            dialogue.add("\n".join(lines), "the line" if terminal else f"line {number} of standard input")
        except EOFError:
            if terminal:
                print()
            return
        except KeyboardInterrupt:
            if not terminal:
                raise
            print()
            continue
        except UnicodeDecodeError as error:
            raise UserError(f"a line of standard input is not UTF-8: byte 0x{error.object[error.start]:02x}") from None
        except UserError as error:
            if not terminal:
                raise
            note("gpt.generate", str(error))
            continue
        number += len(lines)
        if as_json:
            print_row(dialogue, "\n".join(lines), tokens, stops, *how, stoppable=terminal)
        else:
            dialogue.answer(tokens, stops, *how, stoppable=terminal)
            print(flush=True)


def print_row(dialogue: Dialogue, line: str, tokens: int, stops: Sequence[str], *how: Any, stoppable: bool) -> None:
    """Print a line with a JSON object when the answer is complete: an answer may have line ends, and this has none."""
    parts: list[str] = []
    count, end = dialogue.answer(tokens, stops, *how, show=parts.append, stoppable=stoppable)
    print(json.dumps({"prompt": line, "text": "".join(parts), "tokens": count, "finish_reason": end}), flush=True)
