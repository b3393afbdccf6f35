"""A padded vocabulary: a model with more rows than its tokenizer has tokens. The rows stay, and are never drawn."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from folders import model_of, same_weights
from hypothesis import given
from hypothesis import strategies as st
from profiles import cases

import gpt
import tinytensor as tt
from gpt import evaluate, generate, train
from gpt import export as command
from gpt.errors import UserError
from gpt.hf import export
from gpt.run import checkpoint
from gpt.sampling import candidates, sample
from gpt.tokenizers import BPETokenizer, CharTokenizer
from gpt.tokenizers.base import PADDING, check_rows
from gpt.tokenizers.bpe import learn

pytestmark = pytest.mark.hf

TEXT = "It was the best of times, it was the worst of times. Ünïcödé!\n" * 20
BPE = BPETokenizer(learn(TEXT, 270), {"<|endoftext|>": 270})  # 271 tokens
ROWS = 320
TRAIN = ["--data=text", "--steps=2", "--batch-size=2", "--threads=1", "--no-plot"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a text, and a folder of a model with ROWS rows. Rows without a token are the most probable."""
    monkeypatch.chdir(tmp_path)
    Path("text").write_text(TEXT, "utf-8")
    model, config = model_of(vocab_size=ROWS, positions="learned")
    model.head.weight.array[BPE.vocab_size :] *= 100
    export.write(tmp_path / "model", model, config, BPE)
    return tmp_path


logits = st.lists(st.integers(-3, 3).map(float) | st.floats(-30, 30, width=32), min_size=1, max_size=12)
fractions = st.none() | st.floats(0, 1)


@cases(150)
@given(
    logits,
    logits,
    st.floats(0, 3),
    st.none() | st.integers(1, 14),
    fractions,
    fractions,
    st.sampled_from([1.0, 1.5]),
    st.data(),
)
def test_rows_without_a_token_are_as_if_they_were_not_there(
    inner, outer, temperature, top_k, top_p, min_p, penalty, data
):
    seen = data.draw(st.sets(st.integers(0, len(inner) + len(outer) - 1)))
    how = temperature, top_k, top_p, min_p, penalty
    found = candidates(tt.tensor(inner + outer), *how, seen=seen, vocabulary=len(inner))
    expected = candidates(tt.tensor(inner), *how, seen={i for i in seen if i < len(inner)})
    assert [each.tolist() for each in found] == [each.tolist() for each in expected]


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_a_model_may_have_some_more_rows_than_tokens_and_no_fewer(tokens, rows):
    tokenizer = CharTokenizer("".join(map(chr, range(tokens))))
    if tokens <= rows <= tokens + PADDING:
        check_rows(tokenizer, rows)
    else:
        with pytest.raises(UserError, match=f"the tokenizer's {tokens:,} tokens do not fit the model's {rows:,} rows"):
            check_rows(tokenizer, rows)


@pytest.mark.parametrize(
    "flags", [[], ["--no-cache"], ["--temperature=0"], ["--top-k=3"], ["--repetition-penalty=1.3"]]
)
def test_they_are_never_drawn(place, capsys, flags):
    line = ["hf:model", "--prompt=It was", "--tokens=40", "--seed=1", "--samples=2", "--json", *flags]
    assert generate.main(line) == 0
    out, error = capsys.readouterr()
    assert "the model has 320 rows for 271 tokens; the others are never drawn" in error
    rows = [json.loads(row) for row in out.splitlines()]
    assert [row["tokens"] for row in rows] == [40, 40] and all(row["text"] for row in rows)
    model, tokenizer = gpt.load("hf:model")
    given = tokenizer.encode("It was").tolist()
    drawn = list(sample(model, given, 40, 0.8, generator=tt.Generator().manual_seed(1)))
    assert max(drawn) >= tokenizer.vocab_size, "without a limit they would be"


def test_a_dialogue_never_draws_them(place, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("It was\n\n"))
    assert generate.main(["hf:model", "--interactive", "--tokens=40", "--seed=1"]) == 0
    assert len(capsys.readouterr().out) > 5


def test_a_prompt_of_ids_has_to_have_tokens(place):
    model, tokenizer = gpt.load("hf:model")
    assert gpt.complete(model, tokenizer, [[270], [0]], tokens=3)
    for ids in ([271], [319], [0, 320]):
        with pytest.raises(UserError, match="prompt 1 must be a text, or numbers of tokens from 0 to 270") as refusal:
            gpt.complete(model, tokenizer, [ids], tokens=3)
        assert "\n" not in str(refusal.value)


def test_an_export_keeps_the_rows(place):
    assert command.main(["hf:model", "out"]) == 0
    (model, tokenizer), (before, _) = gpt.load("hf:out"), gpt.load("hf:model")
    assert same_weights(model, before) and tokenizer.to_json() == BPE.to_json()
    assert json.loads(Path("out/config.json").read_text())["vocab_size"] == ROWS


def test_a_run_keeps_the_rows(place, capsys):
    """Begun with them, stopped, resumed, evaluated, taken for another run, exported."""
    assert train.main([*TRAIN, "--init=hf:model", "--out=run"]) == 0
    out = capsys.readouterr().out
    assert "271 different with <|endoftext|>, of 320 rows" in out
    assert Path("run/sample.txt").read_text("utf-8").strip()
    model, tokenizer = gpt.load("run")
    assert model.head.weight.shape == (ROWS, 12) and tokenizer.to_json() == BPE.to_json()
    assert train.main(["--resume=run", "--steps=4", "--no-plot", "--quiet"]) == 0
    assert evaluate.main(["run", "--json"]) == 0
    assert train.main([*TRAIN, "--init=run", "--out=next", "--quiet"]) == 0
    assert command.main(["next", "out"]) == 0
    assert generate.main(["hf:out", "--tokens=9", "--seed=1"]) == 0
    assert gpt.load("hf:out")[0].embedding.weight.shape == (ROWS, 12)


def test_resuming_makes_the_same_weights(place):
    assert (
        train.main([*TRAIN[:1], "--steps=4", *TRAIN[2:], "--decay=0", "--init=hf:model", "--out=whole", "--quiet"]) == 0
    )
    assert train.main([*TRAIN, "--decay=0", "--init=hf:model", "--out=run", "--quiet"]) == 0
    assert train.main(["--resume=run", "--steps=4", "--no-plot", "--quiet"]) == 0
    assert same_weights(gpt.load("run", last=True)[0], gpt.load("whole", last=True)[0])


def test_the_loss_is_that_of_all_rows(place, capsys):
    """A prediction of a row without a token is as wrong as any other: cross-entropy over all, as in transformers."""
    assert evaluate.main(["hf:model", "--data=text", "--json"]) == 0
    loss = json.loads(capsys.readouterr().out)["loss"]
    model, tokenizer = gpt.load("hf:model")
    ids = tokenizer.encode(TEXT[int(0.9 * len(TEXT)) :])
    total = count = 0.0
    for start in range(0, len(ids) - 1, 8):
        part = ids[start : start + 9]
        with tt.no_grad():
            z = model(tt.tensor([part[:-1].tolist()]))[0][0].numpy().astype(np.float64)
        z -= z.max(-1, keepdims=True)
        total -= (z - np.log(np.exp(z).sum(-1, keepdims=True)))[np.arange(len(part) - 1), part[1:]].sum()
        count += len(part) - 1
    assert loss == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("change, number", [({"merges": ""}, 2), ({"special": {}}, 2), ({}, 1)], ids=str)
def test_a_tokenizer_that_was_cut_in_a_checkpoint_is_damage_and_no_padding(place, capsys, change, number):
    """The name in the configuration says how many tokens there were; the first format had a row for each."""
    assert train.main([*TRAIN, "--init=hf:model", "--out=run", "--quiet"]) == 0
    for folder in ("run/checkpoint", "run/best/checkpoint"):
        path = Path(folder, "metadata.json")
        values = json.loads(path.read_text())
        values["tokenizer"].update(change)
        if number == 1:
            values = {name: value for name, value in values.items() if name not in ("format", "checksum")}
        path.write_text(json.dumps(values if number == 1 else checkpoint.seal(values)))
    assert generate.main(["run"]) == 2
    error = capsys.readouterr().err
    assert "metadata.json is damaged: " in error and error.count("\n") == 1


@pytest.mark.hf
def test_transformers_reads_what_is_exported(place):
    os.environ["HF_HUB_OFFLINE"] = "1"
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    assert command.main(["hf:model", "out"]) == 0
    there, words = (
        each.from_pretrained("out") for each in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer)
    )
    model, tokenizer = gpt.load("hf:out")
    ids = tokenizer.encode("It was")
    assert words("It was").input_ids == ids.tolist() and there.get_input_embeddings().num_embeddings == ROWS
    with torch.no_grad(), tt.no_grad():
        expected, found = there(torch.tensor(ids[None])).logits.numpy(), model(tt.tensor([ids.tolist()]))[0].numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.hf
def test_tokens_that_transformers_added(place):
    """With rows for them, and for some more."""
    transformers = pytest.importorskip("transformers")
    there, words = (
        each.from_pretrained("model") for each in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer)
    )
    words.add_special_tokens({"additional_special_tokens": ["<extra>"]})
    there.resize_token_embeddings(len(words), pad_to_multiple_of=64)
    there.save_pretrained("grown")
    words.save_pretrained("grown")
    model, tokenizer = gpt.load("hf:grown")
    assert (model.config.vocab_size, tokenizer.special) == (ROWS, {"<|endoftext|>": 270, "<extra>": 271})
    text = "It was<extra> the best"
    assert tokenizer.encode(text, allowed=["<extra>"]).tolist() == words(text).input_ids
    assert gpt.complete(model, tokenizer, [[271]], tokens=3)


@pytest.mark.hf
def test_embeddings_that_transformers_resized(place):
    """`resize_token_embeddings(pad_to_multiple_of=…)`, as before a training there."""
    transformers = pytest.importorskip("transformers")
    there = transformers.AutoModelForCausalLM.from_pretrained("model")
    there.resize_token_embeddings(ROWS + 1, pad_to_multiple_of=64)
    there.save_pretrained("again")
    Path("again/tokenizer.json").write_bytes(Path("model/tokenizer.json").read_bytes())
    model, tokenizer = gpt.load("hf:again")
    assert model.config.vocab_size == 384 and tokenizer.to_json() == BPE.to_json()
    found = gpt.load("hf:model")[0]
    assert (model.embedding.weight.array[:ROWS] == found.embedding.weight.array).all()
    assert replace(model.config, vocab_size=ROWS) == found.config
