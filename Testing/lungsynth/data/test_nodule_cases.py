"""Radiographs with known nodules: boxes, sizes, and the archive of them."""

import math

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cases import (
    KnownNodule,
    NoduleCase,
    box_diameter,
    load_cases,
    mask_box,
    read_marked,
    save_cases,
    summary,
)


def test_the_box_of_a_mask_holds_its_pixels():
    mask = np.zeros((9, 12), bool)
    mask[2:5, 3:10] = True

    assert mask_box(mask) == (3, 2, 10, 5)
    assert mask_box(mask, (100, 200)) == (203, 102, 210, 105)


def test_sizes_are_on_the_grid_of_1024_and_positions_parts_of_the_image():
    """A box of 20 x 30 in an image of 512 x 400 is 40 x 60 on the grid."""
    box = (100.0, 50.0, 120.0, 80.0)

    assert box_diameter(box, (512, 400)) == 50
    assert KnownNodule(box, 50.0).position((512, 400)) == (65 / 512, 110 / 400)


def test_cases_come_back_from_their_archive(tmp_path):
    rng = np.random.default_rng(3)
    cases = [
        NoduleCase(
            rng.integers(0, 4000, (40, 50)).astype(np.uint16),
            (KnownNodule((1, 2, 3.5, 4), 9.5, 0.125), KnownNodule((5, 6, 7, 8), 3.0)),
            "a",
            "real",
        ),
        NoduleCase(rng.integers(0, 255, (30, 20)).astype(np.uint8), (), "b", "mined"),
    ]
    save_cases(tmp_path / "cases.npz", cases)
    first, second = load_cases(tmp_path / "cases.npz")

    np.testing.assert_array_equal(first.pixels, cases[0].pixels)
    assert first.pixels.dtype == np.uint16
    assert first.nodules[0] == cases[0].nodules[0]
    assert first.nodules[1].box == (5, 6, 7, 8)
    assert math.isnan(first.nodules[1].contrast)
    assert (second.patient, second.source, second.nodules) == ("b", "mined", ())
    assert second.boxes.shape == (0, 4)
    assert summary([first, second]) == {
        "radiographs": 2,
        "patients": 2,
        "nodules": 2,
        "by_source": {"mined": 1, "real": 1},
    }


def test_a_damaged_archive_is_refused(tmp_path):
    (tmp_path / "cases.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(LungSynthError, match="not a readable archive of cases"):
        load_cases(tmp_path / "cases.npz")


def test_boxed_radiographs_are_read_with_their_normals(shared_data):
    """Of all that is here one nodule has a box."""
    found = {}
    for split in ("train", "val", "test"):
        try:
            found[split] = read_marked(shared_data / "cxr", split, most_normal=3)
        except LungSynthError as error:
            assert "has a box to learn from" in str(error)  # noqa: PT017
    [cases] = found.values()
    [marked] = [case for case in cases if case.nodules]

    assert len(cases) == 4
    [box] = marked.boxes
    assert 0 <= box[0] < box[2] <= marked.pixels.shape[1]
    assert marked.nodules[0].diameter_px == box_diameter(tuple(box), marked.pixels.shape)
