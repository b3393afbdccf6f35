"""How the ranks begin: the first one opens the run, and the others get all of it from there.

So the folder and the text need to be on one host alone. A prepared corpus (gpt/corpora) is not sent: it may be larger
than memory, and each rank reads its own windows of it, from the same path.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gpt import corpus, tokenizers
from gpt.cli import check_device
from gpt.config import TrainConfig
from gpt.corpora.cached import Reader
from gpt.corpora.stored import StoredIds
from gpt.errors import UserError
from gpt.ranks.sharded import ShardedAdamW
from gpt.run import checkpoint
from gpt.run.arrays import Arrays
from gpt.run.opening import put_together
from gpt.run.state import Run
from tinytensor.distributed.ranks import Ranks
from tinytensor.nn.undrawn import undrawn

TOLD = ("config", "corpus", "corpus_sha256", "baselines", "step", "seconds", "best", "pending")  # of a Run


def open_on_all(ranks: Ranks, open_run: Callable[[], tuple[Run, Path]]) -> tuple[Run, Path]:
    """Return the run that open_run() returns on the first rank, and its folder, on every rank.

    A UserError of open_run is raised on all of them. UserError where this host has another text or no GPU.
    """
    if ranks.rank:
        told = ranks.share(None)
        if isinstance(told, UserError):
            raise told
        return followed(ranks, told), told["folder"]
    try:
        run, folder = open_run()
    except UserError as error:
        ranks.share(error)
        raise
    told = {name: getattr(run, name) for name in TOLD}
    told |= {
        "folder": folder,
        "tokenizer": run.tokenizer.to_json(),
        "is_sharded": isinstance(run.optimizer, ShardedAdamW),
    }
    told |= {"loss_scale": run.scaler.state_dict() if run.scaler else None, "is_stored": is_stored(run.train_ids)}
    ranks.share(told)
    exchanged(run, told["is_stored"])
    run.restored = {}
    return run, folder


def check(run: Run, is_recorded: bool) -> None:
    """Raise UserError for what several ranks cannot do."""
    if run.config.cuda_graph:
        raise UserError("--cuda-graph records what one process does: leave it out with mpiexec")
    if is_recorded and isinstance(run.optimizer, ShardedAdamW):
        raise UserError("--record shows AdamW's state, which --shard-optimizer shares out; leave one of them out")
    if isinstance(run.optimizer, ShardedAdamW) and (run.config.dtype == "float16" or run.config.device != "cpu"):
        raise UserError("--shard-optimizer is for --dtype float32 or float64 on --device cpu; leave it out")


def is_stored(ids: Any) -> bool:
    return isinstance(ids, StoredIds)


def followed(ranks: Ranks, told: dict[str, Any]) -> Run:
    """Return the run of which the first rank has told."""
    config, tokenizer = told["config"], tokenizers.from_json(told["tokenizer"])
    if config.device != "cpu":
        check_device(config.device, config.tf32)
    ids: tuple[Any, Any] = (None, None)  # they come later
    if told["is_stored"]:
        text = corpus.read(config.data, reader=Reader(config.tokenizer, tokenizer, told["corpus_sha256"]))
        if text.sha256 != told["corpus_sha256"]:
            raise UserError(
                f"{text.name} is another text on this host than on that of rank 0; copy it, or use a shared folder"
            )
        ids = corpus.split(text, tokenizer, config.context)

    def undrawn_model(config: TrainConfig) -> Any:
        with undrawn():
            return checkpoint.fresh_model(config)

    named = told["corpus"], told["corpus_sha256"]
    many = ranks, told["is_sharded"]
    run = put_together(config, *named, tokenizer, *ids, told["baselines"], undrawn_model, *many)
    for name in ("step", "seconds", "best", "pending"):
        setattr(run, name, told[name])
    if run.scaler:
        run.scaler.load_state_dict(told["loss_scale"])
    exchanged(run, told["is_stored"])
    return run


def exchanged(run: Run, is_stored: bool) -> None:
    """Let all ranks have the tokens, weights and AdamW's state of the first one."""
    ranks = run.ranks
    if not is_stored:
        run.train_ids, run.validation_ids = (sent(ranks, ids) for ids in (run.train_ids, run.validation_ids))
    for parameter in run.model.parameters():
        ranks.broadcast(parameter.array)
    received: Arrays = {}
    parameters = dict(run.model.named_parameters())
    for path in ranks.share(list(run.restored)):
        array = sent(ranks, run.restored.get(path))
        if ranks.rank and isinstance(run.optimizer, ShardedAdamW):  # it keeps its piece, and never has all
            name, key = path.rsplit(".", 1)
            run.optimizer.receive(parameters[name], key, array)
        elif ranks.rank:
            received[path] = array
    if received:
        checkpoint.restore_optimizer(run.model, run.optimizer, received)


def sent(ranks: Ranks, array: Any) -> Any:
    """Return the array of the first rank on every rank."""
    shape, dtype = ranks.share(None if ranks.rank else (array.shape, array.dtype))
    found = np.empty(shape, dtype) if ranks.rank else np.ascontiguousarray(array)
    ranks.broadcast(found)
    return found.reshape(shape)
