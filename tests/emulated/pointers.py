"""Python functions in place of the C functions that a Cython module exports.

A Cython module offers its C functions to other modules in `__pyx_capi__`: a name, and a capsule with the pointer whose own
name is the C signature, e.g. "intptr_t (size_t, int __pyx_skip_dispatch)". Another module copies the pointer when it is
imported. So a capsule with another pointer, put there before, redirects every call.
"""

from __future__ import annotations

import ctypes
import traceback
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

TYPES = {
    "PyObject *": ctypes.py_object, "float": ctypes.c_float, "int": ctypes.c_int, "intptr_t": ctypes.c_ssize_t,
    "size_t": ctypes.c_size_t, "uintmax_t": ctypes.c_uint64, "unsigned int": ctypes.c_uint, "CUdevice": ctypes.c_int,
    "cudaMemcpyKind": ctypes.c_int,
}  # fmt: skip
INTERNAL = {"check_status", "get_build_version", "_getCUDAMajorVersion"}  # these need no CUDA

_python = ctypes.pythonapi
_address_of_name = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyCapsule_GetName", _python))
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    ("PyCapsule_New", _python)
)
_kept: list[Any] = []  # C calls these as long as the process lives

Answer = Callable[..., Any]


def replace_pointers(module: ModuleType, answers: dict[str, Answer], count: Counter[str]) -> None:
    """Let answers[name](*arguments) be what calls to each exported function get; count those without an answer."""
    exported: dict[str, Any] = module.__dict__["__pyx_capi__"]
    for name, capsule in list(exported.items()):
        address = _address_of_name(capsule)
        signature = ctypes.string_at(address or 0).decode()
        returned, _, rest = signature.removesuffix(")").partition("(")
        if name in INTERNAL or not rest or returned.strip() not in TYPES:
            continue
        arguments = [] if rest == "void" else [a.strip() for a in rest.split(",")]
        answer = _safe(name, answers.get(name), count)
        pointer = _callback(answer, returned.strip(), arguments)
        _kept.append(pointer)
        exported[name] = _new_capsule(ctypes.cast(pointer, ctypes.c_void_p), address, None)
        if hasattr(module, name):  # Python code calls it by this name
            setattr(module, name, answer)


def _safe(name: str, answer: Answer | None, count: Counter[str]) -> Answer:
    """The answer, which must not raise: C would not notice."""

    def call(*arguments: Any, **named: Any) -> Any:
        if answer is None:
            count[f"unanswered {name}"] += 1
            return 0
        try:
            return answer(*arguments, **named)
        except Exception:
            traceback.print_exc()
            count[f"failed {name}"] += 1
            return 0

    return call


def _callback(answer: Answer, returned: str, arguments: list[str]) -> Any:
    """A C function of that signature. Cython's own arguments (skip_dispatch, optional ones) are not passed on."""
    types = [ctypes.c_int if "skip_dispatch" in a else TYPES.get(a, ctypes.c_void_p) for a in arguments]
    passed = sum(a in TYPES for a in arguments)
    is_object = returned == "PyObject *"

    def call(*values: Any) -> Any:
        result = answer(*values[:passed])
        if is_object and result is None:
            _python.Py_IncRef(ctypes.py_object(None))  # ctypes hands over a reference to any object but this one
        return result if is_object else result or 0

    return ctypes.PYFUNCTYPE(TYPES[returned], *types)(call)
