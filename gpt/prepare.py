"""Texts of any size become a corpus that gpt.train reads without loading it: files of tokens.

    python -m gpt.prepare FILES_OR_FOLDERS… --tokenizer bpe:8192 --out DIR
    python -m gpt.train --data DIR

The same command goes on after Ctrl-C, a kill or a full disk, to the same bits; another one is refused there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from gpt import cli
from gpt.config import TOKENIZER, Rule
from gpt.corpora import hub, job, sources
from gpt.corpora.documents import How
from gpt.corpora.job import Job
from gpt.corpora.progress import Bar
from gpt.tokenizers import Tokenizer

RUN = "run:"
DESCRIPTION = """Make a corpus of texts that may be larger than the memory: files of tokens, which gpt.train --data DIR reads
window by window. The same command goes on after Ctrl-C, a kill or a full disk, to the same bits."""
EXAMPLES = """what the inputs are:
  text.txt, text.txt.gz, .zst    one text, UTF-8; .zst takes the package zstandard
  docs.jsonl (.gz, .zst)         a document in the field "text" of each line; --field NAME takes another
  docs.parquet                   a document in that column of each row; takes the package pyarrow
  FOLDER                         the files in it and below whose names --glob has, by path; no links, nothing hidden
  hf:NAME, hf:NAME@COMMIT        a dataset of the Hugging Face Hub, row by row; takes the package datasets. The name may be
                                 the path of a folder like one
A name that ends in none of these is a text. Several files are documents, in the order in which they are named.

what is for validation:
  of documents about --validation of them (0.1): the checksum of a document's text decides, so it is the same in every corpus,
  and a copy of a document is where the first one is; of a single text its end

what a stopped job needs:
  the same command; one that differs in a text or flag that decides the tokens is refused, and removes nothing

how often the text is read:
  once for bytes and gpt2; before that once for chars (which ones occur), for bpe:N (a sample to learn from), and for a single
  text (its length)

examples:
  python -m gpt.prepare books/ --tokenizer bpe:8192 --out books-8k
  python -m gpt.prepare dump.jsonl.zst --field content --errors replace --tokenizer gpt2 --out dump
  python -m gpt.prepare hf:roneneldan/TinyStories --limit 500 --tokenizer bpe:4096 --out stories
  python -m gpt.prepare src/ --glob '*.py' --glob '*.pyi' --tokenizer bytes --out code
  python -m gpt.train --data books-8k
"""
PART = Rule("a number above 0 and below 1", lambda x: 0 < x < 1)


def make_parser() -> cli.Parser:
    parser = cli.Parser("gpt.prepare", DESCRIPTION)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    add("inputs", nargs="+", metavar="TEXT", help="a file, a folder or hf:NAME: see below")
    add(
        "--out",
        type=cli.path,
        metavar="DIR",
        required=True,
        help="folder of the corpus: a new one, or that of a stopped job",
    )
    add("--tokenizer", default="chars", type=tokenizer, metavar="|".join([*TOKENIZER.choices, "run:RUN"]),
        help="what a token is: see gpt.train; run:RUN takes that of a run folder, or run:hf:NAME of a "
        "pretrained model, which can train on the corpus then "
        "(default: chars)")  # fmt: skip
    add("--field", default="text", metavar="NAME", help="field of a JSON line or column of a table (default: text)")
    add("--glob", action="append", metavar="PATTERN",
        help="names of files to take from a folder, also several times (default: *.txt, *.text, *.md, *.jsonl, *.ndjson, also "
        "with .gz or .zst, and *.parquet)")  # fmt: skip
    add("--errors", default="strict", choices=("strict", "replace"),
        help="bytes that are no UTF-8: stop and say where, or take U+FFFD for them (default: strict)")  # fmt: skip
    add("--validation", default=0.1, type=cli.number(float, PART), metavar="SHARE",
        help="share that is for validation (default: 0.1)")  # fmt: skip
    add("--sample", default=8, type=cli.number(int, up_to(1 << 10)), metavar="N",
        help="bpe:N learns from at most so many million (2^20) characters, evenly spaced over the text to train on "
        "(default: 8)")  # fmt: skip
    add("--limit", type=cli.number(int, up_to(1 << 24)), metavar="N",
        help="take the first N MiB (2^20 bytes of UTF-8) of the text: the last document is cut there (default: all)")  # fmt: skip
    add("--subset", metavar="NAME", help="of a dataset that has several (hf:NAME)")
    add("--split", default="train", metavar="NAME", help="of a dataset (default: train)")
    add("--revision", metavar="NAME", help="of a dataset: a branch, a tag or a commit (default: the newest commit)")
    add("--quiet", action="store_true", help="print errors only")
    return parser


def tokenizer(text: str) -> str:
    if not TOKENIZER.holds(text) and not text.startswith(RUN):
        raise argparse.ArgumentTypeError(f"it must be {TOKENIZER.text}, or run:RUN")
    return text


def up_to(most: int) -> Rule:
    return Rule(f"a whole number from 1 to {most:,}", lambda n: 1 <= n <= most)


def of_run(name: str) -> Tokenizer | None:
    """Return the tokenizer of a run folder or a pretrained model, if the name is one of those."""
    if not name.startswith(RUN):
        return None
    from gpt.trained import find

    return find(cli.trained(name[len(RUN) :])).vocabulary(advice="take --tokenizer gpt2:FOLDER")


@cli.command("gpt.prepare")
def main(argv: list[str]) -> int:
    """Read the flags, make the corpus, and say what it has. Return the exit status."""
    options = make_parser().parse_args(argv)
    how = How(options.field, options.errors == "replace", hub.Part(options.subset, options.split, options.revision))
    given = of_run(options.tokenizer)
    work = Job(
        tuple(options.inputs), options.out, options.tokenizer, how, tuple(options.glob or sources.GLOBS), options.validation,
        options.sample << 20, options.limit and options.limit << 20, given,
    )  # fmt: skip
    bar, began = Bar(options.quiet, "gpt.prepare"), time.monotonic()
    try:
        said = job.prepare(work, bar)
    finally:
        bar.close()
    if not options.quiet:
        cli.say(summary(said, options.out, time.monotonic() - began))
    return 0


def summary(said: dict[str, Any], out: Path, seconds: float) -> str:
    """Say what the corpus has, in lines."""
    counts = said["splits"]
    lines = []
    for name, what in (("training", "train"), ("validation", "validation")):
        each = counts[what]
        by = "" if said["split_by"] == "position" else f", {each['documents']:,} documents"
        lines.append(f"{name:<11}{each['tokens']:,} tokens of {each['characters']:,} characters{by}")
    size = sum(each["bytes"] for each in counts.values())
    if "limit" in said:
        lines.append(f"text       the first {said['limit'] / 2**20:,g} MiB at most (--limit)")
    ratio = size / sum(each["tokens"] for each in counts.values())
    lines.append(f"tokens     {ratio:.2f} bytes of text each; {size / 2**20:,.1f} MiB in {seconds:,.1f} s")
    lines.append(f"now try    {cli.python()} -m gpt.train --data {cli.word(out)}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
