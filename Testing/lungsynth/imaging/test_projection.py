"""Projection of a CT nodule: line integrals by hand, on anisotropic voxels and turned."""

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.projection import VIEWS, background_hu, draw_rotation
from lungsynth.imaging.projection import project_nodule as project_blurred

PER_HU_MM = 0.02 / 1000  # attenuation of water over 1 mm, and the HU between air and water


def project_nodule(*args, **options):
    """Without unsharpness, for values by hand."""
    return project_blurred(*args, **{"blur_mm": 0.0, **options})


def block(spacing=(1.0, 1.0, 1.0), hu=50.0, lung=-850.0):
    """A block of 6 x 10 x 4 voxels (z, y, x) in lung."""
    cube = np.full((24, 24, 24), lung, np.float32)
    mask = np.zeros(cube.shape, bool)
    mask[9:15, 7:17, 10:14] = True
    cube[mask] = hu
    return cube, mask, spacing


def ball(radius_mm, spacing=(2.0, 1.0, 0.8), hu=30.0):
    shape = [2 * int(np.ceil(radius_mm / s)) + 9 for s in spacing]
    axes = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    mask = z**2 + y**2 + x**2 <= radius_mm**2
    return np.where(mask, hu, -850.0), mask, spacing


def total(projection):
    """Sum of excess attenuation times area: 1/mm times mm^3."""
    return float(projection.attenuation.sum()) * projection.pixel_mm**2


def test_a_block_by_hand():
    """10 voxels of 1 mm along the beam, 900 HU above the lung: 10 * 900 * 0.02 / 1000 = 0.18."""
    made = project_nodule(*block(), pixel_mm=1.0)
    middle = made.attenuation.shape[0] // 2

    assert made.attenuation[middle, middle] == pytest.approx(0.18, rel=1e-5)
    # 6 rows and 4 columns, an even number about the middle of a pixel: half pixels at the rim
    assert made.attenuation.sum() == pytest.approx(6 * 4 * 0.18, rel=1e-4)


def test_rows_are_z_and_columns_x():
    made = project_nodule(*block(), pixel_mm=0.5)
    rows, columns = (np.flatnonzero(made.mask.max(axis=a) > 0.5) for a in (1, 0))

    assert len(rows) == pytest.approx(12, abs=1)
    assert len(columns) == pytest.approx(8, abs=1)


def test_rows_run_down_and_columns_to_the_left():
    """The densest corner lies at the head (high z) and on the left (high x)."""
    cube, mask, spacing = block()
    cube[12:15, :, 12:14] += 300 * mask[12:15, :, 12:14]
    made = project_nodule(cube, mask, spacing, 1.0)
    row, column = np.unravel_index(np.argmax(made.attenuation), made.attenuation.shape)
    middle = made.attenuation.shape[0] // 2

    assert row < middle
    assert column > middle


def test_voxels_that_are_not_cubes_count_by_their_size():
    """Along the beam 10 voxels of 0.6 mm; 6 rows of 2.5 mm, 4 columns of 0.7 mm."""
    cube, mask, _ = block()
    made = project_nodule(cube, mask, (2.5, 0.6, 0.7), 0.35)
    middle = made.attenuation.shape[0] // 2
    rows, columns = (np.flatnonzero(made.mask.max(axis=a) > 0.5) for a in (1, 0))

    assert made.attenuation[middle, middle] == pytest.approx(6 * 900 * PER_HU_MM, rel=1e-4)
    assert len(rows) * 0.35 == pytest.approx(6 * 2.5, abs=0.7)
    assert len(columns) * 0.35 == pytest.approx(4 * 0.7, abs=0.7)


@pytest.mark.parametrize("pixel_mm", [0.3, 1.0, 1.7])
def test_what_is_added_in_all_does_not_depend_on_pixel_or_rotation(pixel_mm):
    """Excess times volume survives any projection: 880 HU in every voxel of the ball."""
    cube, mask, spacing = ball(9.0)
    expected = int(mask.sum()) * np.prod(spacing) * 880 * PER_HU_MM

    straight = project_nodule(cube, mask, spacing, pixel_mm)
    turned = project_nodule(cube, mask, spacing, pixel_mm, draw_rotation(np.random.default_rng(3)))

    assert total(straight) == pytest.approx(expected, rel=0.02)
    assert total(turned) == pytest.approx(expected, rel=0.02)


def test_a_ball_has_its_chord_in_the_middle_and_its_diameter_in_the_mask():
    made = project_nodule(*ball(9.0, spacing=(1.0, 1.0, 1.0)), pixel_mm=0.4)
    middle = made.attenuation.shape[0] // 2

    assert made.attenuation[middle, middle] == pytest.approx(19 * 880 * PER_HU_MM, rel=0.02)
    assert ellipse_diameter(made.mask) * 0.4 == pytest.approx(18, abs=0.8)


def test_scaling_makes_it_wider_and_denser():
    """Twice as large: 8 times the volume, twice the way along the beam, twice the diameter."""
    plain = project_nodule(*ball(6.0), pixel_mm=0.5)
    large = project_nodule(*ball(6.0), pixel_mm=0.5, scale=2.0)

    assert total(large) / total(plain) == pytest.approx(8, rel=0.02)
    assert large.attenuation.max() / plain.attenuation.max() == pytest.approx(2, rel=0.02)
    ratio = ellipse_diameter(large.mask) / ellipse_diameter(plain.mask)
    assert ratio == pytest.approx(2, rel=0.03)


def test_the_lateral_view_looks_along_x():
    cube, mask, spacing = block()
    made = project_nodule(cube, mask, spacing, 1.0, VIEWS["lateral"])
    middle = made.attenuation.shape[0] // 2

    assert made.attenuation[middle, middle] == pytest.approx(4 * 900 * PER_HU_MM, rel=1e-4)
    assert made.attenuation.sum() == pytest.approx(6 * 10 * 4 * 900 * PER_HU_MM, rel=1e-3)


def test_a_rotation_in_the_plane_turns_the_picture():
    """A quarter turn about the beam: what ran along z runs along x."""
    quarter = np.array([[0, 0, 1.0], [0, 1.0, 0], [-1.0, 0, 0]])  # x becomes z, z becomes -x
    cube, mask, spacing = block()
    cube[14, :, 13] += 500 * mask[14, :, 13]  # one edge is marked
    straight = project_nodule(cube, mask, spacing, 0.5, background=-850.0).attenuation
    turned = project_nodule(cube, mask, spacing, 0.5, quarter, background=-850.0).attenuation

    np.testing.assert_allclose(turned, ndimage.rotate(straight, 90, order=1), atol=5e-3)


def test_nothing_is_taken_away_and_nothing_beside_the_nodule_is_added():
    """A cavity is not below the lung; a rib beside the nodule does not come along."""
    cube, mask, spacing = block()
    cube[11:13, 10:13, 11:13] = -1000  # air in the middle, thinner than lung
    cube[:, :, :8] = 700
    made = project_nodule(cube, mask, spacing, 0.5)

    assert made.attenuation.min() == 0
    assert made.attenuation.max() == pytest.approx(10 * 900 * PER_HU_MM, rel=1e-4)
    assert made.attenuation[made.mask == 0].max(initial=0) < 0.18 * 0.5


def test_the_background_is_the_lung_around_and_not_the_wall():
    cube, mask, spacing = block(lung=-780.0)
    cube[:, :, :10] = 40.0

    assert background_hu(cube, mask, spacing) == -780.0


def test_the_background_is_assumed_where_there_is_no_lung():
    cube, mask, spacing = block(lung=0.0)

    assert background_hu(cube, mask, spacing) == -850.0


def test_rotations_are_rotations_and_follow_the_seed():
    turn = draw_rotation(np.random.default_rng(11))

    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_array_equal(turn, draw_rotation(np.random.default_rng(11)))
    assert np.abs(turn - draw_rotation(np.random.default_rng(12))).max() > 0.1


def test_an_empty_mask_and_a_length_of_nothing_are_refused():
    cube, mask, spacing = block()

    with pytest.raises(LungSynthError, match="one voxel at least"):
        project_nodule(cube, np.zeros_like(mask), spacing, 1.0)
    with pytest.raises(LungSynthError, match="must be positive"):
        project_nodule(cube, mask, (1.0, 0.0, 1.0), 1.0)


def test_unsharpness_spreads_what_is_added_and_keeps_the_sum_and_the_mask():
    """Variances add: that along the rows grows by 0.8^2 mm^2."""

    def variance(made):
        by_row = made.attenuation.sum(axis=1) / made.attenuation.sum()
        at = (np.arange(len(by_row)) - len(by_row) // 2) * made.pixel_mm
        return by_row @ at**2 - (by_row @ at) ** 2

    sharp = project_nodule(*ball(6.0), pixel_mm=0.25)
    soft = project_nodule(*ball(6.0), pixel_mm=0.25, blur_mm=0.8)

    assert variance(soft) - variance(sharp) == pytest.approx(0.64, rel=0.02)
    assert total(soft) == pytest.approx(total(sharp), rel=1e-3)
    assert soft.mask.sum() == sharp.mask.sum()


@pytest.mark.parametrize("even_side", [False, True])
def test_the_centre_of_mass_comes_to_the_middle_of_the_picture(even_side):
    """Of a mask that is not symmetric: a block with a thin tail on one side."""
    mask = np.zeros((24, 24, 24), bool)
    mask[9:15, 9:15, 9:15] = True
    mask[12, 12, 15:21] = True
    made = project_nodule(np.where(mask, 50.0, -850.0), mask, (1, 1, 1), 0.5, even_side=even_side)
    at = np.arange(len(made.mask)) - (len(made.mask) - 1) / 2

    assert len(made.mask) % 2 == (not even_side)
    for axis in (0, 1):
        line = made.attenuation.sum(axis=1 - axis)
        assert line @ at / line.sum() == pytest.approx(0, abs=0.1)
