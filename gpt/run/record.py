"""What a step leaves: a row in metrics.jsonl and on the terminal; where it is evaluated, also the checkpoints.

Of several ranks the first one writes and prints; the others take part in what all have to do, as an evaluation.

The last checkpoint is saved before the evaluation, with the row of its step: so an evaluation that fails or is killed
costs no step. A run that goes on from there evaluates first, and writes the row then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from gpt.evaluate import bits_per_byte, mean_loss
from gpt.ranks.drift import check_equal
from gpt.run import files, film
from gpt.run.checkpoint import BEST, WEIGHTS
from gpt.run.film import Film
from gpt.run.metrics import Metrics, Row
from gpt.run.opening import write_config
from gpt.run.progress import Progress
from gpt.run.state import Evaluation, Run


class Record:
    """Takes the row of every step. Evaluates and saves the run where that is due."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        metrics: Metrics | None = None,
        progress: Progress | None = None,
        film: Film | None = None,
    ) -> None:
        self._run, self._folder, self._metrics, self._progress, self._film = run, folder, metrics, progress, film

    def step(self, row: Row) -> None:
        """Take the row of the step that the run made last. If an evaluation is due, save and evaluate."""
        run = self._run
        if run.ranks.size > 1 and run.step % run.compare_every == 0:
            check_equal(run.ranks, run.model, run.step)
        if self._film is not None:
            self._film.step(row)  # before the save: a run that goes on has all moments of the film up to its step
        if run.step % run.config.eval_every and run.step < run.config.steps:
            self._leave(row)
        else:
            run.pending = dict(row)
            run.save(self._folder)
            self.evaluate()

    def evaluate(self) -> None:
        """Measure the loss on text that training never draws, of the step whose row is pending. Keep the best weights."""
        run = self._run
        loss, _ = mean_loss(run.model, run.validation_ids, run.config.eval_windows, ranks=run.ranks)
        run.check_finite(validation_loss=loss)
        pending, run.pending, run.last = run.pending, None, Evaluation(loss, run.step)
        if run.best is None or loss < run.best.loss:
            run.best = run.last
            self._save_best()
        if self._metrics is not None:
            bits = bits_per_byte(loss, run.tokenizer, run.validation_ids, run.config.context, run.config.eval_windows)
            row = {**(pending or {}), "val_loss": loss, "val_bits_per_byte": bits, "best_step": run.best.step}
            self._leave(cast(Row, row))

    def _save_best(self) -> None:
        """Save the weights apart. No run goes on from there, so nobody needs AdamW's state."""
        if not self._run.ranks.rank:
            files.make_folder(self._folder / BEST)
            write_config(self._run.config, self._folder / BEST)
        self._run.save(self._folder / BEST, (WEIGHTS,))

    def _leave(self, row: Row) -> None:
        if self._metrics is not None and self._progress is not None:
            self._metrics.write(row)
            self._progress.update(row)


@contextmanager
def recording(run: Run, folder: Path, quiet: bool) -> Iterator[Record]:
    """A context in which the steps of the run are recorded: in metrics.jsonl, in checkpoints, and on the terminal."""
    if run.ranks.rank:
        record = Record(run, folder)
        if run.pending is not None:
            record.evaluate()
        yield record
        return
    done = run.step - (run.pending is not None)  # the steps that have their rows
    progress = Progress(run.config, done, run.baselines.brief(), quiet, may_move=run.ranks.size == 1)
    with Metrics(folder, done) as metrics, progress:
        recorded = film.go_on(run, folder)
        record = Record(run, folder, metrics, progress, recorded)
        if run.pending is not None:
            record.evaluate()
        yield record
        if recorded is not None:
            recorded.stop()
