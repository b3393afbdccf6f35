"""All that a page shows of a model and a text: numbers of the engine, and where they come from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import tinytensor
from gpt.build import Model
from gpt.config import GPTConfig
from gpt.errors import UserError
from gpt.inspection import calls, excerpts, film, gradients, ngrams, stored
from gpt.inspection.flow import flow
from gpt.inspection.gradients import without_batch
from gpt.inspection.pack import Packer
from gpt.inspection.saliency import saliency, work
from gpt.inspection.subject import Subject
from gpt.inspection.values import Array, Pass, Value, run
from gpt.lens import losses
from gpt.tokenizers import Tokenizer

VERSION = 1  # of the data in the page


def collect(subject: Subject) -> tuple[dict[str, Any], str]:
    """Run the model forward and back, and describe it: what the page has as JSON, and what it has packed (pack.py).

    The array "json" has the longer part of the JSON, which compresses to a fifth.
    """
    packer, model = Packer(), subject.model
    found = run(model, subject.ids)
    logits = found.trace["output.0"].numpy(force=True)[0]
    loss = losses(logits, subject.ids)
    flows = flow(found, model)
    if not all(map(math.isfinite, (*loss, *(row["norm"] for row in flows["parameters"])))):
        raise UserError("losses or gradients are not finite: train again, with a lower --learning-rate")
    large = stored.is_too_much(found, model)
    if large:
        subject.notes.append("the page has not all values: they, or the weights, are too much; a shorter text may help")
    add_arrays(found, model, logits, packer, large)
    names = stored.names(found) if large else list(found.values)
    packer.add_json({
        "values": [_value(found.values[name]) for name in names],
        "calls": calls.described(found, packer, thorough=not large),
        "sources": excerpts.collected(calls.places(found)),
        "flow": flows,
    })  # fmt: skip
    add_saliency(subject, packer)
    lens = stored.lens(found, model, subject.ids) if large else None
    ablations = stored.ablations(model, subject.ids, subject.notes) if large else None
    recorded = None if subject.film is None else film.packed(subject.film, packer)
    data = _described(subject, loss, lens) | {"ablations": ablations, "film": recorded}
    return data | {"arrays": packer.index, "scales": packer.scales}, packer.text()


def _described(subject: Subject, loss: list[float], lens: list[dict[str, Any]] | None) -> dict[str, Any]:
    """What is said of the run and the text."""
    train, ids, tokenizer = subject.train, subject.ids, subject.tokenizer
    return {
        "version": VERSION,
        "made": {"command": subject.command, "tinytensor": tinytensor.__version__},
        "run": _run(subject),
        "tokens": _tokens(tokenizer, ids),
        "vocabulary": _vocabulary(subject, lens),
        "patch": None if subject.patch is None else {"tokens": _tokens(tokenizer, subject.patch)},
        "loss": [*loss, None],
        "baselines": None if train is None else ngrams.losses(train, ids, subject.model.config.vocab_size),
        "lens": lens,
        "notes": subject.notes,
    }


def add_arrays(found: Pass, model: Model, logits: Array, packer: Packer, large: bool) -> None:
    """The weights, of which the page computes all values, and the gradients; of a large model some of both."""
    if large:
        return stored.add(found, packer)
    for name, p in model.named_parameters():
        packer.add(f"w:{name}", p.numpy(force=True), "f4")
    packer.add("logits", logits, "f4")
    gradients.add(found, packer)


def add_saliency(subject: Subject, packer: Packer) -> None:
    if work(subject.model, subject.ids) > stored.WORK:
        subject.notes.append(
            f"no saliency: {len(subject.ids)} backwards of this model take too long; give a shorter text"
        )
    else:
        packer.add("saliency", saliency(subject.model, subject.ids), "f4")


def _run(subject: Subject) -> dict[str, Any]:
    config = subject.config
    return {
        "name": subject.name,
        "weights": subject.said,
        "step": subject.step,
        "config": {each.name: getattr(config, each.name) for each in dataclasses.fields(GPTConfig)},
        "dtype": config.dtype,
        "parameters": sum(p.numel() for p in subject.model.parameters()),
        "dataset": config.data,
        "tokenizer": config.tokenizer,
        "text": {"shown": len(subject.ids), "of": subject.length},
    }


def shown(tokenizer: Tokenizer, token: int) -> str:
    """The text of a token; bytes that are a part of a character as \\xe2."""
    content = tokenizer.bytes_of(token)
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return content.decode("utf-8", "backslashreplace")


def _tokens(tokenizer: Tokenizer, ids: Array) -> list[dict[str, Any]]:
    return [{"id": int(i), "text": shown(tokenizer, int(i))} for i in ids]


def _vocabulary(subject: Subject, lens: list[dict[str, Any]] | None) -> Any:
    """The texts of all tokens, since the page may expect any; of a large model those that it has, by their ids."""
    known = subject.tokenizer.vocab_size  # a model may have more tokens than its tokenizer knows
    if lens is None:
        return [shown(subject.tokenizer, i) if i < known else "" for i in range(subject.model.config.vocab_size)]
    used = {int(i) for ids in (subject.ids, subject.patch) if ids is not None for i in ids}
    used |= {i for row in lens for top in row["top"] for i in top}
    return {i: shown(subject.tokenizer, i) if i < known else "" for i in sorted(used)}


def _value(value: Value) -> dict[str, Any]:
    return {
        "name": value.name,
        "same": value.same,
        "title": value.title,
        "module": value.module,
        "axes": [axis for axis in value.axes if axis != "batch"],
        "shape": list(without_batch(value.array, value).shape),
        "call": value.call,
        "gradient": value.gradient is not None,
    }
