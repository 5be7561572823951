"""``lungsynth scan`` from files to files, with a detector that needs no weights."""

import csv
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from lungsynth.data.radiograph_pixels import RadiographScale, to_square
from lungsynth.detectors.baselines import PrincipalComponents
from lungsynth.detectors.bundle import save_scanner
from lungsynth.detectors.scanner import fit_scanner

ROWS, COLUMNS, SIDE = 180, 150, 48


def chests(count: int, seed: int) -> np.ndarray:
    """Two dark lungs, a heart, noise: uint16 of 12 bits, (N, 180, 150)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    rows, columns = rows / ROWS * 2 - 1, columns / COLUMNS * 2 - 1
    found = []
    for _ in range(count):
        a, b, c, d = 0.06 * rng.standard_normal(4)
        left = np.exp(-((rows - a) ** 2 / 0.25 + (columns + 0.45 + b) ** 2 / 0.1))
        right = np.exp(-((rows - a) ** 2 / 0.25 + (columns - 0.45 - c) ** 2 / 0.1))
        heart = np.exp(-((rows - 0.4 - d) ** 2 + (columns - 0.1) ** 2) / 0.08)
        picture = 2500 - 1800 * left - 1800 * right + 700 * heart + 300 * rows
        found.append(picture + rng.normal(0, 40, picture.shape))
    return np.clip(np.rint(found), 0, 4095).astype(np.uint16)


def with_disc(chest: np.ndarray) -> np.ndarray:
    """A dense disc around row 99, column 40, of radius 9."""
    rows, columns = np.mgrid[:ROWS, :COLUMNS]
    disc = (rows - 99) ** 2 + (columns - 40) ** 2 <= 81
    return np.clip(chest + 1300 * disc, 0, 4095).astype(np.uint16)


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3), str(path))
    return path


def write_dicom(path: Path, pixels: np.ndarray, **tags: object) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME2"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *pixels.shape, 1
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.astype(np.uint16).tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


@pytest.fixture(scope="module", name="calibration")
def calibration_file(tmp_path_factory) -> Path:
    scale = RadiographScale()
    train, held = (
        np.stack([to_square(scale.apply(c), SIDE) for c in chests(60, seed)]) for seed in (0, 1)
    )
    scanner = fit_scanner(PrincipalComponents.fit(train), train, held, scale)
    path = tmp_path_factory.mktemp("calibration") / "scan.safetensors"
    save_scanner(path, scanner, {})
    return path


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def volume(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]


def test_a_disc_is_found_on_the_pixels_of_the_file(lungsynth, calibration, tmp_path):
    pixels = with_disc(chests(1, 5)[0])
    spacing = {"ImagerPixelSpacing": [0.5, 0.25], "BodyPartExamined": "CHEST"}
    path = write_dicom(tmp_path / "disc.dcm", pixels, **spacing)
    out = tmp_path / "out"

    outcome = lungsynth("scan", "--input", path, "--output", out, "--calibration", calibration)

    assert outcome.status == 0, outcome.err
    assert "above the threshold" in outcome.out
    one = json.loads((out / "scan.json").read_text())["files"][0]
    region = one["regions"][0]
    assert one["abnormal"]
    assert region["denser"]
    assert region["row"] == pytest.approx(99, abs=4)
    assert region["column"] == pytest.approx(40, abs=4)
    assert region["area_mm2"] == pytest.approx(region["area_px"] * 0.125, rel=0.01)
    # Slicer puts row r, column c of such a file to R = -0.25 c, A = -0.5 r
    assert region["ras_mm"][:2] == pytest.approx(
        [-0.25 * region["column"], -0.5 * region["row"]], abs=0.05
    )
    found = table(out / "regions.csv")
    assert len(found) == len(one["regions"])
    assert float(found[0]["column"]) == region["column"]
    assert float(table(out / "scan.csv")[0]["score"]) == pytest.approx(one["score"])
    heat, labels = volume(out / "disc-heatmap.nrrd"), volume(out / "disc-regions.nrrd")
    assert heat.shape == labels.shape == (ROWS, COLUMNS)
    assert labels[99, 40] == 1
    assert heat[99, 40] > heat[99, 110] + 3
    page = (out / "index.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http-equiv", "")


def test_normal_image_and_difference_are_in_the_files_own_values(lungsynth, calibration, tmp_path):
    pixels = with_disc(chests(1, 5)[0])
    plain = write(tmp_path / "plain.png", pixels)
    turned = write_dicom(
        tmp_path / "turned.dcm", 4095 - pixels, PhotometricInterpretation="MONOCHROME1"
    )
    for path in (plain, turned):
        outcome = lungsynth(
            "scan", "--input", path, "--output", tmp_path / "out", "--calibration", calibration
        )
        assert outcome.status == 0, outcome.err
    out = tmp_path / "out"
    normal, other = volume(out / "plain-normal.nrrd"), volume(out / "turned-normal.nrrd")
    difference = volume(out / "plain-difference.nrrd")

    np.testing.assert_allclose(other, 4095 - normal, atol=1.0)
    np.testing.assert_allclose(
        volume(out / "turned-heatmap.nrrd"), volume(out / "plain-heatmap.nrrd"), atol=0.05
    )
    left = pixels.astype(float) - normal - difference  # one number, the overall brightness
    assert np.abs(np.median(left[30:60]) - np.median(left[120:150])) < 40
    assert difference[99, 40] > 600
    assert volume(out / "turned-difference.nrrd")[99, 40] < -600


def test_one_bad_file_among_many_is_told_and_the_rest_is_done(lungsynth, calibration, tmp_path):
    folder = tmp_path / "in"
    for n, chest in enumerate(chests(6, 3)):
        write(folder / f"p{n % 2}" / f"image{n}.png", chest)
    (folder / "p0" / "image8.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    write(folder / "p1" / "blank.png", np.full((ROWS, COLUMNS), 7, np.uint8))
    (folder / "notes.csv").write_text("a,b\n")
    out = tmp_path / "out"

    outcome = lungsynth(
        "scan", "--input", folder, "--output", out, "--calibration", calibration,
        "--progress", "json", "--batch-size", 3,
    )  # fmt: skip

    assert outcome.status == 0, outcome.err
    events = outcome.events
    scanning = [e for e in events if e.get("stage") == "scanning"]
    assert [(e["done"], e["total"]) for e in scanning] == [(n, 8) for n in range(1, 9)]
    told = [e["message"] for e in events if e["event"] == "info"]
    assert len(told) == 2
    assert "blank" in told[1]
    assert events[-1]["event"] == "done"
    rows = table(out / "scan.csv")
    assert [r["status"] for r in rows].count("scanned") == 6
    assert {Path(r["file"]).name for r in rows if r["status"] == "failed"} == {
        "image8.png", "blank.png",
    }  # fmt: skip
    assert sorted(p.name for p in out.glob("*.png")) == [
        f"p{n}_image{m}.png" for n in (0, 1) for m in (0, 1, 2, 3, 4, 5) if m % 2 == n
    ]
    assert not list(out.glob("*.nrrd"))


def test_a_scan_does_not_depend_on_its_batch(lungsynth, calibration, tmp_path):
    folder = tmp_path / "in"
    for n, chest in enumerate(chests(3, 3)):
        write(folder / f"image{n}.png", chest)
    scores = []
    for size in (1, 3):
        out = tmp_path / f"out{size}"
        lungsynth(
            "scan", "--input", folder, "--output", out, "--calibration", calibration,
            "--batch-size", size,
        )  # fmt: skip
        scores.append([e["score"] for e in json.loads((out / "scan.json").read_text())["files"]])

    np.testing.assert_allclose(*scores, rtol=1e-6)


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"ViewPosition": "LL"}, "lateral view (ViewPosition LL)"),
        ({"PatientAge": "007Y"}, "a child (PatientAge 007Y)"),
        ({"PatientAge": "009M"}, "a child (PatientAge 009M)"),
        ({"PatientAge": "045Y"}, ""),
    ],
)
def test_what_the_header_says_of_its_kind_is_told(lungsynth, calibration, tmp_path, tags, said):
    path = write_dicom(tmp_path / "a.dcm", chests(1, 4)[0], **tags)

    lungsynth("scan", "--input", path, "--output", tmp_path / "o", "--calibration", calibration)

    one = json.loads((tmp_path / "o" / "scan.json").read_text())["files"][0]
    assert one["note"].startswith(said)
    assert one["of_known_kind"] == (not said)


def huge_png(path: Path) -> Path:
    """A header of 60,000 x 60,000 pixels, and hardly any."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def ct_slice(path: Path) -> Path:
    rng = np.random.default_rng(0)
    return write(path, rng.integers(-1000, 400, (200, 200)).astype(np.int16))


BAD = {
    "CT slice": (lambda p: ct_slice(p / "a.nrrd"), "one slice of a CT in HU"),
    "other body part": (
        lambda p: write_dicom(p / "a.dcm", chests(1, 4)[0], BodyPartExamined="KNEE"),
        "shows KNEE; a chest radiograph is needed",
    ),
    "blank": (lambda p: write(p / "a.png", np.full((200, 200), 9, np.uint8)), "blank"),
    "colour": (
        lambda p: write(
            p / "a.png", np.random.default_rng(0).integers(0, 255, (200, 200, 3)).astype(np.uint8)
        ),
        "a colour picture",
    ),
    "huge": (lambda p: huge_png(p / "a.png"), "60000 x 60000 pixels; a radiograph has at most"),
    "strip": (
        lambda p: write(p / "a.png", np.tile(chests(1, 4)[0], (1, 3))),
        "not so far from square",
    ),
    "absent": (lambda p: p / "a.png", "there is no file or folder"),
    "empty folder": (lambda p: p, "no radiograph in this folder or below it"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gets_one_clear_line_and_leaves_nothing(lungsynth, calibration, tmp_path, kind):
    make, said = BAD[kind]
    folder = tmp_path / "in"
    folder.mkdir()
    out = tmp_path / "out"

    outcome = lungsynth(
        "scan", "--input", make(folder), "--output", out, "--calibration", calibration
    )

    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert not out.exists()


def test_bad_options_get_one_clear_line(lungsynth, calibration, tmp_path):
    path = write(tmp_path / "in" / "a.png", chests(1, 4)[0])
    foreign = tmp_path / "foreign.safetensors"
    foreign.write_bytes(b"not safetensors")

    for options, said in (
        (("--calibration", foreign), "not a readable safetensors file"),
        (("--calibration", calibration, "--false-positive-rate", 0), "above 0 and below 1"),
    ):
        outcome = lungsynth("scan", "--input", path, "--output", tmp_path / "out", *options)
        assert outcome.status == 2
        assert said in outcome.err
        assert outcome.err.count("\n") == 1

    inside = lungsynth(
        "scan", "--input", tmp_path / "in", "--output", tmp_path / "in" / "out",
        "--calibration", calibration,
    )  # fmt: skip
    assert inside.status == 2
    assert "lies in the input folder" in inside.err
