"""Dropout on the real CuPy, whose masks the device draws: python tests/cuda/dropout.py [--emulated]

Philox against its authors' known answers and a second writing of it in NumPy; the masks, their gradients, seeds and
threads; what a captured graph would draw. One line for each check; the exit status is 1 if one fails.
"""

from __future__ import annotations

import math
import threading
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gpu  # first: before cupy is imported
import numpy as np
import pytest

import tinytensor as tt
from tinytensor.cuda import random
from tinytensor.cuda.fused import dropout as fused
from tinytensor.cuda.kernel import launch
from tinytensor.nn import functional as F
from tinytensor.ops.dropout import DROPOUT
from tinytensor.writes import arrays_in

cupy = gpu.cupy

# counter, key and answer of philox4x32-10 in the authors' kat_vectors
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
ALONE = """
extern "C" __global__ void alone(const unsigned* given, unsigned* word, int count) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  for (int j = 0; j < 4; j++) word[4 * i + j] = given[6 * i + j];
  philox(word + 4 * i, given[6 * i + 4], given[6 * i + 5]);
}
"""
COUNTED = ("launches", "host to device", "device to host", "synchronizations", "memsets")


class asked:
    """`with asked(1, 0, …)`: the block asks the device for so many of each of COUNTED; on a GPU nobody counts."""

    def __init__(self, *expected: int) -> None:
        self.expected = list(expected)

    def __enter__(self) -> None:
        self.before = Counter(gpu.count)

    def __exit__(self, *raised: object) -> None:
        found = [gpu.count[what] - self.before[what] for what in COUNTED]
        assert found == self.expected or not gpu.EMULATED or raised[0], f"{COUNTED}: {found}, not {self.expected}"


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def philox(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """The numbers (N, 4) of counters (N, 4) and keys (N, 2), all uint64 arrays of 32-bit words."""
    a, b, c, d = counter.T
    k, m = key.T
    low = np.uint64(2**32 - 1)
    for _ in range(10):
        p, q = a * np.uint64(0xD2511F53), c * np.uint64(0xCD9E8D57)
        a, b, c, d = (q >> np.uint64(32)) ^ b ^ k, q & low, (p >> np.uint64(32)) ^ d ^ m, p & low
        k, m = k + np.uint64(0x9E3779B9) & low, m + np.uint64(0xBB67AE85) & low
    return np.stack([a, b, c, d], 1)


def mask_of(key: int, start: int, size: int, p: float, dtype: str) -> np.ndarray:
    """The mask of `size` elements that begins with the counter `start`, by NumPy."""
    counters = np.arange(start, start + -(-size // 4), dtype=np.uint64)
    low = np.uint64(2**32 - 1)
    zero = np.zeros_like(counters)
    counter = np.stack([counters & low, counters >> np.uint64(32), zero, zero], 1)
    keys = np.full((len(counters), 2), [key & 2**32 - 1, key >> 32], np.uint64)
    kept = philox(counter, keys).reshape(-1)[:size] >= p * 2**32
    return (kept * np.asarray(1 / (1 - p) if p < 1 else 0, dtype)).astype(dtype)


def normal(*shape: int, dtype: str = "float32") -> Any:
    """A Tensor on the device that wants a gradient."""
    x = np.random.default_rng(list(shape)).standard_normal(shape).astype(dtype)
    return tt.from_numpy(x).to("cuda").requires_grad_()


def pattern() -> str:
    """Which elements of a fresh mask are kept."""
    return "".join("01"[v > 0] for v in F.dropout(tt.ones(64).to("cuda")).tolist())


def same(x: Any, y: Any) -> bool:
    """Bit for bit, dtype and shape included."""
    return (x.dtype, x.shape) == (y.dtype, y.shape) and bool((x == y).all())


def known_answers() -> str:
    given = np.array([words(counter) + words(key) for counter, key, _ in KNOWN], np.uint32)
    random_ones = np.random.default_rng(0).integers(0, 2**32, (1000, 6), np.uint32)
    all_of = np.concatenate([given, random_ones])
    found = cupy.zeros((len(all_of), 4), np.uint32)
    launch(random.PHILOX + ALONE, "alone", np.dtype("float32"), 4, (cupy.asarray(all_of), found, np.int32(len(all_of))))
    found = found.get()
    assert found[: len(KNOWN)].tolist() == [words(answer) for _, _, answer in KNOWN]
    wide = all_of.astype(np.uint64)
    assert (found == philox(wide[:, :4], wide[:, 4:])).all()
    return f"{len(KNOWN)} known answers, {len(random_ones)} random ones as NumPy's"


def masks_are_philox() -> str:
    seed, calls = 2**64 - 5, 0
    for dtype in ("float64", "float32", "float16"):
        tt.manual_seed(seed)
        start = 0
        for shape, p in [((1,), 0.5), ((2, 3), 0.1), ((7, 5, 9), 0.3), ((40, 33), 0.9), ((0, 3), 0.5), ((8,), 1.0)]:
            x = normal(*shape, dtype=dtype)
            y = F.dropout(x, p)
            y.backward(2 * x.detach())
            mask = mask_of(seed, start, math.prod(shape), p, dtype).reshape(shape)
            value = x.detach().cpu().numpy()
            assert same(y.detach().cpu().numpy(), value * mask)
            assert same(x.grad.cpu().numpy(), 2 * value * mask)
            start += -(-math.prod(shape) // 4)
            calls += 1
    return f"{calls} calls, in three precisions: y = x·m and dx = dy·m with NumPy's m, bit for bit"


def plain_pair() -> str:
    """The plain pair, with the mask as an array and as a Mask, and the fused one."""
    tt.manual_seed(3)
    for dtype in ("float64", "float32", "float16"):
        x, dy = (normal(6, size, dtype=dtype).detach().array[:, 1:] for size in (34, 34))
        mask = fused.Mask.draw(0.4, x.shape, 0)
        y, saved = fused.forward(x, mask=mask)
        for given in (mask.array(x, x.shape), mask):
            expected, plainly_saved = DROPOUT.forward(x, mask=given)
            assert same(y, expected)
            assert same(fused.backward(dy, *saved)[0], DROPOUT.backward(dy, *plainly_saved)[0])
    return "the same y and dx, given the same mask"


def shares() -> str:
    tt.manual_seed(4)
    n, worst = 40_000, 0.0
    for p in (0.01, 0.1, 0.5, 0.9, 0.99):
        y = F.dropout(tt.ones(n).to("cuda"), p).cpu().numpy()
        worst = max(worst, abs((y == 0).mean() - p) / math.sqrt(p * (1 - p) / n))
        np.testing.assert_allclose(y[y != 0], 1 / (1 - p), rtol=1e-6)
        follows = np.corrcoef(y[:-1], y[1:])[0, 1]
        assert abs(follows) < 5 / math.sqrt(n)
    assert worst < 5
    return f"of zeros within {worst:.1f} standard errors of p"


def seeds() -> str:
    tt.manual_seed(7)
    first, second = pattern(), pattern()
    assert first != second
    tt.manual_seed(7)
    assert pattern() == first
    tt.cuda.manual_seed(8)
    assert pattern() != first
    tt.manual_seed(7)
    assert [pattern(), pattern()] == [first, second]
    found: list[str] = []

    def work() -> None:
        found.append(pattern())
        tt.manual_seed(7)
        found.extend([pattern(), pattern()])

    tt.manual_seed(7)
    pattern()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0] not in (first, second)
    assert found[1:] == [first, second]
    assert pattern() == second, "this thread's stream goes on"
    return "another mask at every call, the same after manual_seed, in every thread its own"


def backward_draws_again() -> str:
    """The same mask, whatever was seeded and drawn since."""
    x = normal(30, 20)
    y = F.dropout(x, 0.5)
    assert not list(arrays_in(y._node.saved))
    tt.manual_seed(1)
    F.dropout(x, 0.5)
    y.sum().backward()
    assert ((x.grad == 0) == (y == 0)).all().item()
    return "the gradient is 0 where the output is; no array is kept"


def what_it_costs() -> str:
    x, dy = normal(30, 20), tt.ones(30, 20).to("cuda").array
    with asked(1, 0, 0, 0, 0):
        y = F.dropout(x)
    primitive, saved = y._node.primitive, y._node.saved
    with asked(1, 0, 0, 0, 0):
        primitive.backward(dy, *saved)
    with asked(1, 0, 0, 0, 0):
        saved[0].array(dy, dy.shape)
    return "1 launch forward, 1 backward, 1 for the mask itself, no copies, nothing waited for"


def layers() -> str:
    tt.manual_seed(6)
    x = tt.ones(50, 10).to("cuda")
    layer = tt.nn.Dropout(0.5)
    assert layer.eval()(x) is x
    assert 100 < (layer.train()(x) == 0).sum().item() < 400
    assert F.dropout(x, 0.5, inplace=True) is x
    assert 100 < (x == 0).sum().item() < 400
    q, v = normal(1, 100, 4) * 0, tt.eye(100).unsqueeze(0).to("cuda")
    copied = gpu.count["host to device"]
    weights = F.scaled_dot_product_attention(q, q, v, dropout_p=0.25).detach()
    assert gpu.count["host to device"] == copied, "its mask came from the host"
    kept = weights.cpu().numpy()
    np.testing.assert_allclose(kept[kept != 0], 0.01 / 0.75, rtol=1e-5)
    assert abs((kept == 0).mean() - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 10_000)
    return "nn.Dropout, in place, and attention's"


def replays() -> str:
    """A graph's launches, which are the same at every replay, draw what they would uncaptured."""
    x = normal(5, 7)

    def step() -> Iterator[Any]:
        yield F.dropout(x, 0.3)
        yield F.dropout(x, 0.6)

    def eager() -> list[Any]:
        return [y.detach().array for y in step()]

    tt.manual_seed(9)
    expected = [eager() for _ in range(4)]
    tt.manual_seed(9)
    found = [eager()]
    numbers = random.Captured(0)
    with numbers:
        graph = [y._node.saved[0] for y in step()]
        with pytest.raises(RuntimeError, match="inside the capture"):
            tt.manual_seed(9)
    for _ in range(2):
        with asked(1, 0, 0, 0, 0):
            numbers.before_replay()
        found.append([mask.times(x.array) for mask in graph])
    found.append(eager())
    assert all(same(y, e) for ys, es in zip(found, expected, strict=True) for y, e in zip(ys, es, strict=True))
    tt.manual_seed(9)
    numbers.before_replay()
    assert all(same(mask.times(x.array), e) for mask, e in zip(graph, expected[0], strict=True)), "seeded anew"
    return "of a captured step draw what the step would, and go on behind it"


CHECKS = [
    known_answers,
    masks_are_philox,
    plain_pair,
    shares,
    seeds,
    backward_draws_again,
    what_it_costs,
    layers,
    replays,
]


def main() -> int:
    """Run every check; 0 if all hold and nothing was left undone."""
    failed = 0
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            print(f"{name}: {check()}", flush=True)
        except Exception:
            failed += 1
            print(f"{name}: FAILED\n{traceback.format_exc()}", flush=True)
    troubles = gpu.troubles()
    print("".join(f"emulator: {what}: {n}\n" for what, n in troubles.items()), end="")
    print(f"\n{len(CHECKS)} checks of dropout, {failed} failed")
    return int(failed > 0 or bool(troubles))


if __name__ == "__main__":
    gpu.finish(main())
