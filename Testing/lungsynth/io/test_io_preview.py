"""The preview shows the patient the right way round, whatever the volume's axes."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.io.font import HEIGHT, WIDTH, draw_text, text_dots
from lungsynth.io.preview import TILE, plane_points, preview_picture, sample, write_preview

CENTRE = np.array([5.0, -7.0, 11.0])
RADIOLOGICAL = {
    # plane: columns run to, rows run to
    "axial": [(-1, 0, 0), (0, -1, 0)],
    "coronal": [(-1, 0, 0), (0, 0, -1)],
    "sagittal": [(0, -1, 0), (0, 0, -1)],
}


def chest(axes):
    """Return a volume with a blob 15 mm to the left, one anterior, one superior of CENTRE.

    Args:
        axes: Rows of the matrix's rotation and scale: a 3 x 3 matrix to RAS.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = axes
    shape = np.array([44, 48, 52])  # k, j, i
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ ((shape[::-1] - 1) / 2)
    volume = Volume(np.full(shape, -900, np.float32), matrix)
    k, j, i = np.indices(shape)
    points = volume.ijk_to_ras_mm(np.stack([i, j, k], -1))
    for offset, hu in (((-15, 0, 0), -100), ((0, 15, 0), -300), ((0, 0, 15), -500)):
        volume.voxels[np.linalg.norm(points - CENTRE - offset, axis=-1) < 5] = hu
    return volume


AXES = {
    "ras": np.diag([1.4, 1.3, 1.6]),
    "lps": np.diag([-1.4, -1.3, 1.6]),
    "permuted": np.array([[0, 0, -1.4], [1.3, 0, 0], [0, -1.6, 0]]),
}


@pytest.mark.parametrize("axes", AXES.values(), ids=AXES)
def test_left_is_right_anterior_and_superior_are_up(axes):
    volume = chest(axes)
    planes = {
        name: sample(volume, plane_points(CENTRE, np.array(axes, float), 60.0))
        for name, axes in RADIOLOGICAL.items()
    }
    quarter = TILE // 4  # 15 mm of a 60 mm field
    half = TILE // 2

    assert planes["axial"][half, half + quarter] == pytest.approx(-100, abs=1)
    assert planes["axial"][half - quarter, half] == pytest.approx(-300, abs=1)
    assert planes["axial"][half, half - quarter] == pytest.approx(-900, abs=1)
    assert planes["coronal"][half, half + quarter] == pytest.approx(-100, abs=1)
    assert planes["coronal"][half - quarter, half] == pytest.approx(-500, abs=1)
    assert planes["sagittal"][half, half - quarter] == pytest.approx(-300, abs=1)
    assert planes["sagittal"][half - quarter, half] == pytest.approx(-500, abs=1)


def test_picture_is_the_same_for_a_flipped_and_permuted_volume(make_insertion):
    """The same voxels in another order are the same patient."""
    volume = chest(AXES["ras"])
    turned = Volume(
        np.ascontiguousarray(volume.voxels.transpose(2, 0, 1)[::-1, :, ::-1]),
        volume.ijk_to_ras
        # (i', j', k') = (J - 1 - j, k, I - 1 - i)
        @ np.array([[0, 0, -1, 51], [-1, 0, 0, 47], [0, 1, 0, 0], [0, 0, 0, 1]], float),
    )
    pictures = [
        preview_picture(one, one, [make_insertion(one, CENTRE, 9.0)]).astype(int)
        for one in (volume, turned)
    ]

    assert pictures[0].shape == pictures[1].shape
    # rounding may move single pixels of the outline
    assert np.mean(np.abs(pictures[0] - pictures[1]).max(axis=-1) > 2) < 1e-3


def test_millimetres_are_square_in_an_anisotropic_volume(make_insertion):
    volume = chest(np.diag([0.7, 0.7, 2.5]))
    insertion = make_insertion(volume, CENTRE, 20.0)
    after = Volume(volume.voxels.copy(), volume.ijk_to_ras)
    after.voxels[insertion.slices][insertion.mask] = 100

    for axes in RADIOLOGICAL.values():
        plane = sample(after, plane_points(CENTRE, np.array(axes, float), 60.0))
        bright = plane > 0
        across = np.ptp(np.nonzero(bright)[1]) + 1
        down = np.ptp(np.nonzero(bright)[0]) + 1
        # 20 mm of 60 mm are 80 of 240 pixels; a voxel is up to 10
        assert across == pytest.approx(80, abs=10)
        assert down == pytest.approx(80, abs=10)


def test_beyond_the_volume_is_black():
    volume = chest(AXES["ras"])
    plane = sample(volume, plane_points(CENTRE, np.array(RADIOLOGICAL["axial"], float), 300.0))

    assert plane[0, 0] == -1350
    assert plane[TILE // 2, TILE // 2] > -1000


def test_preview_is_a_png_of_many_nodules(tmp_path, make_insertion):
    volume = chest(AXES["lps"])
    insertions = [make_insertion(volume, CENTRE + np.array([n % 4, 0, 0]), 6.0) for n in range(12)]

    write_preview(volume, volume, insertions, tmp_path / "größe.png")
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "größe.png")))

    np.testing.assert_array_equal(image, preview_picture(volume, volume, insertions))
    assert image.shape[0] < 5 * 900  # ten of the twelve, in pairs


def test_preview_of_nothing_and_of_another_suffix(tmp_path):
    volume = chest(AXES["ras"])

    assert preview_picture(volume, volume, []).any()
    with pytest.raises(LungSynthError, match=r"a preview is a \.png"):
        write_preview(volume, volume, [], tmp_path / "a.jpg")


def test_letter_is_drawn_as_its_dots():
    l_shape = np.zeros((HEIGHT, WIDTH), bool)
    l_shape[:7, 0] = True
    l_shape[6, :5] = True

    np.testing.assert_array_equal(text_dots("L"), l_shape)
    np.testing.assert_array_equal(text_dots("Ĺ"), l_shape)
    np.testing.assert_array_equal(text_dots("結"), text_dots("?"))
    assert text_dots("ab", scale=3).shape == (3 * HEIGHT, 2 * 3 * WIDTH)


def test_text_is_cut_at_the_edge():
    picture = np.zeros((10, 10, 3), np.uint8)

    draw_text(picture, "a long text", (4, 4))

    assert picture.any()
