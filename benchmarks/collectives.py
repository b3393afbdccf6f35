"""What it costs n ranks to exchange arrays: the formulas of each algorithm, for messages that cost α + m β.

R. W. Hockney's model (Parallel Computing 20, 1994): a message of m bytes takes α + m β seconds, the latency and the
inverse of the bandwidth; a rank sends and receives at the same time; adding up m bytes takes m γ. With n ranks, arrays of
m bytes on each, and lg the logarithm to the base 2:

    ring all-reduce       2 (n−1) (α + β m/n)  +  (n−1) γ m/n
    recursive doubling    lg n (α + β m + γ m)
    Rabenseifner          2 α lg n  +  2 β m (n−1)/n  +  γ m (n−1)/n
    reduce-scatter        α lg n  +  (β + γ) m (n−1)/n         by halves;  a ring has α (n−1)
    all-gather            α lg n  +  β m (n−1)/n               by doubling; a ring has α (n−1)

Where n is no power of two, the algorithms with lg n run on the next smaller power p. Before them n−p ranks send their
array to a partner, and after them they get the result: α + β m + γ m, and α + β m.

No algorithm sends less than 2 m (n−1)/n bytes from a rank (Patarasuk and Yuan): the ring and Rabenseifner's reach that.

Sources: Thakur, Rabenseifner, Gropp, "Optimization of Collective Communication Operations in MPICH", IJHPCA 19(1), 2005;
Rabenseifner, "Optimization of Collective Reduction Operations", ICCS 2004; Patarasuk and Yuan, "Bandwidth optimal
all-reduce algorithms for clusters of workstations", JPDC 69(2), 2009.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Link:
    """α in seconds, 1/β in bytes per second, γ in seconds for each byte that is added."""

    latency: float
    bandwidth: float
    addition: float = 0.0

    def message(self, size: float) -> float:
        """The seconds of a message of that many bytes: α + m β."""
        return self.latency + size / self.bandwidth

    def shared(self, flows: float) -> Link:
        """The link of one of so many flows that go through it at the same time. Fewer than one flow is no gain."""
        return replace(self, bandwidth=self.bandwidth / max(1.0, flows))


def rounds(n: int) -> int:
    """lg p of the largest power of two p ≤ n."""
    return n.bit_length() - 1


def folded(n: int, size: float, link: Link) -> float:
    """The seconds for bringing n ranks down to a power of two and back: 2 (α + β m) + γ m; nothing for a power of two."""
    return 0.0 if n == 1 << rounds(n) else 2 * link.message(size) + size * link.addition


def ring(n: int, size: float, link: Link) -> float:
    """The seconds of an all-reduce around a ring: n−1 steps that add up parts of m/n bytes, n−1 that pass them on."""
    return (n - 1) * (2 * link.message(size / n) + size / n * link.addition)


def recursive_doubling(n: int, size: float, link: Link) -> float:
    """The seconds of an all-reduce in lg n steps; in each, pairs exchange and add their whole arrays."""
    return folded(n, size, link) + rounds(n) * (link.message(size) + size * link.addition)


def rabenseifner(n: int, size: float, link: Link) -> float:
    """The seconds of a reduce-scatter by halves and an all-gather by doubling, lg n steps each."""
    part = size * (1 - 2.0 ** -rounds(n))  # what a rank sends in each half: m (p−1)/p
    return folded(n, size, link) + 2 * rounds(n) * link.latency + part * (2 / link.bandwidth + link.addition)


ALL_REDUCE = {"ring": ring, "recursive doubling": recursive_doubling, "Rabenseifner": rabenseifner}


def all_reduce(n: int, size: float, link: Link) -> float:
    """The seconds of the fastest of the three for this size."""
    return min(cost(n, size, link) for cost in ALL_REDUCE.values())


def fastest(n: int, size: float, link: Link) -> str:
    """The name of the fastest of the three for this size."""
    return min(ALL_REDUCE, key=lambda name: ALL_REDUCE[name](n, size, link))


def reduce_scatter(n: int, size: float, link: Link) -> float:
    """The seconds until each rank has its n-th of the sum, of m bytes: by halves for a power of two, else by a ring."""
    steps = rounds(n) if n == 1 << rounds(n) else n - 1
    return steps * link.latency + size * (n - 1) / n * (1 / link.bandwidth + link.addition)


def all_gather(n: int, size: float, link: Link) -> float:
    """The seconds until each rank has the parts of all, m bytes together; a rank brings m/n of them."""
    return reduce_scatter(n, size, replace(link, addition=0.0))


@dataclass(frozen=True)
class Cluster:
    """Nodes of `per_node` ranks: `inner` joins the ranks of a node, `outer` is one of a node's `adapters`."""

    name: str
    per_node: int
    inner: Link
    outer: Link
    adapters: float = 1

    def flat(self, n: int, size: float) -> float:
        """The seconds of an all-reduce of one level. Where ranks are on several nodes, every message is one of the network.

        Rings go through all adapters of a node at once, as NCCL's channels do. The other two share the adapters.
        """
        if n <= self.per_node:
            return all_reduce(n, size, self.inner)
        rings = replace(self.outer, bandwidth=min(self.inner.bandwidth, self.adapters * self.outer.bandwidth))
        shared = self.outer.shared(self.per_node / self.adapters)
        return min(ring(n, size, rings), recursive_doubling(n, size, shared), rabenseifner(n, size, shared))

    def hierarchical(self, n: int, size: float) -> float:
        """The seconds of a reduce-scatter in each node, all-reduces of m/g bytes among the nodes, an all-gather in each.

        The g = per_node all-reduces run at the same time and share the node's adapters. n is a multiple of g, or ≤ g.
        """
        g = min(n, self.per_node)
        outer = self.outer.shared(self.per_node / self.adapters)
        return (
            reduce_scatter(g, size, self.inner) + all_reduce(n // g, size / g, outer) + all_gather(g, size, self.inner)
        )

    def all_reduce(self, n: int, size: float, hierarchical: bool = False) -> float:
        """The seconds of the all-reduce; with `hierarchical`, of the faster of the two."""
        flat = self.flat(n, size)
        return min(flat, self.hierarchical(n, size)) if hierarchical else flat

    def parted(self, parts: int) -> Cluster:
        """The cluster as one of `parts` groups sees it that share each node evenly and communicate at the same time."""
        return replace(self, per_node=max(1, self.per_node // parts), adapters=self.adapters / parts)
