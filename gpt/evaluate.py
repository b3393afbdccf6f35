"""The loss of a trained model over a whole validation split.

    python -m gpt.evaluate RUN [--last] [--data PATH] [--json]
    mpiexec -n 4 python -m gpt.evaluate RUN                      # the same number, sooner

Windows of `context` tokens lie side by side, so every token but the first is predicted once. The last window
may be shorter.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

from gpt import corpus
from gpt.build import Model
from gpt.cli import Parser, add_run_arguments, command, shown
from gpt.corpora.cached import Reader
from gpt.corpora.progress import on_stderr
from gpt.data import Ids
from gpt.errors import UserError
from gpt.fast import threads
from gpt.fast.threads import cores_each
from gpt.run import baselines, checkpoint
from gpt.run.progress import evaluation
from gpt.tokenizers import Tokenizer
from gpt.trained import find
from tinytensor import from_numpy, no_grad
from tinytensor.buffers import keep_freed_memory
from tinytensor.distributed.ranks import ALONE, Ranks
from tinytensor.distributed.ranks import found as found_ranks

TOKENS_AT_ONCE = 1024  # predictions of one forward


def windows(ids: Ids, context: int, limit: int = 0, first: int = 0, every: int = 1) -> Iterator[tuple[Ids, Ids]]:
    """Yield inputs and targets (B, T) that predict every token of ids (N,) but the first once.

    With a limit, they are at most so many windows, evenly spaced over the split. `every` n-th batch of windows from `first`
    on is the part of one of n ranks.
    """
    full = (len(ids) - 1) // context
    rest = len(ids) - 1 - full * context  # predictions of the last window, if it is shorter
    count = limit if 0 < limit < full else full
    at_once = max(1, TOKENS_AT_ONCE // context)
    for i in range(first * at_once, count, every * at_once):
        chosen = np.arange(i, min(i + at_once, count)) * full // count
        both = ids[chosen[:, None] * context + np.arange(context + 1)]  # (B, T + 1): the ids may be on a disk
        yield both[:, :-1], both[:, 1:]
    if rest and count == full and -(-count // at_once) % every == first:
        both = ids[full * context : len(ids)][None]
        yield both[:, :-1], both[:, 1:]


def mean_loss(model: Model, ids: Ids, limit: int = 0, show: bool = False, ranks: Ranks = ALONE) -> tuple[float, int]:
    """Return the mean of -ln p over the predictions, in nats, and their number: the same bits for any number of ranks.

    With `show`, a bar on the terminal tells how far it is, if that takes more than some seconds.
    """
    device = next(model.parameters()).device

    def total(window: tuple[Ids, Ids]) -> tuple[float, int]:
        x, y = (from_numpy(part.astype(np.int64)).to(device) for part in window)
        with no_grad():
            _, loss = model(x, y)
        return loss.item() * x.numel(), x.numel()

    was_training = model.training
    model.eval()
    count = cores_each(ranks) if device.type == "cpu" else 1
    with evaluation(len(ids) - 1, show and ranks.size == 1) as advance:
        parts = windows(ids, model.config.context, limit, ranks.rank, ranks.size)
        own = threads.ordered_map(total, parts, count, lambda result: advance(result[1]))
    model.train(was_training)
    taken = [each for turn in zip_longest(*ranks.collect(own)) for each in turn if each]  # in the order of the windows
    losses, counts = zip(*taken, strict=True)
    return sum(losses) / sum(counts), sum(counts)


def bits_per_byte(loss: float, tokenizer: Tokenizer, ids: Ids, context: int, limit: int = 0) -> float:
    """Return a loss of `mean_loss` in bits per byte of the text: loss · tokens / (ln 2 · bytes).

    A token of byte pairs is longer than a character, and harder to predict. Per byte, losses of all tokenizers compare.
    """
    count = length = 0
    for _, targets in windows(ids, context, limit):
        count, length = count + targets.size, length + int(tokenizer.sizes[targets].sum())
    return loss * count / (math.log(2) * length)


@command("gpt.evaluate", ranks=True)
def main(argv: list[str]) -> int:
    parser = Parser("gpt.evaluate", "Loss of a run over the whole validation split.")
    add_run_arguments(parser)
    parser.add_argument(
        "--data",
        metavar="PATH",
        help="another text, as for gpt.train; of one text the last 10 %% are the validation split (default: the text that the "
        "run was trained on)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    keep_freed_memory()
    ranks = found_ranks()

    found = find(options.run, options.last, "" if ranks.rank else "gpt.evaluate")
    tokenizer = found.vocabulary(options.tokenizer)
    if options.data is not None:
        text = corpus.read(options.data, reader=Reader(tokenizer.name, tokenizer, show=on_stderr("gpt.evaluate")))
    elif found.checkpoint is not None:
        text = checkpoint.read_corpus(found.checkpoint, options.run, on_stderr("gpt.evaluate"))
    else:
        raise UserError(f"{found.name} does not say on which text it was trained; give --data PATH")
    model = found.model(options.device)
    for parameter in model.parameters():  # a training may have saved since the first rank has read them
        ranks.broadcast(parameter.array)
    if len(set(ranks.collect(text.sha256))) > 1:
        raise UserError(f"{text.name} is not the same text on all hosts; copy it, or use a shared folder")
    train_ids, validation_ids = corpus.split(text, tokenizer, found.config.context, fixed=True)
    if ranks.size > 1:
        from gpt.ranks.heartbeat import SECONDS, adjust

        adjust(SECONDS, "start it again")
    loss, tokens = mean_loss(model, validation_ids, show=not options.json, ranks=ranks)
    if not math.isfinite(loss):
        raise UserError(
            f"the loss is {loss}, so the predictions are not finite: train again, with a lower --learning-rate"
        )
    if ranks.rank:
        return 0
    bits = bits_per_byte(loss, tokenizer, validation_ids, found.config.context)
    if options.json:
        saved = found.checkpoint
        which = {"checkpoint": "best" if saved.is_best else "last", "step": saved.step} if saved else {}
        print(json.dumps({"loss": loss, "bits_per_byte": bits, "tokens": tokens, **which}, allow_nan=False))
        return 0
    base = baselines.measure(train_ids, validation_ids, tokenizer.vocab_size)
    print(f"loss {shown(loss, 4)} nats per token = {shown(bits, 4)} bits per byte")
    print(found.said)
    print(f"over the whole validation split of {text.name}: {tokens:,} predictions")
    print(f"baselines of this text in nats: {base}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
