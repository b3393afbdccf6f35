"""A text that a person and the model write in turn, on a terminal or from a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
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

    def add(self, line: str) -> None:
        """Continue the text. An empty line adds nothing, but the start of a text that has nothing yet."""
        if line or not self.text.tokens:
            self.text.extend(encode_prompt(self.tokenizer, line, "the line"))

    def answer(self, tokens: int, stops: Sequence[str], *how: Any) -> None:
        """Print what the model writes, as it comes; `how` is that of `draw`. Ctrl-C ends it."""
        shown, count = Shown(self.tokenizer, stops), self.tokenizer.vocab_size
        with contextlib.suppress(KeyboardInterrupt):
            for _ in range(tokens):
                with inference_mode():
                    logits = self.read(self.text.unread())
                    token = draw(logits, self.generator, *how, seen=self.text.seen, vocabulary=count)
                self.text.extend([token])
                print(shown.take(token), end="", flush=True)
                if shown.stopped:
                    break
        print(shown.rest(), flush=True)


def ask(terminal: bool) -> str:
    """Return the next line; lines that end in a backslash go on in the next, with a line end between. EOFError: no more."""
    line = input("> " if terminal else "")
    while line.endswith("\\"):
        line = line[:-1] + "\n" + input(". " if terminal else "")
    return line


def converse(dialogue: Dialogue, tokens: int, stops: Sequence[str], *how: Any) -> None:
    """Ask for a line and answer it until there are no more: Ctrl-D, or the end of a pipe."""
    terminal = sys.stdin.isatty()
    if terminal:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401  # input() edits lines with it
    while True:
        try:
            dialogue.add(ask(terminal))
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
            note("gpt.generate", str(error))
            continue
        dialogue.answer(tokens, stops, *how)
