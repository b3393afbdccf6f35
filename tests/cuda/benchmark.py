"""benchmarks.cpu_vs_gpu from its command line to its plot, on tiny sizes: python tests/cuda/benchmark.py [--emulated]

Both engines are measured in this process, since the emulator is in no other. Under it the times are the host's and mean
nothing; its rows say so, and the benchmark refuses to keep them. The exit status is 1 if anything of that is not so.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
from pathlib import Path

import gpu  # first: before cupy is imported

sys.path.insert(1, str(gpu.TESTS.parent))

from benchmarks import cpu_vs_gpu, harness
from benchmarks.calls import table
from benchmarks.child import answer

FLAGS = ["--sizes", "1,2,8,4,2", "1,2,16,4,2", "1,2,8,4,4", "--engines", "cpu", "gpu", "graph", "--threads", "1"]


def main() -> int:
    """Run it, with and without --json; 0 if it did as it should."""
    cpu_vs_gpu.SECONDS = dict.fromkeys(cpu_vs_gpu.SECONDS, 0.0)
    cpu_vs_gpu.GROUP = 2
    harness.child = answer
    emulated = gpu.name() == cpu_vs_gpu.EMULATED
    with tempfile.TemporaryDirectory() as folder:
        plot, rows = Path(folder) / "plot.png", Path(folder) / "rows.jsonl"
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = cpu_vs_gpu.BENCHMARK.main([*FLAGS, "--plot", str(plot)])
            refused = cpu_vs_gpu.BENCHMARK.main([*FLAGS, "--json", str(rows)]) == 2 and not rows.exists()
        done = status == 0 and plot.stat().st_size > 1000 and refused == emulated and not gpu.troubles()
    print(said.getvalue().splitlines()[-1] if done else said.getvalue())
    print(f"{'measured' if done else 'FAILED'}: a step and {len(table())} primitives, 3 engines, 3 sizes")
    return int(not done)


if __name__ == "__main__":
    gpu.finish(main())
