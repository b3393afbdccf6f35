"""cublas.cpp, built and loaded under cuBLAS's name, so that CuPy's module finds it where it looks for the real one."""

from __future__ import annotations

import ctypes
import importlib
import re
import subprocess
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import cupy_backends
import device
from made import made

SOURCE = Path(__file__).with_name("cublas.cpp")
NAME = "libcublas.so.12"
IsCaptured = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_long)

_kept: list[object] = []  # C calls it as long as the process lives


def load(cache: Path) -> Callable[[], int]:
    """Build it where that was not done yet, load it; returns how to ask for the number of products so far."""
    user = next((Path(cupy_backends.__file__).parent / "cuda" / "libs").glob("cublas*.so"))
    names = sorted({n.decode() for n in re.findall(rb"cublas[A-Z]\w+", user.read_bytes())})
    source = SOURCE.read_text()
    defined = {n for n in names if re.search(rf"\b{n}\(", source)}
    defined |= {n for n in names for kind in ("gemm_v2", "gemmStridedBatched", "gemmBatched", "gemv_v2", "dot_v2")
                if n in (f"cublasS{kind}", f"cublasD{kind}")}  # fmt: skip
    source += "".join(f'extern "C" int {n}() {{ return NOT_SUPPORTED; }}\n' for n in names if n not in defined)
    folder = made(cache / f"cublas-{sha1(source.encode()).hexdigest()}", lambda folder: _build(source, folder))
    library = ctypes.CDLL(str(folder / NAME), mode=ctypes.RTLD_GLOBAL)
    importlib.import_module("cupy_backends.cuda.libs.cublas")  # by CuPy's own way it would want cuBLASLt as well
    _kept.append(IsCaptured(lambda stream, number: device.keeps(stream or 0, lambda: library.make_product(number))))
    ctypes.c_void_p.in_dll(library, "is_captured").value = ctypes.cast(_kept[0], ctypes.c_void_p).value  # type: ignore[arg-type]
    return lambda: ctypes.c_long.in_dll(library, "products").value


def _build(source: str, folder: Path) -> None:
    (folder / "cublas.cpp").write_text(source)
    (folder / "versions").write_text(f"{NAME} {{ global: *; }};\n")  # the symbols' version is the library's name
    options = ["-O2", "-shared", "-fPIC", f"-Wl,-soname,{NAME}", f"-Wl,--version-script={folder / 'versions'}"]
    subprocess.run(["g++", *options, "-o", folder / NAME, folder / "cublas.cpp"], check=True)
