"""The memory of training: the peak of the whole process, imports included.

    python -m benchmarks.memory
    python -m benchmarks.memory --sizes 4,4,128,64,12 4,4,128,2048,2 --threads 1

A process runs gpt.train or reference_torch.train for a few steps on a text of random characters, with evaluation and,
for gpt.train, checkpoint and sample. `growth` is the memory after the imports: weights, activations, optimizer.
reference_torch.train takes text and first weights from gpt, so its process holds tinytensor too: about 7 MiB.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.cli import ENGINE, PEAK, SIZE, THREADS, TO_TORCH, Benchmark, number
from benchmarks.environment import peak_mib
from benchmarks.harness import Case, Results, Size
from benchmarks.plots import bars

STEPS = 5


def measure(case: Case) -> Results:
    import numpy as np

    size = Size.parse(case.size)
    if case.engine == "tinytensor":
        from gpt.train import main
    else:
        from reference_torch.train import main
    before = peak_mib()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text"
        text.write_bytes(np.random.default_rng(0).integers(32, 32 + 65, 120_000, np.uint8).tobytes())
        out = ["--out", str(Path(folder) / "run"), "--no-plot"] if case.engine == "tinytensor" else []
        if main([*flags(size, case.threads), "--data", str(text), *out]):
            raise RuntimeError(f"{case.engine} could not train")
    after = peak_mib()
    return {"peak_training": {"growth_mib": None if before is None or after is None else after - before}}


def flags(size: Size, threads: int) -> list[str]:
    """The size as flags of gpt.train."""
    values = {
        "layers": size.layers, "heads": size.heads, "width": size.width, "context": size.context,
        "batch-size": size.batch, "threads": threads, "steps": STEPS, "positions": "learned", "activation": "gelu-tanh",
    }  # fmt: skip
    return ["--quiet", *(word for name, value in values.items() for word in (f"--{name}", str(value)))]


BENCHMARK = Benchmark(
    name="memory",
    text=__doc__,
    engines=("tinytensor", "torch"),
    threads=(2,),
    sizes=("4,4,128,64,12", "4,4,128,256,4", "4,4,128,512,4", "4,4,128,1024,4"),
    check_size=Size.parse,
    repeats=1,
    columns=(SIZE, THREADS, ENGINE, PEAK, number("growth MiB", "growth_mib", ".0f"), TO_TORCH),
    draw=bars("peak memory of the process, MiB", "peak_mib"),
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.main())
