"""The functions of a network (torch.nn.functional), by subject. `linear.py` is the example that explains the pattern.

Each checks its arguments and calls a primitive, whose mathematics is in the file of `tinytensor.ops` with the same
name, or is composed of other functions of Tensors.
"""

from __future__ import annotations

from tinytensor.functions import log_softmax, sigmoid, softmax, tanh
from tinytensor.functions.signature import publish
from tinytensor.nn.functional.activations import (
    elu,
    elu_,
    gelu,
    glu,
    leaky_relu,
    leaky_relu_,
    logsigmoid,
    relu,
    relu_,
    silu,
    softplus,
)  # fmt: skip
from tinytensor.nn.functional.attention import CAUSAL_IN_BLOCKS as CAUSAL_IN_BLOCKS
from tinytensor.nn.functional.attention import IN_BLOCKS as IN_BLOCKS
from tinytensor.nn.functional.attention import scaled_dot_product_attention
from tinytensor.nn.functional.cross_entropy import cross_entropy, nll_loss
from tinytensor.nn.functional.dropout import dropout
from tinytensor.nn.functional.embedding import embedding, one_hot
from tinytensor.nn.functional.linear import linear
from tinytensor.nn.functional.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from tinytensor.nn.functional.multi_head_attention import multi_head_attention_forward
from tinytensor.nn.functional.norms import batch_norm, cosine_similarity, layer_norm, normalize, rms_norm
from tinytensor.nn.functional.pad import pad
from tinytensor.subset import outside

__all__ = [
    "batch_norm", "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_similarity", "cross_entropy",
    "dropout", "elu", "elu_", "embedding", "gelu", "glu", "huber_loss", "kl_div", "l1_loss", "layer_norm",
    "leaky_relu", "leaky_relu_", "linear", "log_softmax", "logsigmoid", "mse_loss", "multi_head_attention_forward",
    "nll_loss", "normalize", "one_hot", "pad", "relu", "relu_", "rms_norm", "scaled_dot_product_attention", "sigmoid", "silu",
    "smooth_l1_loss", "softmax", "softplus", "tanh",
]  # fmt: skip

publish(globals(), __name__, __all__)

__getattr__ = outside("tinytensor.nn.functional")
