"""Every number of a page is one of the engine's: computed again here by PyTorch, by definition, or by the trace."""

from __future__ import annotations

import linecache
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspected import SMALL, VARIANTS, Inspected, inspected, subject
from profiles import cases

import tinytensor as tt
from gpt.inspection import collect, gradients, ngrams, saliency, stored, values
from gpt.lens import losses
from gpt.run import baselines
from tinytensor.inside.watch import Call

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.programs, pytest.mark.usefixtures("one_torch_thread")]
ROOT = Path(tt.__file__).parents[1]


@pytest.fixture(scope="module", params=VARIANTS)
def page(request):
    return inspected(subject(**VARIANTS[request.param]))


def in_torch(page: Inspected):
    """The model in PyTorch in float64; its outputs of modules by name, with gradients; and its losses after one backward."""
    import reference_torch.build as reference
    from reference_torch.weights import to_torch

    model = reference.build(page.subject.config)
    to_torch(page.subject.model, model)
    model = model.double().eval()
    outputs = {}

    def keep(name):
        def hook(module, args, y):
            if isinstance(y, torch.Tensor):
                y.retain_grad()
                outputs[f"{name}.output"] = y

        return hook

    for name, module in model.named_modules():
        if name:
            module.register_forward_hook(keep(name))
    ids = torch.tensor(page.subject.ids)[None]
    logits, _ = model(ids[:, :-1])
    each = torch.nn.functional.cross_entropy(logits[0], ids[0, 1:], reduction="none")
    return model, outputs, each


def close(ours, theirs, tolerance=1e-5):
    """Within the tolerance of the largest number."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()


def test_losses_and_gradients_are_those_of_pytorch(page):
    model, outputs, each = in_torch(page)
    each.mean().backward()
    close(page.data["loss"][:-1], each.detach())
    assert page.data["loss"][-1] is None
    listed = {name: row for row in page.data["values"] for name in (row["name"], *row["same"])}
    T = len(page.subject.ids)
    for name, y in outputs.items():
        ours = page.arrays[f"g:{listed[name]['name']}"]
        theirs = y.grad.numpy()
        theirs = theirs[0] if y.shape[0] == 1 else theirs  # positions have no batch
        if name.endswith(("q_norm.output", "k_norm.output")):
            ours = np.moveaxis(ours, 1, 0)
            theirs = np.moveaxis(theirs, 1, 0)
        close(ours[: T - 1], theirs, 1e-3)  # float16
        assert not ours[T - 1].any() or name.endswith(("k_norm.output", "position_embedding.output"))
    for row in page.data["flow"]["parameters"]:
        p = dict(model.named_parameters())[row["name"]]
        close(row["norm"], p.grad.norm())
        close(row["weight"], p.detach().norm())
        assert row["ratio"] == row["norm"] / row["weight"] and row["shape"] == list(p.shape)
    assert len(page.data["flow"]["parameters"]) == len(list(model.parameters()))


def test_saliency_is_a_backward_for_each_token(page):
    _, outputs, each = in_torch(page)
    T = len(page.subject.ids)
    expected = np.zeros((T, T))
    for t, loss in enumerate(each):
        (g,) = torch.autograd.grad(loss, outputs["embedding.output"], retain_graph=True)
        expected[t, : T - 1] = g[0].norm(dim=-1)
    close(page.arrays["saliency"], expected)


def test_saliency_does_not_depend_on_how_many_copies_run_at_once(page, monkeypatch):
    monkeypatch.setattr(saliency, "AT_ONCE", 2 * len(page.subject.ids))
    close(saliency.saliency(page.subject.model, page.subject.ids), page.arrays["saliency"], 1e-6)


def test_weights_and_logits_are_exact(page):
    found = values.run(page.subject.model, page.subject.ids)
    for name, p in page.subject.model.named_parameters():
        assert page.arrays[f"w:{name}"].tobytes() == p.numpy(force=True).tobytes()
    assert page.arrays["logits"].tobytes() == found.trace["output.0"].numpy(force=True)[0].tobytes()


def test_every_value_of_the_trace_is_there_once(page):
    found = values.run(page.subject.model, page.subject.ids)
    names = [name for row in page.data["values"] for name in (row["name"], *row["same"])]
    assert not [name for name, count in Counter(names).items() if count > 1]
    assert set(found.trace.values) <= set(names)
    for row in page.data["values"]:
        value = found.values[row["name"]]
        assert row["shape"] == list(gradients.without_batch(value.array, value).shape)
        assert len(row["axes"]) == len(row["shape"]) and row["gradient"] == (f"g:{row['name']}" in page.arrays)


def test_a_gradient_is_the_sum_of_what_its_uses_return(page):
    """Of every value, also of those without a name: what the backwards of the calls that read it returned, added up."""
    found = values.run(page.subject.model, page.subject.ids)
    seen = 0
    for value in found.values.values():
        uses = [
            call.gradients[i]
            for call in found.calls if call.gradients is not None
            for i, x in enumerate(call.inputs) if x is value.array and call.gradients[i] is not None
        ]  # fmt: skip
        if value.gradient is None or not uses:
            continue
        total = gradients.without_batch(np.sum(uses, axis=0), value)
        close(gradients.without_batch(value.gradient, value), total, 1e-6)
        if total.any():
            close(page.arrays[f"g:{value.name}"], total, 2.0**-11)
        seen += 1
    assert seen >= len(found.calls) - 4


def test_moved_gradients_are_stored_once(page):
    views = [name for name, each in page.data["arrays"].items() if "view" in each]
    if page.subject.config.model == "gpt":
        assert {"g:blocks.0.attention.split.2", "g:blocks.1.feed_forward_norm.input"} <= set(views)


def test_streams_norms_are_those_of_its_vectors(page):
    found = values.run(page.subject.model, page.subject.ids)
    rows = page.data["flow"]["blocks"]
    layers = page.subject.config.layers if page.subject.config.model == "gpt" else 0
    assert rows[0]["name"].split(".")[0] in ("embedding", "blocks") and len(rows) >= 2 * layers + 2
    assert rows[-1]["name"] == "head.output"
    for row in rows:
        x = found.trace[row["name"]]
        close(row["values"], np.linalg.norm(x.numpy(force=True)[0], axis=-1))
        close(row["gradients"], np.linalg.norm(x.grad.numpy()[0], axis=-1))
        close(row["gradient"], np.linalg.norm(x.grad.numpy()))
        close(row["value"], np.linalg.norm(x.numpy(force=True)))


def test_calls_name_what_they_read_and_the_lines_that_made_them(page):
    found = values.run(page.subject.model, page.subject.ids)
    for row, call in zip(page.data["calls"], found.calls, strict=True):
        assert (row["primitive"], row["formula"], row["module"]) == (
            call.primitive.name, call.primitive.formula, call.path,
        )  # fmt: skip
        for name, x in zip(row["inputs"], call.inputs, strict=True):
            assert (name is None) == (x is None)
            if isinstance(name, str):
                assert found.trace[name].array is x if name in found.trace else found.values[name].array is x
        for file, number, _ in row["lines"]:
            assert source_line(page, file, number) == linecache.getline(str(ROOT / file), number)
        for way, function in (("forward", call.primitive.forward), ("backward", call.primitive.backward)):
            file, first, last = row["pair"][way]
            lines = [source_line(page, file, number) for number in range(first, last + 1)]
            assert f"def {function.__name__}(" in "".join(lines)
        assert row["lines"][-1][0].startswith("gpt/")
        check = row["check"]
        assert check is None or (check["ok"] and check["elements"] > 0 and check["error"] < check["tolerance"])
    assert sum(row["check"] is None for row in page.data["calls"]) <= 1  # the tokens are moved, too


def source_line(page: Inspected, file: str, number: int) -> str:
    """A line of the excerpts."""
    for first, text in page.data["sources"][file].items():
        lines = text.splitlines(keepends=True)
        if int(first) <= number < int(first) + len(lines):
            return lines[number - int(first)]
    raise AssertionError(f"no line {number} of {file}")


def test_constants_of_a_call_are_numbers_or_arrays(page):
    found = values.run(page.subject.model, page.subject.ids)
    for row, call in zip(page.data["calls"], found.calls, strict=True):
        for name, value in call.static.items():
            kept = row["static"][name]
            if isinstance(value, np.ndarray):
                where = kept.get("array")
                y = page.arrays[where] if where else found.values[kept["what"]].array
                assert np.array_equal(y, value)
            elif isinstance(value, (int, float, str, bool)) or value is None:
                assert kept == value
            else:
                assert tuple(kept) == tuple(value)


def test_axes_are_right_where_sizes_do_not_tell():
    """4 heads of width 4, 4 tokens: every dimension has the same size."""
    page = inspected(subject(length=4))
    axes = {row["name"]: row["axes"] for row in page.data["values"]}
    at = "blocks.0.attention."
    assert axes[f"{at}split.0"] == ["head", "token", "channel"]
    assert axes[f"{at}permute#2"] == ["head", "channel", "token"]
    for name in ("matmul", "mul_scalar", "triu", "scores", "weights"):
        assert axes[at + name] == ["head", "token", "source"]
    assert axes[f"{at}matmul#2"] == ["head", "token", "channel"] and axes["input.0"] == ["token"]
    titles = {row["name"]: row["title"] for row in page.data["values"]}
    assert [titles[at + name] for name in ("split.0", "split.1", "rotary#2", "projection.input")] == [
        "queries", "keys", "turned by its position", "",
    ]  # fmt: skip
    assert axes[f"{at}projection.input"] == axes["head.output"] == ["token", "channel"] and axes["output.1"] == []


def test_axes_of_heads_that_share_keys():
    page = inspected(subject(length=2, width=8, **{"kv_heads": 2, "qk_norm": True}))
    axes = {row["name"]: row["axes"] for row in page.data["values"]}
    at = "blocks.0.attention."
    assert axes[f"{at}expand"] == axes[f"{at}reshape#2"] == ["head", "copy", "token", "channel"]
    assert axes[f"{at}reshape#3"] == axes[f"{at}k_norm.output"] == ["head", "token", "channel"]
    assert axes[f"{at}weights"] == ["head", "token", "source"]


def test_a_wrong_backward_is_said(monkeypatch):
    from tinytensor.ops.gelu import GELU_TANH

    right = GELU_TANH.backward
    monkeypatch.setattr(GELU_TANH, "backward", lambda dy, *saved: tuple(1.01 * g for g in right(dy, *saved)))
    page = inspected(subject())
    wrong = {row["primitive"] for row in page.data["calls"] if row["check"] and not row["check"]["ok"]}
    assert wrong == {"gelu_tanh"}


OPTIONS = st.fixed_dictionaries({}, optional={
    "layers": st.integers(1, 2), "heads": st.sampled_from([1, 2, 4]), "kv_heads": st.sampled_from([0, 1]),
    "attention_scale": st.sampled_from(["head", "layer", "none"]), "positions": st.sampled_from(["rotary", "learned"]),
    "hidden": st.integers(0, 9), "norm": st.sampled_from(["layer", "rms"]), "bias": st.booleans(), "tied": st.booleans(),
    "activation": st.sampled_from(["gelu-tanh", "gelu", "relu", "silu", "tanh", "swiglu"]), "qk_norm": st.booleans(),
    "norm_eps": st.sampled_from([1e-5, 1.0]), "init": st.sampled_from(["fan-in", "gpt2"]), "dropout": st.just(0.5),
})  # fmt: skip
AXES = {"token", "source", "head", "copy", "channel"}


@cases(12)
@given(OPTIONS, st.integers(2, 12))
def test_every_option_and_length(options, length):
    """The loss of the page is the model's; each value has its axes, each check agrees; dW of the embedding adds up."""
    page = inspected(subject(length, width=8, **options))
    ids = tt.tensor(page.subject.ids[None])
    _, loss = page.subject.model(ids[:, :-1], ids[:, 1:])
    assert np.mean(page.data["loss"][:-1]) == pytest.approx(loss.item(), rel=1e-4)
    assert all(row["check"]["ok"] for row in page.data["calls"] if row["check"])
    for row in page.data["values"]:
        assert len(row["axes"]) == len(row["shape"]) and set(row["axes"]) <= AXES
        assert row["gradient"] == (f"g:{row['name']}" in page.arrays)
    if not options.get("tied"):
        g = page.arrays["g:embedding.output"]
        rows = [g[page.subject.ids == i].sum(0) for i in range(11)]
        norms = {row["name"]: row["norm"] for row in page.data["flow"]["parameters"]}
        assert np.linalg.norm(rows) == pytest.approx(norms["embedding.weight"], rel=2e-3)


# ------------------------------------------------------------------------------------------------ n-grams


def test_baselines_are_counted_token_by_token():
    random = np.random.default_rng(3)
    train, ids = random.integers(0, 5, 60).astype(np.uint8), random.integers(0, 5, 9)
    found = ngrams.losses(train, ids, 5)
    follows = Counter(zip(train.tolist(), train.tolist()[1:]))
    for t in range(8):
        a, b = ids[t], ids[t + 1]
        count, begins = (train == b).sum(), (train[:-1] == a).sum()
        assert found["unigram"][t] == pytest.approx(-np.log((count + 1) / (60 + 5)))
        assert found["bigram"][t] == pytest.approx(-np.log((follows[a, b] + 1) / (begins + 5)))
    assert {each[-1] for each in found.values()} == {None} and found["uniform"][0] == np.log(5)


def test_their_mean_is_what_a_run_prints():
    random = np.random.default_rng(4)
    train, ids = random.integers(0, 7, 300).astype(np.uint8), random.integers(0, 7, 50).astype(np.uint8)
    measured = baselines.measure(train, ids, 7)
    for name, each in ngrams.losses(train, ids, 7).items():
        assert np.mean(each[:-1]) == pytest.approx(getattr(measured, {"ngram": "fivegram"}.get(name, name)))


# ------------------------------------------------------------------------------------------ large models


@pytest.fixture(params=["default", "llama", "bigram"])
def large(request, monkeypatch):
    monkeypatch.setattr(stored, "WEIGHTS", 0)
    return inspected(subject(**VARIANTS[request.param]))


def test_a_large_model_has_its_stream_and_its_attention(large):
    found = values.run(large.subject.model, large.subject.ids)
    assert not [name for name in large.arrays if name.startswith("w:") or name == "logits"]
    for row in large.data["values"]:
        x = found.trace[row["name"]]
        close(large.arrays[f"v:{row['name']}"], x.numpy(force=True)[0], 1e-3)
        close(large.arrays[f"g:{row['name']}"], x.grad.numpy()[0], 1e-3)
    names = {row["name"] for row in large.data["values"]}
    if large.subject.config.model == "gpt":
        assert {"blocks.0.attention.weights", "blocks.1.output", "norm.output"} <= names
    assert len(large.data["calls"]) == len(found.calls) and large.data["ablations"] is not None


def test_its_lens_ends_with_what_the_model_says(large):
    found = values.run(large.subject.model, large.subject.ids)
    logits = found.trace["output.0"].numpy(force=True)[0].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    last = large.data["lens"][-1]
    close(last["loss"][:-1], large.data["loss"][:-1])
    assert last["top"] == np.argsort(-p, -1)[:, :5].tolist()
    close(last["p"], -np.sort(-p, -1)[:, :5])
    assert {str(i) for top in last["top"] for i in top} <= set(large.data["vocabulary"])
    if large.subject.config.model == "gpt":
        first = large.data["lens"][0]
        with tt.no_grad():
            model = large.subject.model
            early = model.head(model.norm(found.trace["embedding"]))
        assert first["name"] == "embedding.output"
        close(first["loss"][:-1], losses(early.numpy()[0], large.subject.ids))


def test_its_ablations_are_the_models_without_a_head(large, monkeypatch):
    config, ids = large.subject.config, large.subject.ids
    rows = {(row["layer"], row["head"]): row["loss"] for row in large.data["ablations"]}
    assert len(rows) == (config.layers * config.heads if config.model == "gpt" else 0)
    for (layer, head), loss in rows.items():
        with tt.no_grad(), tt.trace(large.subject.model) as t:
            t.ablate(f"blocks.{layer}.attention", head=head)
            logits, _ = large.subject.model(tt.tensor(ids[None]))
        close(loss[:-1], losses(logits.numpy()[0], ids))
    monkeypatch.setattr(stored, "LOGITS", 1)  # one copy at once
    close(stored.ablations(large.subject.model, ids, [])[-1]["loss"][:-1], loss[:-1], 1e-6) if rows else None


def test_what_takes_too_long_is_left_out_and_said(monkeypatch):
    monkeypatch.setattr(stored, "WEIGHTS", 0)
    monkeypatch.setattr(stored, "WORK", 0)
    page = inspected(subject())
    assert page.data["ablations"] is None and "saliency" not in page.arrays
    notes = [note.split(":")[0] for note in page.data["notes"]]
    assert notes == ["the page has not all values", "no saliency", "no losses without each head"]


def test_a_long_text_or_a_large_vocabulary_is_too_much_as_well(monkeypatch):
    assert inspected(subject()).data["lens"] is None
    monkeypatch.setattr(stored, "ARRAYS", 40_000)
    assert inspected(subject()).data["lens"] is not None
    monkeypatch.setattr(stored, "ARRAYS", 1000)
    with pytest.raises(ValueError, match=r"^the attention of this text alone takes 0 MB, .* give a shorter text$"):
        inspected(subject())


def test_the_vocabulary_of_a_model_may_be_larger_than_its_tokenizers():
    page = inspected(subject(vocab_size=14))
    assert page.data["vocabulary"][10:] == ["k", "", "", ""] and SMALL["vocab_size"] == 11


def test_predictions_that_are_not_finite_are_refused():
    given = subject()
    given.model.head.weight.data[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"^losses or gradients are not finite: train again"):
        inspected(given)


def test_a_backward_that_makes_nan_is_refused_or_said(monkeypatch):
    from tinytensor.ops.gelu import GELU_TANH

    monkeypatch.setattr(GELU_TANH, "backward", lambda dy, *saved: (np.full_like(dy, np.nan),))
    with pytest.raises(ValueError, match=r"^losses or gradients are not finite"):
        inspected(subject())
    monkeypatch.setattr(collect, "flow", lambda *_: {"blocks": [], "parameters": []})
    page = inspected(subject())
    *_, last = [row["check"] for row in page.data["calls"] if row["primitive"] == "gelu_tanh"]
    assert last["ok"] is False and last["error"] is None


def test_a_call_knows_its_own_arrays():
    """Names go by the identity of arrays: nothing may be freed and its id be taken while they are made."""
    found = values.run(subject().model, subject().ids)
    held = {
        id(x) for call in found.calls if isinstance(call, Call) for x in (*call.inputs, *call.outputs) if x is not None
    }
    assert {key for key in found.names if key in held} >= {
        id(v.array) for v in found.values.values() if v.call is not None
    }
