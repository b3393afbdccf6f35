"""The edge of the subset: what is said of a name, a module or an import that tinytensor lacks, and what to use instead.

Modules end in `__getattr__ = outside("their.name")`, which also imports modules on their first use.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from opcode import opmap
from typing import Any

CONVOLUTION = "convolutions and pooling are not here: index patches with x[...] and multiply them, or use numpy"
OPTIMIZERS = "use Adam, AdamW, SGD or RMSprop"
ONE_PROCESS = "start the script with mpiexec -n N: torch.distributed and DistributedDataParallel are on MPI"
FULL_COMPLEX = "Tensors are real: keep the real and the imaginary part apart, or use numpy on x.numpy()"

STATE_DICT_HOOKS = ("state_dict_pre", "state_dict_post", "load_state_dict_pre", "load_state_dict_post")

# the most used names outside of the subset → what to use instead
INSTEAD = {
    **dict.fromkeys(["Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "conv1d", "conv2d", "conv3d"], CONVOLUTION),
    **dict.fromkeys(
        ["MaxPool1d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "max_pool2d", "avg_pool2d"], CONVOLUTION
    ),
    **dict.fromkeys(["unfold", "fold", "interpolate", "Upsample", "PixelShuffle"], CONVOLUTION),
    **dict.fromkeys(["LBFGS", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam", "ASGD", "Rprop", "Muon"], OPTIMIZERS),
    **dict.fromkeys(["DataParallel", "multiprocessing", "fsdp", "rpc", "launch", "run", "elastic"], ONE_PROCESS),
    **dict.fromkeys(["new_group", "new_subgroups", "split_group"], "group.WORLD, of all ranks, is the one group"),
    **dict.fromkeys(["all_to_all", "all_to_all_single"], "use all_gather, or isend and irecv"),
    **dict.fromkeys(["complex64", "complex128", "cfloat", "complex", "view_as_real", "view_as_complex"], FULL_COMPLEX),
    **dict.fromkeys(
        ["BatchNorm2d", "BatchNorm3d", "GroupNorm", "InstanceNorm2d"], "use BatchNorm1d, LayerNorm or RMSNorm"
    ),
    **dict.fromkeys(["pad_sequence", "pack_padded_sequence", "rnn"], "pad with nn.functional.pad, then stack"),
    **dict.fromkeys(
        ["jit", "script", "trace", "fx", "export", "onnx", "dynamo"], "run the model as it is: there is no compiler"
    ),
    **dict.fromkeys(
        ["vmap", "func", "jacrev", "functional", "forward_ad"], "call backward or autograd.grad for each output"
    ),
    **dict.fromkeys(["int8", "int16", "uint16", "short", "char"], "use uint8, int32 or int64"),
    **dict.fromkeys(["parametrizations", "weight_norm", "spectral_norm", "prune"], "compute the weight in forward"),
    **dict.fromkeys(["tensordot", "inner", "kron", "bilinear", "chain_matmul"], "use einsum or matmul"),
    "linalg": "use norm, matmul and einsum, or numpy.linalg on x.numpy()",
    "fft": "use numpy.fft on x.numpy()",
    "special": "use the functions of tinytensor itself, such as erf and log1p",
    "sparse": "Tensors are dense: use index_add, gather and scatter_add",
    "checkpoint": "take smaller batches and add up their gradients, as gpt.train --grad-accumulation does",
    **dict.fromkeys(
        ["register_backward_hook", "register_module_backward_hook"],
        "use register_full_backward_hook, or that of all modules",
    ),
    **dict.fromkeys(
        [f"register_{name}_hook" for name in STATE_DICT_HOOKS],
        "change what state_dict returns, or load_state_dict takes",
    ),
    "register_multi_grad_hook": "use register_hook of each Tensor",
    "saved_tensors_hooks": "use a Function, which saves what it wants to",
    "as_strided": "use view, expand and x[...]",
    "fmod": "use x - y * (x / y).trunc()",
    "meshgrid": "use expand on x.view(-1, 1) and y",
    "IterableDataset": "write a Dataset with __getitem__ and __len__, or loop over batches of your own",
    "bfloat16": "use half() or float(): NumPy has no bfloat16",
    "hub": "load weights with tinytensor.load",
}


def refusal(what: str, name: str) -> str:
    """What is said of a name, after what is wrong with it."""
    hint = f"; {INSTEAD[name]}" if name in INSTEAD else ""
    return f"{what}: outside tinytensor's subset of PyTorch, or no such name{hint}"


def outside(module: str, later: Mapping[str, str] | None = None) -> Callable[[str], Any]:
    """A module-level `__getattr__` (PEP 562).

    later: name → the module that has it; the first use of the name imports that module. For every other name it raises
    an AttributeError, and an ImportError in `from module import name`.
    """
    sys._getframe(1).f_globals.setdefault("__path__", [])  # a package: Python asks the Edge for modules below it

    def __getattr__(name: str) -> Any:
        home = (later or {}).get(name)
        if home is None:
            if _imports(sys._getframe(1)):  # Python would replace an AttributeError by a text of its own
                raise ImportError(refusal(f"cannot import name {name!r} from {module!r}", name), name=module)
            raise AttributeError(refusal(f"module {module!r} has no attribute {name!r}", name))
        found = import_module(home)
        value = found if home == f"{module}.{name}" else getattr(found, name)
        setattr(sys.modules[module], name, value)  # the next use finds it there
        return value

    return __getattr__


def _imports(frame: Any) -> bool:
    """Whether the frame is at a `from … import …`."""
    return frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] == opmap["IMPORT_FROM"]  # type: ignore[no-any-return]


class Edge:
    """The last finder that Python asks for a module: if its package is ours, the module is outside of the subset."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        """None for other packages; ModuleNotFoundError for a module of ours that nobody else has found."""
        if fullname.startswith(f"{self.package}."):
            raise ModuleNotFoundError(
                refusal(f"No module named {fullname!r}", fullname.rpartition(".")[2]), name=fullname
            )


sys.meta_path.append(Edge("tinytensor"))  # (importlib.abc is slow to import)
