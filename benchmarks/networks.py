"""Networks and GPU nodes that were not measured here: latency, bandwidth, and where each number is from.

The latency of CPU ranks is that of a message of MPI. A GPU rank starts a message by NCCL, which counts on 9.6 µs in a
network and 3.4 µs on NVLink (its table hwLat, protocol Simple, of a ring).
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cards import CARDS
from benchmarks.collectives import Cluster, Link


@dataclass(frozen=True)
class Network:
    """α in seconds, bytes per second of one adapter, adapters of a node with 8 GPUs, and sources."""

    name: str
    latency: float
    bandwidth: float
    adapters: int
    source: str


# "assumed" says that no source was found. Bandwidths are those of one direction.
NETWORKS = (
    Network("1 GbE", 26.3e-6, 116e6, 1,
            "MPICH on TCP, osu_latency 26.3 µs and 116 MB/s: https://gist.github.com/jfgrimm/3af692a5475bdd4ed836b5a18197a209; "
            "one adapter a node: assumed"),
    Network("10 GbE", 20e-6, 1.25e9, 1,
            "20 µs: Hurwitz and Feng, Hot Interconnects 2003, http://www.hoti.org/archive/Hoti11_program/abstracts/24.html; "
            "line rate: assumed; one adapter a node: assumed"),
    Network("100 GbE RoCE", 1.0e-6, 12.1e9, 4,
            "97 Gb/s by ib_send_bw: https://mellanox37.rssing.com/chan-11689808/article3279.html; latency 10 % above "
            "InfiniBand's, https://www.naddod.com/blog/edr-infiniband-vs-100gb-ethernet-performance-competition, which "
            "is 0.9 µs in the gist of 1 GbE; four adapters a node: assumed"),
    Network("HDR 200", 0.6e-6, 25e9, 8,
            "200 Gb/s, below 600 ns: https://lenovopress.lenovo.com/lp1195; eight adapters a node: assumed"),
    Network("NDR 400", 0.6e-6, 50e9, 8,
            "400 Gb/s: https://docs.nvidia.com/networking/display/ConnectX7VPI/Introduction; latency as HDR: assumed; "
            "one adapter for each of 8 GPUs: DGX H100 User Guide, table 6"),
)  # fmt: skip

NCCL = "https://github.com/NVIDIA/nccl/blob/01afd20a77b5804e0ecf1042509dd9d20ebf9e93/src/graph/tuning.cc"
NCCL_NETWORK, NCCL_NVLINK = 9.6e-6, 3.4e-6

# The node: 8 H100, each with 18 links of NVLink 4 that carry 25 GB/s in each direction.
# https://glennklockwood.com/garden/processors/h100 (900 GB/s, both directions)
GPU = next(card for card in CARDS if card.name == "H100 SXM")
GPUS, NVLINK = 8, 450e9
# The share of the peak that model operations reach: about 50 % where llm.c trains the 1.5B model on 8 H100, by the
# announcement of https://github.com/karpathy/llm.c/discussions/677. For 124M: assumed the same, and for any number of windows.
UTILISATION = 0.5
GPU_SPREAD = 0.01  # standard deviation of a GPU's time for the same work, as a share of it: assumed


def of_cpus(network: Network, ranks: int, memory: Link) -> Cluster:
    """Nodes like the one that was measured: so many ranks that share memory, and one adapter."""
    return Cluster(network.name, ranks, memory, Link(network.latency, network.bandwidth, memory.addition))


def of_gpus(network: Network) -> Cluster:
    """Nodes of 8 H100."""
    addition = 3 / GPU.bandwidth  # two numbers are read, one is written
    inner = Link(NCCL_NVLINK, NVLINK, addition)
    outer = Link(max(NCCL_NETWORK, network.latency), network.bandwidth, addition)
    return Cluster(network.name, GPUS, inner, outer, network.adapters)
