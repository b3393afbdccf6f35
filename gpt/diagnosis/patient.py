"""A run folder, opened for the doctor: its records, its text, its weights, and what they do on some windows."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpt import corpus
from gpt.build import Model
from gpt.cli import check_device, note
from gpt.corpora.progress import on_stderr
from gpt.data import Ids
from gpt.diagnosis.probe import Probe, probe
from gpt.diagnosis.recorded import Recorded
from gpt.evaluate import windows
from gpt.fast.threads import one_blas_thread
from gpt.model import GPT
from gpt.run import baselines, checkpoint, failure, files, metrics
from gpt.run.arrays import Arrays
from gpt.tokenizers import Tokenizer
from tinytensor import float32, manual_seed

TOKENS = 4096  # that the probe sees at least, if the text has them


@dataclass
class Patient:
    """A run with its last weights."""

    run: Recorded
    model: Model
    weights: Arrays
    moments: Arrays  # AdamW's state; nothing before the first step, or of parameters that never had a gradient
    first: Arrays  # the weights that its seed makes
    train_ids: Ids
    validation_ids: Ids
    probe: Probe
    tokenizer: Tokenizer
    text: str  # its name

    @property
    def is_gpt(self) -> bool:
        """Whether it has attention and feed-forward layers."""
        return isinstance(self.model, GPT)


def admit(run: Path, data: str | None = None, device: str | None = None) -> Patient:
    """Read the run folder and its text, and probe the model. Writes nothing. Raises UserError for a folder that is none."""
    saved = checkpoint.read(run, partial=True)
    if warning := saved.warning(run):
        note("gpt.doctor", warning)
    device = device or (saved.written or saved.config).device
    check_device(device)
    config = dataclasses.replace(saved.config, device=device, cuda_graph=False, tf32=False)
    text = checkpoint.read_corpus(saved, run, on_stderr("gpt.doctor"), data)
    train_ids, validation_ids = corpus.split(text, saved.tokenizer, config.context, fixed=True)
    base = baselines.measure(train_ids, validation_ids, config.vocab_size)
    rows = metrics.read(run) if files.exists(run / "metrics.jsonl") else []
    model = checkpoint.restore_model(dataclasses.replace(saved, config=config), device).eval()
    if config.dtype == "float16":
        model = model.to(dtype=float32)  # small gradients would be zero without a loss scale
    manual_seed(config.seed)
    with one_blas_thread():
        found = probe(model, batches(train_ids, config.context))
    return Patient(
        Recorded(config, saved.step, rows, base, failure.read(run)),
        model=model,
        weights=saved.weights,
        moments=saved.optimizer,
        first=checkpoint.weight_arrays(checkpoint.fresh_model(dataclasses.replace(config, device="cpu"))),
        train_ids=train_ids,
        validation_ids=validation_ids,
        probe=found,
        tokenizer=saved.tokenizer,
        text=text.name,
    )


def batches(ids: Ids, context: int) -> list[tuple[Ids, Ids]]:
    """Return inputs and targets of about TOKENS tokens, evenly spaced over the text."""
    parts = windows(ids, context, max(1, -(-TOKENS // context)))
    return [(x.astype(np.int64), y.astype(np.int64)) for x, y in parts]
