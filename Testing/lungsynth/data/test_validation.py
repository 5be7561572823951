"""Broken data are reported together, each with its case; nothing stops at the first."""

import json
import re

import numpy as np
import pytest

from lungsynth.data.records import Trouble
from lungsynth.data.validation import validate


@pytest.fixture
def broken(tmp_path, phantom, nodules, write_table):
    """A manifest of many images, most of them broken in one way; return path and names."""
    root = tmp_path / "data"
    (r, a, s), diameter, _ = nodules[0]
    base = {"x": r, "y": a, "z": s, "space": "RAS", "diameter_mm": diameter, "mask": ""}
    base |= {"attenuation": "solid", "malignancy": "", "patient": "", "split": "train"}
    rows = []

    def row(image, **changes):
        rows.append({"name": "", "image": image, **base, "patient": image} | changes)

    for name in ("good1", "good2", "nan", "outside", "mixed", "twice", "empty", "shape"):
        phantom.write(root / f"{name}.nii")
    for name in ("zero", "odd", "leak", "leak2", "huge", "noct"):
        phantom.write(root / f"{name}.nii")
    path = phantom.write(root / "truncated.mhd")
    raw = path.with_suffix(".raw")
    raw.write_bytes(raw.read_bytes()[: raw.stat().st_size // 2])
    spoilt = phantom.voxels.astype(np.float32)
    spoilt[5, 6, 7] = np.nan
    phantom.write(root / "nan.nii", spoilt)
    phantom.write(root / "noct.nii", np.abs(phantom.voxels) % 200)
    phantom.write(root / "masks" / "empty.nii", phantom.labels * 0)
    phantom.write(root / "masks" / "shape.nii", phantom.labels[:-3])
    (root / "folder").mkdir()
    (root / "folder" / "1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\x99" * 40)

    row("good1.nii")
    row("truncated.mhd")
    row("nan.nii")
    row("outside.nii", z=s + 300)
    row("mixed.nii", space="LPS")
    row("twice.nii")
    row("twice.nii", x=r + 0.8)
    row("empty.nii", mask="masks/empty.nii")
    row("shape.nii", mask="masks/shape.nii")
    row("zero.nii", diameter_mm=0)
    row("huge.nii", diameter_mm=95)
    row("odd.nii", attenuation="spotted")
    row("leak.nii", patient="P1", split="train")
    row("leak2.nii", patient="P1", split="test")
    row("noct.nii")
    row("folder")
    row("gone.nii")
    row("good2.nii")
    write_table(root / "manifest.csv", rows)
    return root


EXPECTED = {
    "truncated.mhd": (Trouble.IMAGE, "truncated"),
    "nan.nii": (Trouble.IMAGE, "1 voxels are NaN"),
    "outside.nii": (Trouble.OUTSIDE, "is outside of the image"),
    "mixed.nii": (Trouble.MIXED_AXES, "LPS and RAS seem to be mixed up"),
    "twice.nii": (Trouble.DUPLICATE, "0.8 mm from twice.nii, manifest.csv line 7"),
    "empty.nii": (Trouble.EMPTY_MASK, "the mask is empty"),
    "shape.nii": (Trouble.MASK_GEOMETRY, "of another geometry than its image"),
    "zero.nii": (Trouble.SIZE, "its diameter is 0 mm; 3 to 40 mm are allowed"),
    "huge.nii": (Trouble.SIZE, "its diameter is 95 mm"),
    "odd.nii": (Trouble.ATTENUATION, "unknown attenuation 'spotted'"),
    "leak.nii": (Trouble.TWO_SPLITS, "patient P1 is in test and in train"),
    "noct.nii": (Trouble.IMAGE, "not a chest CT in HU"),
    "folder": (Trouble.IMAGE, "folder"),
    "gone.nii": (Trouble.NO_IMAGE, "there is no image 'gone.nii'"),
}


def test_every_broken_case_is_named_and_the_good_ones_are_counted(broken):
    report = validate(broken)

    assert report.form == "manifest"
    assert report.usable == 4  # good1, good2, one of twice, leak2
    assert report.nodules == 18
    found = {re.split(r", manifest", p.case)[0]: p for p in report.problems}
    assert set(found) == set(EXPECTED)
    for name, (trouble, text) in EXPECTED.items():
        assert found[name].trouble is trouble, name
        assert text in found[name].message
        assert name in found[name].message
        assert "\n" not in found[name].message
    assert report.splits["test"] == (1, 1)  # the leak stays where nothing is learnt from it


def test_the_report_is_text_and_json(broken):
    report = validate(broken)
    text = "\n".join(report.lines())

    assert "manifest: 4 of 18 nodules can be used" in text
    assert "Problem, 4 times (4 nodules left out): the image cannot be used" in text
    assert "Attenuation: 4 solid (100 %), 0 part-solid (0 %), 0 ground-glass (0 %)" in text
    assert "no part-solid and no ground-glass nodule" in text
    counts = re.search(r"Patients: (\d+); nodules: (.+)", text)
    assert counts[1] == "4"
    by_split = {s: (int(n), int(p)) for s, n, p in re.findall(r"(\w+) (\d+) \((\d+) pa", counts[2])}
    assert by_split == report.splits
    assert "test 1 (1 patient)" in text
    assert "Masks grown from the annotated diameter: 4" in text
    for name in EXPECTED:
        assert name in text
    values = json.loads(json.dumps(report.to_json()))
    assert values["usable"] == 4
    assert sum(values["sizes"].values()) == 4
    assert values["sizes"]["8-10"] == 4
    assert sum(values["left_out"].values()) == 14
    assert {p["kind"] for p in values["problems"]} >= {"mixed_axes", "two_splits", "mask_geometry"}
    assert values["summary"] == text.splitlines()


def test_points_with_the_wrong_signs_in_air_are_told_from_right_ones(
    tmp_path, make_phantom, write_table
):
    """Around the origin both signs are inside of the image, so only the voxels can tell."""
    at = (21.0, -17.0, 4.0)
    phantom = make_phantom([], shape=(50, 80, 80), spacing=(1, 1, 1), oblique=False)
    shift = np.array([31.0, -30.0, 104.0])
    phantom.matrix[:3, 3] += shift
    inside = np.linalg.norm(phantom.ras + shift - at, axis=-1) <= 6
    phantom.voxels[inside] = 10
    phantom.write(tmp_path / "right.nrrd")
    phantom.write(tmp_path / "wrong.nrrd")
    row = {"x": at[0], "y": at[1], "z": at[2], "diameter_mm": 12, "attenuation": "solid"}
    rows = [
        {"image": "right.nrrd", "space": "RAS", **row},
        {"image": "wrong.nrrd", "space": "LPS", **row},
    ]
    write_table(tmp_path / "manifest.csv", rows)
    report = validate(tmp_path)

    (problem,) = report.problems
    assert problem.trouble is Trouble.MIXED_AXES
    assert "wrong.nrrd" in problem.case
    assert "holds air" in problem.message
    assert report.usable == 1


XML = (
    '<LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader><SeriesInstanceUid>{uid}'
    "</SeriesInstanceUid></ResponseHeader></LidcReadMessage>"
)


def test_broken_dicom_and_xml_are_named(tmp_path, write_dicom):
    voxels = np.full((8, 40, 40), -850)

    def series(name, uid):
        folder = write_dicom(tmp_path / name, voxels, uid=uid, patient=name)
        (folder / "a.xml").write_text(XML.format(uid=uid), encoding="utf-8")
        return sorted(folder.glob("*.dcm"))

    series("whole", "1.2.1")
    series("gap", "1.2.2")[3].unlink()
    series("unreadable", "1.2.3")[0].write_bytes(b"this is no DICOM file")
    series("torn", "1.2.4")
    (tmp_path / "torn" / "a.xml").write_text("<LidcReadMessage><Resp", encoding="utf-8")
    series("stranger", "1.2.5")
    (tmp_path / "stranger" / "a.xml").write_text(XML.format(uid="9.9"), encoding="utf-8")
    mixed = series("mixed", "1.2.6")
    mixed[2].write_bytes(series("mixed2", "1.2.7")[2].read_bytes())
    for path in series("dead", "1.2.8"):
        path.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 9)
    report = validate(tmp_path)

    assert report.form == "LIDC-IDRI"
    messages = {p.message: p.trouble for p in report.problems}

    def trouble_of(*words):
        (found,) = [m for m in messages if all(word in m for word in words)]
        return messages[found]

    assert trouble_of("gap", "missing slice") is Trouble.IMAGE
    assert trouble_of("unreadable", "1 slices are unreadable DICOM (1-92.dcm)") is Trouble.IMAGE
    assert trouble_of("torn", "malformed reader XML") is Trouble.ANNOTATION
    assert trouble_of("torn", "no XML is of this series") is Trouble.NO_ANNOTATION
    assert trouble_of("stranger", "of the series '9.9'") is Trouble.NO_IMAGE
    assert trouble_of("mixed,", "2 series in one folder") is Trouble.IMAGE
    assert trouble_of("dead", "none of its 8 files is readable DICOM") is Trouble.IMAGE
    assert not any("whole" in message for message in messages)


def test_a_source_that_is_none_gives_a_report_all_the_same(tmp_path, write_table):
    (nothing,) = validate(tmp_path / "nowhere").problems
    assert "nowhere: no such file or folder" in nothing.message
    (tmp_path / "empty").mkdir()
    report = validate(tmp_path / "empty")
    assert (report.usable, report.nodules, report.form) == (0, 0, "")
    assert "no training data that is known here" in report.problems[0].message
    assert next(report.lines()) == "no known format: 0 of 0 nodules can be used"

    table = write_table(tmp_path / "t.csv", [{"picture": "a.nrrd", "x": 1}])
    (missing,) = validate(table).problems
    assert missing.trouble is Trouble.SOURCE
    assert "lacks the columns image" in missing.message
    table = write_table(tmp_path / "t.csv", [{"image": "a.nrrd", "x": 1, "diameter_mm": 2}])
    assert "lacks the columns y, z" in validate(table).problems[0].message
    table.write_bytes(b"image,x\n\xff\xfe,3\n")
    assert "not a readable table in UTF-8" in validate(table).problems[0].message
    json.dumps(report.to_json())


def test_a_thousand_rows_with_one_bad_image_cost_one_case(tmp_path, phantom, write_table, nodules):
    """The bad one lies in the middle; all images are one file, so this is quick."""
    (r, a, s), diameter, _ = nodules[0]
    base = {"x": r, "y": a, "z": s, "space": "RAS", "diameter_mm": diameter}
    phantom.write(tmp_path / "0.nii")
    for number in range(1, 21):
        (tmp_path / f"{number}.nii").symlink_to(tmp_path / "0.nii")
    (tmp_path / "10.nii").unlink()
    (tmp_path / "10.nii").write_bytes(b"not an image")
    rows = [{"image": f"{n}.nii", **base, "patient": f"P{n}"} for n in range(21)]
    write_table(tmp_path / "manifest.csv", rows)
    steps = []
    report = validate(tmp_path, on_progress=lambda done, total: steps.append((done, total)))

    assert (report.usable, report.nodules, report.patients) == (20, 21, 20)
    (problem,) = report.problems
    assert problem.case == "10.nii"
    assert "not a NIfTI-1 image" in problem.message
    assert steps[0] == (1, 21)
    assert steps[-1] == (21, 21)


def test_nodule_cubes_get_the_same_report(write_cubes, cubes_folder, tmp_path):
    report = validate(cubes_folder)
    assert (report.form, report.usable, report.nodules, report.patients) == (
        *("nodule cubes", 9, 9, 5),
    )
    assert report.attenuations == {"solid": 3, "part-solid": 3, "ground-glass": 3}

    empty, ball = np.zeros((2, 48, 48, 48), bool)
    ball[20:28, 20:28, 20:28] = True
    row = {"patient": "P1", "series_uid": "1", "texture": "5", "ambiguous": "0"}
    hu = [np.zeros(ball.shape)] * 3
    rows = [row, row | {"ambiguous": "1"}, row]
    write_cubes(tmp_path, "train", hu, [ball, ball, empty], rows)
    write_cubes(tmp_path, "test", hu[:1], [ball], [row])
    report = validate(tmp_path)
    assert report.usable == 2
    kinds = [p.trouble for p in report.problems]
    assert kinds == [Trouble.READERS_DISAGREE, Trouble.EMPTY_MASK, Trouble.TWO_SPLITS]
    assert "train row 3 (patient P1)" in report.problems[1].message
    (tmp_path / "test.csv").unlink()
    assert "test.csv: not found" in validate(tmp_path).problems[-1].message
