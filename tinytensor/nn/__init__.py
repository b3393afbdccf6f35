"""Neural networks: modules, layers, their functions, initial values."""

from __future__ import annotations

from tinytensor.nn import functional, init, utils
from tinytensor.nn.containers import ModuleDict, ModuleList, Sequential
from tinytensor.nn.layers import (
    GELU,
    CrossEntropyLoss,
    Dropout,
    Embedding,
    Flatten,
    Identity,
    LayerNorm,
    Linear,
    MSELoss,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.subset import outside

__all__ = [
    "GELU",
    "CrossEntropyLoss",
    "Dropout",
    "Embedding",
    "Flatten",
    "Identity",
    "LayerNorm",
    "Linear",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "functional",
    "init",
    "utils",
]


__getattr__ = outside("tinytensor.nn")
