"""Text from a model, one character at a time: milliseconds and characters per second, batch 1.

    python -m benchmarks.generate
    python -m benchmarks.generate --sizes 4,4,128,256 --engines tinytensor nanogpt --plot generate.svg

The model continues a prompt of one character until the context is full. tinytensor and torch cache keys and values;
tinytensor-8-texts writes eight texts at the same time; its characters are those of all. tinytensor-no-cache computes the
whole window for each character. nanogpt runs nanoGPT's generate on the PyTorch model: the whole window, softmax,
multinomial.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.cli import ENGINE, MEDIAN, MIN, SIZE, SPREAD, THREADS, TO_TORCH, Benchmark, number, ratio_to
from benchmarks.harness import Case, Results, Size, timed
from benchmarks.plots import bars
from benchmarks.train_step import config_of
from gpt.errors import UserError

TEMPERATURE = 0.8


def parse_size(text: str) -> Size:
    """layers,heads,width,context; UserError says what is wrong with them."""
    if text.count(",") != 3:
        raise UserError(f"--sizes {text}: a size is layers,heads,width,context, such as 4,4,128,256")
    return Size.parse(f"{text},1")


def tinytensor_text(size: Size, use_cache: bool) -> Callable[[], object]:
    """Text as gpt.generate makes it."""
    from gpt.build import build
    from gpt.fast.threads import one_blas_thread
    from gpt.sampling import sample
    from tinytensor import Generator
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()
    model, generator = build(config_of(size, 1)), Generator().manual_seed(0)

    def text() -> list[int]:
        with one_blas_thread():
            return list(sample(model, [0], size.context, TEMPERATURE, generator=generator, use_cache=use_cache))

    return text


def tinytensor_texts(size: Size) -> Callable[[], object]:
    """Eight texts as gpt.generate makes them."""
    from gpt.build import build
    from gpt.fast.threads import one_blas_thread
    from gpt.sampling import sample_each
    from tinytensor import Generator
    from tinytensor.buffers import keep_freed_memory

    keep_freed_memory()
    model, generators = build(config_of(size, 1)), [Generator().manual_seed(seed) for seed in range(8)]
    prompts = [[seed] for seed in range(8)]  # different ones: an equal prompt would be read once

    def text() -> list[int]:
        with one_blas_thread():
            tokens = sample_each(model, prompts, size.context, TEMPERATURE, generators=generators)
            return [token for _, token in tokens]

    return text


def torch_text(size: Size) -> Callable[[], object]:
    """Text as reference_torch.generate makes it."""
    import torch
    from reference_torch.build import build
    from reference_torch.generate import sample

    model, generator = build(config_of(size, 1)), torch.Generator().manual_seed(0)
    return lambda: list(sample(model, [0], size.context, TEMPERATURE, generator=generator))


def nanogpt_text(size: Size) -> Callable[[], object]:
    """Text without a cache: for every character, the model computes the last `context` characters again."""
    import torch
    from reference_torch.build import build

    model = build(config_of(size, 1)).eval()

    @torch.no_grad()
    def text() -> Any:
        ids = torch.zeros((1, 1), dtype=torch.int64)  # (1, T)
        for _ in range(size.context):
            logits, _ = model(ids[:, -size.context :])
            probabilities = torch.softmax(logits[:, -1] / TEMPERATURE, -1)
            ids = torch.cat((ids, torch.multinomial(probabilities, 1)), 1)
        return ids

    return text


ENGINES: dict[str, Callable[[Size], Callable[[], object]]] = {
    "tinytensor": lambda size: tinytensor_text(size, use_cache=True),
    "tinytensor-8-texts": tinytensor_texts,
    "torch": torch_text,
    "tinytensor-no-cache": lambda size: tinytensor_text(size, use_cache=False),
    "nanogpt": nanogpt_text,
}
TEXTS = {"tinytensor-8-texts": 8}  # how many texts an engine writes; else one


def measure(case: Case) -> Results:
    size = parse_size(case.size)
    text = ENGINES[case.engine](size)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(case.threads)
    milliseconds = [ms / size.context / TEXTS.get(case.engine, 1) for ms in timed(text, seconds=1.5, warmup=1, least=3)]
    return {"time_token": {"ms": milliseconds, "tokens_per_second": [1e3 / ms for ms in milliseconds]}}


BENCHMARK = Benchmark(
    name="generate",
    text=__doc__,
    engines=tuple(ENGINES),
    threads=(1,),
    sizes=("4,4,128,64", "4,4,128,256"),
    check_size=parse_size,
    repeats=3,
    columns=(
        SIZE, THREADS, ENGINE, number("characters/s", "tokens_per_second", ",.0f"), MEDIAN, MIN, SPREAD,
        TO_TORCH, ratio_to("tinytensor-no-cache"), ratio_to("nanogpt"),
    ),
    draw=bars("characters per second", "tokens_per_second", faster=True),
    size_text="layers,heads,width,context",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
