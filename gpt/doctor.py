"""What is odd about a training, with numbers, what is normal, and what to try.

    python -m gpt.doctor RUN [--deep] [--all] [--json] [--data PATH]

It reads the run folder and its text, and runs the last weights forward and backward on some thousand tokens. It writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys

from gpt import cli
from gpt.config import DEVICES, HUB
from gpt.diagnosis import report, rules
from gpt.diagnosis.patient import admit
from gpt.errors import UserError
from tinytensor.buffers import keep_freed_memory

EXPLANATION = """\
what it looks at:
  initial-loss         first loss against ln V, that of equal chances for V tokens
  learned-nothing      loss against models that only count: uniform, unigram, bigram, 5-gram
  too-good             a loss far below the 5-gram's
  overfitting          validation that rises while training falls
  not-finite, spikes   trainings that stop with nan, losses that jump
  gradient-size        norms far above --grad-clip
  gradient-layers      gradients that vanish or explode from block to block
  no-gradient          parameters that no gradient reaches, or that do not change
  learning-rate-high, -low   |update| / |weight|; about 1e-3 is normal
  dead-units           units of feed-forward layers that are off for every token
  attention-saturated, -uniform   entropy of the attention weights near 0, or near its most
  no-order             attention that does not know where tokens stand
  future, targets, overlap   predictions that depend on later tokens, targets that are not the next
                       token, validation text that stands in the training text
  range-test           with --deep: which learning rates would have worked

A finding that follows from another one is named after it, since mending the cause mends it. docs/doctor.md has the
thresholds and where they come from. The exit status is 0, whatever it finds; 2 for a folder that is no run.
"""


def make_parser() -> cli.Parser:
    parser = cli.Parser(
        "gpt.doctor", "Say what is odd about a training, with numbers, what is normal, and what to try."
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXPLANATION
    parser.add_argument("run", metavar="RUN", type=cli.trained, help="a folder that gpt.train made, finished or not")
    parser.add_argument("--data", metavar="PATH", help="where the text of the run is now, if it has moved")
    parser.add_argument("--deep", action="store_true",
                        help="also train fresh weights for 150 steps, to try learning rates; the run stays as it is")  # fmt: skip
    parser.add_argument("--all", action="store_true", help="show all checks, with their numbers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--device", choices=DEVICES, help="where the arrays are (default: where the run was trained)")
    return parser


@cli.command("gpt.doctor")
def main(argv: list[str]) -> int:
    options = make_parser().parse_args(argv)
    if str(options.run).startswith(HUB):
        raise UserError(f"{options.run} has no record of its training; give a folder that python -m gpt.train made")
    keep_freed_memory()
    patient = admit(options.run, options.data, options.device)
    if options.deep and patient.run.config.dtype == "float16":
        raise UserError(f"--deep trains without a loss scale, and {options.run} is in float16; leave it out")
    checks = rules.examine(patient, options.deep)
    if options.json:
        print(json.dumps(report.for_programs(str(options.run), patient.run, checks), allow_nan=False))
    else:
        print(report.text(patient.run, checks, options.all, str(options.run)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
