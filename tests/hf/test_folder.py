"""Folders of models without transformers: what is written comes back, and what does not fit is refused in a line."""

from __future__ import annotations

import io
import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folders import (
    change_config,
    change_tensors,
    exported,
    gpt2,
    model_of,
    read_tensors,
    same_weights,
    shard,
    write_index,
    write_tensors,
)
from hypothesis import given
from hypothesis import strategies as st

import gpt
from gpt import evaluate, generate, prepare, train
from gpt import export as command
from gpt.errors import UserError
from gpt.hf import config as entries
from gpt.hf import export, pretrained, weights
from gpt.hf.parts import rows_of
from gpt.run import checkpoint
from gpt.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer
from gpt.tokenizers.bpe import learn
from tinytensor import manual_seed, no_grad, rand, tensor

pytestmark = pytest.mark.hf

MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"


def read(folder):
    found = pretrained.find(f"hf:{folder}")
    return found.model(found.config)


def logits(model):
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, model.config.context))
    with no_grad():
        return model.eval()(tensor(ids.tolist()))[0].numpy()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "model"


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text").write_text("It was the best of times, it was the worst of times. " * 20)
    return tmp_path


# ------------------------------------------------------------------------------------------------ there and back

KINDS = {
    "gpt_neox": [{}, {"bias": False}, {"tied": True, "hidden": 20, "activation": "gelu"}, {"dtype": "float16", "dropout": 0.2}],
    "gpt2": [{"positions": "learned"}, {"positions": "learned", "bias": False, "tied": True, "attention_scale": "layer"},
             {"positions": "learned", "attention_scale": "none", "activation": "relu", "dtype": "float64"}],
    "llama": [{"norm": "rms", "activation": "swiglu"}, {"norm": "rms", "activation": "swiglu", "kv_heads": 1, "bias": False}],
    "qwen3": [{"norm": "rms", "activation": "swiglu", "qk_norm": True, "bias": False, "kv_heads": 1, "tied": True}],
}  # fmt: skip


@pytest.mark.parametrize("kind, options", [(kind, each) for kind, several in KINDS.items() for each in several])
def test_what_is_exported_comes_back_bit_for_bit(folder, kind, options):
    model, config = exported(folder, **options)
    assert json.loads((folder / "config.json").read_text())["model_type"] == kind
    found = pretrained.find(f"hf:{folder}")
    assert found.config == config
    assert same_weights(found.model(found.config), model)


def test_the_order_of_rows():
    """Two heads of four numbers: their pairs are (0, 2) and (1, 3) of a head, ours (0, 1) and (2, 3)."""
    config = replace(model_of()[1], width=8, heads=2)
    first, second = [0, 2, 1, 3], [4, 6, 5, 7]
    together = rows_of("layers.0.attention.query_key_value", config)
    assert together.tolist() == [
        *first, *(8 + i for i in first), 16, 17, 18, 19, *second, *(8 + i for i in second), 20, 21, 22, 23,
    ]  # fmt: skip
    shared = replace(config, kv_heads=1)
    assert rows_of("self_attn.q_proj", shared).tolist() == [*first, *second]
    assert rows_of("self_attn.k_proj", shared).tolist() == [8 + i for i in first]
    assert rows_of("self_attn.v_proj", shared).tolist() == [12, 13, 14, 15]
    assert rows_of("self_attn.k_norm", shared).tolist() == first
    assert rows_of("self_attn.o_proj", shared) is None


def test_reading_a_model_draws_nothing(folder):
    exported(folder)
    manual_seed(3)
    expected = rand(5).tolist()
    manual_seed(3)
    read(folder)
    assert rand(5).tolist() == expected


def test_a_system_may_return_fewer_bytes_than_are_asked_for(folder, monkeypatch):
    model = gpt2(folder)

    class Slow(io.FileIO):
        def readinto(self, buffer):
            return super().readinto(memoryview(buffer)[:7])

    monkeypatch.setattr(io, "FileIO", Slow)
    assert same_weights(read(folder), model)


def test_a_folder_that_forgets_us_computes_the_same(folder):
    model = gpt2(folder)
    assert (logits(read(folder)) == logits(model)).all()


def test_gpt_load_returns_model_and_no_tokenizer(folder):
    model = gpt2(folder)
    loaded, tokenizer = gpt.load(f"hf:{folder}")
    assert tokenizer is None and not loaded.training
    assert (logits(loaded) == logits(model)).all()


def test_shards_prefixes_and_old_buffers(folder):
    model = gpt2(folder, tied=False)

    def old(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = "U8", [1, 1, 8, 8], bytes(64)
        tensors["h.1.attn.masked_bias"] = "F32", [], b"\0\0\x80\xff"

    change_tensors(folder, old)
    assert same_weights(read(folder), model)
    shard(folder)
    assert same_weights(read(folder), model)


def test_a_tied_head_may_be_stored_if_it_is_the_embedding(folder):
    model = gpt2(folder)
    change_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["transformer.wte.weight"]}))
    assert same_weights(read(folder), model)
    change_tensors(folder, lambda tensors: tensors.update({"lm_head.weight": ("F32", [11, 12], bytes(4 * 132))}))
    with pytest.raises(UserError, match=r"lm_head.weight differs from the embedding, and tie_word_embeddings is true"):
        read(folder)


@pytest.mark.parametrize("asked", ["float16", "float32", "float64"])
@pytest.mark.parametrize("stored", ["<f2", "<u2", "<f4", "<f8"])
def test_a_stored_tied_head_is_compared_in_the_precision_that_is_asked_for(folder, stored, asked):
    gpt2(folder)
    kind = {"<f2": "F16", "<u2": "BF16", "<f4": "F32", "<f8": "F64"}[stored]

    def store(tensors):
        _, shape, content = tensors["transformer.wte.weight"]
        exact = np.frombuffer(content, "<f4").astype("<f8") / 3
        narrow = (exact.astype("<f4").view("<u4") >> 16).astype("<u2") if kind == "BF16" else exact.astype(stored)
        tensors["transformer.wte.weight"] = tensors["lm_head.weight"] = kind, shape, narrow.tobytes()

    def turn(tensors):
        _, shape, content = tensors["lm_head.weight"]
        tensors["lm_head.weight"] = kind, shape, content[8:] + content[:8]

    change_tensors(folder, store)
    found = pretrained.find(f"hf:{folder}")
    assert found.model(replace(found.config, dtype=asked))
    change_tensors(folder, turn)
    with pytest.raises(UserError, match=r"lm_head\.weight differs"):
        found.model(replace(found.config, dtype=asked))


@given(st.lists(st.integers(0, 2**16 - 1), min_size=1))
def test_every_bfloat16_widens_to_its_number(bits):
    found = weights.widened(memoryview(np.array(bits, "<u2").tobytes()), "BF16")
    for number, each in zip(found.tolist(), bits, strict=True):
        sign, exponent, fraction = each >> 15, each >> 7 & 255, each & 127
        if exponent == 255:
            assert not np.isfinite(number)
        else:
            size = (fraction + 128 * (exponent > 0)) * 2.0 ** (max(exponent, 1) - 134)
            assert number == (-size if sign else size)


@pytest.mark.parametrize("dtype, to", [("F16", "<f2"), ("BF16", "<u4")])
def test_narrow_numbers_become_float32(folder, dtype, to):
    gpt2(folder)

    def narrow(tensors):
        for name, (_, shape, content) in tensors.items():
            wide = np.frombuffer(content, "<f4")
            half = wide.astype(to) if dtype == "F16" else (wide.view(to) >> 16).astype("<u2")
            tensors[name] = dtype, shape, half.tobytes()

    change_tensors(folder, narrow)
    model, stored = read(folder), read_tensors(folder / MODEL)
    assert str(model.embedding.weight.dtype) == "torch.float32" or "float32" in str(model.embedding.weight.dtype)
    found = weights.widened(memoryview(stored["transformer.h.0.attn.c_attn.weight"][2]), dtype).reshape(12, 36)
    assert (model.blocks[0].attention.qkv.weight.detach().numpy() == found.T).all()


def test_rows_are_read_a_few_at_a_time(folder, monkeypatch):
    model = gpt2(folder, tied=False)
    monkeypatch.setattr(weights, "AT_ONCE", 100)  # two rows of 12 numbers, never a whole matrix
    assert same_weights(read(folder), model)


# ------------------------------------------------------------------------------------------------------ refusals


def set_to(**values):
    return lambda folder: change_config(folder, lambda found: found.update(values))


def without(key):
    return lambda folder: change_config(folder, lambda found: found.pop(key))


def tensors(change):
    return lambda folder: change_tensors(folder, change)


def cut(folder):
    content = (folder / MODEL).read_bytes()
    (folder / MODEL).write_bytes(content[:-5])


def write(name, text):
    return lambda folder: (folder / name).write_text(text)


def overlapping(folder):
    """Let the last tensor begin a number earlier, in the one before it, and the file end so."""
    content = (folder / MODEL).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header[LN]["data_offsets"] = [n - 4 for n in header[LN]["data_offsets"]]
    text = json.dumps(header).encode()
    (folder / MODEL).write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length : -4])


def one_shard_gone(folder):
    (folder / shard(folder)["transformer.wpe.weight"]).unlink()


def index_without(name):
    def change(folder):
        where = shard(folder)
        del where[name]
        write_index(folder, where)

    return change


def index_names(file):
    def change(folder):
        write_index(folder, {**shard(folder), "transformer.wte.weight": file})

    return change


def pickled(folder):
    (folder / MODEL).rename(folder / "pytorch_model.bin")


def linked(name):
    def change(folder):
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")

    return change


def fifo(name):
    def change(folder):
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


NAN = np.full(12, np.nan, "<f4").tobytes()
LN = "transformer.ln_f.bias"
BAD = [
    (without("n_head"), "config.json has no n_head; it must be a whole number"),
    (without("vocab_size"), "config.json has no vocab_size"),
    (set_to(n_head=5), "config.json: --heads 5 does not divide --width 12"),
    (set_to(n_head="3"), "config.json says n_head 3; it must be a whole number"),
    (set_to(n_head=True), "config.json says n_head True"),
    (set_to(n_layer=10**30), "config.json says n_layer 1000000"),
    (set_to(vocab_size=12), "model.safetensors: transformer.wte.weight is F32 (11, 12), and config.json needs (12, 12)"),
    (set_to(vocab_size=10**8, n_embd=3 * 10**7), "model: a model of "),
    (set_to(n_layer=3), "model.safetensors has no tensor h.2.ln_1.weight, which config.json needs"),
    (set_to(n_layer=1), "model.safetensors has the tensor transformer.h.1.ln_1.weight, which no gpt2"),
    (set_to(model_type="bert"), "config.json says model_type bert; this version reads gpt2, gpt_neox, llama, qwen3"),
    (set_to(model_type=None), "config.json has no model_type"),
    (set_to(activation_function="mish"), "config.json says activation_function mish; this version computes gelu, "),
    (set_to(activation_function=[]), "config.json says activation_function []"),
    (set_to(add_cross_attention=True), "config.json says add_cross_attention True; this version does not compute that"),
    (set_to(quantization_config={"bits": 4}), "config.json says quantization_config"),
    (set_to(pruned_heads={"0": [1]}), "config.json says pruned_heads"),
    (set_to(a_new_idea=1), "config.json has a_new_idea, which this version does not know"),
    (set_to(scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True), "scale_attn_by_inverse_layer_idx True; without"),
    (set_to(scale_attn_weights=1), "config.json says scale_attn_weights 1; it must be true or false"),
    (set_to(layer_norm_epsilon=0), "config.json says layer_norm_epsilon 0; it must be a number above 0"),
    (set_to(resid_pdrop=1.0), "config.json says resid_pdrop 1.0"),
    (set_to(tinytensor=3), 'config.json: "tinytensor" is no configuration'),
    (set_to(tinytensor={"heads": 4, "width": 12}), 'config.json: "tinytensor" says --heads 4 and the other entries 3'),
    (set_to(tinytensor={"norm_eps": 0.5}), 'config.json: "tinytensor" says --norm-eps 0.5 and the other entries 1e-05'),
    (write("config.json", "["), "config.json is damaged, not JSON"),
    (write("config.json", "[]"), "config.json has no model_type"),
    (write("config.json", "[" * 100_000), "config.json is damaged, not JSON"),
    (write("config.json", '{"a": "' + "x" * (1 << 20) + '"}'), "config.json is damaged: 1,048,585 bytes"),
    (write("config.json", '{"model_type": "gpt2", "model_type": "gpt2"}'), "is there twice"),
    (tensors(lambda t: t.pop(LN)), "model.safetensors has no tensor ln_f.bias"),
    (tensors(lambda t: t.update(x=t[LN])), "model.safetensors has the tensor x, which no gpt2"),
    (tensors(lambda t: t.update({"ln_f.bias": t[LN]})), "has the tensor ln_f.bias twice"),
    (tensors(lambda t: t.update({LN: ("F32", [4, 3], t[LN][2])})), "ln_f.bias is F32 (4, 3), and config.json needs (12,)"),
    (tensors(lambda t: t.update({LN: ("I32", [12], t[LN][2])})), "transformer.ln_f.bias is I32 (12,)"),
    (tensors(lambda t: t.update({LN: ("F8_E4M3", [48], t[LN][2])})), "has transformer.ln_f.bias as F8_E4M3"),
    (tensors(lambda t: t.update({LN: ("F32", [12], NAN)})), "holds nan or infinity in transformer.ln_f.bias"),
    (tensors(lambda t: t.update({LN: ("F32", [13], t[LN][2])})), "transformer.ln_f.bias (13,) does not fit its place"),
    (tensors(lambda t: t.update({"lm_head.weight": ("F32", [1, 12], NAN)})), "has the tensor lm_head.weight, which no gpt2"),
    (overlapping, f"its tensors leave a gap or overlap at {LN}"),
    (cut, "model.safetensors is cut off or altered"),
    (write(MODEL, ""), "model.safetensors is cut off or altered: 0 bytes are no safetensors file"),
    (write(MODEL, "x" * 100), "model.safetensors is cut off or altered: its header would have"),
    (pickled, "has its weights in pytorch_model.bin alone, which is a pickle: opening one can run any program. Convert it"),
    (lambda folder: (folder / MODEL).unlink(), "has neither model.safetensors nor model.safetensors.index.json"),
    (lambda folder: (folder / "config.json").unlink(), "has no config.json; it must be a model that transformers saved"),
    (one_shard_gone, "of-00003.safetensors"),
    (index_without("transformer.wpe.weight"), "has transformer.wpe.weight, and model.safetensors.index.json does not name"),
    (index_names("model-00003-of-00003.safetensors"), "model-00003-of-00003.safetensors has no transformer.wte.weight, and"),
    (index_names("../x.safetensors"), "has transformer.wte.weight in ../x.safetensors, which is no safetensors file of this"),
    (index_names(3), "has transformer.wte.weight in 3"),
    (linked(MODEL), "model.safetensors is a link, and must be a file"),
    (linked("config.json"), "config.json is a link, and must be a file"),
    (fifo(MODEL), "model.safetensors is a FIFO, and must be a file"),
    (fifo("config.json"), "config.json is a FIFO, and must be a file"),
]  # fmt: skip


@pytest.mark.parametrize("change, message", BAD, ids=[message[:50] for _, message in BAD])
def test_what_is_wrong_is_a_line_and_nothing_is_written(folder, change, message, capsys, monkeypatch):
    gpt2(folder)
    change(folder)
    monkeypatch.chdir(folder.parent)
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(UserError) as refusal:
        read(folder)
    assert message in str(refusal.value)
    assert str(folder) in str(refusal.value)
    assert command.main([f"hf:{folder}", "out"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and message in error
    assert sorted(folder.parent.rglob("*")) == before


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A folder of shards, whose files an example alters and puts back."""
    folder = tmp_path_factory.mktemp("sound")
    with_tokenizer(folder, BPE, positions="learned")
    shard(folder, 2)
    return folder


ODD = st.sampled_from(
    [None, True, -1, 0, 1, 2, 0.5, 1e308, 2**70, "", "x", [], {}, [[]], "gelu", "F32", [0, 4], {"a": 1}]
)


@given(st.data())
def test_whatever_a_folder_says_is_understood_or_refused_in_a_line(sound, data):
    path = data.draw(st.sampled_from(sorted(sound.iterdir())))
    content = path.read_bytes()
    try:
        if path.suffix == ".json" and data.draw(st.booleans()):
            values = json.loads(content)
            inner = data.draw(
                st.sampled_from([each for each in (values, *values.values()) if isinstance(each, dict) and each])
            )
            inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(ODD)
            path.write_text(json.dumps(values))
        else:
            at = data.draw(st.integers(0, min(len(content), 2000)))
            path.write_bytes(
                content[:at] + data.draw(st.binary(max_size=3)) + content[at + data.draw(st.integers(0, 3)) :]
            )
        said = ""
        try:
            read(sound)
        except UserError as error:
            said = str(error)
        assert "\n" not in said and len(said) < 1000
    finally:
        path.write_bytes(content)


LLAMA = [
    (set_to(rope_theta=500_000.0), "says rope_theta 500000.0; this version turns whole heads, with base 10000, unscaled"),
    (set_to(rope_scaling={"type": "linear", "factor": 2.0}), "config.json says rope_scaling"),
    (set_to(rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0}), "config.json says rope_type yarn"),
    (set_to(rope_parameters={"factor": 2.0}), "config.json says rope_parameters"),
    (set_to(head_dim=8), "config.json says head_dim 8; with 3 heads and hidden_size 12 it must be 4"),
    (set_to(hidden_act="gelu"), "config.json says hidden_act gelu; this version computes gates with silu alone"),
    (set_to(mlp_bias=False), "config.json says mlp_bias False"),
    (set_to(sliding_window=4), "config.json says sliding_window 4"),
    (set_to(num_key_value_heads=2), "--kv-heads 2 does not divide --heads 3"),
]  # fmt: skip


@pytest.mark.parametrize("change, message", LLAMA, ids=[message[:40] for _, message in LLAMA])
def test_a_llama_that_this_does_not_compute(folder, change, message):
    exported(folder, norm="rms", activation="swiglu")
    change_config(folder, lambda values: values.pop(entries.OWN))
    assert read(folder)
    change(folder)
    with pytest.raises(UserError, match="config") as refusal:
        read(folder)
    assert message in str(refusal.value)


def test_a_parallel_neox_is_refused(folder):
    exported(folder)
    whole = {
        "rotary_pct": 1.0,
        "partial_rotary_factor": 1.0,
        "rope_theta": 10_000,
        "rope_parameters": {"rope_type": "default"},
    }
    change_config(folder, lambda values: values.update(whole))
    assert read(folder)
    for key, value in (
        ("rotary_pct", 0.25),
        ("partial_rotary_factor", 0.5),
        ("rope_theta", 1e6),
        ("rotary_emb_base", 1),
    ):
        change_config(folder, lambda values, key=key, value=value: values.update({key: value}))
        with pytest.raises(UserError, match=f"says {key} {value}; this version turns whole heads"):
            read(folder)
        change_config(folder, lambda values: values.update(whole, rotary_emb_base=10_000))
    change_config(folder, lambda values: values.update(use_parallel_residual=True))
    with pytest.raises(
        UserError, match="says use_parallel_residual True; this version computes use_parallel_residual False alone"
    ):
        read(folder)


# ---------------------------------------------------------------------------------------------------- tokenizers

TEXT = "It was the best of times, it was the worst of times. Ünïcödé!\n" * 20
BPE = BPETokenizer(learn(TEXT, 270), {"<|endoftext|>": 270})
LARGER = BPETokenizer(learn(TEXT, 272))
TOKENIZERS = {"chars": CharTokenizer.from_text(TEXT), "bytes": ByteTokenizer(), "bpe": BPE}


def with_tokenizer(folder, tokenizer, **options):
    model, config = model_of(vocab_size=tokenizer.vocab_size, **options)
    export.write(folder, model, config, tokenizer)


def two_files(folder, special=("<|endoftext|>",)):
    """Write BPE as GPT-2's folders have it."""
    (folder / "tokenizer.json").unlink()
    made = BPE.to_library()["model"]
    (folder / "vocab.json").write_text(json.dumps(made["vocab"], ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *made["merges"], ""]))


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_comes_back(folder, name):
    with_tokenizer(folder, TOKENIZERS[name])
    _, found = gpt.load(f"hf:{folder}")
    assert found.to_json() == TOKENIZERS[name].to_json()
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == (270 if name == "bpe" else None)


def test_gpt2s_two_files(folder):
    with_tokenizer(folder, BPE)
    two_files(folder)
    _, found = gpt.load(f"hf:{folder}")
    assert found.to_json() == BPE.to_json()


def two_with(name, content):
    return lambda folder: (two_files(folder), (folder / name).write_bytes(content))


TOKENS = [
    (write("tokenizer.json", "{}"), "tokenizer.json: a tokenizer.json is an object with a model"),
    (write("tokenizer.json", "[" * 100_000), "tokenizer.json is damaged, not JSON"),
    (write("tokenizer.json", json.dumps(LARGER.to_library())), "tokenizer.json: the tokenizer's 272 tokens do not fit"),
    (linked("tokenizer.json"), "tokenizer.json is a link, and must be a file"),
    (two_with("merges.txt", b"\xff"), "merges.txt is not UTF-8"),
    (two_with("merges.txt", b"a"), "vocab.json and merges.txt: merge 1 must be two tokens"),
    (two_with("merges.txt", b""), "vocab.json and merges.txt: the special token <|endoftext|>"),
    (two_with("vocab.json", b"[]"), "vocab.json and merges.txt: the vocabulary must be an object"),
]  # fmt: skip


@pytest.mark.parametrize("change, message", TOKENS, ids=[message for _, message in TOKENS])
@pytest.mark.parametrize("relative", [False, True])
def test_a_tokenizer_that_does_not_fit(tmp_path, monkeypatch, change, message, relative):
    """The weights are read all the same. The file is named once, also where the folder's name is a letter of the error."""
    monkeypatch.chdir(tmp_path)
    folder = Path("m") if relative else tmp_path / "m"
    with_tokenizer(folder, BPE)
    change(folder)
    with pytest.raises(UserError) as refusal:
        gpt.load(f"hf:{folder}")
    said = str(refusal.value)
    assert message in said and "\n" not in said and said.endswith('; give tokenizer="FOLDER", a folder that has one')
    assert said.startswith(f"{folder}/") and said.count(f"{folder}/") == 1
    assert read(folder)
    with_tokenizer(tmp_path / "good", BPE)
    assert gpt.load(f"hf:{folder}", tokenizer=str(tmp_path / "good"))[1].to_json() == BPE.to_json()


def test_a_tokenizer_from_elsewhere(place, capsys):
    with_tokenizer(place / "both", BPE)
    with_tokenizer(place / "model", BPE)
    (place / "model" / "tokenizer.json").unlink()
    line = ["--tokens=5", "--temperature=0", "--prompt=It was"]
    assert generate.main(["hf:both", *line]) == 0
    text = capsys.readouterr().out
    for name in ("both", "hf:both", "gpt2:both"):
        assert generate.main(["hf:model", f"--tokenizer={name}", *line]) == 0
        assert capsys.readouterr().out == text
    assert evaluate.main(["hf:model", "--tokenizer=both", "--data=text"]) == 0
    with_tokenizer(place / "larger", LARGER)
    for name, message in (
        ("nowhere", "--tokenizer nowhere: it must be chars, bytes, "),
        ("larger", "larger/tokenizer.json: the tokenizer's 272 tokens do not fit the model's 271 rows"),
        ("model", "model has no tokenizer.json, and no vocab.json with merges.txt"),
        ("chars", "--tokenizer chars learns from a text"),
    ):
        assert generate.main(["hf:model", f"--tokenizer={name}"]) == 2
        assert message in capsys.readouterr().err
    assert generate.main(["hf:both", "--tokenizer=hf:both", *line]) == 0
    assert capsys.readouterr().out == text


def test_an_unknown_tokenizer_is_refused_where_it_is_needed(place, capsys):
    """It has too many tokens, or a normalizer changes the text: the weights are as good as any."""
    with_tokenizer(place / "good", BPE)
    changes = {"normalizer": {"type": "NFC"}}, {"model": LARGER.to_library()["model"]}
    for change, form in zip(changes, ("", "gpt2:"), strict=True):
        folder = place / next(iter(change))
        with_tokenizer(folder, BPE)
        file = folder / "tokenizer.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        name = f"hf:{folder.name}"
        for called in ((generate.main, []), (evaluate.main, ["--data=text"])):
            assert called[0]([name, *called[1]]) == 2
            error = capsys.readouterr().err
            assert f"{folder.name}/tokenizer.json" in error and "give --tokenizer" in error and error.count("\n") == 1
            assert called[0]([name, *called[1], "--tokenizer=good"]) == 0
            capsys.readouterr()
        line = [
            f"--init={name}",
            "--data=text",
            "--steps=1",
            "--batch-size=2",
            "--threads=1",
            "--no-plot",
            "--quiet",
            "--out",
        ]
        assert train.main([*line, "run"]) == 2
        assert train.main([*line, f"run-{folder.name}", f"--tokenizer={form}good"]) == 0
        capsys.readouterr()
        assert command.main([name, f"out-{folder.name}"]) == 0
        assert "without the tokenizer: " in capsys.readouterr().err
        assert same_weights(gpt.load(f"hf:out-{folder.name}")[0], read(folder))
    with pytest.raises(UserError, match=r"run-model has its own"):
        gpt.load("run-model", tokenizer="good")


def test_a_tokenizer_too_large_for_a_checkpoint_is_refused_before_training(place, monkeypatch, capsys):
    with_tokenizer(place / "model", BPE)
    monkeypatch.setattr(checkpoint, "LONGEST_METADATA", 100)
    assert train.main([*TINY[4:], "--init=hf:model", "--out=run"]) == 2
    assert "too many for a checkpoint" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_corpus_is_prepared_with_its_tokenizer(place):
    with_tokenizer(place / "model", BPE)
    assert prepare.main(["text", "--out=corpus", "--tokenizer=run:hf:model", "--quiet"]) == 0
    assert train.main(["--init=hf:model", "--data=corpus", "--steps=1", "--out=run", "--no-plot", "--quiet"]) == 0
    assert gpt.load("run")[1].to_json() == BPE.to_json()


def test_fine_tuning(place, capsys):
    with_tokenizer(place / "model", BPE, positions="learned", dropout=0.1)
    with_tokenizer(place / "larger", LARGER)
    change_config(place / "model", lambda values: values.update(attn_pdrop=0.2))
    change_config(place / "model", lambda values: values.pop(entries.OWN))
    line = [
        "--data=text",
        "--steps=2",
        "--batch-size=2",
        "--threads=1",
        "--no-plot",
        "--quiet",
        "--out=run",
        "--init=hf:model",
    ]
    for flags, message in (
        ([], "hf:model was trained with several shares of dropout (0.1, 0.2), and a run has one; give --dropout"),
        (["--dropout=0", "--context=9"], "--context 9: the weights that it begins with have 8 positions; give fewer"),
        (["--dropout=0", "--width=24"], "--width 24: the weights that it begins with have 12; leave the flag out"),
        (
            ["--dropout=0", "--tokenizer=larger"],
            "larger/tokenizer.json: the tokenizer's 272 tokens do not fit the model's 271 rows",
        ),
    ):
        assert train.main([*line, *flags]) == 2
        assert message in capsys.readouterr().err
        assert not Path("run").exists()
    assert train.main([*line, "--dropout=0", "--context=5"]) == 0
    model, tokenizer = gpt.load("run")
    assert tokenizer.to_json() == BPE.to_json()
    assert (model.config.context, model.config.dropout, model.config.positions) == (5, 0.0, "learned")
    (place / "model" / "tokenizer.json").rename(place / "text.json")
    assert train.main([*line[:-2], "--out=other", "--init=hf:model", "--dropout=0"]) == 2
    assert "give --tokenizer, a folder that has one" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["hf:", "hf:./nowhere", "hf:/nowhere", "hf:a/b/c", "hf:...", "hf:a b", "hf:" + "a" * 300]
)
def test_a_folder_that_is_not_there(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="there is no such folder; give hf:FOLDER, or hf:NAME") as refusal:
        pretrained.find(name)
    assert "\n" not in str(refusal.value)


def hub(monkeypatch, download):
    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


def test_a_name_is_fetched(folder, monkeypatch):
    """As the hub's cache has it: each file is a link into `blobs`."""
    cache = folder / "models--some--gpt2"
    snapshot, blobs = cache / "snapshots" / "abc", cache / "blobs"
    model = gpt2(snapshot)
    blobs.mkdir()
    for i, path in enumerate(list(snapshot.iterdir())):
        path.rename(blobs / str(i))
        path.symlink_to(Path("../../blobs") / str(i))
    asked = []

    def download(name, allow_patterns):
        asked.append(name)
        assert not any(pattern.endswith("bin") for pattern in allow_patterns)
        return str(snapshot)

    hub(monkeypatch, download)
    found = pretrained.find("hf:some/gpt2")
    assert same_weights(found.model(found.config), model) and asked == ["some/gpt2"]
    (blobs / "0").rename(folder / "outside")
    name = next(path for path in snapshot.iterdir() if not path.exists())
    name.unlink()
    name.symlink_to(folder / "outside")
    with pytest.raises(UserError, match=f"{name.name} is a link, and must be a file"):
        pretrained.find("hf:some/gpt2")


def test_a_name_that_cannot_be_fetched(monkeypatch):
    def download(*_, **__):
        raise RuntimeError("no\nnetwork " + "x" * 1000)

    hub(monkeypatch, download)
    with pytest.raises(
        UserError, match="hf:some/gpt2: no such folder, and it cannot be fetched: RuntimeError: no network x"
    ) as e:
        pretrained.find("hf:some/gpt2")
    assert len(str(e.value)) < 250 and "\n" not in str(e.value)


def test_without_the_package_its_name_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install huggingface_hub"):
        pretrained.find("hf:openai-community/gpt2")


# -------------------------------------------------------------------------------------------------------- export

NO_MODEL = [
    ({"model": "bigram"}, "--model bigram"),
    ({"norm": "rms"}, "--norm rms, --activation gelu-tanh"),
    ({"norm": "rms", "activation": "swiglu", "positions": "learned"}, "--norm rms, --positions learned"),
    ({"activation": "swiglu"}, "--norm layer, --positions rotary, --activation swiglu"),
    ({"activation": "swiglu", "positions": "learned"}, "--norm layer, --positions learned, --activation swiglu"),
    ({"kv_heads": 1}, "--norm layer, --positions rotary, --kv-heads 1"),
    ({"qk_norm": True}, "--norm layer, --positions rotary, --qk-norm"),
    ({"attention_scale": "layer"}, "--norm layer, --positions rotary, --attention-scale layer"),
    ({"norm": "rms", "activation": "swiglu", "qk_norm": True}, "--norm rms, --qk-norm, --bias"),
]  # fmt: skip


@pytest.mark.parametrize("options, named", NO_MODEL)
def test_options_that_no_architecture_has(options, named):
    with pytest.raises(UserError) as refusal:
        entries.kind_of(model_of(**options)[1])
    assert named in str(refusal.value) and "\n" not in str(refusal.value)


TINY = ["--layers=1", "--width=8", "--heads=2", "--context=8", "--batch-size=2", "--steps=2", "--threads=1", "--quiet",
        "--no-plot", "--data=text"]  # fmt: skip


def test_a_target_that_is_there(place, capsys):
    gpt2(place / "model")
    (place / "full").mkdir()
    (place / "full" / "mine").write_text("kept")
    (place / "file").write_text("kept")
    (place / "link").symlink_to(place / "empty")
    (place / "empty").mkdir()
    for target, message in (
        ("full", "full is not empty; give"),
        ("file", "no folder"),
        ("link", "no folder"),
        ("file/x", "cannot write"),
    ):
        assert command.main(["hf:model", target]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert (place / "full" / "mine").read_text() == "kept"
    assert command.main(["hf:model", "empty"]) == 0
    assert command.main(["hf:model", "new/below"]) == 0
    assert sorted(p.name for p in place.iterdir()) == ["empty", "file", "full", "link", "model", "new", "text"]


def test_the_folder_that_one_is_in_is_no_target(place, monkeypatch, capsys):
    """Another folder takes its name: what is open in a shell would be one without a name."""
    gpt2(place / "model")
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    for target in (".", "../here", str(place / "here")):
        assert command.main(["hf:../model", target]) == 2
        assert "is the folder that you are in" in capsys.readouterr().err
    assert command.main(["hf:../model", "../here/../new"]) == 0
    assert sorted(p.name for p in place.iterdir()) == ["here", "model", "new", "text"]


def test_a_target_is_there_at_every_moment(place, monkeypatch):
    gpt2(place / "model")
    (place / "empty").mkdir()
    monkeypatch.setattr(os, "rmdir", None)
    rename = os.rename
    monkeypatch.setattr(os, "rename", lambda old, new: (new.is_dir() or pytest.fail("gone"), rename(old, new)))
    export.write(place / "empty", *model_of())
    assert gpt.load("hf:empty")


def test_an_export_that_fails_leaves_nothing(place, monkeypatch, capsys):
    gpt2(place / "model")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gpt.hf.export.write_weights", full)
    assert command.main(["hf:model", "out"]) == 2
    assert "cannot write out: No space left on device; nothing was written" in capsys.readouterr().err
    assert sorted(p.name for p in place.iterdir()) == ["model", "text"]


def test_a_run_of_a_gpu_is_exported_without_one(place):
    assert train.main([*TINY, "--out=run"]) == 0
    path = place / "run/checkpoint/metadata.json"
    values = json.loads(path.read_text())
    values["config"] |= {"device": "cuda", "tf32": True, "cuda_graph": True}
    path.write_text(json.dumps(checkpoint.seal(values)))
    change_config(place / "run", lambda found: found.update(values["config"]))
    assert command.main(["run", "out", "--last"]) == 0
    assert same_weights(gpt.load("hf:out")[0], gpt.load("run", "cpu", last=True)[0])


def test_a_bigram_is_refused(place, capsys):
    assert train.main([*TINY[3:], "--model=bigram", "--width=8", "--out=run"]) == 0
    assert command.main(["run", "out"]) == 2
    assert "--model bigram: transformers has no such model" in capsys.readouterr().err
    assert not Path("out").exists()


# -------------------------------------------------------------------------------------------- flags that do not fit


def test_a_folder_without_a_tokenizer(place, capsys):
    gpt2(place / "model")
    assert generate.main(["hf:model"]) == 2
    assert (
        "hf:model has no tokenizer.json, and no vocab.json with merges.txt; give --tokenizer" in capsys.readouterr().err
    )
    assert evaluate.main(["hf:model", "--data=text"]) == 2
    assert "no tokenizer.json" in capsys.readouterr().err
    assert train.main([*TINY, "--init=hf:model", "--out=run"]) == 2
    assert not Path("run").exists()


def test_last_is_of_runs(place, capsys):
    gpt2(place / "model")
    assert generate.main(["hf:model", "--last"]) == 2
    assert "--last: hf:model is no run" in capsys.readouterr().err


def test_a_shorter_context_and_another_precision(folder):
    gpt2(folder)
    found = pretrained.find(f"hf:{folder}")
    whole = found.model(found.config)
    short = found.model(replace(found.config, context=5, dtype="float64"))
    ids = tensor([[1, 2, 3, 4, 5]])
    with no_grad():
        assert np.allclose(whole(ids)[0].numpy(), short(ids)[0].numpy(), atol=1e-6)
    assert short.position_embedding.weight.shape == (5, 12)


def test_write_tensors_is_the_format(folder):
    gpt2(folder)
    content = (folder / MODEL).read_bytes()
    write_tensors(folder / MODEL, read_tensors(folder / MODEL))
    assert int.from_bytes(content[:8], "little") % 8 == 0, "readers map the numbers: they begin at a multiple of 8"
    from safetensors.numpy import load, load_file

    one, other = load(content), load_file(folder / MODEL)
    assert set(one) == set(other) and all((one[name] == other[name]).all() for name in one)


def test_a_run_says_a_precision_that_it_takes_from_its_weights(place, capsys):
    """A double takes twice the memory, and nobody asked for it."""
    with_tokenizer(place / "model", BPE, dtype="float64")
    line = ["--init=hf:model", "--data=text", "--steps=1", "--batch-size=2", "--threads=1", "--no-plot"]
    said = "note: hf:model is in float64, so the run is as well; --dtype float32 trains in that"
    assert train.main([*line, "--out=one"]) == 0
    assert said in capsys.readouterr().out and gpt.load("one")[0].config.dtype == "float64"
    assert train.main([*line, "--out=two", "--dtype=float32"]) == 0
    assert "note" not in capsys.readouterr().out and gpt.load("two")[0].config.dtype == "float32"
    assert train.main([*line, "--out=three", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
