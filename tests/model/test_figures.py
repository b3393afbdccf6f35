"""The figures: they show the model's numbers, and any token as text."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

import tinytensor
from gpt import figures
from gpt.build import build
from gpt.config import GPTConfig
from gpt.drawing import FONT, LONGEST, save, shown
from gpt.errors import UserError
from gpt.inspection.film import read
from gpt.lens import look
from gpt.tokenizers import ByteTokenizer, CharTokenizer
from gpt.train import main as train
from tinytensor import tensor

pytestmark = pytest.mark.programs
SMALL = {"context": 40, "width": 16, "layers": 2, "heads": 2}
TEXT = "it was the best of times"
HOSTILE = "$x^2$ \\frac{a}{b} $\n\t\0\u200b\u0301\u05d0\u4e00\U0001f600%&_#{}<b>"
MAKERS = [figures.attention_maps, figures.logit_lens, figures.gradient_flow, figures.loss_per_token]


def made(text=TEXT, **options):
    """A model whose weights are all drawn, and a tokenizer with the characters of the text."""
    tokenizer = CharTokenizer.from_text(text)
    model = build(GPTConfig(vocab_size=tokenizer.vocab_size, **{**SMALL, "init": "gpt2", **options}))
    with tinytensor.no_grad():
        for p in model.parameters():
            p += tinytensor.randn(*p.shape) * 0.3
    return model.eval(), tokenizer


def drawn(figure):
    """The pixels. A warning, for example of a missing glyph, is an error."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def texts(figure):
    return [each.get_text() for each in figure.findobj(Text) if each.get_text()]


# --------------------------------------------------------------------------------------------- tokens as text


def test_tokens_are_shown_as_text():
    tokens = [
        b"a",
        b" ",
        b"\n",
        b"\t",
        "ä".encode(),
        "ä".encode()[:1],
        b"\0",
        "\u4e00".encode(),
        "\u0301".encode(),
        b"$",
    ]
    wanted = ["a", "␣", "⏎", "⇥", "ä", "\\xc3", "\\u{0}", "\\u{4e00}", "\\u{301}", "$"]
    assert [shown(token) for token in tokens] == wanted
    assert shown(b"a" * 99) == "a" * (LONGEST - 1) + "…"
    assert shown("\u05d0\u05d1".encode()) == "\\u{5d0}\\u…"


@given(st.binary(max_size=6) | st.text(max_size=6).map(lambda text: text.encode("utf-8", "replace")))
def test_every_token_has_signs_of_the_font_alone(token):
    text = shown(token)
    has = get_font(findfont(FONT)).get_charmap()
    assert all(ord(c) in has for c in text)
    assert len(text) <= LONGEST and bool(text) == bool(token)


@pytest.mark.parametrize("make", MAKERS)
def test_hostile_text_is_no_formula(make):
    model, tokenizer = made(HOSTILE)
    figure = make(model, tokenizer, HOSTILE[:36])
    drawn(figure)
    ours = [each for each in figure.findobj(Text) if "$" in each.get_text() or "\\" in each.get_text()]
    assert bool(ours) == (make is not figures.gradient_flow)
    assert not any(each.get_parse_math() for each in ours)


# ------------------------------------------------------------------------------------------------ the numbers


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("options", [
    {}, {"positions": "learned", "tied": True}, {"kv_heads": 1, "norm": "rms", "activation": "swiglu", "bias": False},
    {"layers": 9, "heads": 4, "width": 32}, {"heads": 1, "dropout": 0.5},
], ids=["default", "gpt-2", "llama", "many heads", "one head"])  # fmt: skip
def test_every_figure_is_drawn_and_leaves_everything_as_it_was(make, options):
    model, tokenizer = made(**options)
    model.train()
    loss = model(tensor([[0, 1]]), tensor([[1, 0]]))[1]
    loss.backward()
    settings, backend = dict(matplotlib.rcParams), os.environ.get("MPLBACKEND")
    before = [(p.numpy(force=True).copy(), p.grad.numpy().copy()) for p in model.parameters()]
    state, shown_before = str(tinytensor.get_rng_state()), "matplotlib.pyplot" in sys.modules
    figure = make(model, tokenizer, TEXT)
    assert isinstance(figure, Figure)
    assert drawn(figure).shape[1] == 780
    assert dict(matplotlib.rcParams) == settings and os.environ.get("MPLBACKEND") == backend
    assert ("matplotlib.pyplot" in sys.modules) == shown_before
    assert model.training and str(tinytensor.get_rng_state()) == state
    for (weight, grad), p in zip(before, model.parameters(), strict=True):
        assert (p.numpy(force=True) == weight).all() and (p.grad.numpy() == grad).all() and p.requires_grad
    width, height = figure.get_size_inches()
    inside = figure.get_tightbbox()
    assert inside.x0 > -0.05 and inside.x1 < width + 0.05 and inside.y0 > -0.05 and inside.y1 < height + 0.05


def test_a_bigram_has_all_figures_but_attention():
    tokenizer = CharTokenizer.from_text(TEXT)
    model = build(GPTConfig(model="bigram", vocab_size=tokenizer.vocab_size, context=40, width=8))
    with pytest.raises(UserError, match="a bigram model has no attention"):
        figures.attention_maps(model, tokenizer, TEXT)
    for make in MAKERS[1:]:
        drawn(make(model, tokenizer, TEXT))


def test_maps_show_the_weights():
    model, tokenizer = made()
    figure = figures.attention_maps(model, tokenizer, TEXT[:8])
    weights = look(model, tokenizer.encode(TEXT[:8]).tolist()).attention.reshape(4, 8, 8)
    images = [ax.images[0].get_array() for ax in figure.axes]
    lower = np.tril_indices(8)
    assert [(image[lower] == each[lower]).all() for image, each in zip(images, weights, strict=True)] == [True] * 4
    assert all(image.mask[np.triu_indices(8, 1)].all() for image in images)
    labels = [each.get_text() for each in figure.axes[0].texts]
    assert labels == [c for c in "it␣was␣t" for _ in range(2)]
    assert [ax.get_title(loc="left").split("\n")[0] for ax in figure.axes] == [
        f"block {b}, head {h}" for b in (0, 1) for h in (0, 1)
    ]


def test_of_many_maps_the_first_the_middle_and_the_last_block_are_drawn():
    model, tokenizer = made(layers=9, heads=4, width=32)
    titles = [ax.get_title(loc="left").split(",")[0] for ax in figures.attention_maps(model, tokenizer, TEXT).axes]
    assert titles == ["block 0"] * 4 + ["block 4"] * 4 + ["block 8"] * 4


@pytest.mark.parametrize("weights, said", [
    (np.eye(5), "100% at itself"), (np.eye(5, k=-1) + np.eye(5) * [1, 0, 0, 0, 0], "100% at the one before"),
    (np.tile([1.0, 0, 0, 0, 0], (5, 1)), "100% at the first"),
    (np.tril(np.ones((9, 9))) / np.arange(1, 10)[:, None], "spread over 5.5 tokens"),
], ids=["itself", "before", "first", "all"])  # fmt: skip
def test_a_title_says_where_a_head_looks(weights, said):
    assert figures.habit(weights.astype(np.float32)) == said


def test_the_lens_shows_the_likeliest_tokens_and_frames_the_right_ones():
    model, tokenizer = made()
    figure = figures.logit_lens(model, tokenizer, TEXT[:12])
    ids = tokenizer.encode(TEXT[:12]).tolist()
    seen = look(model, ids)
    ax = figure.axes[0]
    cells = {
        (round(t.get_position()[0]), round(t.get_position()[1])): t.get_text()
        for t in ax.texts
        if t.get_fontsize() == 8
    }
    framed = {
        (round(p.get_x() + 0.44), round(p.get_y() + 0.44)) for p in ax.patches if p.get_linewidth() > 1
    }  # fmt: skip
    for t in range(11):
        assert cells[t, -1] == shown(TEXT[t].encode())
        for s in range(3):
            assert cells[t, s] == shown(tokenizer.bytes_of(int(seen.top[s, t, 0])))
            assert ((t, s) in framed) == (seen.top[s, t, 0] == ids[t + 1])
    stages = [each.get_text() for each in ax.texts if each.get_ha() == "right"]
    assert stages == ["embedding", "block 0", "block 1"]
    right = np.mean(seen.top[-1, :-1, 0] == ids[1:])
    assert f"{right:.0%} right at the end" in texts(figure)[0] or any(
        f"{right:.0%} right at the end" in x for x in texts(figure)
    )


def test_bars_are_the_losses():
    model, tokenizer = made()
    figure = figures.loss_per_token(model, tokenizer, TEXT)
    heights = [bar.get_height() for ax in figure.axes for bar in ax.patches]
    _, loss = model(tensor([tokenizer.encode(TEXT[:-1]).tolist()]), tensor([tokenizer.encode(TEXT[1:]).tolist()]))
    np.testing.assert_allclose(np.mean(heights), loss.item(), rtol=1e-5)
    assert len(heights) == len(TEXT) - 1
    worst = int(np.argmax(heights))
    assert any(
        f"the hardest is {shown(TEXT[worst + 1].encode())}, {heights[worst]:.1f}" in each for each in texts(figure)
    )


def test_the_gradient_is_that_of_the_loss():
    model, tokenizer = made()
    ids = tokenizer.encode(TEXT).tolist()
    stream, parameters = figures.gradients(model, ids)
    assert all(p.grad is None for p in model.parameters())
    _, loss = model(tensor([ids[:-1]]), tensor([ids[1:]]))
    loss.backward()
    wanted = {name: float(np.linalg.norm(p.grad.numpy())) for name, p in model.named_parameters()}
    assert parameters.keys() == wanted.keys()
    np.testing.assert_allclose(list(parameters.values()), list(wanted.values()), rtol=1e-4, atol=1e-6)
    assert [name for name, _ in stream] == ["embedding", "block 0", "block 1"]
    table, others = figures.by_block(parameters, 2)
    assert table["attention.qkv.weight"] == [parameters[f"blocks.{i}.attention.qkv.weight"] for i in range(2)]
    assert others.keys() == {"embedding.weight", "norm.weight", "norm.bias", "head.weight"}
    figure = figures.gradient_flow(model, tokenizer, TEXT)
    assert [each.get_text() for each in figure.axes[1].get_yticklabels()] == list(table)  # the names of the model
    assert [each.get_text() for each in figure.axes[1].get_xticklabels()] == ["block 0", "block 1"]
    bars = figure.axes[-1].patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], list(others.values()), rtol=1e-5)


@pytest.mark.parametrize("first, last, said", [
    (2.0, 1.0, "grows 2.0 times"), (1.0, 2.0, "shrinks to 50%"), (1.0, 1.0, "stays as large"), (0.0, 1.0, "vanishes"),
])  # fmt: skip
def test_a_title_says_what_becomes_of_the_gradient(first, last, said):
    assert figures.change(first, last) == said


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("text, said", [("i", "--text is one token"), ("", "--text is empty"), ("Q", "Q")])
def test_a_text_that_does_not_fit_is_refused(make, text, said):
    model, tokenizer = made()
    with pytest.raises(UserError, match=said) as caught:
        make(model, tokenizer, text)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="tokenizer"):
        make(model, ByteTokenizer(), TEXT)


# ------------------------------------------------------------------------------------------------ the command


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A recorded run, and one without a film."""
    place = tmp_path_factory.mktemp("runs")
    (place / "text").write_text(TEXT * 40)
    line = ["--layers=2", "--width=16", "--heads=2", "--context=24", "--batch-size=2", "--steps=6", "--eval-every=3",
            "--threads=1", "--no-plot", "--quiet", f"--data={place / 'text'}"]  # fmt: skip
    assert train([*line, f"--out={place / 'run'}", "--record"]) == 0
    assert train([*line, f"--out={place / 'plain'}"]) == 0
    return place / "run"


def test_a_film_strip_shows_the_training(run):
    film = read(run)
    figure = figures.film_strip(film)
    assert drawn(figure).shape[1] == 780
    assert any("6 steps take the recorded text" in each for each in texts(figure))
    losses = figure.axes[0].lines[0].get_ydata()
    np.testing.assert_allclose(losses, film.loss.mean(1))
    images = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    assert len(images) == 2 * 4
    head = figures.head_of(film.attention[:, 0])
    assert f"block 0, head {head}" in texts(figure)
    assert (images[3][np.tril_indices(24)] == film.attention[-1, 0, head][np.tril_indices(24)]).all()


def test_a_film_that_begins_in_the_middle_says_so_and_fills_its_plot(run):
    whole = read(run)
    kept = slice(3, None)  # as of a run that was resumed with --record at step 3
    arrays = {each.name: value[kept] for each in dataclasses.fields(whole)
              if isinstance(value := getattr(whole, each.name), np.ndarray)}  # fmt: skip
    film = dataclasses.replace(whole, steps=[30, 40, 50, 60], train_loss=[None, 2.5, 2.5, 2.5], **arrays,
                               evaluations=[(1, 9.0), (30, 2.5), (60, 2.5)])  # fmt: skip
    figure = figures.film_strip(film)
    drawn(figure)
    before, after = film.loss[[0, -1]].mean(1)
    title = f"Steps 30 to 60 take the recorded text\nfrom {before:.2f} to {after:.2f} nats a token"
    assert title in texts(figure)
    left, right = figure.axes[0].get_xlim()
    assert np.log(61 / 31) > 0.8 * np.log(right / left)  # the axis: the logarithm of 1 + step
    assert figure.axes[0].get_xticks().tolist() == [31, 41, 51, 61]


@pytest.mark.parametrize("steps, said", [
    ([0, 1], "1 step takes the recorded text\nfrom 2.00 to 1.00 nats a token"),
    ([0, 1, 2000], "2,000 steps take the recorded text\nfrom 2.00 to 1.00 nats a token"),
    ([4], "Step 4: the recorded text has 2.00 nats a token"),
])  # fmt: skip
def test_the_title_of_a_film_says_its_steps(run, steps, said):
    target = np.zeros((len(steps), 3, 23), np.float32)
    target[:, -1] = -1
    target[0, -1] = -2
    assert figures.film_title(dataclasses.replace(read(run), steps=steps, target=target)) == said


def test_a_film_says_by_which_rule_its_heads_were_chosen(run):
    assert any(
        "of each block the head that the training changed most" in each for each in texts(figures.film_strip(read(run)))
    )


def test_the_command_writes_the_pictures(run, tmp_path, capsys):
    out = tmp_path / "a" / "b"
    names = ["attention", "lens", "gradient", "loss-per-token"]
    assert figures.main([str(run.parent / "plain"), "--out", str(out), "--text=it was"]) == 0
    assert capsys.readouterr().out.split() == [str(out / f"{name}.png") for name in names]
    assert sorted(path.stem for path in out.iterdir()) == sorted(names)
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in out.iterdir())
    assert figures.main([str(run), "--out", str(out), "--format=svg"]) == 0  # the text of the film
    assert (out / "film.svg").read_bytes().startswith(b"<?xml")
    assert capsys.readouterr().err == ""


def test_without_a_folder_the_pictures_go_into_that_of_the_run(run, tmp_path, capsys):
    place = shutil.copytree(run.parent / "plain", tmp_path / "run")
    assert figures.main([str(place), "--text=it was"]) == 0
    assert (place / "figures" / "lens.png").exists()
    shutil.rmtree(place / "figures")
    (place / "figures").symlink_to(tmp_path)  # a run folder from elsewhere may have it
    assert figures.main([str(place), "--text=it was"]) == 2
    assert "figures is a link" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [place]
    assert figures.default_out("hf:gpt2") == Path("figures")


@pytest.mark.parametrize("make", MAKERS)
def test_of_a_long_text_the_first_tokens_are_drawn(make):
    model, tokenizer = made()
    one, other = (make(model, tokenizer, (TEXT * 9)[:length]) for length in (40, 200))
    assert (drawn(one) == drawn(other)).all()


def test_the_command_says_which_texts_the_pictures_show(run, tmp_path, capsys):
    assert figures.main([str(run), f"--out={tmp_path}", f"--text={TEXT * 9}"]) == 0
    out, err = capsys.readouterr()
    assert f"the text has {9 * len(TEXT)} tokens; the figures show the first 24, the model's context" in err
    recorded = read(run).tokenizer.decode(read(run).ids)
    assert f"film.png shows another text, the one that was recorded: {recorded!r}" in err and err.count("\n") == 2
    assert out.split() == [
        str(tmp_path / f"{name}.png") for name in ("attention", "lens", "gradient", "loss-per-token", "film")
    ]


def test_a_picture_is_named_when_it_is_written(run, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(figures.cli, "say", lambda line: said.append((line, len(list(tmp_path.iterdir())))))
    assert figures.main([str(run), f"--out={tmp_path}"]) == 0
    assert [number for _, number in said] == [1, 2, 3, 4, 5]


def test_a_picture_for_print(tmp_path):
    model, tokenizer = made(HOSTILE)
    save(figures.loss_per_token(model, tokenizer, HOSTILE[:9]), tmp_path / "x.pdf")
    assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("line, said", [
    (["--out=out"], "has no film, whose text could be taken; give --text"),
    (["--out=out", "--text=i"], "--text is one token"), (["--out=text", "--text=it"], "cannot write text"),
    (["--out=out", "--text=it", "--format=gif"], "invalid choice"),
    ([], "has no film, whose text could be taken; give --text"),
])  # fmt: skip
def test_what_the_command_refuses(run, line, said, capsys, monkeypatch):
    monkeypatch.chdir(run.parent)
    assert figures.main(["plain", *line]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not Path("out").exists()
