"""Time of a training step in Pyodide by kind of product, and of the products alone; run by steps.mjs, which defines
cpu() (seconds of this process) and multiply (docs/lab/product.wat)."""

# ruff: noqa: F821
import importlib
import sys
import time

import numpy as np

sys.path[:0] = ["/repository", "/repository/docs/lab"]
started = time.perf_counter()
laboratory = importlib.import_module("laboratory")
importlib.import_module("gpt.train")
print(f"import of gpt.train: {time.perf_counter() - started:.1f} s")

from gpt.build import build  # noqa: E402
from gpt.config import TrainConfig  # noqa: E402
from gpt.data import batch  # noqa: E402
from gpt.fast.shards import Shards  # noqa: E402
from gpt.optimizer import learning_rate, make_optimizer  # noqa: E402
from gpt.train import shard_gradient, update  # noqa: E402
from tinytensor import manual_seed, sums, without_blas  # noqa: E402
from tinytensor.ops import attention, attention_speed  # noqa: E402

KINDS = {"np.matmul": np.matmul, "einsum": without_blas.by_einsum}
faster = laboratory.product_by(multiply)
KINDS["product.wat"] = lambda a, b, out=None: y if (y := faster(a, b, out)) is not None else np.matmul(a, b, out)
try:
    from scipy.linalg.blas import sgemm
except ImportError:
    print("without SciPy")
else:

    def by_scipy(a, b, out=None):
        if not a.ndim == b.ndim == 2 or not a.dtype == b.dtype == np.float32:
            return np.matmul(a, b, out)
        y = sgemm(1.0, b.T, a.T).T
        if out is None:
            return y
        out[...] = y
        return out

    KINDS["SciPy's sgemm"] = by_scipy

manual_seed(1)
config = TrainConfig(vocab_size=76, layers=2, width=64, heads=4, context=64, batch_size=8, steps=300, threads=1)
model = build(config)
optimizer, shards = make_optimizer(model, config), Shards(model, config, shard_gradient)
ids = np.random.default_rng(0).integers(0, 76, 50_000).astype(np.uint8)
times = {kind: [] for kind in KINDS}
for step in range(14):
    for kind, product in KINDS.items():
        for module in (sums, attention, attention_speed):
            module.matmul = product
        before = cpu()
        update(shards, optimizer, [batch(ids, config, step)], step, learning_rate(step, config))
        times[kind].append(cpu() - before)
print("\na step, milliseconds of processor time: median, least")
for kind, all_ in times.items():
    print(f"{kind:<14}{1e3 * sorted(all_[2:])[6]:6.0f}{1e3 * min(all_):6.0f}")

print("\nGFLOP/s            " + "".join(f"{kind:>15}" for kind in KINDS))
random = np.random.default_rng(0)
for name, n, k, m in [("x Wᵀ", 512, 64, 256), ("x Wᵀ", 512, 256, 64), ("dy W", 512, 256, 64), ("dyᵀ x", 256, 512, 64)]:
    a = random.standard_normal((k, n) if name == "dyᵀ x" else (n, k)).astype("f")
    b = random.standard_normal((m, k) if name == "x Wᵀ" else (k, m)).astype("f")
    a, b = a.T if name == "dyᵀ x" else a, b.T if name == "x Wᵀ" else b
    row = ""
    for product in KINDS.values():
        product(a, b)
        before = cpu()
        for _ in range(20):
            product(a, b)
        row += f"{20 * 2 * n * k * m / 1e9 / (cpu() - before):15.1f}"
    print(f"{name:<7}{n:>4}·{k}·{m:<6}{row}")
