"""The command `python -m gpt.train` around the loop: flags, the run folder, and what is said and left at the end."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias

from gpt import cli, mistake
from gpt.build import Model
from gpt.completion import encode_prompt
from gpt.config import RECIPES, SIZE, Rule, TrainConfig
from gpt.diagnosis import records, report
from gpt.diagnosis.recorded import Recorded
from gpt.errors import UserError
from gpt.evaluate import bits_per_byte, mean_loss
from gpt.fast.threads import one_blas_thread
from gpt.run import checkpoint, failure, files, film, metrics
from gpt.run.lock import locked
from gpt.run.opening import new_folder, open_again, prepare, write_config
from gpt.run.profiling import profiled
from gpt.run.state import Evaluation, Run
from gpt.sampling import sample
from tinytensor import Generator
from tinytensor.buffers import keep_freed_memory
from tinytensor.distributed.ranks import ALONE, Ranks
from tinytensor.distributed.ranks import found as found_ranks

INITS = next(each.metadata["rule"].choices for each in fields(TrainConfig) if each.name == "init")
INIT_HELP = (
    "the first weights: random and as large as the number of inputs asks, or as in GPT-2; or a run folder, or hf: and a "
    "folder or name of a GPT-2, Llama, Qwen3 or GPT-NeoX of Hugging Face, whose model, weights (the best that it keeps) and "
    "vocabulary a new run begins with, for example on another text (default: fan-in)"
)
SAMPLE_TOKENS, SAMPLE_TEMPERATURE = 500, 0.8
MOST = 1 << 20  # predictions of the loss in the summary; python -m gpt.evaluate makes all
SECONDS = Rule("a number of seconds from 1 to 1,000,000", lambda x: 1 <= x <= 10**6)
ANSWER_WITHIN = 15.0  # seconds
COMPARE_EVERY = Run.compare_every  # steps
RISE = 0.02  # nats: a last loss that is higher than the best by more is no noise


Train: TypeAlias = Callable[[Run, Path, bool], "int | None"]  # train(run, folder, quiet): see gpt/train.py


@dataclass(frozen=True)
class Options:
    """The command line; `given` holds the flags of the configuration that it names."""

    given: dict[str, object]
    out: Path | None
    resume: Path | None
    init: Path | str | None
    recipe: str | None
    no_plot: bool
    quiet: bool
    profile: bool
    record: bool
    record_text: str | None
    shard_optimizer: bool
    answer_within: float
    compare_every: int


def make_parser() -> cli.Parser:
    parser = cli.Parser("gpt.train", "Train a model of a text. Ctrl-C saves and stops.")
    run = parser.add_argument_group("run")
    run.add_argument("--out", type=cli.path, metavar="FOLDER", help="run folder (default: runs/<time>)")
    run.add_argument("--resume", type=cli.path, metavar="RUN", help="go on with this run folder")
    run.add_argument("--init", type=cli.trained, metavar=f"{'|'.join(INITS)}|RUN|hf:NAME", help=INIT_HELP)
    run.add_argument("--recipe", choices=RECIPES, help="where the other defaults come from (default: default)")
    run.add_argument("--no-plot", action="store_true", help="do not draw loss.png")
    run.add_argument("--quiet", action="store_true", help="print errors only")
    run.add_argument("--profile", action="store_true",
                     help="show where a step's time and memory went; also in profile.txt and profile.json")  # fmt: skip
    run.add_argument("--record", action="store_true",
                     help="keep in RUN/film what the model does with a text at some forty steps")  # fmt: skip
    run.add_argument("--record-text", metavar="TEXT",
                     help=f"record with this text (default: {film.TEXT} tokens of the validation split)")  # fmt: skip
    many = parser.add_argument_group("many processes: mpiexec -n N python -m gpt.train …")
    many.add_argument("--shard-optimizer", action="store_true",
                      help="share out AdamW's state: each of N processes keeps an N-th of it")  # fmt: skip
    many.add_argument("--answer-within", type=cli.number(float, SECONDS), metavar="SECONDS", default=ANSWER_WITHIN,
                      help="end all processes if one is silent for so long (default: %(default)g)")  # fmt: skip
    many.add_argument("--compare-every", type=cli.number(int, SIZE), metavar="N", default=COMPARE_EVERY,
                      help="steps between two comparisons of the processes' weights (default: %(default)d)")  # fmt: skip
    cli.add_config_arguments(parser, without=("init",))
    return parser


def parse(argv: list[str]) -> Options:
    """Read the command line."""
    given = vars(make_parser().parse_args(argv))
    names = [name for name in Options.__dataclass_fields__ if name != "given"]
    options = Options(given, **{name: given.pop(name) for name in names})
    if str(options.init) in INITS:  # a way to draw weights: a field of the configuration, and no folder
        given["init"] = str(options.init)
        options = replace(options, init=None)
    if options.resume and (options.out or options.recipe or options.init):
        what = "--out" if options.out else "--recipe" if options.recipe else f"--init {options.init}"
        raise UserError(f"{what} and --resume: a resumed run keeps its own; leave {what} out")
    return options


def open_run(options: Options) -> tuple[Run, Path]:
    """Return the run and its folder, on every rank."""
    ranks = found_ranks()
    if ranks.size == 1:
        if options.shard_optimizer and not options.quiet:
            cli.note("gpt.train", "--shard-optimizer shares nothing out on one process; mpiexec -n N starts several")
        return open_alone(options)
    from gpt.ranks.opening import open_on_all

    run, folder = open_on_all(ranks, lambda: open_alone(options, ranks))
    keep_freed_memory()
    run.compare_every = options.compare_every
    return run, folder


def open_alone(options: Options, ranks: Ranks = ALONE) -> tuple[Run, Path]:
    """Return the run and its folder. A new folder is made last, when nothing else can be wrong any more."""
    many = ranks, options.shard_optimizer and ranks.size > 1
    if options.resume:
        run = open_again(options.resume, options.given, options.quiet, *many)
    else:
        run = prepare(options.recipe or "default", options.given, options.quiet, options.init, *many)
    keep_freed_memory()  # from here on: what reading and counting the text took goes back to the system
    if ranks.size > 1:
        from gpt.ranks.opening import check

        filmed = options.record or options.record_text is not None
        check(run, filmed or (options.resume is not None and files.is_folder(options.resume / film.FILM)))
    if options.profile and run.config.cuda_graph:
        raise UserError("--profile: a recorded update has no parts to be timed; take --no-cuda-graph with it")
    if options.record or options.record_text is not None:
        film.check(run, options.resume, options.record_text)
    return run, options.resume or new_folder(options.out)


def carry_out(run: Run, folder: Path, options: Options, train: Train) -> int:
    """Train the run in its folder, then measure it; return the exit status. train(run, folder, quiet): see gpt/train.py."""
    if run.ranks.size > 1:
        from gpt.ranks.heartbeat import adjust

        adjust(options.answer_within, f"go on with --resume {cli.word(folder)}, on any number of ranks")
    return (follow if run.ranks.rank else lead)(run, folder, options, train)


def lead(run: Run, folder: Path, options: Options, train: Train) -> int:
    """Do it as the only rank, or as the first one, which prints and writes."""
    quiet = options.quiet
    with locked(folder):
        # The run was read before the lock was there. The metadata alone, which have a checksum, say whether it is the last.
        if options.resume and checkpoint.read(folder, names=()).step != run.step:
            raise UserError(f"another process has trained {folder} while this one read it; resume it again")
        if not quiet:
            cli.say(str(run))
        write_config(run.config, folder)
        prepare_film(run, folder, options)
        run.save(folder)
        with failure.kept(folder), profiled(run, folder, quiet) if options.profile else nullcontext():
            signal = train(run, folder, quiet)
        if signal is not None:
            start = f"mpiexec -n {run.ranks.size} " if run.ranks.size > 1 else ""
            again = f"{start}{cli.trainer(mistake.name)} --resume {cli.word(folder)}"
            message = f"step {run.step} saved; go on with {again}"
            return cli.fail("gpt.train", message, 128 + signal)
        summary = finish(run, folder, plot=not options.no_plot, show=not quiet)
    if not quiet:
        cli.say(f"{summary}\nrun folder      {folder}")
        say_what_next(run, folder)
    return 0


def follow(run: Run, folder: Path, options: Options, train: Train) -> int:
    """Do what all ranks have to do together, on those that write and print nothing."""
    run.save(folder)
    with failure.kept(folder, first=False), profiled(run, folder, True) if options.profile else nullcontext():
        signal = train(run, folder, True)
    if signal is not None:
        return 128 + signal
    if not (options.no_plot and options.quiet):
        measured(run, best_of(run, folder)[1])
    return 0


def say_what_next(run: Run, folder: Path) -> None:
    """Print the commands for a run that has ended, and what is odd about it."""
    python, again = cli.python(), cli.word(folder)
    if files.exists(folder / film.FILM):
        cli.say(f"film            {folder / film.FILM}; gpt.inspect shows it")
    cli.say(f"now try         {python} -m gpt.generate {again}")
    cli.say(f"look inside     {python} -m gpt.inspect {again}")
    if odd := cli.attempt("gpt.train", "look at the losses", lambda: oddity(run, folder)):
        cli.say(f"odd             {odd}; {python} -m gpt.doctor {again} says what to try")


def prepare_film(run: Run, folder: Path, options: Options) -> None:
    """Begin the film that --record asks for, before the first checkpoint is there: a run that goes on keeps its film."""
    wanted = options.record or options.record_text is not None
    if not options.resume:
        files.remove(folder / film.NEW)  # of a run that was killed before its first checkpoint
    if wanted and not files.is_folder(folder / film.FILM):
        film.begin(run, folder, film.text_ids(run, options.record_text))


def finish(run: Run, folder: Path, plot: bool, show: bool) -> str:
    """Write sample.txt, measure the loss over the validation split, draw loss.png; return a summary to `show`.

    Of a split with more than MOST predictions it takes windows that are evenly spaced: all of them may take hours.

    Where nobody sees the loss, neither in the summary nor in the plot, it is not measured.
    The loss is that of the best weights, since gpt.generate takes them. The last ones were evaluated on a part of the split,
    as the best were, and `compared` has both losses from there: so this measures one model, whichever is the best.
    Whatever goes wrong with the files is no more than a note.
    """
    best, model = best_of(run, folder)
    cli.attempt("gpt.train", "sample.txt", lambda: write_sample(run, model, folder))
    if not (plot or show):
        return ""
    loss, predictions, limit = measured(run, model, show)
    if plot:
        cli.attempt("gpt.train", "loss.png", lambda: draw(run, folder, best.step if best else run.step, loss))
    bits = bits_per_byte(loss, run.tokenizer, run.validation_ids, run.config.context, limit)
    part = f"{limit:,} windows of the split, evenly spaced" if limit else "the whole split"
    lines = [
        f"validation loss {cli.shown(loss, 4)} nats per token, {cli.shown(bits, 4)} bits per byte "
        f"over {part}, {predictions:,} predictions"
    ]
    if best is not None and show:
        lines += compared(run, best)
    return "\n".join([*lines, f"baselines       {run.baselines}"])


def best_of(run: Run, folder: Path) -> tuple[Evaluation | None, Model]:
    """Return the evaluation of the best weights, if these are not the last ones, and the model that has them."""
    best = run.best if run.best and run.best.step < run.step else None
    if best is None:
        return None, run.model
    return best, copy.deepcopy(run.model) if run.ranks.rank else checkpoint.load(folder, run.config.device)[0]


def measured(run: Run, model: Model, show: bool = False) -> tuple[float, int, int]:
    """Return the loss of the first rank's model over the validation split, the number of predictions, and the limit.

    All ranks take part.
    """
    if model is not run.model:
        for parameter in model.parameters():
            run.ranks.broadcast(parameter.array)
    limit = MOST // run.config.context if len(run.validation_ids) > MOST else 0
    return *mean_loss(model, run.validation_ids, limit, show=show, ranks=run.ranks), limit


def compared(run: Run, best: Evaluation) -> list[str]:
    """Say how the best weights differ from the last ones; and if validation rose, what to try.

    The losses are those of the two evaluations, as the progress showed them. Both took the same windows, so their
    difference is that of the weights alone.
    """
    if run.last is not None:
        last = run.last.loss
    else:  # a run that was resumed without a step left: another process made its last evaluation
        last, _ = mean_loss(run.model, run.validation_ids, run.config.eval_windows)
    lines = [
        f"best weights    step {best.step}, evaluated at {cli.shown(best.loss)}; "
        f"the last, step {run.step}, at {cli.shown(last)}"
    ]
    if last - best.loss > RISE:
        lines[0] += f": validation rose after step {best.step}, so the model learns its text by heart"
        lines.append(
            "try             more text, --dropout 0.2, a smaller model (--layers, --width), or fewer --steps (--patience 3)"
        )
    if run.step < run.config.steps:
        lines.append(f"stopped         by --patience {run.config.patience}: its evaluations did not lower the loss")
    return lines


def oddity(run: Run, folder: Path) -> str:
    """Say what is odd about the numbers that the run has recorded; "" if nothing is."""
    return report.in_a_line(records.recorded(Recorded(run.config, run.step, metrics.read(folder), run.baselines)))


def write_sample(run: Run, model: Model, folder: Path) -> None:
    """Write a text of the model into sample.txt."""
    generator = Generator().manual_seed(run.config.seed)
    start = encode_prompt(run.tokenizer, "")
    count = run.tokenizer.vocab_size
    tokens = sample(model, start, SAMPLE_TOKENS, SAMPLE_TEMPERATURE, generator=generator, vocabulary=count)
    with one_blas_thread():
        text = run.tokenizer.decode(tokens)
    files.write(folder / "sample.txt", text + "\n")


def draw(run: Run, folder: Path, step: int, loss: float) -> None:
    """Draw the rows of the run in loss.png, with the loss over the whole split, of the best weights."""
    from gpt.run.plots import plot_loss  # matplotlib takes long to import

    if rows := metrics.read(folder):
        plot_loss(folder / "loss.png", rows, run.baselines, loss, step)
