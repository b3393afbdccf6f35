"""One HTML file that shows what a trained model does with a text, forward and backward, down to every number.

    python -m gpt.inspect RUN --text "To be, or not to be" --out page.html

The file needs no network and no server: open it in a browser.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import webbrowser
from pathlib import Path

from gpt.cli import Parser, add_run_arguments, command, note, path
from gpt.config import HUB
from gpt.fast.threads import one_blas_thread
from gpt.inspection import stored, subject, write
from gpt.inspection.collect import collect
from gpt.trained import find
from tinytensor.buffers import keep_freed_memory

ABOUT = """Write a page that shows what a trained model does with a text: what it expects after each token, what its heads
look at, every value on the way from the text to the loss, the gradient of each, and the line of source that computed it.
In the page heads can be switched off, and values replaced by those of another text. It is one HTML file, which needs no
network."""


def make_parser() -> Parser:
    parser = Parser("gpt.inspect", ABOUT)
    parser.epilog = (
        'Examples: python -m gpt.inspect RUN; python -m gpt.inspect RUN --text "To be, or not to be" --patch "To see, or not '
        'to see" --out page.html --open'
    )
    add_run_arguments(parser, device=False)
    add = parser.add_argument
    add("--text", metavar="TEXT",
        help=f"the text, at least 2 tokens; of a long one the first {subject.LONGEST}, or as many as the model's context has "
        "(default: a line of the text that the run was validated on)")  # fmt: skip
    add(
        "--patch",
        metavar="TEXT",
        help="another text, with values of which those of the first can be replaced in the page",
    )
    add("--out", metavar="FILE", type=path, help="the page (default: RUN/inspect.html; for a model of Hugging Face "
        "inspect.html)")  # fmt: skip
    add("--data", metavar="PATH", help="the text whose tokens the baselines count, beside which the losses stand (default: the "
        "text that the run was trained on)")  # fmt: skip
    add("--open", action="store_true", help="open the page in the browser")
    return parser


def default_out(run: Path | str) -> Path:
    return Path("inspect.html") if str(run).startswith(HUB) else Path(run) / "inspect.html"


@command("gpt.inspect")
def main(argv: list[str]) -> int:
    options = make_parser().parse_args(argv)
    keep_freed_memory()
    found = find(options.run, options.last, "gpt.inspect")
    out = write.target(options.out or default_out(options.run))
    asked = subject.Asked(options.text, options.patch, options.data, options.tokenizer)
    chosen = subject.choose(found, options.run, asked, f"python -m gpt.inspect {shlex.join(argv)}")
    if stored.is_large(chosen.model):
        note("gpt.inspect", "the model is large; its page may take minutes")
    with one_blas_thread():  # products of one text are small
        data, arrays = collect(chosen)
    for each in chosen.notes:
        note("gpt.inspect", each)
    size = write.write(out, data, arrays)
    print(f"{out}: {size / 1e6:.2f} MB, {len(chosen.ids)} tokens, {found.said}")
    return show(out, options)


def show(out: Path, options: argparse.Namespace) -> int:
    """Open the page, if that is asked for. Where there is no browser, say so."""
    if options.open and not webbrowser.open(out.resolve().as_uri()):
        note("gpt.inspect", f"--open: there is no browser here; open {out} in one")
    return 0


if __name__ == "__main__":
    sys.exit(main())
