"""Against Hugging Face's transformers: its GPT-2 computes the same here, and our exported models the same there.

Every parameter is random, biases and norms as well. Nothing is fetched.
"""

from __future__ import annotations

import json
import os
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
from folders import SIZES, change_tensors, exported, model_of, same_weights

import gpt
from gpt import evaluate, generate, train
from gpt import export as command
from gpt.hf import config as entries
from gpt.hf import export, pretrained
from gpt.hf.config import ACTIVATIONS
from gpt.sampling import sample
from gpt.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, make
from gpt.tokenizers.bpe import learn
from tinytensor import no_grad, tensor

pytestmark = pytest.mark.hf
transformers = torch = None  # imported when the first of these tests runs: the default tests collect this file too

V, CONTEXT = 61, 48
WORST = {}  # the largest difference of logits, as a share of the largest logit, by what was compared
WITHIN = {"float64": 1e-10, "float32": 1e-4}  # of the largest logit
TEXT = "It was the best of times, it was the worst of times. Ünïcödé!\n" * 30


@pytest.fixture(autouse=True, scope="module")
def _libraries():
    global transformers, torch
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="pip install -e '.[hf-test]'")


@pytest.fixture(autouse=True)
def _quiet(_libraries, one_torch_thread):
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def gpt2(seed=0, **options):
    """A GPT-2 with random numbers in every parameter."""
    sizes = {"vocab_size": V, "n_positions": CONTEXT, "n_embd": 24, "n_layer": 3, "n_head": 3}
    config = transformers.GPT2Config(**{**sizes, "bos_token_id": None, "eos_token_id": None, **options})
    model = transformers.GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3, generator=generator)
    return model


def ids(length=CONTEXT, vocabulary=V):
    return np.random.default_rng(1).integers(0, vocabulary, (2, length))


def ours(model, given):
    with no_grad():
        return model.eval()(tensor(given.tolist()))[0].numpy()


def theirs(model, given):
    with torch.no_grad():
        return model.eval()(torch.tensor(given)).logits.numpy()


def greedy(model, given, count, **options):
    """The tokens with the most probable ones after them, as transformers writes them, up to the end of a document."""
    prompt = torch.tensor([given])
    options |= {
        "attention_mask": torch.ones_like(prompt),
        "max_new_tokens": count,
        "do_sample": False,
        "pad_token_id": 0,
    }
    return model.generate(prompt, **options)[0].tolist()


def check_logits(found, model):
    """Both precisions: ours and theirs from the same stored numbers."""
    for dtype, limit in WITHIN.items():
        there = theirs(model.to(getattr(torch, dtype)), ids())
        here = ours(found.model(replace(found.config, dtype=dtype)), ids())
        difference = np.abs(here - there).max() / np.abs(there).max()
        WORST[f"GPT-2 here, {dtype}"] = max(difference, WORST.get(f"GPT-2 here, {dtype}", 0.0))
        assert difference <= limit, (dtype, difference)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text").write_text(TEXT)
    return tmp_path


def printed(main, *line):
    out = StringIO()
    with redirect_stdout(out):
        assert main([str(word) for word in line]) == 0
    return out.getvalue()


VARIANTS = [
    {}, {"tie_word_embeddings": False}, {"n_inner": 40}, {"scale_attn_by_inverse_layer_idx": True}, {"scale_attn_weights": False},
    {"layer_norm_epsilon": 1e-2}, {"reorder_and_upcast_attn": True}, {"n_head": 1}, {"resid_pdrop": 0.0},
    *({"activation_function": name} for names in ACTIVATIONS.values() for name in names),
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_gpt2_has_the_same_logits(tmp_path, options):
    model = gpt2(**options)
    model.save_pretrained(tmp_path)
    check_logits(pretrained.find(f"hf:{tmp_path}"), model)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_numbers_are_widened(tmp_path, dtype):
    model = gpt2().to(getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    found = pretrained.find(f"hf:{tmp_path}")
    assert found.config.dtype == "float32"
    check_logits(found, model)


def test_shards(tmp_path):
    model = gpt2(tie_word_embeddings=False)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 3
    check_logits(pretrained.find(f"hf:{tmp_path}"), model)


def test_without_the_prefix_and_with_old_buffers(tmp_path):
    model = gpt2()
    model.save_pretrained(tmp_path)

    def old(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        for i in range(3):
            mask = np.tril(np.ones((CONTEXT, CONTEXT), np.float32)).tobytes()
            tensors[f"h.{i}.attn.bias"] = "F32", [1, 1, CONTEXT, CONTEXT], mask
            tensors[f"h.{i}.attn.masked_bias"] = "F32", [], np.float32(-1e4).tobytes()

    change_tensors(tmp_path, old)
    check_logits(pretrained.find(f"hf:{tmp_path}"), model)


def test_the_model_without_its_head(tmp_path):
    model = gpt2()
    model.transformer.save_pretrained(tmp_path)
    check_logits(pretrained.find(f"hf:{tmp_path}"), model)


@pytest.mark.parametrize("cache", [True, False])
def test_200_greedy_tokens_are_the_same(tmp_path, cache):
    model = gpt2(n_positions=256, n_embd=32, n_head=4)
    model.save_pretrained(tmp_path)
    loaded, _ = gpt.load(f"hf:{tmp_path}")
    prompt = ids(6)[0].tolist()
    assert [*prompt, *sample(loaded, prompt, 200, 0.0, use_cache=cache)] == greedy(model, prompt, 200, use_cache=cache)


# --------------------------------------------------------------------------------------------------------- export

KINDS = {
    "gpt_neox": [{}, {"bias": False}, {"tied": True}, {"hidden": 40, "activation": "gelu"}, {"activation": "relu"},
                 {"activation": "silu"}, {"activation": "tanh"}, {"norm_eps": 1e-2}],
    "gpt2": [{"positions": "learned", **each} for each in
             ({}, {"tied": True, "bias": False}, {"attention_scale": "layer"}, {"attention_scale": "none"})],
    "llama": [{"norm": "rms", "activation": "swiglu", **each} for each in
              ({}, {"bias": False}, {"kv_heads": 1}, {"kv_heads": 2, "tied": True, "width": 48, "heads": 4}, {"hidden": 40})],
    "qwen3": [{"norm": "rms", "activation": "swiglu", "qk_norm": True, "bias": False, **each} for each in
              ({}, {"kv_heads": 2, "width": 48, "heads": 4, "norm_eps": 1e-2})],
}  # fmt: skip
BIG = {"vocab_size": V, "context": CONTEXT, "width": 24, "layers": 3}


def loaded_there(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")), info
    return model


@pytest.mark.parametrize("kind, options", [(k, each) for k, several in KINDS.items() for each in several], ids=str)
def test_an_exported_model_has_the_same_logits_there(tmp_path, kind, options):
    model, _ = exported(tmp_path / "one", **{**BIG, **options})
    there = loaded_there(tmp_path / "one")
    assert there.config.model_type == kind
    expected, found = ours(model, ids()), theirs(there, ids())
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    WORST[f"ours as {kind}, float32"] = max(difference, WORST.get(f"ours as {kind}, float32", 0.0))
    assert difference <= 1e-4
    there.save_pretrained(tmp_path / "two")  # its own words for the same; it keeps what we remembered
    again = pretrained.find(f"hf:{tmp_path / 'two'}")
    assert same_weights(again.model(again.config), model)
    assert again.config.bias == model.config.bias and again.config.init == "fan-in"


@pytest.mark.parametrize("kind", ["llama", "qwen3", "gpt_neox"])
def test_a_model_that_transformers_made(tmp_path, kind):
    """Without an export: with rotary positions as ours, and nothing that we remember."""
    sizes = {
        "vocab_size": V,
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    more = {
        "llama": {"num_key_value_heads": 1}, "qwen3": {"num_key_value_heads": 1, "head_dim": 12},
        "gpt_neox": {"use_parallel_residual": False, "rotary_pct": 1.0},
    }  # fmt: skip
    config = transformers.AutoConfig.for_model(kind, **sizes, max_position_embeddings=CONTEXT, **more[kind])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    model.save_pretrained(tmp_path)
    found = pretrained.find(f"hf:{tmp_path}")
    expected = theirs(model, ids())
    assert np.abs(ours(found.model(found.config), ids()) - expected).max() <= 1e-4 * np.abs(expected).max()


TOKENIZERS = {
    "chars": lambda: CharTokenizer.from_text(TEXT), "bytes": ByteTokenizer, "bpe": lambda: BPETokenizer(learn(TEXT, 300)),
    "bpe with an end": lambda: BPETokenizer(learn(TEXT, 280), {"<|endoftext|>": 280}),
}  # fmt: skip


@pytest.mark.parametrize("kind, options", [(kind, several[0]) for kind, several in KINDS.items()])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_same_text_there(tmp_path, kind, options, name):
    tokenizer = TOKENIZERS[name]()
    model, config = model_of(**{**BIG, "vocab_size": tokenizer.vocab_size, "context": 64, **options})
    export.write(tmp_path / "model", model, config, tokenizer)
    there, words = loaded_there(tmp_path / "model"), transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    prompt = "It was Ünï the\n best,  of"
    given = tokenizer.encode(prompt).tolist()
    assert words(prompt).input_ids == given and len(words) == tokenizer.vocab_size
    assert words.decode(given) == prompt
    out = greedy(there, given, 60 - len(given))
    mine = [*given, *sample(model, given, len(out) - len(given), 0.0)]
    assert mine == out
    assert words.decode(out) == tokenizer.decode(mine)


def test_gpt2s_own_tokenizer(place, monkeypatch):
    """A folder as GPT-2's on the Hub: 50,257 tokens in two files, and the first letter of a text begins no word."""
    tokenizer = make("gpt2", "")
    gpt2(vocab_size=50257, n_embd=12, n_layer=1).save_pretrained(place / "model")
    content = tokenizer.to_library()["model"]
    (place / "model" / "vocab.json").write_text(json.dumps(content["vocab"]))
    (place / "model" / "merges.txt").write_text("\n".join(["#version: 0.2", *content["merges"], ""]))
    loaded, found = gpt.load("hf:model")
    words, there = transformers.AutoTokenizer.from_pretrained("model"), loaded_there("model")
    for text in ("It was", " the best of times,\n\n  worst 1234 isn't", "Ünïcödé 日本語 🙂"):
        given = found.encode(text).tolist()
        assert given == words(text).input_ids and found.decode(given) == text
        assert [*given, *sample(loaded, given, 20, 0.0)] == greedy(there, given, 20)
    assert printed(generate.main, "hf:model", "--prompt=It was", "--tokens=5", "--temperature=0") == (
        words.decode(greedy(there, words("It was").input_ids, 5)) + "\n"
    )


def test_a_tokenizer_comes_back(tmp_path):
    for name, made in TOKENIZERS.items():
        tokenizer = made()
        model, config = model_of(vocab_size=tokenizer.vocab_size)
        export.write(tmp_path / name, model, config, tokenizer)
        _, found = gpt.load(f"hf:{tmp_path / name}")
        assert found.to_json() == tokenizer.to_json()
        words = transformers.AutoTokenizer.from_pretrained(tmp_path / name)
        words("It was", truncation=True, max_length=2)  # which the file then remembers
        words.save_pretrained(tmp_path / name)
        _, found = gpt.load(f"hf:{tmp_path / name}")
        assert found.to_json() == tokenizer.to_json()


# ------------------------------------------------------------------------------------------------------- commands


TINY = ["--layers=1", "--width=16", "--heads=2", "--context=16", "--batch-size=2", "--threads=1", "--quiet", "--no-plot",
        "--data=text"]  # fmt: skip


@pytest.mark.parametrize("flags", [[], ["--positions=learned", "--tokenizer=bytes"]])
def test_a_run_goes_there_and_back(place, flags):
    assert train.main([*TINY, *flags, "--steps=30", "--out=run"]) == 0
    printed(command.main, "run", "out")
    there, words = loaded_there(place / "out"), transformers.AutoTokenizer.from_pretrained(place / "out")
    line = ("--prompt=It was", "--tokens=9", "--temperature=0")
    text = printed(generate.main, "run", *line)
    assert printed(generate.main, "hf:out", *line) == text
    given = words("It was").input_ids
    assert words.decode(greedy(there, given, 9)) + "\n" == text
    loss = printed(evaluate.main, "hf:out", "--data=text").split()[1]
    assert printed(evaluate.main, "run").split()[1] == loss


def test_a_gpt2_is_fine_tuned(place):
    tokenizer = BPETokenizer(learn(TEXT, 280))
    model = gpt2(vocab_size=280)
    model.save_pretrained(place / "model")
    for name, text in export.written(tokenizer, CONTEXT).items():
        (place / "model" / name).write_text(text)
    before = float(printed(evaluate.main, "hf:model", "--data=text").split()[1])
    line = ["--data=text", "--threads=1", "--quiet", "--no-plot", "--batch-size=2", "--context=24", "--dropout=0"]
    assert train.main(["--init=hf:model", *line, "--steps=60", "--learning-rate=1e-2", "--out=run"]) == 0
    assert float(printed(evaluate.main, "run").split()[1]) < before - 1
    printed(command.main, "run", "out")
    there = loaded_there(place / "out")
    assert there.config.model_type == "gpt2" and there.config.n_positions == 24


def test_the_names_of_entries_are_what_transformers_writes(tmp_path):
    """A new version's new entry has to be looked at, and so is one that a model of every kind has by default."""
    for kind, options in KINDS.items():
        exported(tmp_path / kind, **{**SIZES, **options[0]})
        there = loaded_there(tmp_path / kind)
        there.save_pretrained(tmp_path / f"{kind} again")
        path = tmp_path / f"{kind} again" / "config.json"
        entries.read(json.loads(path.read_text()), path)


def test_the_largest_differences(record_property):
    """Last: says what the others have measured."""
    rows = [f"{name:28} {difference:.1e}" for name, difference in sorted(WORST.items())]
    record_property("said", "\n".join(["largest differences of logits, of the largest logit", *rows]))
