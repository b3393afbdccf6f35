"""config.json of a model folder: every entry is understood, without effect on a prediction, or refused.

`read` returns the kind of model and our configuration, `written` the entries for a configuration. A folder that
`python -m gpt.export` made remembers our own configuration under the name "tinytensor": with it the model comes back as it was.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt.config import GPTConfig, TrainConfig, check, flag
from gpt.errors import UserError, shown

OWN = "tinytensor"
# The names that transformers has for our activations; the first is the one that we write.
ACTIVATIONS = {
    "gelu-tanh": ("gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate"),
    "gelu": ("gelu", "gelu_python"), "relu": ("relu",), "silu": ("silu", "swish"), "tanh": ("tanh",),
}  # fmt: skip
OURS = {theirs: ours for ours, names in ACTIVATIONS.items() for theirs in names}
# Entries that change no prediction of a language model: how text is drawn, heads of other tasks, training, versions.
WITHOUT_EFFECT = """
    _attn_implementation _attn_implementation_autoset _commit_hash _name_or_path _num_labels architectures
    attention_dropout attn_implementation attn_pdrop bad_words_ids
    begin_suppress_tokens bos_token_id classifier_dropout decoder_start_token_id diversity_penalty do_sample dtype
    early_stopping embd_pdrop encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task
    forced_bos_token_id forced_eos_token_id gradient_checkpointing hidden_dropout id2label initializer_range is_decoder
    label2id length_penalty loss_type max_length max_window_layers min_length model_parallel n_ctx n_special name_or_path
    no_repeat_ngram_size
    num_beam_groups num_beams num_labels num_return_sequences output_attentions output_hidden_states output_past
    output_scores pad_token_id predict_special_tokens prefix problem_type remove_invalid_values reorder_and_upcast_attn
    repetition_penalty resid_pdrop return_dict return_dict_in_generate sep_token_id summary_activation
    summary_first_dropout summary_proj_to_labels summary_type summary_use_proj suppress_tokens task_specific_params
    temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p
    unk_token_id use_bfloat16 use_cache use_return_dict
"""
# Entries that would change the model, with the values at which they do not.
NEUTRAL: dict[str, tuple[object, ...]] = {
    "add_cross_attention": (False,), "auto_map": (None,), "chunk_size_feed_forward": (0,), "cross_attention_hidden_size": (None,),
    "is_encoder_decoder": (False,), "layer_types": (None,), "pretraining_tp": (1,), "pruned_heads": (None, {}),
    "quantization_config": (None,), "rope_scaling": (None,), "sliding_window": (None,), "tie_encoder_decoder": (False,),
    "use_sliding_window": (False,),
}  # fmt: skip
WHOLE, THETA = 1.0, 10_000.0  # how much of a head gpt/rotary.py turns, and the base of its angles
# The entries that say these, by the version and the model.
ROPE = {"rotary_pct": WHOLE, "partial_rotary_factor": WHOLE, "rotary_emb_base": THETA, "rope_theta": THETA}


@dataclass(frozen=True)
class Described:
    """What a config.json says: the kind of model, our configuration, and the shares that dropout has in it."""

    kind: str
    config: TrainConfig
    dropouts: dict[str, float]


class Entries:
    """The entries of a config.json. It notes which were asked for, so that `finish` can refuse all others."""

    def __init__(self, values: dict[str, Any], path: Path) -> None:
        self.values, self.path, self.asked = values, path, {"model_type", OWN}

    def refusal(self, key: str, wanted: str) -> UserError:
        found = f"says {key} {shown(self.values[key])}" if key in self.values else f"has no {key}"
        return UserError(f"{self.path} {found}; {wanted}")

    def size(self, key: str, default: int | None = None) -> int:
        """Return a whole number above 0; the default if there is none or null, unless the default is None."""
        self.asked.add(key)
        value = self.values.get(key)
        value = default if value is None else value
        if type(value) is not int or not 1 <= value <= 10**8:
            raise self.refusal(key, "it must be a whole number from 1 to 100,000,000")
        return value

    def number(self, key: str, default: float, positive: bool = True) -> float:
        self.asked.add(key)
        value = self.values.get(key, default)
        if type(value) not in (int, float) or not (value > 0 if positive else 0 <= value < 1):
            raise self.refusal(key, f"it must be a number {'above 0' if positive else 'of at least 0 and below 1'}")
        return float(value)

    def truth(self, key: str, default: bool) -> bool:
        self.asked.add(key)
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.refusal(key, "it must be true or false")
        return value

    def activation(self, key: str, default: str) -> str:
        self.asked.add(key)
        value = self.values.get(key, default)
        if not isinstance(value, str) or value not in OURS:
            raise self.refusal(key, f"this version computes {', '.join(sorted(OURS))}")
        return OURS[value]

    def only(self, key: str, value: object, default: object) -> None:
        """Refuse another value than this one."""
        self.asked.add(key)
        if self.values.get(key, default) != value:
            raise self.refusal(key, f"this version computes {key} {value} alone")

    def rope(self, share: float) -> None:
        """Refuse rotary positions other than ours: all of a head turned, base 10,000, not scaled.

        Versions of transformers say so in `rope_parameters` or beside it. `share` is what the model turns if nothing says it.
        """
        inner = self.values.get("rope_parameters") or {}
        self.asked |= {"rope_parameters", *ROPE}
        if not isinstance(inner, dict) or not set(inner) <= {*ROPE, "rope_type"}:
            raise self.refusal("rope_parameters", "this version computes the default kind alone")
        said = [(name, each[name]) for each in (self.values, inner) for name in ROPE if name in each]
        if not any(ROPE[name] == WHOLE for name, _ in said):
            said.append(("rotary_pct", share))
        for name, value in [*said, ("rope_type", inner.get("rope_type", "default"))]:
            if value != ROPE.get(name, "default"):
                raise UserError(
                    f"{self.path} says {name} {shown(value)}; this version turns whole heads, with base 10000, unscaled"
                )

    def finish(self) -> None:
        """Refuse what nobody asked for and what is not known to have no effect."""
        without_effect = WITHOUT_EFFECT.split()
        for key, value in self.values.items():
            if key in self.asked or key in without_effect:
                continue
            if key not in NEUTRAL:
                raise UserError(
                    f"{self.path} has {shown(key)}, which this version does not know; remove it if it changes no prediction"
                )
            if not any(value is each or value == each for each in NEUTRAL[key]) and not is_full(key, value):
                raise self.refusal(key, "this version does not compute that")


def is_full(key: str, value: object) -> bool:
    """Return whether it says that every layer attends to all of the text."""
    return key == "layer_types" and isinstance(value, list) and all(each == "full_attention" for each in value)


Fields = dict[str, Any]


def read_gpt2(entries: Entries) -> Fields:
    head, layer = entries.truth("scale_attn_weights", True), entries.truth("scale_attn_by_inverse_layer_idx", False)
    if layer and not head:
        raise entries.refusal(
            "scale_attn_by_inverse_layer_idx", "without scale_attn_weights this version does not compute that"
        )
    width = entries.size("n_embd")
    return {
        "vocab_size": entries.size("vocab_size"), "context": entries.size("n_positions"), "width": width,
        "layers": entries.size("n_layer"), "heads": entries.size("n_head"), "hidden": entries.size("n_inner", 4 * width),
        "activation": entries.activation("activation_function", "gelu_new"),
        "norm_eps": entries.number("layer_norm_epsilon", 1e-5), "tied": entries.truth("tie_word_embeddings", True),
        "attention_scale": "layer" if layer else "head" if head else "none", "positions": "learned",
    }  # fmt: skip


def read_neox(entries: Entries) -> Fields:
    entries.only("use_parallel_residual", False, True)
    entries.only("attention_bias", True, True)
    entries.rope(0.25)
    return {
        **common(entries), "activation": entries.activation("hidden_act", "gelu"),
        "norm_eps": entries.number("layer_norm_eps", 1e-5),
    }  # fmt: skip


def read_llama(entries: Entries) -> Fields:
    heads, width = entries.size("num_attention_heads"), entries.size("hidden_size")
    if entries.activation("hidden_act", "silu") != "silu":
        raise entries.refusal("hidden_act", "this version computes gates with silu alone")
    qwen = entries.values["model_type"] == "qwen3"
    if entries.size("head_dim", 128 if qwen else -(-width // heads)) * heads != width:
        raise entries.refusal("head_dim", f"with {heads} heads and hidden_size {width} it must be {width / heads:g}")
    entries.rope(WHOLE)
    bias = entries.truth("attention_bias", False)
    entries.only("mlp_bias", bias and not qwen, False)
    if qwen and bias:
        raise entries.refusal("attention_bias", "this version computes qwen3 without biases")
    return {
        **common(entries), "activation": "swiglu", "norm": "rms", "norm_eps": entries.number("rms_norm_eps", 1e-6),
        "kv_heads": entries.size("num_key_value_heads", heads), "bias": bias, "qk_norm": qwen,
    }  # fmt: skip


def common(entries: Entries) -> Fields:
    return {
        "vocab_size": entries.size("vocab_size"), "context": entries.size("max_position_embeddings"),
        "width": entries.size("hidden_size"), "layers": entries.size("num_hidden_layers"),
        "heads": entries.size("num_attention_heads"), "hidden": entries.size("intermediate_size"),
        "tied": entries.truth("tie_word_embeddings", False), "positions": "rotary",
    }  # fmt: skip


READERS: dict[str, Callable[[Entries], Fields]] = {
    "gpt2": read_gpt2, "gpt_neox": read_neox, "llama": read_llama, "qwen3": read_llama,
}  # fmt: skip
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "hidden_dropout", "attention_dropout")


def read(values: object, path: Path) -> Described:
    """Return what the entries mean. Raises UserError, which names the file and the entry, for what this cannot compute."""
    if not isinstance(values, dict) or not isinstance(values.get("model_type"), str):
        raise UserError(f"{path} has no model_type; it must be the config.json of a model that transformers saved")
    kind = values["model_type"]
    if kind not in READERS:
        raise UserError(f"{path} says model_type {shown(kind)}; this version reads {', '.join(READERS)}")
    entries = Entries(values, path)
    fields = READERS[kind](entries)
    dropouts = {key: entries.number(key, 0.0, positive=False) for key in DROPOUTS if key in values}
    entries.finish()
    shares = set(dropouts.values())
    try:
        config = TrainConfig(**fields, init="gpt2", dropout=shares.pop() if len(shares) == 1 else 0.0)
        if OWN in values:
            share = config.dropout if dropouts else None  # what the other entries say is newer
            config = own(kind, config, values[OWN])
            config = config if share is None else dataclasses.replace(config, dropout=share)
        return Described(kind, config, dropouts)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def own(kind: str, config: TrainConfig, remembered: object) -> TrainConfig:
    """Return the configuration that an export remembered, as the model is now: transformers may have changed it since.

    The other entries are true for what the tensors show (PROVEN): more rows, fewer layers, a head of its own. For what no
    tensor shows, such as the number of heads, one of the two was altered: raises UserError.
    """
    known = {each.name: each for each in dataclasses.fields(TrainConfig) if each.name in REMEMBERED}
    if not isinstance(remembered, dict) or not set(remembered) <= set(known):
        raise UserError(f'"{OWN}" is no configuration of this version; remove it to read the model as it is')
    for name, value in remembered.items():
        check(known[name], value)
    # Only there an entry says whether there are biases. Of the other kinds the tensors do: gpt/hf/weights.py.
    proven = {*PROVEN, "bias"} if kind in ("llama", "qwen3") else PROVEN
    mine = dataclasses.replace(config, **{"kv_heads": 0, "hidden": 0, **remembered})
    for name in SAID:
        ours, theirs = (getattr(each, MEANS.get(name, name)) for each in (mine, config))
        if ours != theirs and name not in proven:
            raise UserError(
                f'"{OWN}" says {flag(name)} {ours} and the other entries {theirs}: one of them was altered; '
                f'remove "{OWN}" if the others are right'
            )
    stale = [name for name in proven if getattr(mine, MEANS.get(name, name)) != getattr(config, MEANS.get(name, name))]
    if "width" in stale:
        stale.append("hidden")  # 0 would stand for another number
    return dataclasses.replace(mine, **{name: getattr(config, name) for name in stale})


REMEMBERED = {each.name for each in dataclasses.fields(GPTConfig)} | {"dtype"}  # by an export
# Of these, what other entries of config.json say as well.
SAID = [each.name for each in dataclasses.fields(GPTConfig) if each.name not in ("bias", "init", "dropout")]
MEANS = {"kv_heads": "groups", "hidden": "hidden_width"}  # 0 stands for a number there
# Tensors have these sizes, or are not there; with rotary positions no number depends on the context.
PROVEN = {"vocab_size", "context", "width", "layers", "hidden", "tied"}


def kind_of(config: TrainConfig) -> str:
    """Return the kind of model that computes what ours does. Raises UserError, which names the options, if there is none."""
    if config.model != "gpt":
        raise UserError("--model bigram: transformers has no such model; export one of --model gpt")
    kind = "llama" if config.norm == "rms" else "gpt2" if config.positions == "learned" else "gpt_neox"
    if kind == "llama" and config.qk_norm:
        kind = "qwen3"
    wanted: dict[str, object] = {"positions": "rotary", "attention_scale": "head", "qk_norm": False, "kv_heads": 0}
    if kind == "gpt2":
        wanted |= {"positions": "learned", "attention_scale": config.attention_scale}
    elif kind != "gpt_neox":
        wanted |= {"activation": "swiglu", "qk_norm": config.qk_norm, "kv_heads": config.kv_heads}
    if kind == "qwen3":
        wanted["bias"] = False
    if wanted["kv_heads"] == 0 and config.groups == config.heads:
        wanted["kv_heads"] = config.kv_heads  # as many as heads, said in numbers
    wrong = [each for each, value in wanted.items() if getattr(config, each) != value]
    if kind in ("gpt2", "gpt_neox") and config.activation == "swiglu":
        wrong.append("activation")
    if wrong:
        both = [
            "norm",
            *(["qk_norm"] if kind == "qwen3" else []),
            *([] if kind in ("llama", "qwen3") else ["positions"]),
            *wrong,
        ]
        named = ", ".join(said(each, getattr(config, each)) for each in dict.fromkeys(both))
        fitting = ", ".join(said(each, wanted[each]) for each in wrong) if set(wrong) <= set(wanted) else ""
        advice = f"; train with {fitting}" if fitting else ""
        raise UserError(f"no model of transformers computes {named} together, so it cannot be exported{advice}")
    return kind


def said(name: str, value: object) -> str:
    """Return the option as a command line has it."""
    if isinstance(value, bool):
        return flag(name) if value else "--no-" + flag(name)[2:]
    return f"{flag(name)} {value}"


def written(config: TrainConfig, kind: str, end: int | None = None) -> dict[str, Any]:
    """Return the entries of config.json for our model; `end` is the id of the token that ends a document, if there is one."""
    entries: dict[str, Any] = {
        "model_type": kind, "vocab_size": config.vocab_size, "tie_word_embeddings": config.tied, "initializer_range": 0.02,
        "bos_token_id": end, "eos_token_id": end, "pad_token_id": None, "torch_dtype": config.dtype,
    }  # fmt: skip
    if kind == "gpt2":
        entries |= {
            "architectures": ["GPT2LMHeadModel"], "n_positions": config.context, "n_embd": config.width,
            "n_layer": config.layers, "n_head": config.heads, "n_inner": config.hidden_width,
            "activation_function": ACTIVATIONS[config.activation][0], "layer_norm_epsilon": config.norm_eps,
            "scale_attn_weights": config.attention_scale != "none",
            "scale_attn_by_inverse_layer_idx": config.attention_scale == "layer",
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), config.dropout),
        }  # fmt: skip
    else:
        entries |= {
            "hidden_size": config.width, "num_hidden_layers": config.layers, "num_attention_heads": config.heads,
            "intermediate_size": config.hidden_width, "max_position_embeddings": config.context,
            "attention_dropout": config.dropout,
        }  # fmt: skip
    if kind == "gpt_neox":
        entries |= {
            "architectures": ["GPTNeoXForCausalLM"], "hidden_act": ACTIVATIONS[config.activation][0],
            "layer_norm_eps": config.norm_eps, "hidden_dropout": config.dropout, "rotary_pct": 1.0, "rotary_emb_base": THETA,
            "use_parallel_residual": False, "attention_bias": True,
        }  # fmt: skip
    elif kind != "gpt2":
        entries |= {
            "architectures": ["LlamaForCausalLM" if kind == "llama" else "Qwen3ForCausalLM"], "hidden_act": "silu",
            "rms_norm_eps": config.norm_eps, "rope_theta": THETA, "attention_bias": config.bias,
            "num_key_value_heads": config.groups, "head_dim": config.width // config.heads,
            **({"mlp_bias": config.bias} if kind == "llama" else {"use_sliding_window": False}),
        }  # fmt: skip
    remembered = {
        each.name: getattr(config, each.name) for each in dataclasses.fields(config) if each.name in REMEMBERED
    }
    return {**entries, OWN: remembered}
