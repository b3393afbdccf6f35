"""Which tensor of a checkpoint holds which parameter of ours: one table, for reading and for writing.

A part says: their tensor is, row by row, `rows` of our parameter; a Conv1D of GPT-2 has it transposed, (I, O).

Two things lie otherwise there. GPT-NeoX has the rows of queries, keys and values head by head, ours has all queries first. And
rotary positions turn the pairs (x[j], x[j + D/2]) there, here (x[2j], x[2j + 1]): the same model, with the rows of each head in
another order, since a product of a query and a key does not depend on the order of its terms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpt.config import GPTConfig
from gpt.run.checks import parameter_shapes


class Part(NamedTuple):
    """A tensor of theirs: its shape, our parameter, which rows of it, and whether it lies transposed.

    Without `ours` it is a bias that our model does not have: zeros.
    """

    shape: tuple[int, ...]
    ours: str | None
    rows: NDArray[np.intp] | None = None  # None: all, in order
    turned: bool = False


PREFIXES = {"gpt2": "transformer.", "gpt_neox": "gpt_neox.", "llama": "model.", "qwen3": "model."}
HEADS = {"gpt2": "lm_head", "gpt_neox": "embed_out", "llama": "lm_head", "qwen3": "lm_head"}
# What older versions saved beside the weights: masks and angles, which follow from the configuration.
BUFFERS = {
    "gpt2": re.compile(r"h\.\d+\.attn\.(bias|masked_bias)"),
    "gpt_neox": re.compile(r"layers\.\d+\.attention\.(bias|masked_bias|rotary_emb\.inv_freq)"),
    "llama": re.compile(r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq"), "qwen3": re.compile(r"(?!)"),
}  # fmt: skip
TOP = {  # their names without the prefix: ours
    "gpt2": {"wte": "embedding", "wpe": "position_embedding", "ln_f": "norm"},
    "gpt_neox": {"embed_in": "embedding", "final_layer_norm": "norm"},
    "llama": {"embed_tokens": "embedding", "norm": "norm"},
}
LAYER = {
    "gpt2": {
        "ln_1": "attention_norm", "attn.c_attn": "attention.qkv", "attn.c_proj": "attention.projection",
        "ln_2": "feed_forward_norm", "mlp.c_fc": "feed_forward.up", "mlp.c_proj": "feed_forward.projection",
    },
    "gpt_neox": {
        "input_layernorm": "attention_norm", "attention.query_key_value": "attention.qkv",
        "attention.dense": "attention.projection", "post_attention_layernorm": "feed_forward_norm",
        "mlp.dense_h_to_4h": "feed_forward.up", "mlp.dense_4h_to_h": "feed_forward.projection",
    },
    "llama": {
        "input_layernorm": "attention_norm", "self_attn.q_proj": "attention.qkv", "self_attn.k_proj": "attention.qkv",
        "self_attn.v_proj": "attention.qkv", "self_attn.o_proj": "attention.projection",
        "post_attention_layernorm": "feed_forward_norm", "mlp.gate_proj": "feed_forward.gate",
        "mlp.up_proj": "feed_forward.up", "mlp.down_proj": "feed_forward.projection",
    },
}  # fmt: skip
LAYER["qwen3"] = {**LAYER["llama"], "self_attn.q_norm": "attention.q_norm", "self_attn.k_norm": "attention.k_norm"}
TOP["qwen3"] = TOP["llama"]
BLOCKS = {"gpt2": "h", "gpt_neox": "layers", "llama": "layers", "qwen3": "layers"}


def parts(kind: str, config: GPTConfig) -> dict[str, Part]:
    """Return the tensors of a checkpoint of this kind, by their names without the prefix."""
    ours = parameter_shapes(config)
    full = (
        parameter_shapes(replace(config, bias=True)) if kind in ("gpt2", "gpt_neox") else ours
    )  # they have all biases
    found = {}
    for theirs, name in pairs(kind, config):
        rows = rows_of(theirs, config)
        turned = kind == "gpt2" and name.startswith("blocks.") and "norm" not in name
        for suffix in ("weight", "bias"):
            shape = full.get(f"{name}.{suffix}")
            if shape is not None:
                shape = shape if rows is None else (len(rows), *shape[1:])
                own = f"{name}.{suffix}" if f"{name}.{suffix}" in ours else None
                conv = turned and suffix == "weight"
                found[f"{theirs}.{suffix}"] = Part(shape[::-1] if conv else shape, own, rows, conv)
    return found


def pairs(kind: str, config: GPTConfig) -> Iterator[tuple[str, str]]:
    """Yield their name and ours of each layer that has weights, in the order of the model."""
    names = list(TOP[kind].items())
    yield from names[:-1]
    for i in range(config.layers):
        for theirs, ours in LAYER[kind].items():
            yield f"{BLOCKS[kind]}.{i}.{theirs}", f"blocks.{i}.{ours}"
    yield names[-1]
    if not config.tied:
        yield HEADS[kind], "head"


def rows_of(theirs: str, config: GPTConfig) -> NDArray[np.intp] | None:
    """Return which rows of our parameter their tensor has; None for all, in order."""
    H, G, D = config.heads, config.groups, config.width // config.heads
    halves = np.r_[0:D:2, 1:D:2]  # their row p of a head is our row halves[p]
    queries, keys, values = np.split(np.arange((H + 2 * G) * D).reshape(-1, D), [H, H + G])  # (H, D), (G, D), (G, D)
    layer = theirs.rpartition(".")[2]
    if layer == "query_key_value":
        return np.stack([queries[:, halves], keys[:, halves], values], 1).reshape(-1)  # (H, 3, D) -> (3C,)
    turned = {
        "q_proj": queries[:, halves],
        "k_proj": keys[:, halves],
        "v_proj": values,
        "q_norm": halves,
        "k_norm": halves,
    }
    return turned[layer].reshape(-1) if layer in turned else None
