"""What is said of training data before training."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation
from lungsynth.data.check import check_training_data


def cube(low, high, texture="5.0", ambiguous="0", patient="P1"):
    """A box from voxel ``low`` to ``high`` along each axis, and its row."""
    mask = np.zeros((48,) * 3, bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    row = {"patient": patient, "series_uid": "1", "texture": texture, "ambiguous": ambiguous}
    return mask, row


MIDDLE = ((19, 20, 21), (28, 28, 28))  # 9 x 8 x 7 voxels: a ball of 9.87 mm
LARGE = ((10, 10, 10), (38, 37, 36))


@pytest.fixture
def folder(write_cubes, tmp_path):
    """Write cubes as a split; the values in them do not matter here."""

    def write(*cubes, split="train"):
        masks, rows = zip(*cubes, strict=True)
        write_cubes(tmp_path, split, [np.zeros((48,) * 3)] * len(masks), list(masks), list(rows))
        return tmp_path

    return write


def test_nodules_are_counted_by_class_size_and_patient(folder):
    found = check_training_data(
        folder(
            cube(*MIDDLE, "5"),
            cube(*LARGE, "4.5", patient="P2"),
            cube(*MIDDLE, "2.4", patient="P2"),
        )
    )

    assert (found.form, found.nodules, found.usable, found.patients) == ("nodule cubes", 3, 3, 2)
    assert found.attenuations == {
        Attenuation.SOLID: 2,
        Attenuation.PART_SOLID: 0,
        Attenuation.GROUND_GLASS: 1,
    }
    small, large = (np.cbrt(6 * volume / np.pi) for volume in (9 * 8 * 7, 28 * 27 * 26))
    assert found.diameter_mm == pytest.approx((small, small, large))
    assert found.sizes == (2, 0, 1)
    assert found.left_out == {}
    text = "\n".join(found.lines())
    assert "3 of 3 nodules can be used" in text
    assert "2 solid (67 %), 0 part-solid (0 %), 1 ground-glass (33 %)" in text
    assert "Diameter: 9.9 to 33.5 mm, median 9.9; 2 below 10, 0 from 10 to 20, 1 from 20" in text
    assert "no part-solid nodule" in text


def test_each_nodule_that_is_left_out_has_its_reason(folder):
    touching = cube((0, 20, 20), (9, 28, 28))
    found = check_training_data(
        folder(
            cube(*MIDDLE),
            cube(*MIDDLE, texture=""),
            cube(*MIDDLE, ambiguous="1"),
            cube(*MIDDLE, ambiguous="1"),
            touching,
            cube(*MIDDLE, texture="", ambiguous=""),
            touching,
            touching,
        )
    )

    assert (found.usable, found.nodules) == (1, 8)
    counts = {reason.split()[1]: count for reason, count in found.left_out.items()}
    assert counts == {"mask": 3, "readers": 2, "attenuation": 2}
    assert next(iter(counts)) == "mask"  # the most frequent first
    assert sum("Left out: " in line for line in found.lines()) == 3


def test_what_spoils_a_training_is_noted(folder):
    folder(cube(*MIDDLE, patient="P2"), cube(*MIDDLE, patient="P1"), split="val")
    path = folder(cube(*MIDDLE, patient="P2"))
    (path / "test.npz").write_bytes(b"PK broken")
    (path / "test.csv").write_text("patient\n")

    found = check_training_data(path)
    assert found.other_splits == ("val",)
    leak, broken, few, missing = (
        next(note for note in found.notes if word in note)
        for word in ("P2", "test.npz", "by heart", "no part-solid")
    )
    assert "1 patients (such as P2) are in train and in val" in leak
    assert "evaluate does not" in broken
    assert "1 nodules are few" in few
    assert "no part-solid and no ground-glass nodule" in missing


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "no training data that is known here; nodule cubes (train.npz"),
        (["subset3/1.mhd"], "LUNA16; nodule cubes"),
        (["LIDC-IDRI-0001/1/000001.dcm"], "LIDC-IDRI without its readers' XML"),
        (["1.mha"], "whole images; nodule cubes"),
        (["train.csv"], "train.npz: not found"),
    ],
)
def test_a_folder_of_another_kind_is_named(tmp_path, files, message):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    with pytest.raises(LungSynthError) as raised:
        check_training_data(tmp_path)
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_a_folder_without_a_usable_nodule_says_why(folder):
    with pytest.raises(LungSynthError, match=r"none of 2 nodules can be used \(2: their readers"):
        check_training_data(folder(cube(*MIDDLE, ambiguous="1"), cube(*MIDDLE, ambiguous="1")))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(LungSynthError, match=r"nowhere: no such folder"):
        check_training_data(tmp_path / "nowhere")
