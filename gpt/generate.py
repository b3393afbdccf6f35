"""Text from a trained model, one token at a time.

python -m gpt.generate RUN --prompt "ROMEO:" --tokens 200 --temperature 0.8 --top-k 40
python -m gpt.generate RUN --prompt "ROMEO:" --prompt "JULIET:" --samples 3 --stop $'\\n\\n' --json
python -m gpt.generate RUN --interactive
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Any

from gpt.cli import Parser, add_run_arguments, command, note, number, path
from gpt.completion import OPTIONS, Piece, check_seeds, encode_prompt, stop_texts, stream
from gpt.errors import UserError
from gpt.fast.threads import one_blas_thread
from gpt.interactive import Dialogue, converse
from gpt.trained import find
from gpt.utf8 import decoded
from tinytensor.buffers import keep_freed_memory


def make_parser() -> Parser:
    parser = Parser("gpt.generate", "Write text with a trained model, as it comes.")
    add = parser.add_argument

    def option(name: str, text: str, **how: Any) -> None:
        add(f"--{name.replace('_', '-')}", type=number(*OPTIONS[name]), help=text, **how)

    add_run_arguments(parser)
    add("--prompt", dest="prompts", action="append", metavar="TEXT", type=lambda text: ("--prompt", text),
        help="text to continue (default: a new line); several times: several texts")  # fmt: skip
    add("--prompt-file", dest="prompts", action="append", metavar="FILE", type=lambda text: ("--prompt-file", text),
        help="a UTF-8 file, all of it one prompt but for a line end at its end; - is standard input; several times: "
        "several texts")  # fmt: skip
    option("samples", "texts for each prompt (default: 1)", default=1, metavar="N")
    option(
        "tokens",
        "number of tokens to write at most, characters for most models (default: 200)",
        default=200,
        metavar="N",
    )
    add("--stop", action="append", default=[], metavar="TEXT",
        help="end a text before this one, which is not printed; several times: before the first that is complete; a line end "
        "is $'\\n' in most shells")  # fmt: skip
    option("temperature", "below 1 favours the probable tokens, 0 takes the most probable (default: 0.8)", default=0.8,
           metavar="X")  # fmt: skip
    option("repetition_penalty", "above 1 disfavours the tokens that are in the text or its prompt: their scores are divided by "
           "it, or multiplied if negative (default: 1, which changes nothing)", default=1.0, metavar="X")  # fmt: skip
    option("top_k", "draw from the K most probable (default: all)", metavar="K")
    option("top_p", "draw from the most probable that together have the probability P (default: all)", metavar="P")
    option(
        "min_p", "draw from those that have at least P times the probability of the first (default: all)", metavar="P"
    )
    option("seed", "the same number repeats the same texts (default: another each time; a line says which). Sample 2 has the "
           "seed after it, and so on", metavar="N")  # fmt: skip
    add("--json", action="store_true", help="print a line for each text, a JSON object, when the text is complete")
    add("--interactive", action="store_true",
        help="write in turns: the model continues what you type, line by line, and sees the text so far. A line continues "
        "the text as it stands; one that ends in \\ goes on in the next; an empty one adds nothing. Ctrl-C stops the model, "
        "Ctrl-D ends. Through a pipe each line has its answer, with --json in a line of its own; a line that cannot be read "
        "ends the program")  # fmt: skip
    add("--no-cache", action="store_true",
        help="compute all of the context again for each token. Many times slower. Once the text is longer than the "
        "context, each token then depends on all of it; with the cache on half of it at least")  # fmt: skip
    return parser


def read_prompt(flag: str, text: str) -> tuple[str, str]:
    """Return the prompt that a flag gives, and what errors call it."""
    if flag == "--prompt":
        return flag, text
    if text == "-":
        name, raw = "standard input", sys.stdin.buffer.read()
    else:
        name = str(path(text))
        with open(name, "rb") as file:
            raw = file.read()
    prompt = decoded(raw, name).removesuffix("\n")
    if not prompt:
        raise UserError(f"{name} is empty; --prompt-file takes a text to continue")
    return name, prompt


def refuse(options: argparse.Namespace, prompts: Sequence[object]) -> None:
    """Raise UserError for flags that do not go together."""
    if options.interactive and (options.samples > 1 or len(prompts) > 1):
        raise UserError("--interactive writes one text: leave out --samples and all prompts but one")
    if options.interactive and ("--prompt-file", "-") in prompts:
        raise UserError("--interactive reads standard input; give --prompt-file a file")


def in_order(pieces: Iterator[Piece], samples: int) -> Iterator[Piece]:
    """Yield the pieces text by text: those of the first as they come, of the others when those before are complete."""
    waiting: defaultdict[int, deque[Piece]] = defaultdict(deque)
    now = 0
    for piece in pieces:
        waiting[piece.prompt * samples + piece.sample].append(piece)
        while waiting[now]:
            first = waiting[now].popleft()
            yield first
            now += bool(first.end)


def print_texts(pieces: Iterator[Piece], heads: Sequence[str]) -> None:
    """Print each text behind its head."""
    print(heads[0], end="", flush=True)
    following = iter(heads[1:])
    for piece in pieces:
        print(piece.text, end="", flush=True)
        if piece.end:
            print()
            print(next(following, ""), end="", flush=True)


def print_json(pieces: Iterator[Piece], prompts: Sequence[str], seed: int, tokens: int) -> None:
    """Print an object in a line for each text."""
    text, count = "", 0
    for piece in pieces:
        text, count = text + piece.text, min(count + 1, tokens)
        if piece.end:
            row = {
                "prompt": prompts[piece.prompt], "sample": piece.sample + 1, "seed": seed + piece.sample,
                "text": text, "tokens": count, "finish_reason": piece.end,
            }  # fmt: skip
            print(json.dumps(row), flush=True)
            text, count = "", 0


@command("gpt.generate")
def main(argv: list[str]) -> int:
    options = make_parser().parse_args(argv)
    given = options.prompts or [("--prompt", "")]
    refuse(options, given)
    seed = random.randrange(2**31) if options.seed is None else options.seed
    check_seeds(seed, options.samples, "--seed")
    names, prompts = zip(*(read_prompt(*each) for each in given))
    keep_freed_memory()

    found = find(options.run, options.last, "gpt.generate")
    tokenizer = found.vocabulary(options.tokenizer)
    model = found.model(options.device)
    if len(prompts) > 1:
        names = tuple(f"prompt {i} ({name})" for i, name in enumerate(names, 1))
    ids = [encode_prompt(tokenizer, prompt, name) for prompt, name in zip(prompts, names)]
    stops = stop_texts(tokenizer, options.stop, "--stop")
    same = "texts" if len(prompts) * options.samples > 1 else "text"
    again = f"; --seed {seed} writes the same {same} again" if options.seed is None and options.temperature else ""
    note("gpt.generate", f"{found.said}{again}")
    if (rows := found.config.vocab_size) > tokenizer.vocab_size:
        note(
            "gpt.generate",
            f"the model has {rows:,} rows for {tokenizer.vocab_size:,} tokens; the others are never drawn",
        )
    context = model.config.context
    for name, each in zip(names, ids):
        if len(each) > context:
            note("gpt.generate", f"{name} has {len(each):,} tokens; the model sees the last {context:,}, its context")

    with one_blas_thread():
        if options.interactive:
            dialogue = Dialogue(model, tokenizer, ids[0] if prompts[0] else [], seed, not options.no_cache)
            if prompts[0] and not options.json:
                print(prompts[0], flush=True)
            how = (getattr(options, name) for name in ("temperature", "top_k", "top_p", "min_p", "repetition_penalty"))
            converse(dialogue, options.tokens, stops, *how, as_json=options.json)
            return 0
        pieces = stream(
            model, tokenizer, ids, stop=stops, seed=seed, use_cache=not options.no_cache,
            **{name: getattr(options, name) for name in OPTIONS if name != "seed"},
        )  # fmt: skip
        if options.json:
            print_json(in_order(pieces, options.samples), prompts, seed, options.tokens)
        else:
            print_texts(in_order(pieces, options.samples), heads_of(prompts, options.samples, seed))
    return 0


def heads_of(prompts: Sequence[str], samples: int, seed: int) -> list[str]:
    """Return what is printed before each text: the prompt, and before that, where there are several, which text it is."""
    if len(prompts) * samples == 1:
        return [prompts[0]]
    return [
        f"=== prompt {i}, sample {s + 1} (--seed {seed + s}) ===\n{prompt}"
        for i, prompt in enumerate(prompts, 1) for s in range(samples)
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
