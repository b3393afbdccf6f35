"""Kernels: what CuPy wrote is compiled by NVRTC for every architecture, and by g++ to be run here.

Where CuPy expects a binary it gets the key of the source. A source that both compilers took before is not compiled again.
What every kernel of CuPy includes, g++ reads once for all (a precompiled header): it takes half of the time otherwise.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
from collections.abc import Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import cupy
import device
from cupy.cuda import compiler
from device import count
from made import made

HERE = Path(__file__).parent
INCLUDE = Path(cupy.__file__).parent / "_core" / "include"
ENTRY = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\s*\(')
DYNAMIC_SHARED = re.compile(r"extern\s+__shared__\s+([\w:<> ]+?)\s+(\w+)\s*\[\s*\]\s*;")
FOLDERS = [
    HERE / "shim",
    HERE,
    INCLUDE,
    *(INCLUDE / "cupy" / "_cccl" / part for part in ("libcudacxx", "thrust", "cub")),
]
OPTIONS = [
    "-std=c++17",
    "-O1",
    "-w",
    "-fpermissive",
    "-fPIC",
    "-U_FORTIFY_SOURCE",
]  # which refuses jumps from stack to stack
INCLUDES = [f"-I{folder}" for folder in FOLDERS]
SHARED = ("cupy/complex.cuh", "cupy/carray.cuh", "cupy/atomics.cuh", "cupy/math_constants.h")

_libraries: dict[bytes, ctypes.CDLL | None] = {}


def install(cache: Path, architectures: Sequence[str]) -> None:
    """Take the place of CuPy's compiler and of the launch."""
    nvrtc = compiler._compile_using_nvrtc_no_warning
    state = "".join(p.read_text() for p in (HERE / "kernel.h", HERE / "shim" / "cuda_fp16.h", Path(__file__)))
    state += f"{cupy.__version__} {cupy.cuda.nvrtc.getVersion()} {architectures}"
    headers = made(cache / f"headers-{sha1(state.encode()).hexdigest()}", _precompile)

    def compile_both(source: str, options: tuple[str, ...] = (), arch: Any = None, *rest: Any, **named: Any) -> Any:
        if rest[1:2] not in ((), (None,)):
            raise NotImplementedError("the emulator has no stand-in for kernels that are named by an expression")
        settings = [option for option in options if not option.startswith("-I")]  # the same headers elsewhere
        key = sha1("\n".join([state, *settings, source]).encode()).hexdigest()
        library = cache / f"{key}.so"
        building = None if library.exists() else _start_building(source, cache / key, headers)
        if building is not None:  # both compilers at once
            for architecture in architectures:
                nvrtc(source, options, architecture, *rest, **named)
                count[f"compiled for sm_{architecture}"] += 1
        _libraries[key.encode()] = _finish_building(building, cache / key)
        count["kernels"] += 1
        return key.encode(), {}

    compiler._compile_using_nvrtc_no_warning = compile_both
    device.run, device.keep = run, keep


def _start_building(source: str, path: Path, headers: Path) -> subprocess.Popen[str]:
    text = DYNAMIC_SHARED.sub(r"static \1 \2[49152 / sizeof(\1)];", source)
    barriers = str("__sync" in source or "_sync(" in source).lower()  # __syncthreads, __syncwarp, shuffles
    launchers = "".join(f"LAUNCHER({name}, {barriers})\n" for name in ENTRY.findall(source))
    _unfinished(path, ".cpp").write_text(f'#include "kernel.h"\n{text}\n{launchers}')
    first = [f"-I{headers}"] if SHARED[1] in source else []
    command = ["g++", *OPTIONS, "-shared", *first, *INCLUDES, "-o", _unfinished(path, ".so"), _unfinished(path, ".cpp")]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def _precompile(folder: Path) -> None:
    """Let g++ find kernel.h in the folder, and what CuPy's own kernels include after it, already read."""
    (folder / "all.h").write_text("".join(f"#include <{name}>\n" for name in ("kernel.h", *SHARED)))
    command = ["g++", *OPTIONS, *INCLUDES, "-x", "c++-header", "-o", folder / "kernel.h.gch", folder / "all.h"]
    subprocess.run(command, check=True)


def _finish_building(building: subprocess.Popen[str] | None, path: Path) -> ctypes.CDLL | None:
    if building is not None:
        errors = building.communicate()[1]
        if building.returncode:
            print(next((line for line in errors.splitlines() if "error:" in line), errors[:300]))
            return None
        for kind in (".cpp", ".so"):
            _unfinished(path, kind).rename(path.with_suffix(kind))
    return ctypes.CDLL(str(path.with_suffix(".so")))


def _unfinished(path: Path, kind: str) -> Path:
    """Where a file is while it is written, so that a process beside this one never reads half of it."""
    return path.with_suffix(f".{os.getpid()}{kind}")


def run(key: bytes, name: str, arguments: int, size: tuple[int, ...]) -> bool:
    """Run the kernel of that name on the arguments at that address; False if it could not be built."""
    library = _libraries[key]
    if library is None:
        return False
    library[f"launch_{name}"](ctypes.c_void_p(arguments), (ctypes.c_uint * 6)(*size))
    return True


def keep(key: bytes, name: str, arguments: int) -> int:
    """The address of a copy of the arguments, for launches to come: CuPy frees them when this one was asked for."""
    library = _libraries[key]
    if library is None:
        return arguments
    copy = library[f"copy_{name}"]
    copy.restype = ctypes.c_void_p
    return int(copy(ctypes.c_void_p(arguments)))
