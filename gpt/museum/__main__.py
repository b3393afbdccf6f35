"""The museum of bugs on a terminal: the list, an exhibit, a training with a bug, all exhibits at once, the quiz.

python -m gpt.museum                       which bugs there are
python -m gpt.museum NAME                  train with the right line and with the wrong one, and compare
python -m gpt.museum NAME -- --steps 500   train as gpt.train does, with the bug
python -m gpt.museum NAME -- --resume RUN  go on with such a run
python -m gpt.museum all --out DIR         all figures, and curves.json
python -m gpt.museum quiz                  which bug is it?
"""

from __future__ import annotations

import argparse
import difflib
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gpt import cli
from gpt.config import SEED, SIZE
from gpt.errors import UserError
from gpt.museum import BUGS, Bug, exhibits, figure, quiz
from gpt.museum.process import become, command
from gpt.museum.text import RIGHT, WRONG, beside, chart, coloured, diff, paragraph
from gpt.museum.trial import Trial, Workshop

SEEDS = (1, 2, 3)
QUESTIONS = 5
EXPLANATION = """\
A bug is one line of this project's own source. It is replaced while the file is imported, in a process of its own: the
files stay as they are, and so does the process that asks for it.

  python -m gpt.museum not-shifted              the diff; three trainings right, three wrong; a figure; the doctor
  python -m gpt.museum not-shifted --no-run     the diff, and the explanation alone
  python -m gpt.museum not-shifted -- --out RUN --steps 500 --data python-docs
                                                gpt.train with the bug; what follows -- are its flags
  python -m gpt.museum not-shifted -- --resume RUN
                                                goes on with it; gpt.train --resume refuses, since its lines are right
  python -m gpt.museum quiz                     curves of trainings, and four answers to each; works in a pipe as well

An exhibit trains small models of the documentation that Python carries; it takes about a minute on one core.
"""


def make_parser() -> cli.Parser:
    parser = cli.Parser("gpt.museum", "Classic mistakes, each one line, and what they do to a training.")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXPLANATION
    parser.add_argument("what", metavar="NAME|all|quiz", nargs="?", help="a bug (default: list them), all, or quiz")
    parser.add_argument("--out", type=cli.path, metavar="DIR", help="where figures go (default: museum)")
    parser.add_argument(
        "--seeds", type=cli.number(int, SEED), nargs="+", metavar="N", help="of the trainings (default: 1 2 3)"
    )
    parser.add_argument(
        "--steps", type=cli.number(int, SIZE), metavar="N", help="of each training (default: those of the bug)"
    )
    parser.add_argument("--data", metavar="PATH", help="the text (default: python-docs)")
    parser.add_argument("--no-run", action="store_true", help="show the diff and the explanation, and train nothing")
    parser.add_argument("--curves", type=cli.path, metavar="FILE",
                        help="with all: where the curves go (default: curves.json in DIR)")  # fmt: skip
    parser.add_argument(
        "--seed", type=cli.number(int, SEED), metavar="N", help="of the quiz (default: another one each time)"
    )
    parser.add_argument(
        "--questions", type=cli.number(int, SIZE), metavar="N", help=f"of the quiz (default: {QUESTIONS})"
    )
    return parser


def bug_named(name: str) -> Bug:
    """Return the bug. Raises UserError with the nearest names if there is none."""
    if name in BUGS:
        return BUGS[name]
    near = difflib.get_close_matches(name, [*BUGS, "all", "quiz"], 3, 0.5)
    advice = f"the nearest are {', '.join(near)}" if near else "python -m gpt.museum lists them"
    raise UserError(f"the museum has no bug {name!r}; {advice}")


@cli.command("gpt.museum")
def main(argv: list[str]) -> int:
    own, flags = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, None)
    options = make_parser().parse_args(own)
    refuse_idle_flags(options, flags)
    if flags is not None:
        return become(command(bug_named(options.what).name, "gpt.train", flags))
    if options.what is None:
        list_all()
    elif options.what == "quiz":
        seed = int(np.random.default_rng().integers(10_000)) if options.seed is None else options.seed
        quiz.play(seed, options.questions or QUESTIONS)
    else:
        bugs = list(BUGS.values()) if options.what == "all" else [bug_named(options.what)]
        show(bugs, options)
    return 0


def refuse_idle_flags(options: argparse.Namespace, flags: Sequence[str] | None) -> None:
    """Raise UserError for a flag that would do nothing."""
    named = options.what not in ("quiz", "all", None)
    if flags is not None and not named:
        raise UserError(f"flags behind -- are for a training with one bug: {cli.python()} -m gpt.museum NAME -- …")
    runs = {"out", "seeds", "steps", "data"}
    if flags is not None:
        what, takes = "a training behind --", set()
    elif options.no_run and named:
        what, takes = "--no-run", {"no_run"}
    else:
        what = options.what or "the list"
        takes = {"quiz": {"seed", "questions"}, "all": {*runs, "curves"}, "the list": set()}.get(what, runs)
    for name, value in vars(options).items():
        if name != "what" and value not in (None, False) and name not in takes:
            raise UserError(f"--{name.replace('_', '-')} does nothing with {what}; leave it out")


def list_all() -> None:
    """Print every bug with its title, and how to go on."""
    width = max(map(len, BUGS)) + 2
    for name, bug in BUGS.items():
        print(f"  {name:<{width}}{bug.title}")
    python = cli.python()
    print(
        f"\n{python} -m gpt.museum NAME trains with the bug and without; {python} -m gpt.museum quiz asks which one it is"
    )


def show(bugs: Sequence[Bug], options: argparse.Namespace) -> None:
    """Show one bug, or make the exhibits of all."""
    if options.no_run:
        introduce(bugs[0])
        return
    out = options.out or Path("museum")
    trials = []
    try:
        out.mkdir(parents=True, exist_ok=True)
        with Workshop(options.seeds or SEEDS, options.steps, options.data or "python-docs", cli.say) as workshop:
            for bug in bugs:
                if options.what != "all":
                    introduce(bug)
                    sys.stdout.flush()
                trial = workshop.trial(bug)
                trials.append(trial)
                if options.what != "all":
                    report(trial)
                figure.save(trial, out / f"{bug.name}.png")
                cli.say(str(out / f"{bug.name}.png"))
        if options.what == "all":
            text = options.data or f"python-docs of Python {platform.python_version()}"
            exhibits.write(curves := options.curves or out / "curves.json", trials, f"text: {text}")
            cli.say(str(curves))
    except OSError as error:
        raise UserError(f"cannot write {error.filename or out}: {error.strerror}; give another --out") from None


def introduce(bug: Bug) -> None:
    """Print what the mistake is."""
    print(f"{bug.name}: {bug.title}\n")
    for line in coloured(diff(bug)):
        print(line)
    print("\n" + paragraph(bug.why))
    print("\n" + paragraph(f"To notice it: {bug.notice}"))
    print(paragraph(f"Caught by {' and '.join(bug.caught_by)}."))
    print(
        paragraph(
            f"Read docs/chapters/{bug.chapter}.md" + (f". Here it trains with {bug.recipe}." if bug.recipe else ".")
        )
    )
    print("")


def report(trial: Trial) -> None:
    """Print curves, numbers, samples, and what the doctor says of the wrong runs."""
    cli.say(f"\ntraining loss, the median of the seeds: {RIGHT} right, {WRONG} wrong")
    for line in chart(trial):
        cli.say(line)
    cli.say("")
    for line in exhibits.numbers(trial):
        cli.say(paragraph(line, "    ", "  "))
    cli.say("")
    for line in [*beside("right:", "wrong:"), *beside(trial.right[0].sample, trial.wrong[0].sample)]:
        cli.say(line)
    cli.say("\ngpt.doctor on the wrong runs:")
    for name, count in exhibits.findings(trial.wrong).items():
        said = next(curve.findings[name] for curve in trial.wrong if name in curve.findings)
        cli.say(paragraph(f"{name}, {count} of {len(trial.wrong)}: {said}", "    ", "  "))
    if not exhibits.findings(trial.wrong):
        cli.say("  nothing odd")
    cli.say("")


if __name__ == "__main__":
    sys.exit(main())
