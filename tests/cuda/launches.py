"""How many launches and products a training step makes: python tests/cuda/launches.py --emulated [--write]

The step is gpt.train's, of the model that the benchmarks train, with one layer and with two, by the table's own pairs and by
the fused kernels. The counts are kept in benchmarks/results/launches.json; the exit status is 1 where a step makes more than
that. --write keeps the new ones. Only the emulator counts, so on a GPU there is nothing to compare.
"""

from __future__ import annotations

import json
import sys
from unittest import mock

import gpu  # first: before cupy is imported

sys.path.insert(1, str(gpu.TESTS.parent))

from benchmarks.harness import Size
from benchmarks.roofline import LAUNCHES
from benchmarks.train_step import tinytensor_step
from tinytensor import dispatch

LAYERS = (1, 2)
WARM = 3  # steps that may make what is made once


def count(layers: int) -> int:
    """Launches and products of one step."""
    with tinytensor_step(Size(layers, 2, 16, 8, 2), 1, "cuda") as step:
        for _ in range(WARM):
            step()
        before = asked()
        step()
        return asked() - before


def asked() -> int:
    return gpu.count["launches"] + gpu.products()


def main(write: bool) -> int:
    """Count, and compare with what is kept; 0 if all is as it was."""
    with mock.patch.dict(dispatch.registered, replacement=lambda primitive, *_: primitive):
        plain = {str(layers): count(layers) for layers in LAYERS}
    found = {"plain": plain, "fused": {str(layers): count(layers) for layers in LAYERS}}
    if not gpu.EMULATED:
        return 0
    if write:
        LAUNCHES.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    kept = json.loads(LAUNCHES.read_text("utf-8"))
    for kind, counts in found.items():
        print(f"{kind} kernels: launches and products by layers: {counts}")
    more = any(n > kept[kind][layers] for kind, counts in found.items() for layers, n in counts.items())
    if found != kept:
        print(f"{'MORE' if more else 'not as many'} as in {LAUNCHES.name}: {kept}; --write keeps what was counted now")
    return int(more or bool(gpu.troubles()))


if __name__ == "__main__":
    gpu.finish(main("--write" in sys.argv))
