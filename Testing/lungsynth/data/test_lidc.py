"""LIDC-IDRI: XML as TCIA gives it, put onto slices of 0.7 x 0.8 x 2.5 mm by hand."""

import pickle

import numpy as np
import pytest

from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.data.cut_cases import cut_case
from lungsynth.data.lidc import is_lidc, list_lidc
from lungsynth.data.lidc_consensus import consensus, inside_of
from lungsynth.data.records import Trouble, VoxelMask

SERIES = "1.3.6.1.4.1.14519.5.2.1"
ORIGIN = (-20.0, -35.0, -120.0)  # LPS
SPACING = (0.7, 0.8, 2.5)  # between columns, rows, slices
SHAPE = (16, 72, 80)

NAMES = (
    "subtlety", "internalStructure", "calcification", "sphericity", "margin", "lobulation",
    "spiculation", "texture", "malignancy",
)  # fmt: skip


def rectangle(left, top, right, bottom):
    """The pixels (x, y) on the border of a rectangle, once around."""
    above = [(x, top) for x in range(left, right)]
    right_side = [(right, y) for y in range(top, bottom)]
    below = [(x, bottom) for x in range(right, left, -1)]
    return [*above, *right_side, *below, *((left, y) for y in range(bottom, top, -1))]


def roi(k, points, *, inclusion="TRUE", uid=None, z=None):
    edges = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points
    )
    return (
        f"<roi><imageZposition>{ORIGIN[2] + k * SPACING[2] if z is None else z:.6f} "
        f"</imageZposition><imageSOP_UID>{uid or f'{SERIES}.{k}'}</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>{edges}</roi>"
    )


def nodule(rois, name="Nodule 001", **ratings):
    """An annotation; without ``texture`` it has no characteristics, as below 3 mm."""
    rated = ""
    if "texture" in ratings:
        values = dict.fromkeys(NAMES, 3) | ratings
        rated = "".join(f"<{key}>{value}</{key}>" for key, value in values.items())
        rated = f"<characteristics>{rated}</characteristics>"
    return (
        f"<unblindedReadNodule><noduleID>{name}</noduleID>{rated}{''.join(rois)}"
        "</unblindedReadNodule>"
    )


def message(*sessions, series=SERIES):
    body = "".join(
        "<readingSession><annotationVersion>3.12</annotationVersion>"
        f"<servicingRadiologistID>anonymous</servicingRadiologistID>{''.join(found)}"
        "<nonNodule><nonNoduleID>x</nonNoduleID><imageZposition>-110</imageZposition>"
        "<imageSOP_UID>1.2</imageSOP_UID><locus><xCoord>3</xCoord><yCoord>4</yCoord></locus>"
        "</nonNodule></readingSession>"
        for found in sessions
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<LidcReadMessage uid="1.3" '
        'xmlns="http://www.nih.gov" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        "<ResponseHeader><Version>1.8.1</Version>"
        f"<SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>{body}</LidcReadMessage>"
    )


def block(rectangle_at=(30, 20, 42, 30), slices=(6, 7, 8), **ratings):
    rois = [roi(k, rectangle(*rectangle_at)) for k in slices]
    return nodule(rois, **({"texture": 5} | ratings))


@pytest.fixture
def lidc(tmp_path, write_dicom):
    """Write one series and an XML message; return the folder."""

    def write(text, xml="069.xml"):
        voxels = np.full(SHAPE, -850)
        voxels[6:9, 21:30, 31:42] = -20
        series = tmp_path / "LIDC-IDRI" / "LIDC-IDRI-0042" / "1.2.3" / SERIES
        write_dicom(
            series, voxels, uid=SERIES, patient="LIDC-IDRI-0042", origin=ORIGIN, spacing=SPACING
        )
        (series / xml).write_text(text, encoding="utf-8")
        return tmp_path / "LIDC-IDRI"

    return write


def read(root):
    source = list_lidc(root)
    (case,) = source.cases
    return case, case.read()


def test_the_line_itself_is_outside():
    first, inside = inside_of(rectangle(4, 7, 8, 10))

    at = np.argwhere(inside) + first
    assert at.tolist() == [[y, x] for y in (8, 9) for x in (5, 6, 7)]


def test_a_slanted_line_needs_no_neighbouring_points():
    """A triangle of three points: (0, 0), (6, 0), (0, 6); inside are x, y > 0 with x + y < 6."""
    first, inside = inside_of([(0, 0), (6, 0), (0, 6)])

    expected = {(x, y) for x in range(1, 6) for y in range(1, 6) if x + y < 6}
    assert {(int(x), int(y)) for y, x in np.argwhere(inside) + first} == expected
    assert not inside_of([(3, 3)])[1].any()


def test_half_of_the_readers_make_a_consensus():
    def mask(length, start):
        return VoxelMask((0, 0, start), np.ones((1, 1, length), bool))

    three = consensus([mask(4, 10), mask(4, 12), mask(2, 12)])
    assert (three.start, three.voxels.shape) == ((0, 0, 12), (1, 1, 2))
    two = consensus([mask(4, 10), mask(4, 12)])
    assert (two.start, two.voxels.shape) == ((0, 0, 10), (1, 1, 6))


def test_a_nodule_is_where_and_as_large_as_its_readers_drew_it(lidc):
    root = lidc(
        message(
            [block(malignancy=5, texture=4, spiculation=1)],
            [block((28, 20, 42, 30), malignancy=4, texture=5, spiculation=2)],
            [block(malignancy=2, texture=5, spiculation=5, slices=(6, 7, 8, 9))],
            [nodule([roi(3, [(50, 50)])])],
        )
    )
    assert is_lidc(root)
    case, reading = read(root)

    assert case.patient == "LIDC-IDRI-0042"
    assert pickle.loads(pickle.dumps(case)) == case  # another process may read it
    assert reading.problems == []
    (record,) = reading.records
    # inside of the line: columns 31 to 41, rows 21 to 29, slices 6 to 8, which two of three have
    left, posterior = ORIGIN[0] + 36 * 0.7, ORIGIN[1] + 25 * 0.8
    assert record.position_ras_mm == pytest.approx((-left, -posterior, ORIGIN[2] + 7 * 2.5))
    volume_mm3 = 11 * 9 * 3 * 0.7 * 0.8 * 2.5
    assert record.diameter_mm == pytest.approx(np.cbrt(6 * volume_mm3 / np.pi))
    assert record.n_readers == 3
    ratings = {key: record.ratings[key] for key in ("malignancy", "texture", "spiculation")}
    assert ratings == {"malignancy": 4, "texture": 5, "spiculation": 2}
    assert record.ratings["internal_structure"] == 3
    assert record.attenuation is Attenuation.SOLID
    assert record.malignancy is Malignancy.MALIGNANT
    assert (reading.volume.voxels[6:9, 21:30, 31:42] == -20).all()
    assert record.mask.start == (6, 21, 31)

    row = cut_case(case).rows[0]
    assert float(row["mask_equivalent_diameter_mm"]) == pytest.approx(record.diameter_mm, abs=0.5)
    assert (row["n_readers"], row["texture"], row["mask_from"]) == ("3", "5", "source")


def test_an_exclusion_cuts_a_hole_even_if_it_comes_first(lidc):
    hole = roi(7, rectangle(34, 23, 38, 27), inclusion="FALSE")
    outer = [roi(k, rectangle(30, 20, 42, 30)) for k in (6, 7, 8)]
    _, reading = read(lidc(message(*[[nodule([hole, *outer], texture=5)]] * 3)))

    mask = reading.records[0].mask
    assert mask.voxels.sum() == 3 * 11 * 9 - 3 * 3
    assert not mask.voxels[1, 3:6, 4:7].any()


def test_the_uid_of_a_slice_goes_before_its_z_and_z_will_do(lidc):
    lines = rectangle(30, 20, 42, 30)
    by_uid = nodule([roi(k, lines, z=0.0) for k in (6, 7)], texture=5)
    by_z = nodule([roi(k, lines, uid="9.9") for k in (6, 7)], texture=5)
    _, reading = read(lidc(message([by_uid], [by_z], [by_uid])))

    assert reading.problems == []
    assert reading.records[0].mask.voxels.shape[0] == 2
    assert reading.records[0].mask.start[0] == 6


def test_two_nodules_one_slice_apart_stay_two(lidc):
    near = [block(slices=(5, 6)), block(slices=(8, 9), malignancy=1)]
    _, reading = read(lidc(message(near, near, near)))

    assert [record.mask.start[0] for record in reading.records] == [5, 8]
    assert [record.n_readers for record in reading.records] == [3, 3]


@pytest.mark.parametrize(
    ("sessions", "trouble", "text"),
    [
        (
            [[block()], [block()], [], []],
            Trouble.FEW_READERS,
            "outlined by 2; at least 3 are needed",
        ),
        (
            [[block(), block((36, 20, 50, 30))], [block((30, 20, 50, 30))], [block()]],
            Trouble.READERS_DISAGREE,
            "outlines of one reader overlap others",
        ),
        (
            [[block(texture=5)], [block(texture=1)], [block(texture=4)]],
            Trouble.READERS_DISAGREE,
            "its texture was rated 5, 1, 4",
        ),
    ],
)
def test_what_readers_do_not_share_is_left_out_by_name(lidc, sessions, trouble, text):
    case, reading = read(lidc(message(*sessions)))

    assert reading.records == []
    (problem,) = reading.problems
    assert problem.trouble is trouble
    assert text in problem.message
    assert problem.message.startswith(case.name)
    assert "LIDC-IDRI-0042" in problem.message
    assert "of reader 1" in problem.message


def test_an_outline_off_the_slices_is_named_and_the_others_count(lidc):
    beyond = nodule([roi(7, rectangle(70, 20, 85, 30))], name="N beyond", texture=5)
    nowhere = nodule([roi(7, rectangle(30, 20, 42, 30), uid="9", z=-300)], name="N no", texture=5)
    point = nodule([roi(7, [(30, 30)])], name="N point", texture=5)
    good = [block()]
    _, reading = read(lidc(message([beyond], good, [*good, nowhere], [*good, point])))

    assert len(reading.records) == 1
    found = {(p.trouble, p.message.split(": ")[1], p.nodules) for p in reading.problems}
    assert found == {
        (Trouble.OUTSIDE, "N beyond of reader 1", 0),
        (Trouble.OUTSIDE, "N no of reader 3", 0),
        (Trouble.EMPTY_MASK, "N point of reader 4", 0),
    }


def test_xml_that_is_broken_or_of_another_series_is_named(lidc):
    root = lidc(message([block()], [block()], [block()]))
    (root / "torn.xml").write_text(message([block()])[:-40], encoding="utf-8")
    (root / "other.xml").write_text(message([block()], series="1.2.840"), encoding="utf-8")
    (root / "short.xml").write_text(
        message([block()]).replace("<inclusion>TRUE</inclusion>", ""), encoding="utf-8"
    )
    (root / "cxr.xml").write_text("<IdriReadMessage/>", encoding="utf-8")
    source = list_lidc(root)

    assert len(source.cases) == 1
    found = {(p.case, p.trouble) for p in source.problems}
    assert found == {
        ("torn.xml", Trouble.ANNOTATION),
        ("short.xml", Trouble.ANNOTATION),
        ("other.xml", Trouble.NO_IMAGE),
    }
    text = "\n".join(p.message for p in source.problems)
    assert "malformed reader XML" in text
    assert "<roi> lacks <inclusion>" in text
    assert "of the series '1.2.840', which none of the DICOM folders is" in text


def test_the_real_nodule_agrees_with_luna16(shared_data):
    """LIDC-IDRI-0001: LUNA16's row for the same series was made by others from the same XML."""
    (case,) = list_lidc(shared_data / "dicom_slab").cases
    cut = cut_case(case)
    (row,) = cut.rows

    assert row["patient"] == "LIDC-IDRI-0001"
    table = (shared_data / "lidc_annotations" / "luna16_annotations.csv").read_text()
    series = case.folder.name
    luna = [line.split(",")[1:] for line in table.splitlines() if line.startswith(series)]
    x, y, z, diameter = map(float, luna[0])
    position = [float(row[f"source_{axis}_mm"]) for axis in "ras"]
    assert position == pytest.approx([-x, -y, z], abs=1.0)
    assert float(row["diameter_mm"]) == pytest.approx(diameter, abs=0.6)
    assert (row["n_readers"], row["attenuation"], row["malignancy_class"]) == (
        *("4", "solid", "malignant"),
    )
