"""The store: what is cut ends up in it once, whole, and can be trained on."""

import json
import shutil
import sys

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data import voi_store
from lungsynth.data.luna16 import list_luna16
from lungsynth.data.manifest import list_manifest
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.patient_split import split_of
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.data.voi_store import build_store


@pytest.fixture
def own(tmp_path, phantom, nodules, write_table):
    """A manifest of three images with known splits; ``rows`` may be changed."""

    def write(change=None):
        rows = []
        for number, split in enumerate(("train", "test", "train")):
            if not (tmp_path / "own" / f"{number}.mha").exists():  # its date counts
                phantom.write(tmp_path / "own" / f"{number}.mha")
            chosen = nodules if number < 2 else nodules[:1]
            rows += [
                {"image": f"{number}.mha", "x": r, "y": a, "z": s, "space": "RAS", "split": split}
                | {"diameter_mm": d, "attenuation": "solid" if hu > -500 else "ground-glass"}
                | {"patient": f"P{number}", "malignancy": "benign", "name": f"n{number}"}
                for (r, a, s), d, hu in chosen
            ]
        if change is not None:
            change(rows)
        write_table(tmp_path / "own" / "manifest.csv", rows)
        return list_manifest(tmp_path / "own")

    return write


def test_cubes_are_read_back_as_they_were_cut(own, tmp_path, nodules):
    card = build_store(own(), tmp_path / "store")
    train, test = (NoduleCubes.load(tmp_path / "store", split) for split in ("train", "test"))

    assert (len(train), len(test)) == (4, 3)
    assert [row["patient"] for row in train.table] == ["P0", "P0", "P0", "P2"]
    assert card["patients"] == {"train": ["P0", "P2"], "val": [], "test": ["P1"]}
    assert not (tmp_path / "store" / "parts").exists()
    for n, (_, diameter, level) in enumerate(nodules):
        assert train.hu[n].dtype == np.int16
        assert train.hu[n][22:26, 22:26, 22:26].mean() == pytest.approx(level, abs=20)
        assert train.mask[n].shape == (48, 48, 48)
        assert train.diameter_mm[n] == pytest.approx(diameter, rel=0.15)
        volume = train.mask[n].sum()
        assert train.diameter_mm[n] == pytest.approx(np.cbrt(6 * volume / np.pi), abs=1e-3)
        assert train.mean_hu[n] == pytest.approx(train.hu[n][train.mask[n]].mean(), abs=3)
    assert [a.value for a in train.attenuation] == ["solid", "ground-glass", "solid", "solid"]
    assert {row["malignancy"] for row in train.table} == {"1"}
    assert train.usable.all()
    with pytest.raises(LungSynthError, match=r"no nodule of its source is in the split 'val'"):
        NoduleCubes.load(tmp_path / "store", "val")


def test_a_store_is_indexed_as_arrays_are(own, tmp_path):
    build_store(own(), tmp_path / "store")
    cubes = NoduleCubes.load(tmp_path / "store", "train")
    hu, mask = np.asarray(cubes.hu), np.asarray(cubes.mask)

    assert (hu.shape, hu.dtype, mask.dtype) == ((4, 48, 48, 48), np.int16, bool)
    np.testing.assert_array_equal(cubes.hu[np.array([3, 0])], hu[[3, 0]])
    np.testing.assert_array_equal(cubes.mask[1:3, 20], mask[1:3, 20])
    np.testing.assert_array_equal(cubes.mask[2, 20:30, :, 5], mask[2, 20:30, :, 5])
    np.testing.assert_array_equal(cubes.mask[cubes.usable], mask)
    assert cubes.hu.shape == hu.shape
    assert [cube.sum() for cube in cubes.mask] == mask.reshape(4, -1).sum(axis=1).tolist()
    raw = np.load(tmp_path / "store" / "train.hu8.npy", mmap_mode="r")
    assert isinstance(raw, np.memmap)


def test_the_sampler_of_the_training_takes_a_store(own, tmp_path):
    build_store(own(), tmp_path / "store")
    cubes = NoduleCubes.load(tmp_path / "store", "train")
    sampler = NoduleVoiSampler(cubes, lambda diameter: max(16.0, 1.6 * diameter))
    rng = np.random.default_rng(0)
    batch = sampler.batch([sampler.draw(rng) for _ in range(3)])

    assert batch.hu.shape == (3, 64, 64, 64)
    assert (batch.mask.reshape(3, -1).max(axis=1) > 0.9).all()


def test_a_second_build_does_nothing_and_a_changed_source_is_cut_anew(own, tmp_path, monkeypatch):
    source = own()
    first = build_store(source, tmp_path / "store")
    before = (tmp_path / "store" / "train.hu8.npy").stat().st_mtime_ns
    calls = []
    real = voi_store.cut_case
    monkeypatch.setattr(voi_store, "cut_case", lambda case: calls.append(case) or real(case))

    assert build_store(source, tmp_path / "store") == first
    assert calls == []
    assert (tmp_path / "store" / "train.hu8.npy").stat().st_mtime_ns == before

    changed = own(lambda rows: rows[0].update(diameter_mm=8.0))
    second = build_store(changed, tmp_path / "store")
    assert second["fingerprint"] != first["fingerprint"]
    assert NoduleCubes.load(tmp_path / "store", "train").table[0]["diameter_mm"] == "8.000"


def test_a_build_that_was_stopped_goes_on_where_it_was(own, tmp_path, monkeypatch):
    source, folder = own(), tmp_path / "store"
    calls = []
    real = voi_store.cut_case

    def stop_at_third(case):
        calls.append(case.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(case)

    monkeypatch.setattr(voi_store, "cut_case", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        build_store(source, folder)
    assert not voi_store.is_store(folder)
    assert not list(folder.rglob("*.part"))
    seen = []
    build_store(source, folder, on_progress=lambda done, total: seen.append((done, total)))

    assert calls == ["0.mha", "1.mha", "2.mha", "2.mha"]
    assert seen == [(2, 3), (3, 3)]
    whole = tmp_path / "whole"
    build_store(source, whole)
    for name in ("train.hu8.npy", "train.mask.npy", "test.hu8.npy", "train.csv", "store.json"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()


def test_a_new_image_under_the_same_name_is_noticed(own, tmp_path, phantom):
    source = own()
    first = build_store(source, tmp_path / "store")
    phantom.write(tmp_path / "own" / "0.mha", np.clip(phantom.voxels, -1000, -40))
    second = build_store(source, tmp_path / "store")

    assert second["fingerprint"] != first["fingerprint"]
    assert NoduleCubes.load(tmp_path / "store", "train").hu[0].max() <= -40 + 4


def test_several_processes_give_the_same_store(luna16, tmp_path):
    source = list_luna16(luna16())
    build_store(source, tmp_path / "one")
    build_store(source, tmp_path / "two", workers=2)

    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert "store.json" in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_other_files_are_not_written_over_and_damage_is_named(own, tmp_path):
    source = own()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(LungSynthError, match=r"mine: holds other files"):
        build_store(source, tmp_path / "mine")

    folder = tmp_path / "store"
    build_store(source, folder)
    (folder / "train.mask.npy").write_bytes((folder / "train.mask.npy").read_bytes()[:-99])
    with pytest.raises(LungSynthError, match=r"store: a damaged store"):
        NoduleCubes.load(folder, "train")


def test_splits_go_by_the_name_of_the_patient_alone():
    splits = [split_of(f"LIDC-IDRI-{n:04d}") for n in range(2000)]

    assert splits.count("train") == pytest.approx(1600, abs=60)
    assert splits.count("val") == pytest.approx(200, abs=45)
    assert splits.count("test") == pytest.approx(200, abs=45)
    # fixed for ever: a change would mix what was trained on with what is tested on
    assert [split_of(name) for name in ("P0", "P1", "P7", "P8", " P1 ")] == [
        *("train", "test", "val", "test", "test"),
    ]


def test_readers_need_no_torch():
    """Slicer reads training data before torch is installed."""
    import subprocess

    code = (
        "import sys; import lungsynth.data.validation, lungsynth.data.voi_store; "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


def test_the_card_tells_who_was_trained_on_and_from_where(own, tmp_path):
    source = own()
    build_store(source, tmp_path / "store")
    card = json.loads((tmp_path / "store" / "store.json").read_text())

    assert card["source"] == str(tmp_path / "own")
    assert card["form"] == "manifest"
    assert card["report"]["usable"] == 7
    assert card["report"]["splits"]["train"] == {"nodules": 4, "patients": 2}
    shutil.rmtree(tmp_path / "own")
    assert len(NoduleCubes.load(tmp_path / "store", "train")) == 4  # the images are not needed
