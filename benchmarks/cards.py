"""Peaks of some GPUs, from pages that quote NVIDIA; the time of a launch. None was measured here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Card:
    """Bytes per second of the memory, operations per second in products for each precision, and the source."""

    name: str
    bandwidth: float
    peaks: dict[str, float]
    source: str


def card(name: str, gigabytes: float, source: str, **teraflops: float) -> Card:
    return Card(name, 1e9 * gigabytes, {precision: 1e12 * peak for precision, peak in teraflops.items()}, source)


# Peaks of dense products. float16 adds up in float32, which halves the peak of a GeForce. A T4 has no TF32. TF32 and
# float16 of L4 and H100 are half of what NVIDIA prints, since NVIDIA counts with sparsity.
CARDS = (
    card("T4", 320, "https://sysrqmts.com/en/gpus/nvidia/tesla/t4", float32=8.1, float16=65),
    card("L4", 300, "https://hmc-tech.com/gpu/nvidia-l4-vs-nvidia-a100-40gb; "
         "https://store.sourcecode.com/en-us/bg-bucket-compare/125/9820", float32=30.3, tf32=60, float16=121),
    card("RTX 4090", 1008, "https://waredb.com/processor/nvidia-geforce-rtx-4090", float32=82.6, tf32=82.6, float16=165.2),
    card("A100 40 GB", 1555, "https://glennklockwood.com/garden/processors/A100 (cites NVIDIA's data sheet)",
         float32=19.5, tf32=156, float16=312),
    card("H100 SXM", 3350, "https://glennklockwood.com/garden/processors/h100 (cites NVIDIA's data sheet)",
         float32=66.9, tf32=494.7, float16=989.4),
)  # fmt: skip

# Seconds that a launch takes at least, even for a tiny kernel.
#   CuPy  the host's part of an elementwise function on 100 × 100 numbers: https://github.com/cupy/cupy/pull/3298
#   graph 80 kernels of a CUDA graph in 70 µs: https://cuda.juliagpu.org/dev/usage/graphs/
LAUNCH = {"CuPy": 11e-6, "graph": 70e-6 / 80}
