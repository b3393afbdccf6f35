"""Neural networks: modules, layers, their functions, initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinytensor.nn import functional, init, modules, utils
from tinytensor.nn.constructors import placed
from tinytensor.nn.containers import ModuleDict, ModuleList, ParameterList, Sequential
from tinytensor.nn.layers import GELU, Embedding, LayerNorm, Linear
from tinytensor.nn.module import Module
from tinytensor.nn.multihead import MultiheadAttention
from tinytensor.nn.norms import BatchNorm1d, RMSNorm
from tinytensor.nn.parameter import Parameter
from tinytensor.nn.rnn import GRU, LSTM, RNN, GRUCell, LSTMCell, RNNCell
from tinytensor.nn.simple import Dropout, Flatten, Identity
from tinytensor.nn.transformer import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)  # fmt: skip
from tinytensor.nn.wrappers import (
    ELU,
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    LeakyReLU,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    ReLU,
    Sigmoid,
    SiLU,
    SmoothL1Loss,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from tinytensor.subset import outside

if TYPE_CHECKING:
    from tinytensor.nn import parallel

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "BatchNorm1d", "CrossEntropyLoss", "Dropout", "ELU", "Embedding", "Flatten",
    "GELU", "GRU", "GRUCell", "HuberLoss", "Identity", "KLDivLoss", "L1Loss", "LSTM", "LSTMCell", "LayerNorm",
    "LeakyReLU", "Linear", "LogSoftmax", "MSELoss", "Module", "ModuleDict", "ModuleList", "MultiheadAttention",
    "NLLLoss", "Parameter", "ParameterList", "RMSNorm", "RNN", "RNNCell", "ReLU", "Sequential", "SiLU", "Sigmoid",
    "SmoothL1Loss", "Softmax", "Softplus", "Tanh", "Transformer", "TransformerDecoder", "TransformerDecoderLayer",
    "TransformerEncoder", "TransformerEncoderLayer", "functional", "init", "modules", "parallel", "utils",
]  # fmt: skip

placed(Linear, Embedding, LayerNorm, RMSNorm, BatchNorm1d, RNN, LSTM, GRU, RNNCell, LSTMCell, GRUCell)
placed(MultiheadAttention, TransformerEncoderLayer, TransformerDecoderLayer)

__getattr__ = outside("tinytensor.nn", {"parallel": "tinytensor.nn.parallel"})  # for scripts on several ranks
