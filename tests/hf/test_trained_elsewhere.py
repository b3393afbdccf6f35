"""A folder that this exported and transformers changed: what it is now counts, not what the export remembers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from folders import change_config, change_tensors, exported, read_tensors, same_weights
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import gpt
from gpt.errors import UserError
from gpt.hf import config as entries
from gpt.hf import export, pretrained
from tinytensor import no_grad, tensor

pytestmark = pytest.mark.hf

MODEL = "model.safetensors"
LLAMA = {"norm": "rms", "activation": "swiglu"}
KINDS = {
    "gpt_neox": {}, "gpt2": {"positions": "learned"}, "llama": LLAMA, "qwen3": {**LLAMA, "qk_norm": True, "bias": False},
}  # fmt: skip
WITH_BIASES = {kind: options for kind, options in KINDS.items() if kind in ("gpt_neox", "gpt2")}


def read(folder):
    found = pretrained.find(f"hf:{folder}")
    return found.model(found.config), found.config


def logits(model):
    ids = np.random.default_rng(0).integers(0, model.config.vocab_size, (2, model.config.context))
    with no_grad():
        return model.eval()(tensor(ids.tolist()))[0].numpy()


def numbers(stored):
    return np.frombuffer(stored[2], "<f4").reshape(stored[1])


def biases(folder):
    return [name for name in read_tensors(folder / MODEL) if name.endswith(".bias")]


@pytest.fixture(scope="module", params=WITH_BIASES)
def bare(request, tmp_path_factory):
    """A model that was exported without biases."""
    folder = tmp_path_factory.mktemp("bare") / request.param
    return folder, *exported(folder, **WITH_BIASES[request.param], bias=False)


@cases(40)
@given(st.data())
def test_a_bias_that_is_not_zero_is_a_bias_of_the_model(bare, data):
    folder, model, config = bare
    whole = (folder / MODEL).read_bytes()
    name, value = data.draw(st.sampled_from(biases(folder))), data.draw(st.floats(-2, 2, width=32))
    at = data.draw(st.integers(0, 7))

    def set_one(tensors):
        kind, shape, content = tensors[name]
        changed = np.frombuffer(content, "<f4").copy()
        changed[at] = value
        tensors[name] = kind, shape, changed.tobytes()

    try:
        change_tensors(folder, set_one)
        now, said = read(folder)
        assert said.bias is (value != 0)
        if value == 0:
            assert same_weights(now, model) and said == config
        else:
            theirs = {n: p for n, p in now.named_parameters() if n.endswith("bias")}
            assert sum(np.count_nonzero(p.array) for p in theirs.values()) == 1
            again = folder.with_name(f"{folder.name} again")
            export.write(again, now, said)  # as it was read, in its place
            assert read_tensors(again / MODEL)[name][2] == read_tensors(folder / MODEL)[name][2]
            (again / MODEL).unlink()
            (again / "config.json").unlink()
            again.rmdir()
    finally:
        (folder / MODEL).write_bytes(whole)


OTHER = {
    "vocab_size": 12, "model": "bigram", "context": 5, "width": 24, "layers": 1, "heads": 1, "kv_heads": 1, "qk_norm": True,
    "attention_scale": "none", "positions": "learned", "hidden": 16, "activation": "relu", "norm": "rms", "norm_eps": 0.5,
    "bias": False, "tied": True, "init": "gpt2", "dropout": 0.5, "dtype": "float16",
}  # fmt: skip
TRAINING = {"init", "dropout"}  # no prediction depends on them


def test_every_field_that_an_export_remembers_is_tried():
    assert OTHER.keys() == entries.REMEMBERED


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_export_remembers_never_changes_a_prediction(tmp_path, kind, name):
    """It is altered alone: the model is the one that the other entries and the tensors say, or a line names the flag."""
    folder = tmp_path / "model"
    model, config = exported(folder, **KINDS[kind])
    other = not getattr(config, name) if isinstance(OTHER[name], bool) else OTHER[name]
    other = (
        "rotary"
        if other == getattr(config, name) == "learned"
        else "layer"
        if other == getattr(config, name)
        else other
    )
    change_config(folder, lambda values: values[entries.OWN].update({name: other}))
    if name in entries.PROVEN | TRAINING | {"bias", "dtype"}:
        now, said = read(folder)
        assert (logits(now) == logits(model)).all() and said.dropout == config.dropout
        assert name in TRAINING or same_weights(now, model)
        return
    with pytest.raises(UserError) as refusal:
        read(folder)
    assert f"--{name.replace('_', '-')} {other} and the other entries" in str(refusal.value)


@pytest.mark.parametrize("kind", KINDS)
def test_another_width_leaves_the_hidden_one(tmp_path, kind):
    """Of an export whose hidden width was what its width says: it was 24, and the model is narrower now, with the old layer."""
    hidden = 64 if "activation" in KINDS[kind] else 96
    model, _ = exported(tmp_path / "model", **KINDS[kind], hidden=hidden)
    change_config(tmp_path / "model", lambda values: values[entries.OWN].update(width=24, hidden=0))
    now, said = read(tmp_path / "model")
    assert said.hidden_width == hidden and (logits(now) == logits(model)).all()


def cut_layers(folder):
    change_tensors(folder, lambda t: [t.pop(name) for name in list(t) if ".1." in name])
    change_config(folder, lambda v: v.update({"n_layer" if "n_layer" in v else "num_hidden_layers": 1}))


def fewer_positions(folder):
    def cut(tensors):
        name = "transformer.wpe.weight"
        if name in tensors:
            kind, shape, content = tensors[name]
            tensors[name] = kind, [5, shape[1]], content[: 5 * shape[1] * 4]

    change_tensors(folder, cut)
    change_config(folder, lambda v: v.update({"n_positions" if "n_positions" in v else "max_position_embeddings": 5}))


def more_rows(folder):
    def add(tensors):
        for name, (kind, shape, content) in list(tensors.items()):
            if shape[0] == 11 and len(shape) == 2:
                tensors[name] = kind, [13, shape[1]], content + np.ones(2 * shape[1], "<f4").tobytes()

    change_tensors(folder, add)
    change_config(folder, lambda v: v.update(vocab_size=13))


def tied_again(folder):
    head = "embed_out.weight" if "embed_out.weight" in read_tensors(folder / MODEL) else "lm_head.weight"
    change_tensors(folder, lambda t: t.pop(head))
    change_config(folder, lambda v: v.update(tie_word_embeddings=True))


def other_dropout(folder):
    change_config(folder, lambda v: v.update({key: 0.3 for key in v if key in entries.DROPOUTS}))


CHANGES = {
    "layers": (cut_layers, 1), "context": (fewer_positions, 5), "vocab_size": (more_rows, 13), "tied": (tied_again, True),
    "dropout": (other_dropout, 0.3),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_was_changed_is_read_as_it_is_now(tmp_path, kind, name):
    """The same as from a folder that remembers nothing."""
    folder = tmp_path / "model"
    exported(folder, **KINDS[kind], dropout=0.1)
    change, value = CHANGES[name]
    change(folder)
    now, said = read(folder)
    assert getattr(said, name) == value
    change_config(folder, lambda values: values.pop(entries.OWN))
    other, forgotten = read(folder)
    assert getattr(forgotten, name) == value and same_weights(now, other) and (logits(now) == logits(other)).all()


def test_shares_of_dropout_that_became_several_are_asked_for(tmp_path):
    exported(tmp_path / "model", positions="learned", dropout=0.1)
    change_config(tmp_path / "model", lambda values: values.update(attn_pdrop=0.2))
    assert gpt.trained.find(f"hf:{tmp_path / 'model'}").dropouts == (0.1, 0.2)


def test_the_remembered_head_of_its_own_that_was_tied_with_another_is_refused_by_name(tmp_path):
    exported(tmp_path / "model", positions="learned")
    change_config(tmp_path / "model", lambda values: values.update(tie_word_embeddings=True))
    with pytest.raises(
        UserError, match=r"lm_head\.weight differs from the embedding, and tie_word_embeddings is true; say false"
    ):
        read(tmp_path / "model")


# ------------------------------------------------------------------------------------------------- transformers


@pytest.fixture
def there():
    os.environ["HF_HUB_OFFLINE"] = "1"
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers", reason="pip install -e '.[hf-test]'")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM


def theirs(model, ids):
    import torch

    with torch.no_grad():
        return model.eval()(torch.tensor(ids)).logits.numpy()


def compare(folder, model):
    """The largest difference of logits, here and there, as a share of the largest logit."""
    import torch

    now, said = read(folder)
    ids = np.random.default_rng(0).integers(0, now.config.vocab_size, (2, now.config.context))
    with no_grad():
        found = now.eval()(tensor(ids.tolist()))[0].numpy()
    expected = theirs(model.to(torch.float32), ids)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()
    return now, said


@pytest.mark.hf
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tied", [False, True])
def test_a_step_of_training_there(tmp_path, there, kind, tied):
    import torch

    options = {**KINDS[kind], "bias": False, "tied": tied}
    exported(tmp_path / "one", **options)
    model = there.from_pretrained(tmp_path / "one").train()
    ids = torch.tensor(np.random.default_rng(1).integers(0, 11, (4, 8)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(ids, labels=ids).loss.backward()
    optimizer.step()
    model.save_pretrained(tmp_path / "two")
    assert entries.OWN in json.loads(Path(tmp_path, "two", "config.json").read_text())
    now, said = compare(tmp_path / "two", model)
    assert said.bias is (kind in WITH_BIASES) and said.tied is tied
    export.write(tmp_path / "three", now, said)  # and there again, bit for bit
    again = there.from_pretrained(tmp_path / "three")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), model.parameters(), strict=True))


@pytest.mark.hf
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_not_trained_there_has_no_biases(tmp_path, there, kind):
    model, config = exported(tmp_path / "one", **{**KINDS[kind], "bias": False})
    there.from_pretrained(tmp_path / "one").save_pretrained(tmp_path / "two")
    now, said = read(tmp_path / "two")
    assert same_weights(now, model) and said == config


@pytest.mark.hf
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_was_resized_and_untied_there(tmp_path, there, kind):
    import torch

    exported(tmp_path / "one", **KINDS[kind], tied=True)
    model = there.from_pretrained(tmp_path / "one", tie_word_embeddings=False)
    model.resize_token_embeddings(19)
    with torch.no_grad():
        model.get_output_embeddings().weight.normal_()
    model.config.tie_word_embeddings = False
    model.save_pretrained(tmp_path / "two")
    _, said = compare(tmp_path / "two", model)
    assert said.vocab_size == 19 and not said.tied


@pytest.mark.hf
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_a_model_that_was_saved_there_in_another_precision(tmp_path, there, dtype):
    import torch

    exported(tmp_path / "one")
    model = there.from_pretrained(tmp_path / "one").to(getattr(torch, dtype))
    model.save_pretrained(tmp_path / "two")
    _, said = compare(tmp_path / "two", model)
    assert said.dtype == ("float64" if dtype == "float64" else "float32")


@pytest.mark.hf
def test_a_llama_that_got_biases_there(tmp_path, there):
    import torch

    exported(tmp_path / "one", **LLAMA, bias=False)
    model = there.from_pretrained(tmp_path / "one", attention_bias=True, mlp_bias=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.normal_()
    model.save_pretrained(tmp_path / "two")
    _, said = compare(tmp_path / "two", model)
    assert said.bias
