"""What the page has of a recorded training; a film that is damaged, or too large, costs no page."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from test_command import page, trained

from gpt.inspect import main
from gpt.inspection import film as films
from gpt.inspection.film import for_page, packed, read, thinned
from gpt.inspection.pack import Packer, unpacked

pytestmark = pytest.mark.programs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("recorded"), "--record", "--steps=7")


def test_a_page_has_the_film_of_its_run(run, tmp_path):
    assert main([str(run), "--out", str(tmp_path / "p.html")]) == 0
    data, wanted = page(tmp_path / "p.html"), for_page(read(run))
    for name, value in wanted.items():
        if isinstance(value, np.ndarray):
            found = data["unpacked"][f"film:{name}"]
            assert found.shape == value.shape and (found == value).all(), name
        else:
            assert data["film"][name] == json.loads(json.dumps(value)), name


def test_a_run_without_a_film_has_none(tmp_path):
    plain = trained(tmp_path)
    assert main([str(plain), "--out", str(tmp_path / "p.html")]) == 0
    assert page(tmp_path / "p.html")["film"] is None


def test_a_damaged_film_is_a_note(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    (copy / "film" / "000000003.safetensors").write_bytes(b"x")
    assert main([str(copy), "--out", str(tmp_path / "p.html")]) == 0
    error = capsys.readouterr().err
    assert "no film: " in error and "000000003.safetensors" in error
    data = page(tmp_path / "p.html")
    assert data["film"] is None and any("no film: " in note for note in data["notes"])


def test_a_large_film_loses_moments_and_keeps_both_ends(run, monkeypatch):
    film = read(run)
    size = film.attention[0].size // 2
    assert thinned(film) is film
    monkeypatch.setattr(films, "MOST_ATTENTION", 4 * size)
    small = thinned(film)
    assert small.steps[0] == 0 and small.steps[-1] == 7 and 2 <= len(small.steps) <= 4
    kept = [film.steps.index(step) for step in small.steps]
    for each in dataclasses.fields(film):
        whole, part = getattr(film, each.name), getattr(small, each.name)
        if isinstance(whole, np.ndarray):
            assert (part == whole[kept]).all(), each.name
    assert small.learning_rate == [film.learning_rate[m] for m in kept]
    packer = Packer()
    packed(film, packer)
    assert unpacked(packer.text(), packer.index, {})["film:attention"].shape[0] == len(kept)
    monkeypatch.setattr(films, "MOST_ATTENTION", 1)
    assert thinned(film).steps == [0, 7]
