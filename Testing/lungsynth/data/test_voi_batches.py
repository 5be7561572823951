"""Training batches: what is drawn, and how it is applied."""

import numpy as np
import pytest

from lungsynth.core.nodule import Attenuation
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.voi_batches import (
    ATTENUATIONS,
    Augmentation,
    Draw,
    NoduleVoiSampler,
    _thick_slices,
)
from lungsynth.imaging.voi import apply_matrices


def box_mm(diameter_mm):
    return 1.6 * diameter_mm + 3


def plain(index=0, **changes):
    told = {"quarter_turns": 0, "flips": (False,) * 3, "zoom": 1.0, "shift": (0.0,) * 3}
    return Draw(index, **{**told, "slice_mm": 1.0, **changes})


@pytest.fixture(scope="module")
def sampler(cubes_folder):
    return NoduleVoiSampler(NoduleCubes.load(cubes_folder, "train"), box_mm)


@pytest.fixture
def lopsided(write_cubes, tmp_path):
    """One nodule: a box of 6 x 8 x 10 voxels, its HU a linear function of the place."""
    mask = np.zeros((48, 48, 48), bool)
    mask[21:27, 20:28, 18:28] = True
    z, y, x = np.indices(mask.shape)
    hu = 8 * (z + 2 * y - x) - 504  # whole steps of the 8 HU that are stored
    rows = [{"patient": "P", "series_uid": "1", "texture": "5", "ambiguous": "0"}]
    write_cubes(tmp_path, "train", [hu], [mask], rows)
    # a grid just finer than the cubes, so that it interpolates and does not average
    return NoduleVoiSampler(NoduleCubes.load(tmp_path, "train"), lambda _: 15.5)


def test_draws_follow_the_generator_alone(sampler):
    one, same, other = (np.random.default_rng(seed) for seed in (1, 1, 2))
    drawn = [sampler.draw(one) for _ in range(50)]

    assert drawn == [sampler.draw(same) for _ in range(50)]
    assert drawn != [sampler.draw(other) for _ in range(50)]


def test_draws_stay_in_their_ranges(cubes_folder):
    augmentation = Augmentation(zoom=0.1, shift=0.04, thick_slices=0.5, slice_mm=(1.5, 3.0))
    cubes = NoduleCubes.load(cubes_folder, "train")
    sampler = NoduleVoiSampler(cubes, box_mm, augmentation)
    rng = np.random.default_rng(0)
    drawn = [sampler.draw(rng) for _ in range(2000)]

    zooms = [d.zoom for d in drawn]
    assert (min(zooms), max(zooms)) == pytest.approx((0.9, 1.1), abs=0.01)
    shifts = np.array([d.shift for d in drawn])
    np.testing.assert_allclose(shifts.min(axis=0), -0.04, atol=0.001)
    np.testing.assert_allclose(shifts.max(axis=0), 0.04, atol=0.001)
    thick = [d.slice_mm for d in drawn if d.slice_mm != 1.0]
    assert len(thick) / 2000 == pytest.approx(0.5, abs=0.04)
    assert (min(thick), max(thick)) == pytest.approx((1.5, 3.0), abs=0.02)
    assert {d.quarter_turns for d in drawn} == {0, 1, 2, 3}
    assert len({d.flips for d in drawn}) == 8
    assert {d.index for d in drawn} == set(range(9))


def test_probabilities_by_hand(write_cubes, tmp_path):
    """Eight solid balls and two of ground glass, one of each twice as wide as the others."""
    z, y, x = np.indices((48, 48, 48)) - 23.5
    r = np.sqrt(z**2 + y**2 + x**2)
    sizes = [8.0] + [4.0] * 7 + [8.0, 4.0]
    masks = [r <= size for size in sizes]
    rows = [
        {"patient": "P", "series_uid": "1", "texture": "5" if n < 8 else "1", "ambiguous": "0"}
        for n in range(10)
    ]
    write_cubes(tmp_path, "train", [np.zeros((48, 48, 48))] * 10, masks, rows)
    cubes = NoduleCubes.load(tmp_path, "train")
    sampler = NoduleVoiSampler(cubes, box_mm)

    expected = np.array(
        [(d / count) ** 0.5 for d, count in zip(cubes.diameter_mm, [8] * 8 + [2] * 2, strict=True)]
    )
    np.testing.assert_allclose(sampler.probabilities, expected / expected.sum())
    # among nodules of one size: 8 solid and 2 of ground glass come as sqrt(8) to sqrt(2)
    small = sampler.probabilities[[1, 9]]
    assert small[1] / small[0] == pytest.approx(2.0)


def test_unusable_nodules_are_never_drawn(write_cubes, tmp_path):
    z, y, x = np.indices((48, 48, 48)) - 23.5
    mask = z**2 + y**2 + x**2 < 16
    rows = [
        {"patient": "P", "series_uid": "1", "texture": "5", "ambiguous": str(n % 2)}
        for n in range(4)
    ]
    write_cubes(
        tmp_path, "train", [np.full(mask.shape, 80 * n) for n in range(4)], [mask] * 4, rows
    )
    sampler = NoduleVoiSampler(NoduleCubes.load(tmp_path, "train"), box_mm)

    assert sampler.indices.tolist() == [0, 2]
    np.testing.assert_allclose(sampler.batch([plain(1)]).hu, 160, atol=1e-3)


def test_what_is_told_of_each_item(sampler):
    cubes = sampler.cubes
    batch = sampler.batch([plain(4), plain(0, zoom=1.1), plain(8)])

    np.testing.assert_array_equal(batch.diameter_mm, cubes.diameter_mm[[4, 0, 8]])
    np.testing.assert_array_equal(batch.mean_hu, cubes.mean_hu[[4, 0, 8]])
    factor = np.array([1, 1.1, 1])
    np.testing.assert_allclose(batch.box_mm, box_mm(cubes.diameter_mm[[4, 0, 8]]) * factor)
    kinds = [ATTENUATIONS[n] for n in batch.attenuation]
    assert kinds == [Attenuation.PART_SOLID, Attenuation.SOLID, Attenuation.GROUND_GLASS]
    assert batch.hu.shape == batch.mask.shape == (3, 64, 64, 64)
    assert [m.shape for m in batch.round_trip] == [(3, 64, 32)] * 3


def test_the_voi_is_centred_on_the_mask(lopsided):
    """Its middle voxels are at the middle of the mask's bounding box, in mm around it."""
    batch = lopsided.batch([plain()])
    steps = (np.arange(64) - 31.5) * 2 * batch.box_mm[0] / 64
    z, y, x = 23.5 + steps, 23.5 + steps, 22.5 + steps
    expected = 8 * (z[:, None, None] + 2 * y[:, None] - x) - 504

    inside = slice(16, 48)
    np.testing.assert_allclose(
        batch.hu[0][inside, inside, inside], expected[inside, inside, inside], atol=0.05
    )


def test_a_shift_moves_the_voi_by_that_part_of_the_box(lopsided):
    side = lopsided.batch([plain()]).box_mm[0]
    moved = lopsided.batch([plain(shift=(0.04, 0.02, -0.03))]).hu[0]
    still = lopsided.batch([plain()]).hu[0]

    inside = slice(20, 44)
    difference = (moved - still)[inside, inside, inside]
    np.testing.assert_allclose(difference, 8 * side * (0.04 + 2 * 0.02 + 0.03), atol=0.05)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flips_turn_image_and_mask_together(lopsided, axis):
    flips = tuple(n == axis for n in range(3))
    flipped, still = lopsided.batch([plain(flips=flips)]), lopsided.batch([plain()])

    np.testing.assert_allclose(flipped.hu[0], np.flip(still.hu[0], axis), atol=0.01)
    np.testing.assert_allclose(flipped.mask[0], np.flip(still.mask[0], axis), atol=1e-5)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_in_the_axial_plane(lopsided, turns):
    turned, still = lopsided.batch([plain(quarter_turns=turns)]), lopsided.batch([plain()])

    for found, before in ((turned.hu, still.hu), (turned.mask, still.mask)):
        np.testing.assert_allclose(found[0], np.rot90(before[0], turns, axes=(1, 2)), atol=0.01)


def test_the_mask_keeps_the_nodules_volume(sampler):
    batch = sampler.batch([plain(n) for n in range(9)])
    voxel_mm3 = (batch.box_mm / 32) ** 3
    volume = batch.mask.sum(axis=(1, 2, 3)) * voxel_mm3

    np.testing.assert_allclose(np.cbrt(6 * volume / np.pi), batch.diameter_mm, rtol=0.01)


def test_thick_slices_by_hand():
    """Slices of 2 mm weigh three thin ones 1 : 2 : 1 where they meet one, else 1 : 3 : 3 : 1."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-1000, 500, (48, 48, 48)).astype(np.int16)
    mask = rng.random((48, 48, 48)) < 0.5
    thick, thick_mask, origin = _thick_slices(hu, mask, 2.0)

    assert thick.shape == (24, 48, 48)
    assert origin == 0.5  # 24 slices, 46 mm apart from first to last, in the middle of 47 mm
    weights = np.array([1, 3, 3, 1]) / 8
    for values, found in ((hu, thick), (mask, thick_mask)):
        expected = np.tensordot(weights, values[9:13].astype(float), axes=1)
        np.testing.assert_allclose(found[5], expected, rtol=1e-4, atol=1e-3)


def test_thin_slices_are_left_alone():
    hu = np.zeros((48, 48, 48), np.int16)
    same, _, origin = _thick_slices(hu, hu > 0, 1.0)

    assert same is hu
    assert origin == 0.0


def test_thick_slices_lie_where_the_thin_ones_were(lopsided):
    """A linear function of the place is the same function at thick slices."""
    thick, thin = lopsided.batch([plain(slice_mm=3.0)]), lopsided.batch([plain()])

    inside = slice(16, 48)
    np.testing.assert_allclose(
        thick.hu[0][inside, inside, inside], thin.hu[0][inside, inside, inside], atol=0.05
    )
    for batch in (thick, thin):
        weights = batch.mask[0] / batch.mask[0].sum()
        centre = [(np.indices(weights.shape)[axis] * weights).sum() for axis in range(3)]
        np.testing.assert_allclose(centre, 31.5, atol=0.25)


def test_the_round_trip_knows_the_thickness(lopsided):
    """Through thick slices less of a fine change along z is left; along x nothing is lost more."""
    fine = np.zeros((32, 32, 32), np.float32)
    fine[14:18, 12:20, 12:20] = 1.0
    left = {}
    for slice_mm in (1.0, 3.0):
        trips = lopsided.batch([plain(slice_mm=slice_mm)]).round_trip
        left[slice_mm] = apply_matrices(tuple(m[0] for m in trips), fine).max()
        np.testing.assert_allclose(trips[2][0].sum(axis=1)[26:38], 1, atol=1e-5)
    assert left[3.0] < 0.8 * left[1.0]
