"""Nodule cubes with much wrong with them: all of it is said before training, and none ends it."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.check import check_training_data
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.prepare import cubes_folder
from lungsynth.training.run import TrainOptions, train

ROW = {"patient": "P1", "series_uid": "1", "texture": "5", "ambiguous": "0"}


def ball(middle=24):
    points = np.indices((48,) * 3) - middle
    return np.square(points).sum(axis=0) <= 16


@pytest.fixture
def write(write_cubes, tmp_path):
    def write_split(split, rows, masks=None):
        masks = masks or [ball()] * len(rows)
        hu = [np.where(mask, -50.0, -850.0) for mask in masks]
        write_cubes(tmp_path / "own", split, hu, masks, rows)
        return tmp_path / "own"

    return write_split


def test_all_that_is_wrong_with_any_split_is_one_error(write):
    path = write("train", [ROW])
    (path / "train.csv").write_text("patient,series_uid\nP1,1\n")
    write("val", [ROW | {"patient": "P2"}, ROW])
    write("test", [ROW | {"patient": "P2", "texture": "solid"}])

    with pytest.raises(LungSynthError) as raised:
        cubes_folder(path, path / "cache")

    said = str(raised.value)
    assert "train.csv: lacks the columns texture, ambiguous" in said
    assert "test.csv: texture in row 1 is 'solid'" in said
    assert "\n" not in said


def test_every_wrong_value_of_a_table_is_named_at_once(write):
    rows = [ROW | {"texture": t} for t in ("5", "x", "3", "y", "z", "u", "v", "w")]
    path = write("train", [*rows, ROW | {"ambiguous": "no"}])

    with pytest.raises(LungSynthError) as raised:
        NoduleCubes.load(path, "train")

    said = str(raised.value)
    named = "texture in row 2 is 'x', texture in row 4 is 'y', texture in row 5 is 'z'"
    assert (
        f"train.csv: {named}, texture in row 6 is 'u', texture in row 7 is 'v' and 2 more" in said
    )


def test_patients_in_any_two_splits_are_noted(write):
    write("train", [ROW])
    write("val", [ROW | {"patient": "P2"}, ROW | {"patient": "P3"}])
    path = write("test", [ROW | {"patient": "P3"}, ROW | {"patient": "P1"}])

    leaks = [note for note in check_training_data(path).notes if "look too good" in note]

    assert [leak.split(":")[0] for leak in leaks] == [
        "1 patients (such as P1) are in train and in test",
        "1 patients (such as P3) are in val and in test",
    ]


def test_training_on_one_nodule_says_all_and_goes_through(write, tmp_path):
    """One good nodule of one class, among an empty mask, one at the border and a leak."""
    broken = [np.zeros((48,) * 3, bool), ball(middle=2)]
    path = write("train", [ROW, ROW, ROW], [ball(), *broken])
    write("val", [ROW])
    (path / "test.npz").write_bytes(b"PK broken")
    (path / "test.csv").write_text("patient\n")
    lines = []
    options = TrainOptions(preset="tiny", steps=2, accelerator="cpu")

    weights = train("mcgan", path, tmp_path / "run", options, on_report=lines.extend)

    assert weights is not None
    text = "\n".join(lines)
    for said in (
        "1 of 3 nodules can be used",
        "Left out: 2, because their mask is empty, in pieces, cut off by the cube",
        "(such as P1) are in train and in val",
        "test.npz: not an archive of nodule cubes",
        "1 nodules are few",
        "no part-solid and no ground-glass nodule",
    ):
        assert said in text


def test_an_empty_class_is_refused_where_the_system_needs_it(write, tmp_path):
    path = write("train", [ROW])
    lines = []
    options = TrainOptions(preset="tiny", steps=2, accelerator="cpu")

    with pytest.raises(LungSynthError, match=r"0 are benign .* and 0 malignant"):
        train("class-aware", path, tmp_path / "run", options, on_report=lines.extend)
    assert "1 of 1 nodules can be used" in lines[0]
    assert not list((tmp_path / "run").glob("*.safetensors"))
