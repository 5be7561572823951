"""Proposed seeds keep the promises of their site, measured on the voxels, not on the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, NodulePopulation, NoduleSpec
from lungsynth.core.volume import Volume
from lungsynth.imaging.lungs import find_lungs, lung_mask
from lungsynth.imaging.phantom import SMALL, thorax_phantom
from lungsynth.imaging.placement import check_seeds
from lungsynth.imaging.proposal import box_side_mm, propose_seeds

SIZES = NodulePopulation(diameter_mm=(5.0, 12.0))


@pytest.fixture(scope="module")
def phantom():
    return thorax_phantom(0, **SMALL)


@pytest.fixture(scope="module")
def mask(phantom):
    return lung_mask(phantom)


def propose(phantom, mask, count=8, seed=5, **options):
    rng = np.random.default_rng(seed)
    options.setdefault("population", SIZES)
    return propose_seeds(phantom, count, rng, lungs=mask, **options)


def distance_at(volume, target, seeds):
    """Distance in mm from each seed to the nearest voxel of a mask, interpolated."""
    away = ndimage.distance_transform_edt(~target, sampling=volume.spacing_mm[::-1])
    ijk = volume.ras_to_ijk([seed.position_ras_mm for seed in seeds])
    return ndimage.map_coordinates(away, ijk[:, ::-1].T, order=1)


def radii(seeds):
    return np.array([seed.spec.diameter_mm / 2 for seed in seeds])


def boxes(volume, seeds):
    """Half-open float boxes in voxels (i, j, k); the phantom's axes are the patient's."""
    centre = volume.ras_to_ijk([seed.position_ras_mm for seed in seeds])
    half = np.array([box_side_mm(seed.spec.diameter_mm) for seed in seeds])[:, None] / 2
    return centre - half / volume.spacing_mm, centre + half / volume.spacing_mm


def test_seeds_in_the_parenchyma_stay_clear_of_pleura_vessels_and_airways(phantom, mask):
    seeds = propose(phantom, mask)
    depth = distance_at(phantom, ~mask, seeds)
    inner = ndimage.distance_transform_edt(mask, sampling=phantom.spacing_mm[::-1]) > 6
    large = ndimage.binary_opening(inner & (phantom.voxels > -300), np.ones((1, 2, 2)))

    assert large.any()
    assert (depth > radii(seeds)).all()
    assert (distance_at(phantom, large, seeds) > radii(seeds)).all()


def test_the_engine_accepts_them_and_boxes_never_overlap(phantom, mask, make_balls):
    seeds = propose(phantom, mask, count=12)
    low, high = boxes(phantom, seeds)

    check_seeds(phantom, seeds, make_balls())
    for one in range(12):
        for other in range(one):
            gap = np.maximum(low[one] - high[other], low[other] - high[one])
            assert (gap * phantom.spacing_mm).max() >= 0.95
            apart = np.subtract(seeds[one].position_ras_mm, seeds[other].position_ras_mm)
            assert np.linalg.norm(apart) > 2 * (radii(seeds)[one] + radii(seeds)[other])


def test_larger_boxes_keep_seeds_further_apart(phantom, mask):
    """Boxes of 60 mm: some axis parts each two centres by 61 mm, where 18 mm were enough."""
    asked = []

    def sixty(diameter_mm):
        asked.append(diameter_mm)
        return 60.0

    specs = [NoduleSpec(6.0), NoduleSpec(9.0), NoduleSpec(7.5), NoduleSpec(8.0)]
    seeds = propose(phantom, mask, count=4, specs=specs, box_mm=sixty)
    places = np.array([seed.position_ras_mm for seed in seeds])

    assert set(asked) == {6.0, 7.5, 8.0, 9.0}
    for one in range(4):
        for other in range(one):
            assert np.abs(places[one] - places[other]).max() >= 60.95


def test_lungs_that_were_found_before_are_not_looked_for_again(phantom, monkeypatch):
    coarse = find_lungs(phantom)
    once = propose_seeds(phantom, 3, np.random.default_rng(1), SIZES)
    monkeypatch.setattr("lungsynth.imaging.proposal.find_lungs", None)

    assert propose_seeds(phantom, 3, np.random.default_rng(1), SIZES, lungs=coarse) == once


def test_sides_and_heights_take_turns(phantom, mask):
    """Six seeds: three a side, one in each third of it."""
    seeds = propose(phantom, mask, count=6)
    places = np.array([seed.position_ras_mm for seed in seeds])

    assert sorted(np.sign(places[:, 0])) == [-1, -1, -1, 1, 1, 1]
    for side in (-1, 1):
        height = np.sort(places[np.sign(places[:, 0]) == side, 2])
        assert np.ptp(height) > 40


def test_juxta_pleural_centres_are_within_a_radius_of_the_pleura(phantom, mask):
    seeds = propose(
        phantom, mask, site="juxta-pleural", population=NodulePopulation(diameter_mm=(10, 16))
    )
    # From the surface, half a voxel nearer than the middle of the first voxel outside
    depth = distance_at(phantom, ~mask, seeds) - 1.0

    assert (depth > 0.3 * radii(seeds) - 2.0).all()
    assert (depth < 0.9 * radii(seeds) + 2.0).all()


def test_juxta_vascular_nodules_touch_a_vessel(phantom, mask):
    seeds = propose(phantom, mask, site="juxta-vascular")
    vessels = mask & (phantom.voxels > -680)

    assert (distance_at(phantom, vessels, seeds) < radii(seeds) + 3.0).all()
    assert (distance_at(phantom, ~mask, seeds) > radii(seeds)).all()


def test_no_nodule_lies_in_both_lungs_where_they_touch():
    """Two blocks of lung joined by a bridge 24 mm thick: their border is pleura too."""
    tissue = np.full((50, 50, 80), 40, np.int16)
    tissue[10:40, 10:40, 8:36] = tissue[10:40, 10:40, 44:72] = -850
    tissue[10:40, 20:28, 36:44] = -850
    matrix = np.diag([3.0, 3, 3, 1])
    matrix[0, 3] = -3.0 * 39.5

    seeds = propose(
        Volume(tissue, matrix), tissue < 0, count=40, population=NodulePopulation((5, 8))
    )

    across = np.abs([seed.position_ras_mm[0] for seed in seeds])
    assert (across < 30).any()
    assert (across > radii(seeds)).all()


def test_same_random_state_same_seeds_and_another_state_others(phantom, mask):
    assert propose(phantom, mask, seed=3) == propose(phantom, mask, seed=3)
    assert propose(phantom, mask, seed=3) != propose(phantom, mask, seed=4)


def test_given_specs_are_kept_in_their_order(phantom, mask):
    specs = [
        NoduleSpec(6.0, Attenuation.SOLID, latent_seed=1),
        NoduleSpec(24.0, Attenuation.GROUND_GLASS, latent_seed=2),
        NoduleSpec(9.0, Attenuation.PART_SOLID, latent_seed=3),
    ]

    assert [seed.spec for seed in propose(phantom, mask, count=3, specs=specs)] == specs


def test_a_nodule_too_large_for_a_clear_place_goes_to_the_deepest(phantom, mask):
    (seed,) = propose(phantom, mask, count=1, specs=[NoduleSpec(40.0)])

    assert distance_at(phantom, ~mask, [seed])[0] > 10


def test_says_how_many_fit(phantom, mask):
    specs = [NoduleSpec(38.0)] * 60
    with pytest.raises(LungSynthError, match=r"only \d+ of 60 nodules fit"):
        propose(phantom, mask, count=60, specs=specs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "at least 1"),
        ({"count": 2, "specs": [NoduleSpec(5.0)]}, "1 specs"),
        ({"site": "bone"}, "unknown site 'bone'"),
    ],
)
def test_refuses_what_makes_no_sense(phantom, mask, options, message):
    with pytest.raises(LungSynthError, match=message):
        propose(phantom, mask, **options)


def test_the_box_of_a_large_nodule_may_leave_the_volume(phantom, mask, make_balls):
    """45 mm of chest: too little for the box of 51 mm, enough for the nodule and 2 mm."""
    slab = slice(30, 40)
    matrix = phantom.ijk_to_ras.copy()
    matrix[:3, 3] = phantom.ijk_to_ras_mm([0, 0, 30])
    volume = Volume(phantom.voxels[slab], matrix)

    seeds = propose(volume, mask[slab], count=2, specs=[NoduleSpec(30.0)] * 2)

    check_seeds(volume, seeds, make_balls())
    assert (distance_at(volume, ~mask[slab], seeds) > 15).all()


def test_the_engine_accepts_them_on_an_oblique_grid(phantom, make_balls):
    turn = np.deg2rad(20)
    matrix = phantom.ijk_to_ras.copy()
    matrix[:3] = (
        np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        @ matrix[:3]
    )
    volume = Volume(phantom.voxels, matrix)

    seeds = propose_seeds(volume, 8, np.random.default_rng(0), NodulePopulation())

    check_seeds(volume, seeds, make_balls())
