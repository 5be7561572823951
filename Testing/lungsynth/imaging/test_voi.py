"""VOIs: where each voxel comes from and goes to, in volumes of every orientation."""

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.core.volume import Volume
from lungsynth.imaging.voi import (
    anatomical_axes,
    apply_matrices,
    box_taper,
    interpolation_matrix,
    locate_voi,
    reflected,
)

SPL = np.array([[0, 0, 1.0], [0, -1, 0], [-1, 0, 0]])


def middle_ras(shape, matrix, offset_ijk=(3.2, -2.7, 1.6)):
    ijk = (np.array(shape[::-1]) - 1) / 2 + np.array(offset_ijk)
    return tuple((matrix[:3, :3] @ ijk + matrix[:3, 3]).tolist())


def nearest_directions(matrix):
    """Unit vectors along the voxel axes that point nearest to S, P and L."""
    axes = (matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)).T
    both = np.concatenate([axes, -axes])
    return np.stack([both[np.argmax(both @ wanted)] for wanted in SPL])


def test_interpolation_by_hand():
    weights = interpolation_matrix(np.array([0.0, 2.0, 4.0]), np.array([0.5, 2.0, 3.0]), 2.0)

    np.testing.assert_allclose(weights, [[0.75, 0.25, 0], [0, 1, 0], [0, 0.5, 0.5]])
    assert weights.dtype == np.float32


def test_a_wider_kernel_averages_by_hand():
    """Half width 3 over spacing 1 gives 1, 2, 3, 2, 1 ninths."""
    weights = interpolation_matrix(np.arange(7.0), np.array([3.0]), 3.0)

    np.testing.assert_allclose(weights[0] * 9, [0, 1, 2, 3, 2, 1, 0], atol=1e-6)


@pytest.mark.parametrize("half_width", [0.8, 1.7, 3.0])
def test_weights_of_each_target_sum_to_one(half_width):
    weights = interpolation_matrix(np.arange(40) * 0.8, np.linspace(0, 31, 77), half_width)

    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert (weights >= 0).all()


def test_linear_interpolation_reproduces_a_ramp():
    source, target = np.arange(30) * 1.3 - 4, np.linspace(-3.9, 33, 50)
    weights = interpolation_matrix(source, target, 1.3)

    np.testing.assert_allclose(weights @ (3 * source - 7), 3 * target - 7, atol=1e-4)


def test_matrices_agree_with_scipy():
    values = np.random.default_rng(1).normal(size=(9, 11, 13)).astype(np.float32)
    targets = [np.linspace(0.3, n - 1.4, m) for n, m in zip(values.shape, (7, 5, 17), strict=True)]
    matrices = tuple(
        interpolation_matrix(np.arange(float(n)), target, 1.0)
        for n, target in zip(values.shape, targets, strict=True)
    )
    points = np.meshgrid(*targets, indexing="ij")

    np.testing.assert_allclose(
        apply_matrices(matrices, values),
        ndimage.map_coordinates(values, points, order=1),
        atol=1e-5,
    )


def test_reflection_by_hand():
    index = np.array([-6, -4, -2, -1, 0, 2, 3, 4, 6, 8])

    assert reflected(index, 3).tolist() == [0, 2, 1, 0, 0, 2, 2, 1, 0, 2]


def test_a_voi_at_the_corner_sees_the_volume_mirrored():
    """The voxels' faces are the mirror: index -1 is index 0 again."""
    voxels = np.arange(40, dtype=np.float32)[:, None, None] * np.ones((1, 40, 40), np.float32)
    volume = Volume(voxels, np.diag([-1.0, -1.0, 1.0, 1.0]))
    cube = locate_voi(volume, (-20.0, -20.0, 2.0), 32.0).extract(voxels)

    z = 2 + np.arange(64) - 31.5  # the centre of each grid point, halfway between two voxels
    mirrored = np.where(z < -0.5, -1 - z, z)
    mirrored = np.where(z == -0.5, 0, mirrored)
    np.testing.assert_allclose(cube[:, 32, 32], mirrored, atol=1e-5)


def test_axes_of_oblique_and_permuted_volumes(geometry):
    shape, matrix = geometry
    order, flipped = anatomical_axes(Volume(np.zeros(shape, np.int8), matrix))

    assert sorted(order) == [0, 1, 2]
    unit = (matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0))[:, ::-1]
    found = [unit[:, a] * (-1 if f else 1) for a, f in zip(order, flipped, strict=True)]
    np.testing.assert_allclose(found, nearest_directions(matrix))


def test_the_voi_holds_what_lies_at_its_points_in_the_patient(geometry):
    """The volume holds a linear function of RAS, so each VOI voxel tells where it was read."""
    shape, matrix = geometry
    gradient, level = np.array([2.0, -3.0, 5.0]), 11.0
    k, j, i = np.indices(shape)
    ras = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    voxels = (ras @ gradient + level).astype(np.float32)
    centre = middle_ras(shape, matrix)
    box_mm = 21.0

    cube = locate_voi(Volume(voxels, matrix), centre, box_mm).extract(voxels)

    steps = (np.arange(64) - 31.5) * 2 * box_mm / 64
    z, y, x = nearest_directions(matrix) @ gradient
    expected = (
        np.dot(centre, gradient)
        + level
        + steps[:, None, None] * z
        + steps[None, :, None] * y
        + steps[None, None, :] * x
    )
    np.testing.assert_allclose(cube, expected, atol=0.02)


def test_axes_point_to_superior_posterior_and_left(geometry):
    """A blob above, behind and to the left of the centre lands in the last octant."""
    shape, matrix = geometry
    centre = np.array(middle_ras(shape, matrix))
    k, j, i = np.indices(shape)
    ras = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    blob_at = centre + np.array([-11.0, -8.0, 6.0])  # left, posterior, superior
    voxels = np.exp(-np.square(ras - blob_at).sum(axis=-1) / 18).astype(np.float32)

    cube = locate_voi(Volume(voxels, matrix), tuple(centre), 24.0).extract(voxels)
    z, y, x = ndimage.center_of_mass(cube)

    assert min(z, y, x) > 31.5
    offset = (np.array([z, y, x]) - 31.5) * 48 / 64
    expected = nearest_directions(matrix) @ (blob_at - centre)
    np.testing.assert_allclose(offset, expected, atol=0.5)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64, np.int32])
def test_any_type_gives_the_same_cube(dtype):
    values = np.random.default_rng(2).integers(0, 3000, (30, 40, 50))
    volume = Volume(values.astype(dtype), np.diag([-1.0, -1.0, 2.0, 1.0]))
    cube = locate_voi(volume, (-25.0, -20.0, 30.0), 15.0).extract(volume.voxels)

    as_float = values.astype(np.float32)
    np.testing.assert_array_equal(
        cube, locate_voi(volume, (-25.0, -20.0, 30.0), 15.0).extract(as_float)
    )
    assert cube.dtype == np.float32


def test_the_box_holds_exactly_the_voxels_within_it(geometry):
    shape, matrix = geometry
    centre, box_mm = middle_ras(shape, matrix), 19.0
    voi = locate_voi(Volume(np.zeros(shape, np.int8), matrix), centre, box_mm)

    k, j, i = np.indices(shape)
    ijk = np.linalg.inv(matrix[:3, :3]) @ (np.array(centre) - matrix[:3, 3])
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    within = np.ones(shape, bool)
    for index, at, mm in zip((i, j, k), ijk, spacing, strict=True):
        within &= np.abs(index - at) * mm <= box_mm / 2
    boxed = np.zeros(shape, bool)
    (k0, j0, i0), (k1, j1, i1) = voi.box
    boxed[k0:k1, j0:j1, i0:i1] = True
    np.testing.assert_array_equal(boxed, within)


def test_putting_back_brings_each_value_to_its_place(geometry):
    """A linear function on the box grid is that function at the native voxels (off the rim)."""
    shape, matrix = geometry
    box_mm = 66.0  # so coarse a grid that even thick slices are interpolated, not averaged
    ijk = (np.array(shape[::-1]) - 1) / 2 + 0.3
    centre = matrix[:3, :3] @ ijk + matrix[:3, 3]
    voi = locate_voi(Volume(np.zeros(shape, np.int8), matrix), tuple(centre), box_mm)
    steps = (np.arange(32) - 15.5) * box_mm / 32
    g = np.array([1.5, -2.0, 4.0])
    z, y, x = np.meshgrid(steps, steps, steps, indexing="ij")

    native = voi.to_native((g[0] * z + g[1] * y + g[2] * x).astype(np.float32))

    (k0, j0, i0), (k1, j1, i1) = voi.box
    assert native.shape == (k1 - k0, j1 - j0, i1 - i0)
    k, j, i = np.meshgrid(*map(np.arange, (k0, j0, i0), (k1, j1, i1)), indexing="ij")
    ras = np.stack([i, j, k], axis=-1) @ matrix[:3, :3].T + matrix[:3, 3]
    local = (ras - centre) @ nearest_directions(matrix).T
    inside = (np.abs(local) <= 15.5 * box_mm / 32).all(axis=-1)
    assert inside.mean() > 0.7
    np.testing.assert_allclose(native[inside], (local @ g)[inside], atol=0.02)


@pytest.mark.parametrize("offset", [(0.3, 1.2, -0.4), (-38.0, -32.0, -12.0)])
def test_round_trip_is_putting_in_and_cutting_out(geometry, offset):
    """Also at the corner of the volume, where the VOI sees a change and its mirror image."""
    shape, matrix = geometry
    ijk = np.clip((np.array(shape[::-1]) - 1) / 2 + np.array(offset), 1.2, None)
    centre = tuple((matrix[:3, :3] @ ijk + matrix[:3, 3]).tolist())
    full = np.zeros(shape, np.float32)
    voi = locate_voi(Volume(full, matrix), centre, 18.0)
    change = np.random.default_rng(5).normal(size=(32, 32, 32)).astype(np.float32)
    (k0, j0, i0), (k1, j1, i1) = voi.box
    full[k0:k1, j0:j1, i0:i1] = voi.to_native(change)

    np.testing.assert_allclose(
        apply_matrices(voi.round_trip(), change), voi.extract(full), atol=1e-4
    )


def test_what_was_cut_out_comes_back_nearly_as_it_was(geometry):
    """Smooth tissue loses little on its way to the grid and back, off the rim."""
    shape, matrix = geometry
    rng = np.random.default_rng(6)
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)[::-1]
    smooth = ndimage.gaussian_filter(rng.normal(size=shape), 4 / spacing)
    smooth = (100 * smooth / smooth.std()).astype(np.float32)
    voi = locate_voi(Volume(smooth, matrix), middle_ras(shape, matrix), 22.0)

    back = voi.to_native(voi.extract(smooth)[16:48, 16:48, 16:48])

    (k0, j0, i0), (k1, j1, i1) = voi.box
    lost = (back - smooth[k0:k1, j0:j1, i0:i1])[1:-1, 2:-2, 2:-2]
    assert lost.std() < 12  # of 100


def test_taper_is_nothing_at_the_faces_and_one_within():
    taper = box_taper(4)

    line = taper[:, 16, 16]
    ramp = np.array([0.5, 1.5, 2.5, 3.5]) / 4.5
    np.testing.assert_allclose(line[:4], 3 * ramp**2 - 2 * ramp**3, rtol=1e-5)
    np.testing.assert_array_equal(taper[4:28, 4:28, 4:28], 1)
    assert taper[0].max() < 0.04
    np.testing.assert_array_equal(taper, taper[::-1])
    np.testing.assert_allclose(taper, taper.transpose(2, 0, 1), rtol=1e-6)
