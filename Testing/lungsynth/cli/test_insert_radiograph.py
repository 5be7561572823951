"""The main job on a radiograph, from file to files, and each wrong input in one line."""

from __future__ import annotations

import json
import re

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed
from lungsynth.io.radiograph_reading import read_radiograph
from lungsynth.io.seeds import read_cxr_seeds

DX = "1.2.840.10008.5.1.4.1.1.1.1"


def chest(shape=(420, 400), top=4000):
    """Two dark ovals in a bright body, with noise."""
    rng = np.random.default_rng(7)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / np.reshape(shape, (2, 1, 1))
    body = 0.75 - 0.6 * (np.abs(columns - 0.5) > 0.46)
    for middle in (0.3, 0.7):
        body -= 0.45 * (((rows - 0.45) / 0.3) ** 2 + ((columns - middle) / 0.13) ** 2 < 1)
    return np.clip((body + rng.normal(0, 0.01, shape)) * top, 0, top).astype(np.uint16)


def lungs_of(shape=(420, 400)):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / np.reshape(shape, (2, 1, 1))
    ovals = [
        ((rows - 0.45) / 0.3) ** 2 + ((columns - middle) / 0.13) ** 2 < 1 for middle in (0.3, 0.7)
    ]
    return (ovals[0] | ovals[1]).astype(np.uint8)


@pytest.fixture
def png_file(tmp_path):
    path = tmp_path / "chest.png"
    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(path))
    return path


@pytest.fixture
def fields_file(tmp_path):
    path = tmp_path / "lungs.png"
    sitk.WriteImage(sitk.GetImageFromArray(lungs_of() * np.uint8(255)), str(path))
    return path


def dicom_file(path, pixels=None, **tags):
    pixels = chest() if pixels is None else pixels
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DX
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    values = {
        "SOPClassUID": DX, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid(),
        "Modality": "DX", "ViewPosition": "PA", "Rows": pixels.shape[0],
        "Columns": pixels.shape[1], "SamplesPerPixel": 1, "BitsAllocated": 16, "BitsStored": 12,
        "HighBit": 11, "PixelRepresentation": 0, "PhotometricInterpretation": "MONOCHROME1",
        "ImagerPixelSpacing": [0.8, 0.8], **tags,
    }  # fmt: skip
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def insert(lungsynth):
    def command(source, *options):
        return lungsynth("insert", "--input", source, "--synthesizer", "procedural", *options)

    return command


def test_a_png_comes_out_with_mask_report_and_preview(
    insert, png_file, fields_file, awkward_path, fingerprint
):
    before = fingerprint(png_file)
    paths = [awkward_path / name for name in ("out.png", "m.seg.nrrd", "r.json", "p.png")]
    outcome = insert(
        png_file,
        *("--output", paths[0], "--mask", paths[1], "--report", paths[2], "--preview", paths[3]),
        *("--seed-ras", "-120,-190,0", "--seed-ras", "-280,-150,0", "--lung-fields", fields_file),
        *("--diameter-px", "30", "--contrast", "0.15"),
    )

    assert outcome.status == 0, outcome.err
    assert sorted(awkward_path.iterdir()) == sorted(paths)
    assert fingerprint(png_file) == before
    old, new = chest().astype(int), sitk.GetArrayFromImage(sitk.ReadImage(str(paths[0])))
    report = json.loads(paths[2].read_text(encoding="utf-8"))
    assert report["kind"] == "radiograph"
    assert report["pixel_spacing_mm"] is None
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(paths[1])))
    assert labels.shape == (1, 420, 400)
    changed = new != old
    low, high = np.percentile(old, (1, 99))
    for number, (insertion, column) in enumerate(
        zip(report["insertions"], (120, 280), strict=True)
    ):
        (k0, j0, i0), (k1, j1, i1) = insertion["box_ijk"]
        assert (k0, k1) == (0, 1)
        assert i0 < column < i1
        changed[j0:j1, i0:i1] = False
        mask = labels[0] == number + 1
        assert mask.sum() == insertion["measured"]["area_px"]
        assert insertion["measured"]["diameter_px"] == pytest.approx(30, abs=1.5)
        rise = (new - old)[mask].mean() / (high - low)
        assert rise == pytest.approx(0.15, abs=0.015)
        assert insertion["within_tolerance"]
        assert insertion["note"] == ""
    assert not changed.any()
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_a_dicom_radiograph_takes_mm_and_comes_out_as_dicom(insert, tmp_path, fields_file):
    source = dicom_file(tmp_path / "in.dcm")
    outcome = insert(
        *(source, "--output", tmp_path / "out.dcm", "--report", tmp_path / "r.json"),
        *("--seed-ras", "-96,-152,0", "--diameter-mm", "24", "--lung-fields", fields_file),
    )

    assert outcome.status == 0, outcome.err
    measured = json.loads((tmp_path / "r.json").read_text())["insertions"][0]["measured"]
    assert measured["diameter_mm"] == pytest.approx(24, abs=1.2)
    assert measured["diameter_px"] == pytest.approx(30, abs=1.5)
    new = pydicom.dcmread(tmp_path / "out.dcm")
    rise = new.pixel_array.astype(int) - chest()
    assert rise[190, 120] < 0  # MONOCHROME1: denser is darker
    assert not rise[:150].any()
    assert not rise[240:].any()
    assert "SYNTHETIC" in new.SeriesDescription


def test_a_spacing_may_be_given_and_moves_no_seed(insert, tmp_path, png_file, fields_file):
    outcome = insert(
        *(png_file, "--output", tmp_path / "o.nrrd", "--report", tmp_path / "r.json"),
        *("--seed-ras", "-120,-190,0", "--diameter-mm", "24", "--pixel-spacing-mm", "0.8"),
        *("--lung-fields", fields_file),
    )

    assert outcome.status == 0, outcome.err
    found = json.loads((tmp_path / "r.json").read_text())["insertions"][0]
    assert found["measured"]["diameter_px"] == pytest.approx(30, abs=1.5)
    assert found["box_ijk"][0][2] < 120 < found["box_ijk"][1][2]
    assert found["note"] == ""


def test_auto_puts_nodules_into_the_given_fields(insert, tmp_path, png_file, fields_file):
    def run(*options, name="o.png"):
        outcome = insert(
            *(png_file, "--output", tmp_path / name, "--report", tmp_path / "r.json"),
            *("--auto", "5", "--diameter-px", "22", "--lung-fields", fields_file, *options),
        )
        assert outcome.status == 0, outcome.err
        text = (tmp_path / "r.json").read_text()
        return [one["seed_ras_mm"] for one in json.loads(text)["insertions"]]

    seeds = run()
    lungs = lungs_of().astype(bool)
    for right, anterior, _ in seeds:
        assert lungs[round(-anterior), round(-right)]
    assert len({tuple(seed) for seed in seeds}) == 5
    assert run() == seeds
    assert run("--random-seed", "3") != seeds


def test_lung_fields_may_be_weights_of_the_network(insert, tmp_path, png_file):
    from lungsynth.core.shipped import shipped_file

    weights = shipped_file("lung-fields.safetensors")
    run = (png_file, "--output", tmp_path / "o.png", "--auto", "2", "--diameter-px", "20")
    named = insert(*run, "--report", tmp_path / "named.json", "--lung-fields", weights)
    found = insert(*run, "--report", tmp_path / "found.json")

    assert named.status == found.status == 0, named.err
    places = [
        [one["seed_ras_mm"] for one in json.loads((tmp_path / name).read_text())["insertions"]]
        for name in ("named.json", "found.json")
    ]
    assert places[0] == places[1]
    other = insert(*run, "--lung-fields", weights.with_name("mcgan.safetensors"))
    assert other.status == 2
    assert "mcgan.safetensors" in other.err


def test_seeds_outside_the_lungs_and_lateral_views_get_a_warning(insert, tmp_path, fields_file):
    source = dicom_file(tmp_path / "in.dcm", ViewPosition="LL")
    outcome = insert(
        *(source, "--output", tmp_path / "out.dcm", "--lung-fields", fields_file),
        *("--seed-ras", "-160,-290,0"),
    )

    assert outcome.status == 0
    assert "lateral view (ViewPosition LL)" in outcome.err
    assert "outside the lung fields" in outcome.err


def test_a_table_of_seeds_gives_each_its_own_size_and_contrast(tmp_path):
    path = tmp_path / "seeds.csv"
    path.write_text(
        "r,a,s,diameter_px,contrast,latent_seed,name\n-120,-190,0,22,0.1,5,apex\n-280,-150,0,,,,\n"
    )
    default = CxrNoduleSpec(diameter_mm=12, latent_seed=77)
    assert read_cxr_seeds(path, default) == [
        CxrSeed((-120, -190, 0), CxrNoduleSpec(None, 22, 0.1, 5), "apex"),
        CxrSeed((-280, -150, 0), default, ""),
    ]


def ct_file(tmp_path):
    path = tmp_path / "ct.nrrd"
    voxels = np.full((24, 40, 40), -800, np.int16)
    voxels[:, :8] = 40
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))
    return path


def colour_file(tmp_path):
    path = tmp_path / "colour.png"
    pixels = np.random.default_rng(1).integers(0, 255, (300, 280, 3), dtype=np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(path))
    return path


def text_file(tmp_path):
    path = tmp_path / "text.png"
    page = np.zeros((300, 300), np.uint8)
    page[30:60:5, 40:260] = 255
    sitk.WriteImage(sitk.GetImageFromArray(page), str(path))
    return path


def mpeg_file(tmp_path):
    path = dicom_file(tmp_path / "mpeg.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([b"nothing to decode"])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    return path


def chest_file(tmp_path):
    path = tmp_path / "chest.png"
    sitk.WriteImage(sitk.GetImageFromArray(chest()), str(path))
    return path


SEED = ("--seed-ras", "-120,-190,0")


@pytest.mark.parametrize(
    ("make", "options", "said"),
    [
        (
            ct_file,
            (*SEED, "--synthesizer", "ct-projection"),
            "is a CT, and ct-projection needs a r",
        ),
        (chest_file, (*SEED, "--synthesizer", "mcgan"), "is a radiograph, and mcgan needs a CT"),
        (ct_file, (*SEED, "--diameter-px", "9"), "--diameter-px is for a radiograph"),
        (chest_file, (*SEED, "--attenuation", "solid"), "--attenuation is for a CT"),
        (colour_file, SEED, "a colour picture"),
        (text_file, SEED, "burnt-in text"),
        (chest_file, (*SEED, "--diameter-mm", "12"), "--pixel-spacing-mm"),
        (chest_file, (*SEED, "--diameter-px", "90"), "larger than the patch"),
        (chest_file, (*SEED, "--diameter-px", "9", "--diameter-mm", "9"), "not both"),
        (chest_file, (*SEED, "--diameter-px", "20", "--contrast", "2"), "contrast .* 0.005 to 0.6"),
        (chest_file, (*SEED, "--pixel-spacing-mm", "9"), "--pixel-spacing-mm must be from"),
        (chest_file, (*SEED, "--behind-heart"), "does nothing without --auto"),
        (chest_file, ("--seed-ras", "-120,-900,0"), "lies outside the radiograph"),
        (chest_file, (*SEED, *SEED), "overlaps an earlier nodule"),
        (mpeg_file, SEED, "compressed as MPEG-4"),
        (chest_file, (*SEED, "--lung-fields", "nowhere.png"), "there is no file nowhere.png"),
        (chest_file, (*SEED, "--synthesizer", "copy-paste"), "needs a bank"),
        (chest_file, (*SEED, "--synthesizer", "magic"), "unknown synthesizer 'magic'"),
    ],
)
def test_each_wrong_input_is_one_line_and_leaves_nothing(lungsynth, tmp_path, make, options, said):
    source = make(tmp_path)
    there = sorted(tmp_path.iterdir())
    ending = ".nrrd" if source.suffix in (".nrrd", ".dcm") else ".png"

    outcome = lungsynth(
        "insert", "--input", source, "--output", tmp_path / f"out{ending}", *options
    )

    assert outcome.status == 2, outcome.err
    lines = [line for line in outcome.err.splitlines() if line.startswith("lungsynth:")]
    assert len(lines) == 1
    assert re.search(said, lines[0]), lines[0]
    assert sorted(tmp_path.iterdir()) == there


def test_a_jpeg_may_not_be_overwritten_by_a_jpeg(insert, tmp_path):
    path = tmp_path / "chest.jpg"
    sitk.WriteImage(sitk.GetImageFromArray((chest() // 16).astype(np.uint8)), str(path))
    outcome = insert(path, "--output", tmp_path / "out.jpg", *SEED)
    assert outcome.status == 2
    assert "must end in .png" in outcome.err
    assert insert(path, "--output", tmp_path / "out.png", *SEED).status == 0
    assert read_radiograph(tmp_path / "out.png").pixels.dtype == np.uint8


@pytest.mark.slow
def test_the_demo_makes_a_radiograph_with_three_nodules(lungsynth, tmp_path):
    folder = tmp_path / "demo"
    outcome = lungsynth("demo", "--radiograph", "--output", folder, "--synthesizer", "procedural")

    assert outcome.status == 0, outcome.err
    names = ("radiograph.nrrd", "radiograph_with_nodules.nrrd")
    before, after = (read_radiograph(folder / name) for name in names)
    assert before.pixel_spacing_mm == pytest.approx((0.4, 0.4))
    insertions = json.loads((folder / "radiograph_report.json").read_text())["insertions"]
    changed = after.pixels != before.pixels
    for one, diameter in zip(insertions, (22, 14, 9), strict=True):
        (_, j0, i0), (_, j1, i1) = one["box_ijk"]
        assert changed[j0:j1, i0:i1].any()
        changed[j0:j1, i0:i1] = False
        assert one["measured"]["diameter_mm"] == pytest.approx(
            diameter, abs=max(0.4, 0.05 * diameter)
        )
        assert one["within_tolerance"]
    assert not changed.any()
    assert (folder / "radiograph_preview.png").is_file()
    assert (folder / "radiograph_nodules.seg.nrrd").is_file()


def test_a_mammogram_is_named_whatever_the_output_is_called(insert, tmp_path):
    source = dicom_file(tmp_path / "breast.dcm", Modality="MG")
    for name in ("out.dcm", "out.nrrd"):
        outcome = insert(source, "--output", tmp_path / name, "--auto", "1")

        assert outcome.status == 2
        assert "breast.dcm: modality MG; a CT or a radiograph (CR, DX) is needed" in outcome.err
