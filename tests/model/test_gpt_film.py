"""The film of a training: it changes no bit of the run, no kill changes a bit of it, and a damaged one is refused."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import tinytensor
from gpt import data, prepare
from gpt.build import build
from gpt.config import GPTConfig, TrainConfig
from gpt.errors import UserError
from gpt.inspection.film import for_page, projected, read
from gpt.lens import look
from gpt.run import checkpoint, files, film, metrics
from gpt.run.arrays import checksum
from gpt.run.sealed import seal
from gpt.run.state import Run
from gpt.tokenizers import CharTokenizer
from gpt.train import main
from gpt.trained import load
from tinytensor import nn, no_grad, tensor

pytestmark = pytest.mark.programs
TEXT = "It was the best of times, it was the worst of times. " * 40
TINY = [
    "--data=text", "--layers=2", "--width=16", "--heads=2", "--context=16", "--batch-size=4", "--warmup=2", "--steps=9",
    "--eval-every=4", "--threads=1", "--no-plot", "--quiet",
]  # fmt: skip
ON = ["--resume=run", "--no-plot", "--quiet"]
VARIANTS = {
    "default": [],
    "threads and dropout": ["--threads=2", "--dropout=0.2"],
    "float16": ["--dtype=float16"],
    "float64": ["--dtype=float64", "--grad-clip=0.01"],
    "newer blocks": ["--norm=rms", "--activation=swiglu", "--kv-heads=1", "--qk-norm", "--no-bias", "--tied"],
    "learned positions": ["--positions=learned", "--grad-accumulation=2", "--grad-clip=0"],
    "bytes": ["--tokenizer=bytes"],
    "byte pairs": ["--tokenizer=bpe:260"],
}
BIGRAM = ["--model=bigram", *(flag for flag in TINY if not flag.startswith(("--layers", "--heads")))]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nobody cuts the power here
    Path("text").write_text(TEXT)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recorded run of nine steps. Do not change it."""
    place = tmp_path_factory.mktemp("recorded")
    (place / "text").write_text(TEXT)
    assert main([*TINY, f"--data={place / 'text'}", f"--out={place / 'run'}", "--record"]) == 0
    return place / "run"


@pytest.fixture
def copy(recorded):
    """A copy of that run, in run."""
    shutil.copytree(recorded, "run")
    return Path("run")


def content(run="run"):
    """Every file of the film."""
    return {path.name: path.read_bytes() for path in sorted(Path(run, "film").iterdir())}


def arrays(run):
    return {str(path): path.read_bytes() for path in sorted(Path(run, "checkpoint").glob("*.safetensors"))}


def rows(run):
    times = {"seconds", "tokens_per_second"}
    return [{key: value for key, value in row.items() if key not in times} for row in metrics.read(Path(run))]


def stop_in(monkeypatch, step):
    """Let Ctrl-C come while the batch of that step is drawn."""
    batch = data.batch

    def drawn(ids, config, number, *rest):
        if number + 1 == step:
            signal.raise_signal(signal.SIGINT)
        return batch(ids, config, number, *rest)

    monkeypatch.setattr(data, "batch", drawn)


# ---------------------------------------------------------------------------------------------- the moments


@given(st.integers(1, 10**8))
def test_moments_rise_from_0_to_the_last_step(steps):
    chosen = film.moments(steps)
    assert chosen[:2] == [0, 1] and chosen[-1] == steps
    assert all(a < b for a, b in itertools.pairwise(chosen))
    assert len(chosen) == min(film.MOMENTS, steps + 1)


def test_moments_are_spaced_by_the_logarithm():
    chosen = np.array(film.moments(2000))
    ratios = chosen[11:] / chosen[10:-1]
    assert chosen[:5].tolist() == [0, 1, 2, 3, 4]
    assert ratios.min() > 1.15 and ratios.max() < 1.35


def test_the_document_lists_the_moments_of_the_main_job():
    document = (Path(__file__).parents[2] / "docs" / "film.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"^```\n(0, [\d,\s]+)```$", document, re.MULTILINE)
    assert "A run of 2,000 steps keeps these" in document and TrainConfig().steps == 2000
    assert [int(step) for step in listed.split(",")] == film.moments(2000)


# --------------------------------------------------------------------------------- what is recorded, and the run


@pytest.mark.parametrize("flags", [*VARIANTS.values(), None], ids=[*VARIANTS, "bigram"])
def test_recording_changes_no_bit_and_tells_what_the_update_did(flags, monkeypatch):
    line = BIGRAM if flags is None else [*TINY, *flags]
    assert main([*line, "--out=plain"]) == 0
    before, after, clip, step = [], [], nn.utils.clip_grad_norm_, film.Film.step

    def norms(values):
        return [float(np.linalg.norm(np.asarray(a, np.float64))) for a in values]

    def clipped(parameters, limit):
        named, state = optimizer()
        before.append(([p.grad.numpy().copy() for p in named], [weights(p, state) for p in named]))
        return clip(parameters, limit)

    def stepped(self, row):
        named, state = optimizer()
        old = before[-1][1]
        after.append([weights(p, state) for p in named])
        assert len(old) == len(after[-1])
        step(self, row)

    def optimizer():
        named = dict(runs[0].model.named_parameters())
        return [named[name] for name in film.parameter_shapes(runs[0].config)], runs[0].optimizer.state

    def weights(p, state):
        return np.array(state.get(p, {}).get("master", p.detach()).numpy(), np.float64)

    runs = []
    monkeypatch.setattr(Run, "save", lambda run, *args, save=Run.save: (runs.append(run), save(run, *args))[1])
    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clipped)
    monkeypatch.setattr(film.Film, "step", stepped)
    assert main([*line, "--out=run", "--record"]) == 0
    assert arrays("run") == {name.replace("plain", "run"): value for name, value in arrays("plain").items()}
    assert rows("run") == rows("plain")

    found = read("run")
    assert found.steps == list(range(10))
    assert found.names == list(film.parameter_shapes(found.config))
    written = metrics.read(Path("run"))
    assert found.train_loss == [None, *(row["train_loss"] for row in written)]
    assert found.learning_rate == [None, *(row["learning_rate"] for row in written)]
    assert found.validation_loss == [None] * 4 + [written[3]["val_loss"]] + [None] * 3 + [
        written[7]["val_loss"], written[8]["val_loss"]]  # fmt: skip
    for i, row in enumerate(written):
        if row["grad_norm"] is None:  # float16 overflowed: nothing changed
            assert not found.gradient_norm[i + 1].any() and not found.update_norm[i + 1].any()
            continue
        scale = row.get("loss_scale", 1.0)
        wanted = np.array(norms(before[i][0])) / scale
        np.testing.assert_allclose(found.gradient_norm[i + 1], wanted, rtol=2e-2 if scale != 1 else 1e-5, atol=1e-6)
        changed = norms(new - old for new, old in zip(after[i], before[i][1], strict=True))
        np.testing.assert_allclose(found.update_norm[i + 1], changed, rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(found.weight_norm[i + 1], norms(after[i]), rtol=1e-6)
    assert not found.gradient_norm[0].any() and not found.update_norm[0].any()


def test_a_step_that_overflowed_changed_nothing(monkeypatch):
    step = film.Film.step

    def overflowed(self, row):
        step(self, {**row, "grad_norm": None} if self.run.step == 3 else row)

    monkeypatch.setattr(film.Film, "step", overflowed)
    assert main([*TINY, "--out=run", "--record"]) == 0
    found = read("run")
    assert found.grad_norm[3] is None and not found.gradient_norm[3].any() and not found.update_norm[3].any()
    assert found.weight_norm[3].any() and found.update_norm[[2, 4]].all()


def test_the_last_moment_is_what_the_model_does_with_the_text(recorded):
    model, tokenizer = load(recorded, last=True)
    found = read(recorded)
    validation = TEXT[int(0.9 * len(TEXT)) :]
    assert tokenizer.decode(found.ids) == validation[:16]
    with no_grad(), tinytensor.trace(model) as t:
        logits, _ = model(tensor([found.ids]))
    assert (found.attention[-1] == [t[f"blocks.{i}.attention.weights"].numpy()[0] for i in range(2)]).all()
    assert (found.embedding[-1] == model.embedding.weight.detach().numpy()).all()
    log_p = logits.detach().log_softmax(-1).numpy()[0]
    wanted = log_p[np.arange(15), found.ids[1:]]
    np.testing.assert_allclose(found.target[-1, -1], wanted, atol=1e-5)
    np.testing.assert_allclose(found.loss[-1], -wanted, atol=1e-5)
    assert (found.top[-1, -1] == np.argsort(-log_p, -1, kind="stable")[:, :5]).all()
    with no_grad():
        between = model.head(model.norm(t["blocks.0.output"])).log_softmax(-1).numpy()[0]
    np.testing.assert_allclose(found.top_log_probability[-1, 1], -np.sort(-between, -1)[:, :5], atol=1e-5)


def test_a_text_of_ones_own_and_a_large_vocabulary():
    Path("text").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 600))) * 3)
    assert main([*TINY, "--out=run", "--record-text=\u4e03\u4e01\u4e03"]) == 0
    found = read("run")
    assert [found.text_of(i) for i in found.ids] == ["\u4e03", "\u4e01", "\u4e03"]
    assert found.rows == [1, 3] and found.embedding.shape == (10, 2, 16)
    assert for_page(found)["lens_top"].dtype == np.uint16
    assert main([*TINY, "--out=again", "--record-text=\u4e03\r\n"]) == 2  # no line end in this text


@pytest.mark.parametrize("text, said", [
    ("", "--record-text has 0 tokens: it must have 2 to 16"), ("I", "--record-text has 1 token: it must have 2 to 16"),
    ("t" * 17, "--record-text has 17 tokens"), ("it was \u4e00", "--record-text"),
])  # fmt: skip
def test_a_text_that_does_not_fit_is_refused_before_anything_is_made(text, said, capsys):
    assert main([*TINY, "--out=run", f"--record-text={text}"]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not Path("run").exists()


def test_a_film_that_is_too_large_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(film, "MOST_BYTES", 100_000)
    assert main([*TINY, "--out=run", "--record-text=it was the best"]) == 2
    assert "GiB" in capsys.readouterr().err


def test_a_prepared_corpus_is_recorded():
    assert prepare.main(["text", "--tokenizer=bpe:260", "--out=corpus", "--quiet"]) == 0
    assert main([*TINY, "--data=corpus", "--out=run", "--record"]) == 0
    assert len(read("run").ids) == 16


def test_numbers_that_are_not_finite_leave_a_moment_out(monkeypatch, capsys):
    seen = film.Film.seen

    def nan(self):
        found = seen(self)
        found["embedding"] *= np.nan if self.run.step == 3 else 1
        return found

    monkeypatch.setattr(film.Film, "seen", nan)
    assert main([*TINY, "--out=run", "--record"]) == 0
    assert "step 3 is not in the film" in capsys.readouterr().err
    assert read("run").steps == [0, 1, 2, 4, 5, 6, 7, 8, 9]


# --------------------------------------------------------------------------------------------- going on


def test_a_run_that_is_stopped_and_goes_on_has_the_film_of_one_that_is_not(recorded, monkeypatch):
    monkeypatch.setattr(film, "moments", lambda steps: [0, 1, 2, 4, 7, 9])
    assert main([*TINY, "--out=whole", "--record"]) == 0
    for step, stopped in ((3, True), (4, False), (5, True), (8, True)):
        shutil.rmtree("run", ignore_errors=True)
        with monkeypatch.context() as patch:
            stop_in(patch, step)
            assert main([*TINY, "--out=run", "--record"]) == 130
        found = read("run")
        assert found.steps == [*(i for i in (0, 1, 2, 4, 7) if i < step), step]
        assert found.update_norm[-1].any()
        index = json.loads(content()["film.json"])
        assert [moment["stopped"] for moment in index["moments"]] == [False] * (len(found.steps) - 1) + [stopped]
        assert main(ON) == 0
        assert content("run") == content("whole")


def test_patience_ends_a_film_where_the_run_ends(monkeypatch):
    monkeypatch.setattr(film, "moments", lambda steps: [0, 1, 3, 5, 20])
    monkeypatch.setattr("gpt.run.record.mean_loss", lambda model, ids, limit, **_: (1.0, 1))
    assert main([*TINY, "--steps=20", "--patience=2", "--out=run", "--record"]) == 0
    assert read("run").steps == [0, 1, 3, 5, 12]
    assert main([*ON, "--patience=0"]) == 0
    assert read("run").steps == [0, 1, 3, 5, 20]


def test_more_steps_make_more_moments(copy):
    before = content()
    assert main([*ON, "--steps=200"]) == 0
    found = read("run")
    assert found.steps == [*range(10), *(i for i in film.moments(200) if i > 9)]
    assert {name: value for name, value in content().items() if name in before and name != "film.json"} == {
        name: value for name, value in before.items() if name != "film.json"
    }


def test_a_run_without_a_film_can_begin_one_when_it_goes_on():
    assert main([*TINY, "--out=run", "--steps=4"]) == 0
    assert not Path("run/film").exists()
    assert main([*ON, "--steps=6", "--record"]) == 0
    found = read("run")
    assert found.steps == [4, 5, 6] and found.train_loss[0] is None
    assert not found.update_norm[0].any() and found.update_norm[1].any()


def test_a_film_keeps_its_text(copy, capsys):
    assert main([*ON, "--steps=10", "--record-text=it was"]) == 2
    assert "the film in run/film keeps its text, 'It was the best '; leave it out" in capsys.readouterr().err
    assert main([*ON, "--steps=10", "--record"]) == 0
    assert read("run").steps[-1] == 10


class Killed(BaseException):
    """In the place of SIGKILL: nothing that handles errors handles it."""


def test_a_kill_between_two_checkpoints_costs_nothing(recorded, monkeypatch):
    batch = data.batch

    def drawn(ids, config, step, *rest):
        if step == 7:
            raise Killed
        return batch(ids, config, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(data, "batch", drawn)
        with pytest.raises(Killed):
            main([*TINY, "--out=run", "--record"])
    assert checkpoint.read(Path("run")).step == 4 and read("run").steps == list(range(8))
    assert main(ON) == 0
    found, whole = (content(each) for each in ("run", recorded))
    assert found.keys() == whole.keys()
    assert all(found[name] == whole[name] for name in found if name != "film.json")
    assert json.loads(found["film.json"])["moments"] == json.loads(whole["film.json"])["moments"]


def dies_at(number, original):
    """The function, which ends the process in its n-th call for the film."""
    calls = itertools.count(1)

    def call(path, *args, **kwargs):
        if "film" in str(path) and next(calls) == number:
            raise Killed
        return original(path, *args, **kwargs)

    return call


SMALLER = ["--layers=1", "--width=8", "--context=8", "--steps=4", "--eval-every=2", "--eval-windows=2", "--record"]


@pytest.mark.parametrize("name", [pytest.param("replace", marks=pytest.mark.programs), "rename", "mkdir", "unlink"])
def test_a_kill_at_any_call_for_the_film_costs_nothing(name, monkeypatch):
    """tests/hostile/killed.py kills at all calls, those for other files as well."""
    monkeypatch.setattr(film, "moments", lambda steps: [0, 1, 4])
    line = [*TINY, *SMALLER]
    assert main([*line, "--out=whole"]) == 0
    for number in itertools.count(1):
        shutil.rmtree("run", ignore_errors=True)
        with monkeypatch.context() as patch:
            patch.setattr(os, name, dies_at(number, getattr(os, name)))
            try:
                assert main([*line, "--out=run"]) == 0
                break
            except Killed:
                pass
        begun = Path("run/checkpoint").exists() or Path("run/checkpoint.old").exists()
        assert main(ON if begun else [*line, "--out=run"]) == 0
        assert content("run") == content("whole"), number
        assert not Path("run/film.new").exists()
    assert number > {"replace": 5, "rename": 1, "mkdir": 1, "unlink": 0}[name]


def test_a_new_run_does_not_take_the_film_of_one_that_was_killed(monkeypatch):
    def die(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", die)
        with pytest.raises(Killed):
            main([*TINY, "--out=run", "--record"])
    assert Path("run/film.new").exists()
    assert main([*TINY, "--out=run"]) == 0
    assert not Path("run/film").exists() and not Path("run/film.new").exists()


def test_a_disk_that_is_full_is_said_in_a_line(monkeypatch, capsys):
    write = files.write

    def full(path, content):
        if path.suffix == ".safetensors":
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(files, "write", full)
    assert main([*TINY, "--out=run", "--record"]) == 2
    error = capsys.readouterr().err
    assert (
        error == "gpt.train: cannot record step 0 in run/film: No space left on device; the last checkpoint is intact\n"
    )


# ------------------------------------------------------------------------------------------ from somebody else


def test_every_damaged_byte_and_every_cut_is_noticed(copy):
    for path in ("run/film/film.json", "run/film/000000005.safetensors"):
        right = Path(path).read_bytes()
        random = np.random.default_rng(0)
        for at in (*range(12), *random.integers(0, len(right), 40), len(right) - 1):
            changed = bytearray(right)
            changed[at] ^= 1 << int(random.integers(8))
            for wrong in (changed, right[:at]):
                Path(path).write_bytes(wrong)
                with pytest.raises(UserError) as caught:
                    read("run")
                assert path.split("/")[-1] in str(caught.value) and "\n" not in str(caught.value)
        Path(path).write_bytes(right)
    read("run")


def sealed(copy, change, moment=None):
    """Change film.json, and make its checksum again."""
    path = copy / "film/film.json"
    index = json.loads(path.read_text())
    change(index if moment is None else index["moments"][moment])
    path.write_text(json.dumps(seal(index)))


@pytest.mark.parametrize("change", [
    lambda i: i.update(format=2), lambda i: i.update(format="1"), lambda i: i.pop("ids"), lambda i: i.update(ids=[0, 10**9]),
    lambda i: i.update(ids=[0]), lambda i: i.update(ids="text"), lambda i: i.update(ids=[True, False]),
    lambda i: i.update(moments={}), lambda i: i.update(moments=[1]), lambda i: i.update(moments=[None]),
    lambda i: i["moments"].reverse(), lambda i: i["moments"].append(i["moments"][0]), lambda i: i["moments"][2].pop("step"),
    lambda i: i["moments"][2].update(step=-1), lambda i: i["moments"][2].update(step="../../x"),
    lambda i: i["moments"][2].update(step=2.0), lambda i: i["moments"][2].update(train_loss="nan"),
    lambda i: i["moments"][2].update(sha256=0), lambda i: i["moments"][2].update(more=1), lambda i: i.update(run=None),
    lambda i: i["run"].update(seed=2), lambda i: i["run"].update(layers=200), lambda i: i["run"].update(corpus_sha256="0"),
    lambda i: i["moments"].clear(),
], ids=range(24))  # fmt: skip
def test_a_film_json_that_is_none_of_the_run_is_refused(copy, change):
    sealed(copy, change)
    with pytest.raises(UserError, match=r"film") as caught:
        read(copy)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name, change", [
    ("attention", lambda a: a * np.nan), ("attention", lambda a: a - 1), ("attention", lambda a: a + 1),
    ("embedding", lambda a: a * np.inf), ("lens.target", lambda a: a + 50), ("lens.top", lambda a: a + 100),
    ("lens.top", lambda a: a - 100), ("update_norm", lambda a: a - 1), ("embedding", lambda a: a[:1]),
    ("lens.top", lambda a: a.astype(np.float32)),
], ids=range(10))  # fmt: skip
def test_impossible_arrays_are_refused(copy, name, change):
    path = copy / "film/000000005.safetensors"
    found = load_file(path)
    with np.errstate(all="ignore"):
        save_file({**found, name: change(found[name])}, path)
    sealed(copy, lambda moment: moment.update(sha256=checksum(path.read_bytes())), 5)
    with pytest.raises(UserError, match=f"000000005.safetensors .*{name}") as caught:
        read(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["film", "film/film.json", "film/000000005.safetensors", "film.new"])
@pytest.mark.parametrize("kind", ["link", "fifo", "missing", "other"])
def test_links_and_special_files_are_refused(copy, name, kind, capsys):
    path, elsewhere = copy / name, Path("elsewhere")
    if path.exists():
        path.rename(elsewhere)
    else:
        shutil.copytree(copy / "film", elsewhere)
    if kind == "link":
        path.symlink_to(elsewhere.absolute())
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "other" and elsewhere.is_dir():
        path.write_text("a file")
    elif kind == "other":
        path.mkdir()
    before = sorted((str(each), each.stat().st_size) for each in elsewhere.rglob("*"))
    untouched = name == "film.new"
    if untouched:
        read(copy)
    else:
        with pytest.raises(UserError) as caught:
            read(copy)
        assert "\n" not in str(caught.value) and name.split("/")[-1] in str(caught.value)
    status = main([*ON, "--steps=11"])
    error = capsys.readouterr().err
    refused = kind != "missing" and (name in ("film", "film.new") or name.endswith("json"))
    assert (status, error.count("\n")) == ((2, 1) if refused or (kind, name[-4:]) == ("missing", "json") else (0, 0)), (
        error
    )
    assert sorted((str(each), each.stat().st_size) for each in elsewhere.rglob("*")) == before


def test_a_film_is_printed_in_a_line(recorded):
    found = read(recorded)
    first, last = found.loss[[0, -1]].mean(1)
    numbers = "10 moments, steps 0 to 9, 16 tokens, 2 blocks, 2 heads"
    assert repr(found) == f"Film({numbers}, loss {first:.3f} to {last:.3f})"


def test_a_run_without_a_film_says_how_to_record_one():
    assert main([*TINY, "--out=run", "--steps=1"]) == 0
    with pytest.raises(UserError, match=r"run has no film: python -m gpt.train --record records one"):
        read("run")
    with pytest.raises(UserError, match="nowhere is not a run folder"):
        read("nowhere")


def test_a_film_may_be_read_while_its_run_goes_on(copy, monkeypatch):
    index, calls = film.read_index, []

    def changing(*args):
        calls.append(args)
        found = index(*args)
        if len(calls) == 1:  # another process drops the last moment just now
            (copy / "film/000000009.safetensors").unlink()
            sealed(copy, lambda i: i["moments"].pop())
        return found

    monkeypatch.setattr("gpt.inspection.film.read_index", changing)
    assert read(copy).steps == list(range(9))


# ---------------------------------------------------------------------------------------------- for a page


def test_a_page_has_what_the_film_has(recorded):
    found = read(recorded)
    page = for_page(found)
    assert page["attention"].shape == (10, 2, 2, 136) and page["attention"].dtype == np.uint8
    back = np.zeros((10, 2, 2, 16, 16))
    lower = np.tril_indices(16)
    back[..., lower[0], lower[1]] = page["attention"] / 255
    assert abs(back - found.attention).max() <= 0.5001 / 255
    assert page["embedding"].shape == (10, len(found.rows), 2)
    assert page["labels"] == [found.text_of(i) for i in found.rows]
    np.testing.assert_allclose(page["lens_target"], found.target, rtol=1e-3)
    np.testing.assert_allclose(page["loss"], -found.target[:, -1], rtol=1e-3)
    assert set(page["lens_top"].ravel().tolist()) <= set(page["vocabulary"])
    assert page["update_ratio"].shape == (10, len(page["names"]))
    assert all(np.isfinite(value).all() for value in page.values() if isinstance(value, np.ndarray))
    json.dumps({name: value for name, value in page.items() if not isinstance(value, np.ndarray)}, allow_nan=False)


@given(st.integers(0, 10**6), st.sampled_from([(5, 7), (1, 3), (4, 1), (2, 2)]))
def test_no_moment_is_flipped_or_turned(seed, shape):
    random = np.random.default_rng(seed)
    ends = random.standard_normal((2, *shape))
    moments = np.array([(1 - s) * ends[0] + s * ends[1] for s in np.linspace(0, 1, 9)], np.float32)
    moments[:, :, 0] *= np.linspace(4, 0.1, 9, dtype=np.float32)[
        :, None
    ]  # the first direction of one is the last of another
    points = projected(moments)
    assert points.shape == (9, shape[0], 2)
    moved = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    assert (moved <= np.linalg.norm(np.diff(moments, axis=0), axis=-1) + 1e-4).all()
    assert (points[-1].max(0) >= -points[-1].min(0) - 1e-5).all()  # the largest is positive
    last = moments[-1].astype(np.float64)
    kept = np.linalg.svd(last - last.mean(0), compute_uv=False)[:2]
    np.testing.assert_allclose(np.linalg.norm(points[-1], axis=0)[: len(kept)], kept, atol=1e-3)


def test_embeddings_that_are_all_the_same_lie_on_one_point():
    assert not projected(np.ones((3, 4, 5), np.float32)).any()


def same(one, other):
    return np.array_equal(np.asarray(one), np.asarray(other))


def test_a_look_leaves_the_model_as_it_was():
    tokenizer = CharTokenizer.from_text("abc")
    model = build(GPTConfig(vocab_size=3, context=8, width=8, layers=1, heads=2, dropout=0.5)).train()
    state = tinytensor.get_rng_state()
    first = look(model, tokenizer.encode("abcab").tolist())
    assert model.training and same(tinytensor.get_rng_state(), state)
    assert (look(model.eval(), [0, 1, 2, 0, 1]).target == first.target).all() and not model.training
    assert first.top.shape == (2, 5, 3)  # a vocabulary of three
    assert first.attention.shape == (1, 2, 5, 5) and np.allclose(first.attention.sum(-1), 1)
    with pytest.raises(ValueError):
        look(model.train(), [0] * 9)  # longer than the context
    assert model.training
