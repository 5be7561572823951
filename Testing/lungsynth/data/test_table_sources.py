"""LUNA16, NODE21 and manifests: which numbers go where."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.data.cut_cases import cut_case
from lungsynth.data.luna16 import is_luna16, list_luna16
from lungsynth.data.manifest import list_manifest
from lungsynth.data.node21 import is_node21, list_node21
from lungsynth.data.records import Trouble


def decoded(cut, n=0):
    mask = np.unpackbits(cut.mask[n]).reshape(48, 48, 48).astype(bool)
    return cut.hu8[n].astype(int) * 8 - 1024, mask


def test_luna16_is_read_in_lps_and_its_masks_are_grown(luna16, nodules):
    root = luna16()
    assert is_luna16(root)
    source = list_luna16(root)

    assert [case.name for case in source.cases] == ["1.3.6.1", "1.3.6.2"]
    assert [case.nodules for case in source.cases] == [3, 1]
    reading = source.cases[0].read()
    assert [record.position_ras_mm for record in reading.records] == [
        pytest.approx(at) for at, *_ in nodules
    ]
    cut = cut_case(source.cases[0])
    assert cut.problems == []
    for n, (_, diameter, level) in enumerate(nodules):
        hu, mask = decoded(cut, n)
        assert hu[22:26, 22:26, 22:26].mean() == pytest.approx(level, abs=20)
        assert np.cbrt(6 * mask.sum() / np.pi) == pytest.approx(diameter, rel=0.15)
        assert np.argwhere(mask).mean(axis=0) == pytest.approx([23.5] * 3, abs=0.6)
        assert cut.rows[n]["mask_from"] == "derived"
    classes = [(row["attenuation"], row["attenuation_from"]) for row in cut.rows]
    assert classes == [("solid", "derived"), ("ground-glass", "derived"), ("solid", "derived")]
    assert cut.rows[1]["patient"] == "1.3.6.1"


def test_luna16_names_rows_without_an_image_and_values_that_are_none(luna16):
    def spoil(rows):
        rows[1]["coordY"] = "n/a"
        rows[3]["seriesuid"] = "1.3.6.9"

    source = list_luna16(luna16(spoil))

    assert [case.nodules for case in source.cases] == [2]
    value, absent = source.problems
    assert (value.trouble, absent.trouble) == (Trouble.VALUE, Trouble.NO_IMAGE)
    assert "1.3.6.1, annotations.csv line 3: coordy is 'n/a'; a number is needed" in value.message
    assert "1.3.6.9: annotated in annotations.csv, but no .mhd has this series UID" in (
        absent.message
    )


def test_missing_columns_are_named_together(luna16, write_table):
    root = luna16()
    write_table(root / "annotations.csv", [{"seriesuid": 1, "coordX": 1, "coordY": 2}])

    with pytest.raises(LungSynthError, match=r"lacks the columns coordZ, diameter_mm; needed are"):
        list_luna16(root)


@pytest.fixture
def manifest(tmp_path, phantom, nodules, write_table):
    """Return a writer of a manifest of two images; ``change`` edits the rows."""

    def write(change=None):
        root = tmp_path / "own"
        phantom.write(root / "a.nrrd")
        phantom.write(root / "sub" / "b.nii.gz")
        phantom.write(root / "masks" / "b.nii.gz", phantom.labels)
        (r0, a0, s0), (r1, a1, s1), (r2, a2, s2) = (at for at, *_ in nodules)
        first = {"image": "a.nrrd", "x": r0, "y": a0, "z": s0, "space": "RAS", "diameter_mm": 9}
        first |= {"attenuation": "Part Solid", "malignancy": "malignant", "mask": ""}
        first |= {"patient": "P1", "split": "test", "texture": "", "spiculation": "4"}
        second = {"image": "a.nrrd", "x": -r1, "y": -a1, "z": s1, "space": "lps"}
        second |= {"diameter_mm": 13, "attenuation": "GGO", "malignancy": 2, "patient": "P1"}
        third = {"image": "sub/b.nii.gz", "mask": "masks/b.nii.gz", "patient": "P2", "texture": 4.5}
        third |= {"x": r2, "y": a2, "z": s2 - 1, "space": "RAS", "malignancy": 3}
        rows = [first, second, third]
        if change is not None:
            change(rows)
        return write_table(root / "manifest.csv", rows, list(first))

    return write


def test_a_manifest_may_mix_lps_and_ras_points_and_masks(manifest, nodules):
    source = list_manifest(manifest())
    assert source.problems == []
    records = [record for case in source.cases for record in case.read().records]

    for record, (at, diameter, _) in zip(records, nodules, strict=True):
        assert record.position_ras_mm == pytest.approx(at, abs=1.01)
        assert record.diameter_mm == pytest.approx(diameter, abs=0.4)
    assert [r.attenuation for r in records] == [
        Attenuation.PART_SOLID,
        Attenuation.GROUND_GLASS,
        Attenuation.SOLID,
    ]
    assert [r.malignancy for r in records] == [Malignancy.MALIGNANT, Malignancy.BENIGN, None]
    assert [r.patient for r in records] == ["P1", "P1", "P2"]
    # a patient has one split; what is not stated goes by what is
    assert [r.split for r in records] == ["test", "test", None]
    assert [r.mask is None for r in records] == [True, True, False]
    cut = cut_case(source.cases[1])
    hu, mask = decoded(cut)
    assert hu[mask].mean() > -250
    # the cube is centred on the mask, not on the point, which was 1 mm off
    assert float(cut.rows[0]["centre_s_mm"]) == pytest.approx(nodules[2][0][2], abs=0.6)
    assert (cut.rows[0]["mask_from"], cut.rows[0]["malignancy"]) == ("source", "3")


def test_a_mask_without_a_point_gives_each_of_its_nodules(manifest, nodules):
    def only_mask(rows):
        rows[2] |= {"x": "", "y": "", "z": ""}

    case = list_manifest(manifest(only_mask)).cases[1]
    found = [record.position_ras_mm for record in case.read().records]
    assert found == [pytest.approx(at, abs=0.4) for at, *_ in nodules]


@pytest.mark.parametrize(
    ("change", "trouble", "message"),
    [
        ({"attenuation": "fluffy"}, Trouble.ATTENUATION, "unknown attenuation 'fluffy'; allowed"),
        ({"malignancy": "7"}, Trouble.VALUE, "malignancy is '7'; allowed are benign, malignant"),
        ({"image": "c.nrrd"}, Trouble.NO_IMAGE, "there is no image 'c.nrrd'"),
        ({"space": ""}, Trouble.VALUE, "space is ''; LPS or RAS is needed"),
        ({"mask": "c.nrrd"}, Trouble.EMPTY_MASK, "there is no mask 'c.nrrd'"),
        ({"patient": "P7"}, Trouble.VALUE, "patient 'P7', but 'P1' in another row"),
        ({"split": "dev"}, Trouble.VALUE, "unknown split 'dev'; allowed are train, val, test"),
        ({"diameter_mm": ""}, Trouble.VALUE, "diameter_mm is ''; a number is needed"),
        ({"x": "nan"}, Trouble.VALUE, "x is 'nan'; a number is needed"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_and_the_others_stay(manifest, change, trouble, message):
    source = list_manifest(manifest(lambda rows: rows[1].update(change)))

    (problem,) = source.problems
    assert problem.trouble is trouble
    assert "manifest.csv line 3" in problem.case
    assert message in problem.message
    assert sum(case.nodules for case in source.cases) == 2


def test_a_manifest_must_say_which_axes_it_means(manifest, write_table):
    path = manifest()
    row = {"image": "a.nrrd", "x": 1, "y": 2, "z": 3, "diameter_mm": 5}
    write_table(path, [row])

    with pytest.raises(LungSynthError, match=r"lacks the column space, which says whether"):
        list_manifest(path)
    record = list_manifest(path, "LPS").cases[0].read().records[0]
    assert record.position_ras_mm == (-1, -2, 3)


def test_node21_patches_come_with_masks_and_ratings_that_were_added(
    tmp_path, make_phantom, nodules, write_table
):
    root = tmp_path / "node21"
    phantom = make_phantom(nodules[1:2], oblique=False)
    for name in ("1.3.6.5_dcm_0", "1.3.6.5_dcm_11", "1.3.6.6_dcm_0"):
        phantom.write(root / "nodule_patches" / f"{name}.mha")
    for name in ("1.3.6.5_seg_0", "1.3.6.6_seg_0"):
        phantom.write(root / "nodule_patches" / f"{name}.mha", phantom.labels)
    rows = [
        {"img_name": "1.3.6.5_dcm_0.mha", "diameter": 19, "texture": 1.3, "malignancy": 4.5},
        {"img_name": "1.3.6.6_dcm_0.mha", "diameter": 19},
    ]
    write_table(root / "ct_nodules.csv", rows, list(rows[0]))

    assert is_node21(root)
    source = list_node21(root)
    assert [(case.name, case.patient) for case in source.cases] == [
        ("1.3.6.5_dcm_0.mha", "1.3.6.5"),
        ("1.3.6.6_dcm_0.mha", "1.3.6.6"),
    ]
    assert ["1.3.6.5_dcm_11.mha" in p.message for p in source.problems] == [True]
    rated, unrated = (case.read().records[0] for case in source.cases)
    assert rated.attenuation is Attenuation.GROUND_GLASS
    assert rated.malignancy is Malignancy.MALIGNANT
    assert unrated.attenuation is None
    assert rated.diameter_mm == pytest.approx(13.0, abs=0.3)
    assert rated.position_ras_mm == pytest.approx(nodules[1][0], abs=0.2)
