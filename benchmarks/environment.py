"""Where a number was measured: processor, BLAS, versions, commit. No names of hosts, users or folders."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def environment() -> dict[str, Any]:
    """The processor, libraries and commit of this process; a child reports them after it has measured."""
    from threadpoolctl import threadpool_info

    import tinytensor

    kept = ("internal_api", "version", "architecture", "num_threads")
    pools = [{key: pool[key] for key in kept if pool.get(key) is not None} for pool in threadpool_info()]
    return {
        "cpu": processor(),
        "blas": pools,
        "python": platform.python_version(),
        "numpy": installed("numpy"),
        "torch": installed("torch"),
        "torch_blas": torch_blas(),
        "tinytensor": tinytensor.__version__,
        "gpu": gpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "commit": commit(),
    }


def gpu() -> dict[str, Any] | None:
    """The GPU of this process, the CUDA versions of its driver and library, CuPy's version; None without a GPU."""
    if "cupy" in sys.modules:
        cupy = sys.modules["cupy"]
        runtime = cupy.cuda.runtime
        try:
            name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
        except runtime.CUDARuntimeError:
            return None
        versions = {"driver_cuda": runtime.driverGetVersion(), "cuda": runtime.runtimeGetVersion()}
        return {"name": name, **versions, "cupy": cupy.__version__}
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return {"name": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
    return None


def processor() -> str:
    """The CPU's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def limited_to(count: int) -> Iterator[None]:
    """A context whose new processes may use `count` cores, if the system can limit them."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def torch_blas() -> str | None:
    """The BLAS of PyTorch. It is linked statically, so threadpoolctl does not see it."""
    if "torch" not in sys.modules:
        return None
    torch = sys.modules["torch"]
    named = [
        line.strip(" -").partition(" for ")[0]
        for line in torch.__config__.show().splitlines()
        if "Math Kernel Library" in line
    ]
    return f"{named[0] if named else 'unknown'}; {torch.backends.cpu.get_cpu_capability()}"


def commit() -> str | None:
    """The checkout's commit, with +dirty if files other than results differ from it; None outside of git."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        changed = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+dirty" if changed else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def load() -> float | None:
    """How many processes wanted a core over the last minute. If more than `cores`, trust only the ratios."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def peak_mib() -> float | None:
    """The peak of memory of this process, in MiB; None if the system does not report it.

    Linux counts VmHWM from the start of the program; ru_maxrss would include the memory of the parent.
    """
    status = Path("/proc/self/status")
    if status.exists():
        sizes = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if line.startswith("Vm"))
        return round(int(sizes["VmHWM"].split()[0]) / 1024, 2)
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2)
