"""The lung mask is a matter of the patient, not of how the voxels happen to lie."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.imaging import lungmask_net
from lungsynth.imaging.coarse import CoarseGrid, close_by_ball
from lungsynth.imaging.lungs import find_lungs, lung_mask, split_lungs
from lungsynth.imaging.phantom import SMALL, thorax_phantom


@pytest.fixture(scope="module")
def phantom():
    return thorax_phantom(0, **SMALL)


@pytest.fixture(scope="module")
def mask(phantom):
    return lung_mask(phantom)


def dice(one, other):
    return 2 * np.sum(one & other) / (one.sum() + other.sum())


def value_at(mask, volume, ras_mm):
    """The mask's voxel at a point."""
    i, j, k = np.rint(volume.ras_to_ijk(ras_mm)).astype(int)
    return bool(mask[k, j, i])


def resampled(volume, ijk_to_ras, shape):
    """The same patient on another grid, by linear interpolation; air outside."""
    matrix = np.linalg.inv(volume.ijk_to_ras) @ ijk_to_ras
    swap = np.eye(4)[[2, 1, 0, 3]]
    voxels = ndimage.affine_transform(
        volume.voxels.astype(np.float32),
        swap @ matrix @ swap,
        output_shape=shape,
        order=1,
        cval=-1000,
    )
    return Volume(voxels, ijk_to_ras)


def with_ball(volume, ras_mm, diameter_mm, hu=40):
    """A ball put into a volume; returns the volume and the ball's voxels."""
    k, j, i = np.indices(volume.voxels.shape)
    away = volume.ijk_to_ras_mm(np.stack([i, j, k], -1)) - ras_mm
    ball = np.linalg.norm(away, axis=-1) <= diameter_mm / 2
    return Volume(np.where(ball, np.int16(hu), volume.voxels), volume.ijk_to_ras), ball


def test_lungs_are_in_and_everything_else_is_out(phantom, mask):
    inside = [(80, 10, 20), (-85, -20, 20), (60, -60, -40), (-50, 30, 60)]
    trachea, stomach_gas, heart, liver = (
        (0, -4, 110),
        (-62, 22, -108),
        (-24, 22, -50),
        (70, 10, -110),
    )
    outside = [trachea, stomach_gas, heart, liver, (0, 122, 0), (0, -70, 20)]

    assert all(value_at(mask, phantom, point) for point in inside)
    assert not any(value_at(mask, phantom, point) for point in outside)
    assert 2.0 < mask.sum() * phantom.voxel_mm3 / 1e6 < 5.0


def test_right_is_right_and_zones_hold_a_third_each(phantom):
    lungs = find_lungs(phantom)
    zones = lungs.zones()

    for side, sign in ((1, 1), (2, -1)):
        assert np.sign(lungs.grid.to_ras_mm(np.argwhere(lungs.sides == side))[:, 0].mean()) == sign
    counts = np.bincount(zones.ravel(), minlength=7)[1:]
    shares = counts.reshape(2, 3) / counts.reshape(2, 3).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, 1 / 3, atol=0.05)
    heights = [lungs.grid.to_ras_mm(np.argwhere(zones == zone))[:, 2].mean() for zone in (1, 2, 3)]
    assert heights[0] > heights[1] > heights[2]


@pytest.mark.parametrize(
    ("axes", "flip"),
    [
        ((0, 1, 2), (True, False, True)),
        ((2, 1, 0), (False, True, True)),
        ((1, 2, 0), (True, True, True)),
    ],
)
def test_axes_and_flips_do_not_matter(phantom, mask, axes, flip):
    """A voxel array stored in another order gives exactly the same lungs."""
    index = tuple(slice(None, None, -1 if f else 1) for f in flip)
    matrix = phantom.ijk_to_ras.copy()
    native = matrix[:, [2, 1, 0]]  # columns along K, J, I
    origin = matrix[:, 3] + sum(
        native[:, a] * (phantom.voxels.shape[a] - 1) for a in range(3) if flip[a]
    )
    native = native * np.where(flip, -1, 1)
    moved = np.column_stack([native[:, list(axes)][:, ::-1], origin])
    volume = Volume(phantom.voxels[index].transpose(axes), moved)

    found = lung_mask(volume)

    back = found.transpose(np.argsort(axes))[index]
    assert dice(back, mask) > 0.995


@pytest.mark.parametrize(
    ("spacing", "degrees"), [((3.1, 1.7, 2.6), (0, 0)), ((2.0, 2.5, 3.5), (14, -9))]
)
def test_oblique_and_anisotropic_copies_give_the_same_lungs(phantom, mask, spacing, degrees):
    yaw, pitch = np.deg2rad(degrees)
    turn = np.array([[np.cos(yaw), -np.sin(yaw), 0], [np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ tilt @ np.diag([spacing[0], -spacing[1], spacing[2]])
    shape = tuple(
        int(extent / step) for extent, step in zip((310, 270, 330), spacing[::-1], strict=True)
    )
    matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape[::-1]) - 1) / 2
    copy = resampled(phantom, matrix, shape)

    found = Volume(lung_mask(copy).astype(np.float32), matrix)

    back = resampled(found, phantom.ijk_to_ras, phantom.voxels.shape).voxels > 0.5
    assert dice(back, mask) > 0.98


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.float64])
def test_type_of_the_voxels_does_not_matter(phantom, mask, dtype):
    found = lung_mask(Volume(phantom.voxels.astype(dtype), phantom.ijk_to_ras))

    np.testing.assert_array_equal(found, mask)


def test_same_input_same_mask(phantom, mask):
    np.testing.assert_array_equal(lung_mask(phantom), mask)


@pytest.mark.parametrize("diameter_mm", [6, 8, 10, 15, 20])
def test_nodule_at_the_pleura_belongs_to_the_lung(phantom, mask, diameter_mm):
    """Half sunk into the costal pleura it would be cut away by a threshold."""
    along = np.arange(0, 150, 0.5)
    edge = max(x for x in along if value_at(mask, phantom, (x, -20, 15)))
    volume, ball = with_ball(phantom, (edge - 0.45 * diameter_mm, -20, 15), diameter_mm)

    found = lung_mask(volume)

    # Of a small ball, the voxels that the pleura cuts are a large share.
    off_wall = ndimage.binary_erosion(mask, np.ones((1, 3, 3)))
    assert np.mean(found[ball & off_wall]) > 0.97
    assert np.mean(found[ball & mask]) > (0.9 if diameter_mm >= 10 else 0.65)
    assert np.mean(volume.voxels[ball & mask] < -400) == 0


def test_padding_that_the_trachea_opens_into_does_not_lead_into_the_lungs(phantom, mask):
    """Slices of nothing, above and below: the neck is open, and the air beside it narrow."""
    padded = np.pad(phantom.voxels, ((6, 6), (0, 0), (0, 0)), constant_values=-1000)
    matrix = phantom.ijk_to_ras.copy()
    matrix[:3, 3] = phantom.ijk_to_ras_mm([0, 0, -6])

    found = lung_mask(Volume(padded, matrix))

    assert dice(found[6:-6], mask) > 0.995
    assert not found[:6].any()
    assert not found[-6:].any()


def test_cropping_to_the_lungs_does_not_matter(phantom, mask):
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    k, j, i = (slice(max(0, s.start - 3), s.stop + 3) for s in box)
    matrix = phantom.ijk_to_ras.copy()
    matrix[:3, 3] = phantom.ijk_to_ras_mm([i.start, j.start, k.start])

    found = lung_mask(Volume(phantom.voxels[k, j, i], matrix))

    assert dice(found, mask[k, j, i]) > 0.98


def test_lungs_cut_by_the_top_and_bottom_are_still_lungs(phantom, mask):
    middle = slice(20, 44)

    found = lung_mask(Volume(phantom.voxels[middle], phantom.ijk_to_ras))

    assert dice(found, mask[middle]) > 0.97


def test_lungs_that_touch_in_front_are_both_kept_and_told_apart(phantom, mask):
    """A bridge of lung through the anterior mediastinum, as in emphysema."""
    k, j, i = np.indices(phantom.voxels.shape)
    x, y, z = np.moveaxis(phantom.ijk_to_ras_mm(np.stack([i, j, k], -1)), -1, 0)
    bridge = (np.abs(x) < 45) & (np.abs(y - 62) < 7) & (np.abs(z - 40) < 14)
    volume = Volume(np.where(bridge, np.int16(-870), phantom.voxels), phantom.ijk_to_ras)

    lungs = find_lungs(volume)

    sizes = np.bincount(lungs.sides.ravel(), minlength=3)[1:] * lungs.grid.block_ml
    assert min(sizes) > 800
    assert dice(lung_mask(volume) & ~bridge, mask & ~bridge) > 0.97


def test_emphysema_is_lung(phantom, mask):
    lung = ndimage.binary_erosion(mask, iterations=2)
    voxels = np.where(lung & (phantom.voxels < -700), phantom.voxels - 70, phantom.voxels)

    assert dice(lung_mask(Volume(voxels, phantom.ijk_to_ras)), mask) > 0.97


def test_given_mask_is_split_into_sides(phantom, mask):
    lungs = split_lungs(phantom, mask)

    assert dice(lungs.sides == 1, find_lungs(phantom).sides == 1) > 0.97
    with pytest.raises(LungSynthError, match="shape"):
        split_lungs(phantom, mask[1:])


@pytest.mark.parametrize("hu", [40, -1000])
def test_says_so_when_there_are_no_lungs(hu):
    with pytest.raises(LungSynthError, match="no lungs found"):
        lung_mask(Volume(np.full((40, 60, 60), hu, np.int16), np.diag([3.0, 3, 3, 1])))


def test_closing_is_by_a_ball_in_mm():
    """A slot 8 mm wide closes with a ball of 5 mm, not of 3 mm, whichever way it runs."""
    spacing = np.array([4.0, 1.0, 2.0])
    block = np.zeros((20, 60, 40), bool)
    block[4:16, 10:50, 8:32] = True
    block[:, 26:34, 16:] = False

    assert close_by_ball(block, 5.0, spacing)[10, 30, 18]
    assert not close_by_ball(block, 3.0, spacing)[10, 30, 18]
    assert (close_by_ball(block, 5.0, spacing) | block).sum() == close_by_ball(
        block, 5.0, spacing
    ).sum()


def test_coarse_blocks_know_their_place():
    """Block centres, in a flipped and permuted volume, are means of their voxels' places."""
    matrix = np.array([[0, 0, -1.5, 7], [0.8, 0, 0, -3], [0, -1.0, 0, 5], [0, 0, 0, 1.0]])
    shape = (11, 14, 17)
    k, j, i = np.indices(shape)
    ras = Volume(np.zeros(shape), matrix).ijk_to_ras_mm(np.stack([i, j, k], -1))
    grid = CoarseGrid.of(Volume(np.zeros(shape), matrix))
    blocks = np.argwhere(np.ones_like(grid.shrink(np.zeros(shape)), bool))

    for axis, row in ((0, 2), (1, 1), (2, 0)):
        means = grid.shrink(ras[..., axis])
        np.testing.assert_allclose(grid.to_ras_mm(blocks)[:, axis], means.ravel(), atol=1e-4)
        assert (np.diff(means, axis=row) > 0).all()


def test_lungmask_is_used_only_where_its_weights_are(phantom, mask, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(LungSynthError, match="needs the package lungmask and its weights"):
        lung_mask(phantom, method="lungmask")
    np.testing.assert_array_equal(lung_mask(phantom, method="auto"), mask)


def test_lungmask_sees_lps_axes_and_its_answer_is_turned_back(phantom, monkeypatch, tmp_path):
    weights = tmp_path / "hub" / "checkpoints" / lungmask_net.WEIGHTS_NAME
    weights.parent.mkdir(parents=True)
    weights.touch()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    seen = []

    class FakeInferer:
        def __init__(self, modelpath):
            seen.append(modelpath)

        def apply(self, image):
            seen.append(image)
            return (image < -600).astype(np.uint8)

    monkeypatch.setitem(sys.modules, "lungmask", SimpleNamespace(LMInferer=FakeInferer, __spec__=1))
    matrix = phantom.ijk_to_ras @ np.diag([-1.0, 1, -1, 1])
    volume = Volume(phantom.voxels[::-1, :, ::-1].transpose(0, 1, 2), matrix)

    found = lung_mask(volume, method="auto")

    assert seen[0] == str(weights)
    np.testing.assert_array_equal(seen[1], phantom.voxels)
    np.testing.assert_array_equal(found, volume.voxels < -600)


def test_agrees_with_lungs_drawn_by_hand(shared_data):
    """LCTSC_Case_003: Dice against the manual contours, which leave out the hilum."""
    sitk = pytest.importorskip("SimpleITK")
    folder = shared_data / "ct" / "LCTSC_Case_003"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    image = sitk.ReadImage(str(folder / "ct.nii.gz"))
    manual = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "lungs_manual.nii.gz"))) > 0
    lps = np.diag([*image.GetSpacing(), 1.0])
    volume = Volume(sitk.GetArrayFromImage(image), np.diag([-1.0, -1, 1, 1]) @ lps)

    assert dice(lung_mask(volume), manual) > 0.965
