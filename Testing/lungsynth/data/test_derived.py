"""What is taken from the voxels where a source does not say it."""

import numpy as np
import pytest

from lungsynth.core.nodule import Attenuation
from lungsynth.data.derived import derive_attenuation, derive_mask
from lungsynth.data.nodule_cubes import NoduleCubes

Z, Y, X = np.indices((48, 48, 48)) - 23.5
distance = np.sqrt(Z**2 + Y**2 + X**2)


def lung(noise=0.0):
    return np.random.default_rng(4).normal(-860, noise, distance.shape).astype(np.float32)


@pytest.mark.parametrize("level", [0, -350, -650])
@pytest.mark.parametrize("diameter", [5.0, 11.0, 24.0])
def test_a_ball_in_lung_is_found_as_it_is(level, diameter):
    hu = lung(30)
    ball = distance <= diameter / 2
    hu[ball] += level + 860
    mask = derive_mask(hu, diameter)

    dice = 2 * (mask & ball).sum() / (mask.sum() + ball.sum())
    assert dice > 0.9


def test_the_chest_wall_and_a_vessel_end_at_the_ball():
    hu = lung()
    hu[distance <= 5] = -20
    hu[:, 28:, :] = 40  # a wall 4.5 mm from the centre
    hu[22:26, 22:26, :] = 30  # a vessel through it
    mask = derive_mask(hu, 10.0)

    assert distance[mask].max() <= 1.2 * 5 + 0.5
    assert mask[distance <= 4].all()


def test_a_hole_is_filled_and_a_separate_neighbour_is_not_taken():
    hu = lung()
    hu[distance <= 8] = 0
    hu[distance <= 2.5] = -950
    hu[22:26, 22:26, 32:33] = -50  # 9 mm away along x, with a gap
    hu[22:26, 22:26, 31:32] = -860
    mask = derive_mask(hu, 16.0)

    assert mask[distance <= 2.5].all()
    assert not mask[23, 23, 32]


def test_without_contrast_the_annotated_ball_is_the_mask():
    np.testing.assert_array_equal(derive_mask(lung(15), 9.0), distance <= 4.5)
    np.testing.assert_array_equal(derive_mask(np.full_like(lung(), 40), 9.0)[distance > 6], False)


@pytest.mark.parametrize(
    ("level", "kind"),
    [
        (-461, Attenuation.GROUND_GLASS),
        (-459, Attenuation.PART_SOLID),
        (-161, Attenuation.PART_SOLID),
        (-159, Attenuation.SOLID),
    ],
)
def test_density_inside_gives_the_class(level, kind):
    hu = np.full((48, 48, 48), -860, np.float32)
    mask = np.zeros(hu.shape, bool)
    mask[18:28, 20:27, 19:30] = True
    hu[mask] = level - 300  # the rim is blurred by partial volume
    hu[19:27, 21:26, 20:29] = level
    assert derive_attenuation(hu, mask) is kind


def test_real_nodules_are_grown_as_they_were_segmented(shared_data):
    """On val, which the constants were not fitted to."""
    cubes = NoduleCubes.load(shared_data / "ct_nodules", "val")
    dice, right = [], {kind: [] for kind in Attenuation}
    for n in np.flatnonzero(cubes.usable):
        hu = cubes.hu[n].astype(np.float32)
        mask = derive_mask(hu, float(cubes.table[n]["luna_diameter_mm"]))
        dice.append(2 * (mask & cubes.mask[n]).sum() / (mask.sum() + cubes.mask[n].sum()))
        kind = cubes.attenuation[n]
        right[kind].append(derive_attenuation(hu, mask) is kind)

    assert np.median(dice) > 0.75
    assert np.mean(right[Attenuation.SOLID]) > 0.6
