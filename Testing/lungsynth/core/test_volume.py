"""Volumes: geometry by hand, and what is no volume."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume

# i runs to -R by 0.5 mm, j to S by 2 mm, k to -A by 3 mm
MATRIX = np.array([[-0.5, 0, 0, 10], [0, 0, -3.0, 20], [0, 2.0, 0, 30], [0, 0, 0, 1]])


def test_indices_and_millimetres_by_hand():
    volume = Volume(np.zeros((4, 5, 6)), MATRIX)

    np.testing.assert_allclose(volume.ijk_to_ras_mm((2, 3, 1)), (9, 17, 36))
    np.testing.assert_allclose(volume.ras_to_ijk((9, 17, 36)), (2, 3, 1), atol=1e-12)
    np.testing.assert_allclose(volume.spacing_mm, (0.5, 2, 3))
    assert volume.voxel_mm3 == pytest.approx(3.0)


def test_many_points_at_once_are_the_points_one_by_one():
    volume = Volume(np.zeros((4, 5, 6)), MATRIX)
    points = np.random.default_rng(0).normal(size=(2, 3, 3)) * 50

    found = volume.ras_to_ijk(points)
    np.testing.assert_allclose(found[1, 2], volume.ras_to_ijk(points[1, 2]))
    np.testing.assert_allclose(volume.ijk_to_ras_mm(found), points)


def test_voxels_are_shared_not_copied():
    voxels = np.zeros((4, 5, 6), np.int16)
    assert Volume(voxels, MATRIX).voxels is voxels


@pytest.mark.parametrize(
    ("shape", "matrix", "message"),
    [
        ((5, 6), MATRIX, r"3-D .* got shape \(5, 6\)"),
        ((4, 5, 6, 1), MATRIX, "must be 3-D"),
        ((4, 0, 6), MATRIX, "at least one voxel"),
        ((4, 5, 6), np.eye(3), "finite 4 x 4 matrix"),
        ((4, 5, 6), np.diag([1, np.nan, 1, 1]), "finite 4 x 4 matrix"),
        ((4, 5, 6), np.diag([1.0, 0, 1, 1]), "spacing must be positive"),
        (
            (4, 5, 6),
            np.diag([1.0, 1, 1, 2]),
            r"last row of ijk_to_ras must be \(0, 0, 0, 1\); got \(0, 0, 0, 2\)",
        ),
        (
            (4, 5, 6),
            np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0.5, 1]]),
            r"got \(0, 0, 0.5, 1\)",
        ),
        (
            (4, 5, 6),
            np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
            "spacing",
        ),
    ],
)
def test_what_is_no_volume_is_refused(shape, matrix, message):
    with (
        np.errstate(invalid="ignore", divide="ignore"),
        pytest.raises(LungSynthError, match=message),
    ):
        Volume(np.zeros(shape), matrix)
