"""A GPT-2 from a folder, beside transformers: the time and memory of loading it, and of each token of text. Batch 1.

    python -m benchmarks.pretrained                                  # as large as GPT-2, of random weights; needs hf-test
    python -m benchmarks.pretrained --sizes 2,4,128,256,300 --repeats 1

A process writes the folder, loads it once and continues a prompt of PROMPT tokens, greedily. Loading is what gpt.load and
from_pretrained do, without imports; transformers may leave weights in the file until they are used, so the peak is the one after
the text. The engines with "no-cache" compute the whole text for each token.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.cli import (
    ENGINE,
    MEDIAN,
    MIN,
    PEAK,
    SIZE,
    SPREAD,
    THREADS,
    TO_TORCH,
    Benchmark,
    Column,
    number,
    ratio_to,
)
from benchmarks.harness import Case, Results, timed
from benchmarks.plots import bars
from gpt.config import TrainConfig
from gpt.errors import UserError

PROMPT, TOKENS, WITHOUT_CACHE = 32, 32, 8


def config_of(size: str) -> TrainConfig:
    """layers,heads,width,context,vocabulary; UserError says what is wrong with them."""
    numbers = size.split(",")
    if len(numbers) != 5 or not all(n.isdecimal() and int(n) for n in numbers):
        raise UserError(
            f"--sizes {size}: a size is layers,heads,width,context,vocabulary, such as 12,12,768,1024,50257"
        )
    layers, heads, width, context, vocabulary = map(int, numbers)
    return TrainConfig(
        layers=layers, heads=heads, width=width, context=context, vocab_size=vocabulary, positions="learned", tied=True,
        init="gpt2",
    )  # fmt: skip


def write_folder(folder: Path, config: TrainConfig) -> None:
    """Write a GPT-2 of random weights."""
    from gpt.build import build
    from gpt.hf.export import write

    write(folder, build(config), config)


def tinytensor_text(folder: Path, use_cache: bool) -> Callable[[int], list[int]]:
    from gpt.fast.threads import one_blas_thread
    from gpt.sampling import sample
    from gpt.trained import load
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()
    model, _ = load(f"hf:{folder}")

    def text(count: int) -> list[int]:
        with one_blas_thread():
            return list(sample(model, range(PROMPT), count, 0.0, use_cache=use_cache))

    return text


def transformers_text(folder: Path, use_cache: bool) -> Callable[[int], list[int]]:
    from transformers import AutoModelForCausalLM

    import torch

    model: Any = AutoModelForCausalLM.from_pretrained(folder)  # typed in some versions alone
    model.eval()
    prompt = torch.arange(PROMPT)[None]  # (1, T)
    how = {"attention_mask": torch.ones_like(prompt), "do_sample": False, "use_cache": use_cache, "pad_token_id": 0}

    def text(count: int) -> list[int]:
        ids: list[int] = model.generate(prompt, max_new_tokens=count, **how)[0, PROMPT:].tolist()
        return ids

    return text


ENGINES: dict[str, tuple[Callable[[Path, bool], Callable[[int], list[int]]], bool]] = {
    "tinytensor": (tinytensor_text, True), "torch": (transformers_text, True),
    "tinytensor-no-cache": (tinytensor_text, False), "torch-no-cache": (transformers_text, False),
}  # fmt: skip


def measure(case: Case) -> Results:
    from benchmarks.environment import peak_mib

    os.environ["HF_HUB_OFFLINE"] = "1"
    make, use_cache = ENGINES[case.engine]
    count = TOKENS if use_cache else WITHOUT_CACHE
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        writer = os.fork()  # a process of its own, so that the peak is of loading alone
        if writer == 0:
            write_folder(folder, config_of(case.size))
            os._exit(0)
        if os.waitpid(writer, 0)[1]:
            raise RuntimeError("the folder could not be written")
        if "torch" in case.engine:
            from transformers import GPT2LMHeadModel  # noqa: F401

            import torch

            torch.set_num_threads(case.threads)
        import gpt.trained  # noqa: F401

        started = time.perf_counter()
        text = make(folder, use_cache)
        loaded = (time.perf_counter() - started) * 1e3
        milliseconds = [ms / count for ms in timed(lambda: text(count), seconds=4.0, warmup=1, least=3)]
    return {
        "load": {"ms": [loaded], "peak_mib": peak_mib()},
        "time_token": {"ms": milliseconds, "tokens_per_second": [1e3 / ms for ms in milliseconds]},
    }


WHAT = Column("what", lambda row: "text" if "time_token" in row["name"] else "load", left=True)

BENCHMARK = Benchmark(
    name="pretrained",
    text=__doc__,
    engines=tuple(ENGINES),
    threads=(1,),
    sizes=("12,12,768,1024,50257",),
    check_size=config_of,
    repeats=3,
    columns=(
        WHAT, SIZE, THREADS, ENGINE, number("tokens/s", "tokens_per_second", ",.1f"), MEDIAN, MIN, SPREAD, PEAK, TO_TORCH,
        ratio_to("torch-no-cache"),
    ),
    draw=bars("tokens per second", "tokens_per_second", faster=True),
    size_text="layers,heads,width,context,vocabulary",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
