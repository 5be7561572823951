"""Radiographs are read by ChestX-ray14's rules, values and splits known beforehand."""

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from lungsynth.core.errors import LungSynthError
from lungsynth.data.patient_split import split_of
from lungsynth.data.radiograph_pixels import RadiographScale, read_pixels, to_square
from lungsynth.data.radiographs import RadiographSet, read_squares

REAL = Path(__file__).parents[4] / "shared" / "data" / "cxr"
COLUMNS = ("image", "split", "view", "labels", "bbox", "patient", "age", "sex")


def slope(rows=40, columns=50, top=200, dtype=np.uint8):
    """Brightness falls from the upper left; no two of its orientations are alike."""
    j, i = np.indices((rows, columns))
    return (top - 2 * j - i).astype(dtype)


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3), str(path))
    return path


def write_table(folder, rows, name="labels.csv", columns=COLUMNS):
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, columns, restval="")
        table.writeheader()
        table.writerows(rows)
    return folder


def row(image, patient, labels="No Finding", **more):
    return {"image": image, "patient": patient, "labels": labels, "split": "train"} | more


@pytest.fixture
def folder(tmp_path):
    """Three normals and one with findings, in two folders, of two sizes."""
    write_png(tmp_path / "a" / "1.png", slope())
    write_png(tmp_path / "a" / "2.png", slope(64, 48, top=190))
    write_png(tmp_path / "b" / "3.png", slope(top=60000, dtype=np.uint16))
    write_png(tmp_path / "b" / "4.png", slope(top=180))
    rows = [
        row("1.png", "7", view="PA", age="58"),
        row("2.png", "8", view="AP", sex="f"),
        row("3.png", "9", view="PA", split="val"),
        row("4.png", "7", "Mass|Effusion", view="AP", bbox="Mass:256,512,128,64;Effusion:0,0,9,9"),
    ]
    return write_table(tmp_path, rows)


def test_rows_are_selected_by_split_view_and_finding(folder):
    found = RadiographSet.open(folder)

    assert [record.image.name for record in found] == ["1.png", "2.png", "3.png", "4.png"]
    assert [r.image.name for r in found.select("train", normal_only=True)] == ["1.png", "2.png"]
    assert [r.image.name for r in found.select(views=("PA",))] == ["1.png", "3.png"]
    assert [r.has_nodule for r in found] == [False, False, False, True]
    assert (found.records[0].age, found.records[1].age, found.records[1].sex) == (58, None, "F")
    assert found.records[3].findings == ("Mass", "Effusion")


def test_boxes_scale_from_1024_to_the_image(folder):
    mass, effusion = RadiographSet.open(folder).records[3].boxes

    assert mass.pixels((40, 50)) == (12.5, 20.0, 18.75, 22.5)
    assert effusion.finding == "Effusion"


def test_images_keep_their_depth_and_size(folder):
    one, two, three = RadiographSet.open(folder).images(normal_only=True)

    np.testing.assert_array_equal(one, slope())
    assert two.shape == (64, 48)
    np.testing.assert_array_equal(three, slope(top=60000, dtype=np.uint16))
    assert three.dtype == np.uint16


def test_selection_of_nothing_says_what_was_wanted(folder):
    with pytest.raises(LungSynthError, match=r"none of its 4 radiographs is test normal PA or LL"):
        RadiographSet.open(folder).select("test", normal_only=True, views=("PA", "LL"))


def test_bad_files_are_told_together(folder):
    (folder / "a" / "1.png").write_bytes(b"no picture")
    write_png(folder / "b" / "3.png", np.full((40, 40), 9, np.uint8))
    found = RadiographSet.open(folder)

    with pytest.raises(LungSynthError, match="2 of 4 radiographs cannot be used") as caught:
        found.images()

    assert "1.png" in str(caught.value)
    assert "3.png: a blank picture; every pixel is 9" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_rows_are_told_together(folder):
    rows = [
        row("1.png", ""),
        row("2.png", "8", "Mass", bbox="Mass:1,2,3"),
        row("3.png", "9", split="dev"),
        row("4.png", "5", ""),
    ]
    write_table(folder, rows)

    with pytest.raises(LungSynthError) as caught:
        RadiographSet.open(folder)

    for text in (
        "line 2: 1.png has no patient",
        "line 3: box 'Mass:1,2,3'",
        "line 4: unknown split 'dev'",
        "line 5: 4.png has no labels",
    ):
        assert text in str(caught.value)


def test_patient_in_two_splits_is_refused(folder):
    write_table(folder, [row("1.png", "7"), row("2.png", "7", split="test")])

    with pytest.raises(LungSynthError, match="patient 7 is in test and train"):
        RadiographSet.open(folder)


def test_same_image_twice_is_refused(folder):
    write_table(folder, [row("1.png", "7"), row("1.png", "7")])

    with pytest.raises(LungSynthError, match=r"1\.png is there twice"):
        RadiographSet.open(folder)


def test_images_that_are_not_there_are_counted(folder):
    write_table(folder, [row("1.png", "7"), row("0.png", "6"), row("5.png", "5")])

    found = RadiographSet.open(folder)

    assert len(found) == 1
    assert found.notes == ["2 of 3 images of the table are not there"]


def test_folder_without_a_table_says_what_is_needed(tmp_path):
    with pytest.raises(LungSynthError, match=r"no table of radiographs .* labels.csv"):
        RadiographSet.open(tmp_path)


def test_chestxray14_tables_are_read_as_they_were_published(tmp_path):
    names = [f"0000000{n}_000.png" for n in range(3)]
    for n, name in enumerate(names):
        write_png(tmp_path / f"images_00{n}" / "images" / name, slope(64, 64))
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    lines = [
        f"{names[0]},Cardiomegaly|Mass,0,1,058Y,M,PA,2682,2749,0.143,0.15,",
        f"{names[1]},No Finding,0,2,81,F,AP,2500,2048,0.168,0.168,",
        f"{names[2]},No Finding,0,3,40,F,PA,,,,,",
    ]
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join([header, *lines]) + "\n")
    (tmp_path / "BBox_List_2017.csv").write_text(
        f"Image Index,Finding Label,Bbox [x,y,w,h],,,\n{names[0]},Mass,256,128,64,32,,,\n"
    )
    (tmp_path / "test_list.txt").write_text(names[0] + "\n")
    (tmp_path / "train_val_list.txt").write_text("\n".join(names[1:]) + "\n")

    found = RadiographSet.open(tmp_path)

    first, second, third = found.records
    assert (first.split, first.age, first.view) == ("test", 58, "PA")
    assert first.boxes[0].pixels((512, 512)) == (128, 64, 160, 80)
    assert first.size_mm == pytest.approx((2749 * 0.15, 2682 * 0.143))
    assert second.pixel_spacing_mm((1024, 1024)) == pytest.approx((0.336, 2500 * 0.168 / 1024))
    assert second.split == ("val" if split_of("2") == "val" else "train")
    assert third.size_mm is None
    assert not second.findings


def write_dicom(path, pixels, photometric, bits=12):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = ComputedRadiographyImageStorage, "1.2.3.4"
    data.Modality, data.PhotometricInterpretation = "CR", photometric
    data.Rows, data.Columns = pixels.shape
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, bits, bits - 1
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.PixelData = pixels.astype(np.uint16).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def test_dicom_is_brighter_where_denser_whatever_its_photometric(tmp_path):
    pixels = slope(top=4000, dtype=np.uint16)
    plain = read_pixels(write_dicom(tmp_path / "2.dcm", pixels, "MONOCHROME2"))
    turned = read_pixels(write_dicom(tmp_path / "1.dcm", 4095 - pixels, "MONOCHROME1"))

    np.testing.assert_array_equal(plain, pixels)
    np.testing.assert_array_equal(turned, pixels)


def test_grey_picture_in_colour_channels_is_grey(tmp_path):
    grey = slope()
    alpha = np.full_like(grey, 255)
    path = write_png(tmp_path / "rgba.png", np.stack([grey, grey, grey, alpha], -1))

    np.testing.assert_array_equal(read_pixels(path), grey)


def test_colour_and_wrong_sizes_are_refused(tmp_path):
    grey = slope()
    coloured = write_png(tmp_path / "rgb.png", np.stack([grey, grey, grey + 1], -1))
    small = write_png(tmp_path / "small.png", slope(20, 40))

    with pytest.raises(LungSynthError, match=r"rgb\.png: a colour picture"):
        read_pixels(coloured)
    with pytest.raises(LungSynthError, match=r"small\.png: 40 x 20 pixels"):
        read_pixels(small)


def test_percentile_scale_ends_at_the_99th():
    pixels = np.arange(10, 211, dtype=np.uint8).reshape(3, 67)  # 99th percentile: 10 + 198

    values = RadiographScale().apply(pixels)

    assert values[0, 0] == -1
    assert values.ravel()[99] == pytest.approx(2 * 99 / 198 - 1)
    np.testing.assert_array_equal(values.ravel()[198:], 1)
    assert values.dtype == np.float32


def test_fixed_scale_is_the_same_for_each_image():
    scale = RadiographScale("fixed", 20, 220)

    np.testing.assert_allclose(
        scale.apply(np.array([[20, 70], [120, 255]], np.uint8)), [[-1, -0.5], [0, 1]]
    )
    assert RadiographScale.from_dict(scale.to_dict()) == scale


@pytest.mark.parametrize(("kind", "low", "high"), [("z", 0, 9), ("percentile", 0, 101)])
def test_scales_that_are_none_are_refused(kind, low, high):
    with pytest.raises(LungSynthError, match="scale"):
        RadiographScale(kind, low, high)


def test_shrinking_averages_blocks():
    image = np.arange(16, dtype=np.float32).reshape(4, 4)

    np.testing.assert_array_equal(to_square(image, 2), [[2.5, 4.5], [10.5, 12.5]])


def test_film_that_is_not_square_is_stretched():
    image = np.repeat(np.array([[0.0, 1.0]], np.float32), 6, axis=0).repeat(6, axis=1)  # 6 x 12

    square = to_square(image, 4)

    assert square.shape == (4, 4)
    np.testing.assert_allclose(square[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(square[:, 3], 1, atol=1e-6)


def test_squares_are_scaled_on_the_whole_image(folder):
    records = RadiographSet.open(folder).select("train", normal_only=True)

    squares = read_squares(records, 8, RadiographScale())

    assert squares.shape == (2, 8, 8)
    whole = to_square(RadiographScale().apply(slope()), 8)
    np.testing.assert_array_equal(squares[0], whole)


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real radiographs in {REAL}")
def test_real_folder_holds_what_its_readme_says():
    found = RadiographSet.open(REAL)

    assert len(found) == 623
    counts = {
        split: tuple(
            len(found.select(split, normal_only=True, views=(view,))) for view in ("PA", "AP")
        )
        for split in ("train", "val", "test")
    }
    assert counts == {"train": (96, 211), "val": (14, 25), "test": (29, 57)}
    assert sum(record.has_nodule for record in found) == 31
    corners = np.array([b.pixels((512, 512)) for r in found for b in r.boxes])
    assert corners.min() >= 0
    assert corners.max() <= 512
