"""Reading nodule cubes: a small archive written by hand, refusals, and the real data."""

import csv

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation
from lungsynth.data.nodule_cubes import NoduleCubes, attenuation_from_texture


def rows_of(count, texture="5.0", ambiguous="0.0"):
    return [
        {"patient": f"P{n}", "series_uid": str(n), "texture": texture, "ambiguous": ambiguous}
        for n in range(count)
    ]


def box_mask(low, high):
    mask = np.zeros((48, 48, 48), bool)
    mask[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = True
    return mask


@pytest.fixture
def load(write_cubes, tmp_path):
    """Write masks over air as a val split and read them back."""

    def loaded(masks, rows=None):
        hu = [np.full((48, 48, 48), -1024)] * len(masks)
        write_cubes(tmp_path, "val", hu, masks, rows or rows_of(len(masks)))
        return NoduleCubes.load(tmp_path, "val")

    return loaded


def test_bytes_become_hu_and_bits_a_mask(tmp_path):
    """HU = 8 v - 1024; bits are packed from the first, z slowest."""
    hu8 = np.zeros((1, 48, 48, 48), np.uint8)
    hu8[0, 1, 2, 3], hu8[0, 47, 47, 47] = 128, 255
    packed = np.zeros((1, 48**3 // 8), np.uint8)
    packed[0, 0] = 0b0100_0000  # the second voxel along x
    packed[0, 48 * 48 // 8] = 0b1000_0000  # the first of the second slice
    np.savez(tmp_path / "test.npz", hu8=hu8, mask=packed)
    (tmp_path / "test.csv").write_text("ambiguous,patient,texture,series_uid\n0,A,5,1.2\n")
    cubes = NoduleCubes.load(tmp_path, "test")

    assert cubes.hu.dtype == np.int16
    assert (cubes.hu[0, 1, 2, 3], cubes.hu[0, 47, 47, 47], cubes.hu[0, 0, 0, 0]) == (0, 1016, -1024)
    assert np.argwhere(cubes.mask).tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
    assert len(cubes) == 1


def test_diameter_density_and_centre_by_hand(load):
    cubes = load([box_mask((20, 22, 21), (28, 26, 30)), box_mask((23, 23, 23), (25, 25, 25))])

    np.testing.assert_allclose(cubes.diameter_mm, np.cbrt(6 * np.array([288, 8]) / np.pi))
    np.testing.assert_allclose(cubes.mean_hu, [-1024, -1024])
    assert cubes.centre(0).tolist() == [23.5, 23.5, 25.0]


@pytest.mark.parametrize(
    ("texture", "expected"),
    [
        (1, "ground-glass"),
        (2.49, "ground-glass"),
        (2.5, "part-solid"),
        (4.49, "part-solid"),
        (4.5, "solid"),
        (5, "solid"),
    ],
)
def test_classes_part_at_2_5_and_4_5(texture, expected):
    assert attenuation_from_texture(texture) is Attenuation(expected)


def test_missing_or_ambiguous_ratings_have_no_class(load):
    mask = box_mask((20, 20, 20), (28, 28, 28))
    rows = rows_of(4)
    rows[1]["texture"] = ""
    rows[2]["ambiguous"] = "1.0"
    rows[3]["ambiguous"] = ""
    cubes = load([mask] * 4, rows)

    assert cubes.attenuation == [Attenuation.SOLID, None, None, None]
    assert cubes.usable.tolist() == [True, False, False, False]


def test_which_masks_are_usable(load):
    good = box_mask((20, 20, 20), (28, 28, 28))  # 512 voxels
    crumbs, pieces = good.copy(), good.copy()
    crumbs[18, 18, 18:28] = True  # 10 of 522: below 5 %
    pieces[31:34, 20:28, 20:28] = True
    cubes = load(
        [
            good,
            np.zeros_like(good),
            crumbs,
            pieces,
            box_mask((0, 20, 20), (48, 28, 28)),  # touches faces
            box_mask((24, 20, 20), (32, 28, 28)),  # its middle is 4 off: just allowed
            box_mask((25, 20, 20), (33, 28, 28)),  # 5 off
            box_mask((20, 20, 15), (28, 28, 23)),  # 5 off the other way
        ]
    )

    assert cubes.usable.tolist() == [True, False, True, False, False, True, False, False]


def test_a_cube_as_a_volume_has_its_middle_at_the_origin(cubes_folder):
    """Its axes (z, y, x) point to S, P and L: index + 1 is +1 mm S, -1 mm A, -1 mm R."""
    cubes = NoduleCubes.load(cubes_folder, "train")
    volume = cubes.cube_volume(2)

    np.testing.assert_allclose(volume.ijk_to_ras_mm((23.5, 23.5, 23.5)), 0, atol=1e-12)
    np.testing.assert_allclose(volume.ijk_to_ras_mm((24.5, 25.5, 26.5)), (-1, -2, 3))
    np.testing.assert_array_equal(volume.voxels, cubes.hu[2])


def test_missing_files_are_named(cubes_folder, tmp_path):
    with pytest.raises(LungSynthError, match=r"val.npz: not found; nodule cubes need val.npz and"):
        NoduleCubes.load(cubes_folder, "val")
    (tmp_path / "train.npz").write_bytes((cubes_folder / "train.npz").read_bytes())
    with pytest.raises(LungSynthError, match=r"train.csv: not found"):
        NoduleCubes.load(tmp_path, "train")


def test_a_table_of_another_length_is_refused(cubes_folder, tmp_path):
    (tmp_path / "train.npz").write_bytes((cubes_folder / "train.npz").read_bytes())
    lines = (cubes_folder / "train.csv").read_text(encoding="utf-8").splitlines()
    (tmp_path / "train.csv").write_text("\n".join(lines[:-2]) + "\n", encoding="utf-8")
    with pytest.raises(LungSynthError, match=r"train.csv: 7 rows for 9 cubes in train.npz"):
        NoduleCubes.load(tmp_path, "train")


@pytest.mark.parametrize("kind", ["text", "empty", "truncated", "other arrays", "pickled objects"])
def test_what_is_no_archive_of_cubes_is_refused(cubes_folder, tmp_path, kind):
    path = tmp_path / "train.npz"
    (tmp_path / "train.csv").write_bytes((cubes_folder / "train.csv").read_bytes())
    if kind == "text":
        path.write_text("nodules", encoding="utf-8")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes((cubes_folder / "train.npz").read_bytes()[:5000])
    elif kind == "other arrays":
        np.savez(path, images=np.zeros(3))
    else:
        np.savez(path, hu8=np.array([{}], dtype=object), mask=np.zeros((1, 3), np.uint8))
    with pytest.raises(LungSynthError, match=r"train.npz: not an archive of nodule cubes"):
        NoduleCubes.load(tmp_path, "train")


def test_missing_columns_are_named(cubes_folder, tmp_path):
    (tmp_path / "train.npz").write_bytes((cubes_folder / "train.npz").read_bytes())
    (tmp_path / "train.csv").write_text("patient,ambiguous\n" + "A,0\n" * 9)
    with pytest.raises(
        LungSynthError,
        match=r"train.csv: lacks the columns series_uid, texture; needed are patient, series_uid, "
        "texture, ambiguous",
    ):
        NoduleCubes.load(tmp_path, "train")
    (tmp_path / "train.csv").write_bytes(b"")
    with pytest.raises(LungSynthError, match="lacks the columns patient, series_uid, texture, amb"):
        NoduleCubes.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("column", "value"), [("texture", "solid"), ("texture", "nan"), ("ambiguous", "no")]
)
def test_a_rating_that_is_no_number_is_named_with_its_row(load, column, value):
    rows = rows_of(2)
    rows[1][column] = value
    with pytest.raises(LungSynthError, match=rf"val.csv: {column} in row 2 is '{value}'; a number"):
        load([box_mask((20, 20, 20), (28, 28, 28))] * 2, rows)


def test_a_table_that_is_no_text_is_refused(cubes_folder, tmp_path):
    (tmp_path / "train.npz").write_bytes((cubes_folder / "train.npz").read_bytes())
    (tmp_path / "train.csv").write_bytes(b"patient\xff\xfe,texture\n")
    with pytest.raises(LungSynthError, match=r"train.csv: not a readable table in UTF-8"):
        NoduleCubes.load(tmp_path, "train")


def test_a_table_that_a_spreadsheet_wrote_is_read(cubes_folder, tmp_path):
    """It puts a mark before the first column's name."""
    (tmp_path / "train.npz").write_bytes((cubes_folder / "train.npz").read_bytes())
    table = (cubes_folder / "train.csv").read_bytes()
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + table)

    assert [row["patient"] for row in NoduleCubes.load(tmp_path, "train").table][:3] == [
        *("P0", "P0", "P1")
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"hu8": np.zeros((2, 48, 48, 48), np.int16)},
            r"'hu8' is int16 of shape \(2, 48, 48, 48\); uint8 of shape \(N, 48, 48, 48\) is",
        ),
        ({"hu8": np.zeros((2, 32, 32, 32), np.uint8)}, r"'hu8' is uint8 of shape \(2, 32, 32, 32"),
        ({"hu8": np.uint8(3)}, r"'hu8' is uint8 of shape \(\)"),
        (
            {"mask": np.zeros((2, 48, 48, 48), bool)},
            r"'mask' is bool of shape \(2, 48, 48, 48\); uint8 of shape \(N, 13824\) is needed",
        ),
        ({"mask": np.zeros((2, 13823), np.uint8)}, r"'mask' is uint8 of shape \(2, 13823\)"),
        ({"mask": np.zeros((3, 13824), np.uint8)}, "2 cubes in 'hu8', but 3 in 'mask'"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path, changed, message):
    arrays = {"hu8": np.zeros((2, 48, 48, 48), np.uint8), "mask": np.zeros((2, 13824), np.uint8)}
    np.savez(tmp_path / "val.npz", **{**arrays, **changed})
    (tmp_path / "val.csv").write_text("patient,series_uid,texture,ambiguous\nA,1,5,0\nB,2,5,0\n")
    with pytest.raises(LungSynthError, match=rf"val.npz: {message}"):
        NoduleCubes.load(tmp_path, "val")


@pytest.mark.parametrize(("split", "count"), [("train", 790), ("val", 95), ("test", 131)])
def test_the_real_nodules_are_as_their_tables_say(shared_data, split, count):
    cubes = NoduleCubes.load(shared_data / "ct_nodules", split)
    with (shared_data / "ct_nodules" / f"{split}.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))

    assert len(cubes) == count
    told = [float(row["mask_equivalent_diameter_mm"]) for row in rows]
    np.testing.assert_allclose(cubes.diameter_mm, told, atol=0.01)
    told = [float(row["mask_mean_hu"]) for row in rows]
    np.testing.assert_allclose(cubes.mean_hu, told, atol=5)
    kinds = {"train": (39, 89, 521), "val": (1, 14, 59), "test": (13, 21, 81)}[split]
    found = [
        cubes.attenuation.count(Attenuation(a)) for a in ("ground-glass", "part-solid", "solid")
    ]
    assert tuple(found) == kinds
