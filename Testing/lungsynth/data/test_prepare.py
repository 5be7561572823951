"""Training takes any source; cubes are cut once, into the run or the cache."""

import json

import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data import prepare
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.prepare import cubes_folder
from lungsynth.training.run import TrainOptions, train


@pytest.fixture
def source(tmp_path, phantom, nodules, write_table):
    """A manifest with three nodules to train on and a broken row."""
    phantom.write(tmp_path / "own" / "a.nrrd")
    rows = [
        {"image": "a.nrrd", "x": r, "y": a, "z": s, "space": "RAS", "diameter_mm": d}
        | {"patient": "P7", "split": "train", "attenuation": "solid"}
        for (r, a, s), d, _ in nodules
    ]
    rows.append(rows[0] | {"z": 5000})
    write_table(tmp_path / "own" / "manifest.csv", rows)
    return tmp_path / "own"


def test_cubes_are_taken_as_they_are_and_others_are_cut(source, request, tmp_path):
    cubes = request.getfixturevalue("cubes_folder")  # of the same name as what is tested
    assert cubes_folder(cubes, tmp_path / "cache") == cubes
    assert not (tmp_path / "cache").exists()
    assert cubes_folder(tmp_path / "nowhere", tmp_path / "cache") == tmp_path / "nowhere"

    cut = cubes_folder(source, tmp_path / "cache")
    assert cut == tmp_path / "cache"
    assert len(NoduleCubes.load(cut, "train")) == 3
    assert cubes_folder(cut, tmp_path / "other") == cut  # a store is cubes


def test_a_source_with_nothing_to_train_on_says_why(source, write_table, tmp_path):
    row = {"image": "a.nrrd", "x": 900, "y": 1, "z": 1, "space": "RAS", "diameter_mm": 8}
    write_table(source / "manifest.csv", [row])
    with pytest.raises(LungSynthError) as raised:
        cubes_folder(source, tmp_path / "cache")
    assert "no nodule to train on (1: it lies outside of its image; a.nrrd, manifest.csv" in str(
        raised.value
    )


def test_only_the_first_of_several_processes_cuts(source, tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert cubes_folder(source, tmp_path / "cache") == tmp_path / "cache"
    assert not (tmp_path / "cache").exists()
    monkeypatch.setenv("RANK", "0")  # the rank among all goes before that of the machine
    cubes_folder(source, tmp_path / "cache")
    assert prepare.is_store(tmp_path / "cache")


def test_a_source_is_trained_on_and_the_run_tells_of_whom(source, tmp_path):
    output, seen, lines = tmp_path / "run", [], []
    options = TrainOptions(preset="tiny", steps=1, accelerator="cpu", checkpoint_every=1)
    weights = train(
        *("mcgan", source, output, options),
        on_case=lambda done, total: seen.append((done, total)),
        on_report=lines.extend,
    )

    assert weights is not None
    assert seen == [(0, 1), (1, 1)]
    assert lines[0] == "manifest: 3 of 4 nodules can be used"
    assert any("is outside of the image" in line for line in lines)
    card = json.loads((output / "run.json").read_text())
    assert card["data"]["patients"] == ["P7"]
    assert card["data"]["nodules"] == 3
    stored = json.loads((output / "cubes" / "store.json").read_text())
    assert [p["kind"] for p in stored["report"]["problems"]] == ["outside"]

    again = TrainOptions(preset="tiny", steps=2, accelerator="cpu", resume=True)
    train("mcgan", source, output, again)  # the store is the same, so the data are
    assert seen == [(0, 1), (1, 1)]
