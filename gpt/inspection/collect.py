"""All that a page shows of a model and a text: numbers of the engine, and where they come from."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

import tinytensor
from gpt.config import GPTConfig
from gpt.errors import UserError
from gpt.inspection import calls, excerpts, gradients, ngrams
from gpt.inspection.flow import flow
from gpt.inspection.gradients import without_batch
from gpt.inspection.pack import Packer
from gpt.inspection.saliency import saliency
from gpt.inspection.subject import Subject
from gpt.inspection.values import Array, Value, run
from gpt.tokenizers import Tokenizer

VERSION = 1  # of the data in the page
WHOLE_VOCABULARY = 2000  # tokens; of a larger vocabulary the page has those that occur


def collect(subject: Subject) -> tuple[dict[str, Any], str]:
    """Run the model forward and back, and describe it: what the page has as JSON, and its arrays (pack.py)."""
    packer = Packer()
    found = run(subject.model, subject.ids)
    logits = found.trace["output.0"].numpy(force=True)[0]
    loss = losses(logits, subject.ids)
    if not all(map(math.isfinite, loss)):
        raise UserError("the predictions are not finite: train again, with a lower --learning-rate")
    for name, p in subject.model.named_parameters():
        packer.add(f"w:{name}", p.numpy(force=True), "f4")
    packer.add("logits", logits, "f4")
    gradients.add(found, packer)
    rows = calls.described(found, packer)
    flows = flow(found, subject.model)
    packer.add("saliency", saliency(subject.model, subject.ids), "f4")
    counted = None if subject.train is None else ngrams.losses(subject.train, subject.ids, subject.config.vocab_size)
    data = {
        "version": VERSION,
        "made": {"command": subject.command, "tinytensor": tinytensor.__version__},
        "run": _run(subject),
        "tokens": _tokens(subject.tokenizer, subject.ids),
        "vocabulary": _vocabulary(subject),
        "patch": None if subject.patch is None else {"tokens": _tokens(subject.tokenizer, subject.patch)},
        "values": [_value(each) for each in found.values.values()],
        "calls": rows,
        "sources": excerpts.collected(calls.places(found)),
        "loss": [*loss, None],
        "baselines": counted,
        "flow": flows,
        "film": None,
        "notes": subject.notes,
        "arrays": packer.index,
        "scales": packer.scales,
    }
    return data, packer.text()


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


def _vocabulary(subject: Subject) -> Any:
    """The texts of all tokens; of many those that are in the text, by their ids."""
    count = subject.config.vocab_size
    if count <= WHOLE_VOCABULARY:  # a model may have more tokens than its tokenizer knows
        known = subject.tokenizer.vocab_size
        return [shown(subject.tokenizer, i) if i < known else "" for i in range(count)]
    used = set(map(int, subject.ids)) | set(map(int, () if subject.patch is None else subject.patch))
    return {i: shown(subject.tokenizer, i) for i in sorted(used)}


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


def losses(logits: Array, ids: Array) -> list[float]:
    """-ln p of the token after each of ids (T,), in nats, from logits (T, V): (T - 1)."""
    x = logits[:-1].astype(np.float64)
    x -= x.max(-1, keepdims=True)
    found: list[float] = (np.log(np.exp(x).sum(-1)) - x[np.arange(len(x)), ids[1:].astype(np.int64)]).tolist()
    return found
