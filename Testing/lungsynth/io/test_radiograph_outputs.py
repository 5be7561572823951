"""Report, mask, lung fields and preview of nodules in a radiograph."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph, image_plane_matrix
from lungsynth.core.radiograph_insertion import CxrInsertion, CxrMeasurement
from lungsynth.io.lung_fields import read_lung_fields
from lungsynth.io.preview import TILE
from lungsynth.io.radiograph_preview import OVERVIEW, close_up, radiograph_picture
from lungsynth.io.report import insertion_report, write_report
from lungsynth.io.segments import segment_header
from lungsynth.io.writing import write_mask

SPACING = (0.5, 0.25)


def blank(shape=(300, 500), photometric="MONOCHROME2"):
    pixels = np.tile(np.linspace(0, 1000, shape[1]).astype(np.uint16), (shape[0], 1))
    return Radiograph(pixels, image_plane_matrix(SPACING), SPACING, photometric)


def insertion_at(image, row, column, *, within=True, name=""):
    """A square of 21 x 41 pixels around a place."""
    box = ((0, row - 10, column - 20), (1, row + 11, column + 21))
    mask = np.ones((1, 21, 41), bool)
    ras = tuple(image.pixel_to_ras_mm((row, column)).tolist())
    return CxrInsertion(
        seed=CxrSeed(ras, CxrNoduleSpec(diameter_mm=10, contrast=0.1, latent_seed=9), name),
        measured=CxrMeasurement(28.4, 10.04, 0.0987, 861),
        box=box,
        mask=mask,
        before=image.pixels[None, row - 10 : row + 11, column - 20 : column + 21].copy(),
        within_tolerance=within,
        note="" if within else "contrast",
        details={"source": "bank row 7"},
    )


class Painter:
    name, weights_sha256, device = "painter", "ab12", "cpu"


def test_the_report_says_what_was_asked_and_measured(tmp_path):
    image = blank()
    made = insertion_at(image, 100, 200, name="apex")
    report = insertion_report(
        insertions=[made],
        synthesizer=Painter(),
        input_path="in.dcm",
        output_path="out.dcm",
        seconds={"paste": 0.00123},
    )
    write_report(report, tmp_path / "r.json")

    (entry,) = json.loads((tmp_path / "r.json").read_text())["insertions"]
    assert entry == {
        "name": "apex",
        "seed_ras_mm": [-50.0, -50.0, 0.0],
        "asked": {"diameter_mm": 10, "diameter_px": None, "contrast": 0.1},
        "measured": {
            "diameter_mm": 10.04,
            "diameter_px": 28.4,
            "contrast": 0.0987,
            "area_px": 861,
        },
        "box_ijk": [[0, 90, 180], [1, 111, 221]],
        "latent_seed": 9,
        "within_tolerance": True,
        "note": "",
        "details": {"source": "bank row 7"},
    }


def test_the_mask_is_a_segmentation_of_one_slice(tmp_path):
    image = blank()
    made = [insertion_at(image, 100, 200), insertion_at(image, 200, 300, name="base")]
    write_mask(made, image.as_volume(), tmp_path / "m.seg.nrrd")

    read = sitk.ReadImage(str(tmp_path / "m.seg.nrrd"))
    labels = sitk.GetArrayFromImage(read)
    assert labels.shape == (1, 300, 500)
    assert (labels[0, 90:111, 180:221] == 1).all()
    assert (labels[0, 190:211, 280:321] == 2).all()
    assert (labels > 0).sum() == 2 * 861
    assert read.GetSpacing()[:2] == pytest.approx((0.25, 0.5))
    assert segment_header(made, labels.shape)["Segment1_Name"] == "base (10 mm)"


def test_the_close_up_is_square_in_mm_around_the_seed():
    image = blank()
    rows, columns = close_up(image, insertion_at(image, 100, 200))

    assert len(rows) == len(columns) == TILE
    assert (rows.mean(), columns.mean()) == pytest.approx((100, 200))
    assert np.ptp(rows) * 0.5 == pytest.approx(np.ptp(columns) * 0.25)
    assert np.ptp(rows) * 0.5 > 2 * 10.04  # there is room around the nodule


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_picture_shows_before_and_after_with_dense_tissue_bright(photometric):
    image = blank(photometric=photometric)
    dense = 1000 if photometric == "MONOCHROME2" else 0
    new = image.pixels.copy()
    new[90:111, 180:221] = dense
    made = insertion_at(image, 100, 200)

    picture = radiograph_picture(image, image.with_pixels(new), [made])

    assert picture.dtype == np.uint8
    left = OVERVIEW + 12
    top = 2 * 24 + 2 * 24
    before = picture[top + 100 : top + 140, left + 100 : left + 140]
    after = picture[top + 100 : top + 140, left + TILE + 106 : left + TILE + 146]
    assert before.mean() < 200
    assert after.mean() > 250


def write(path, pixels):
    sitk.WriteImage(sitk.GetImageFromArray(pixels), str(path))
    return path


def test_lung_fields_come_from_masks_and_label_maps(tmp_path):
    image = blank()
    lungs = np.zeros((300, 500), np.uint8)
    lungs[50:200, 60:200] = 1
    lungs[60:190, 300:450] = 2
    for path in (
        write(tmp_path / "l.nrrd", lungs[None]),
        write(tmp_path / "l.png", (lungs > 0) * np.uint8(255)),
        write(tmp_path / "l.nii.gz", lungs[None]),
    ):
        sides = read_lung_fields(path, image)
        np.testing.assert_array_equal(sides[0], lungs == 1)
        np.testing.assert_array_equal(sides[1], lungs == 2)
    for name, pixels, said in (
        ("small.png", lungs[:100], "500 x 100 pixels, where the radiograph has 500 x 300"),
        ("empty.png", lungs * 0, "no lung in it"),
        ("full.png", lungs * 0 + 200, "every pixel would be lung"),
    ):
        with pytest.raises(LungSynthError, match=said):
            read_lung_fields(write(tmp_path / name, pixels), image)
    with pytest.raises(LungSynthError, match="there is no file"):
        read_lung_fields(tmp_path / "none.png", image)
    (tmp_path / "l.txt").write_text("lungs")
    with pytest.raises(LungSynthError, match=r"lung fields come as \.png"):
        read_lung_fields(tmp_path / "l.txt", image)
