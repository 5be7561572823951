"""Patches with a nodule whose outline, contrast and background are known."""

from dataclasses import replace

import numpy as np
import pytest

from lungsynth.core.contracts import WORKING_PIXEL_MM
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.data.cxr_patches import (
    DIAMETER_PX,
    SIZE_RATIO,
    WITHIN,
    CxrPatchSampler,
    contrast_of,
    draw_place,
    on_patch,
)
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.projection import RANGE_ATTENUATION, WATER_PER_MM, background_hu
from lungsynth.imaging.radiograph_insertion import freedom_around
from lungsynth.imaging.radiograph_patch import locate_patch


@pytest.fixture(scope="module")
def sampler(patches_folder):
    return CxrPatchSampler.load(patches_folder, "train", drr_part=0.3)


@pytest.fixture(scope="module")
def projected(sampler):
    rng = np.random.default_rng(8)
    draws = (sampler.draw(rng) for _ in range(40))
    return next(d for d in draws if d.source == "projected" and not d.mirrored)


def test_what_is_of_the_split_is_read_and_radiographs_with_findings_are_not(sampler):
    assert len(sampler.radiographs) == 2
    assert len(sampler.nodules) == 9
    # T1 is of the test split by the cubes' table
    assert len(sampler.drrs) == len(sampler.drr_nodules) == 1
    np.testing.assert_allclose(sampler.drr_nodules[0].centre, (70, 40), atol=1e-6)


def test_draws_are_those_of_the_seed_and_within_their_ranges(sampler):
    draws = [[sampler.draw(np.random.default_rng([2, n])) for n in range(200)] for _ in range(2)]

    assert draws[0] == draws[1]
    found = draws[0]
    part = sum(d.source == "drr" for d in found) / 200
    assert 0.2 < part < 0.4
    made = [d for d in found if d.source == "projected"]
    for d in made:
        own = sampler.cubes.diameter_mm[d.nodule]
        assert 1 / SIZE_RATIO <= d.diameter_mm / own <= SIZE_RATIO + 1e-9
        assert d.diameter_mm <= DIAMETER_PX[1] * WORKING_PIXEL_MM + 1e-9
        assert np.reshape(d.rotation, (3, 3)) @ np.reshape(d.rotation, (3, 3)).T == pytest.approx(
            np.eye(3), abs=1e-9
        )
    assert {d.mirrored for d in found} == {True, False}
    assert {d.image for d in made} == {0, 1}


def test_a_projected_pair_differs_in_the_nodule_and_its_rim_alone(sampler, projected):
    pair = sampler.make(projected)
    change = pair.after - pair.before

    np.testing.assert_array_equal(pair.free, freedom_around(pair.mask))
    assert (change[pair.free == 0] == 0).all()
    assert (change >= -1e-6).all()
    image = sampler.radiographs[projected.image]
    np.testing.assert_array_equal(
        pair.before, locate_patch(image, np.array(projected.centre)).extract(image)
    )
    assert pair.contrast == pytest.approx(contrast_of(change, pair.mask))


def test_the_contrast_is_the_attenuation_of_the_nodule(sampler):
    """The balls of 14 mm at -50 HU in lung of about -840: at the middle 14 mm of 790 HU, less what
    the blur takes; the mean over the shadow of a ball is two thirds of its diameter. The film shows
    of it what its own grey leaves: all at the middle, less towards white and black."""
    drawn = sampler.draw(np.random.default_rng(0))
    drawn = replace(
        drawn,
        source="projected",
        image=0,
        centre=(80.0, 64.0),
        nodule=2,
        diameter_mm=14.0,
        strength=1.5,
        mirrored=False,
    )
    pair = sampler.make(drawn)
    lung = background_hu(sampler.cubes.hu[2], sampler.cubes.mask[2], (1.0, 1.0, 1.0))
    at_middle = 14 * (-50 - lung) * WATER_PER_MM / 1000 / RANGE_ATTENUATION * 1.5

    assert lung == pytest.approx(-840, abs=15)
    assert ellipse_diameter(pair.mask) == pytest.approx(14 / WORKING_PIXEL_MM, rel=0.06)
    grey = (pair.before[pair.mask > 0.5].mean() + 1) / 2
    assert 0.15 < grey < 0.35
    assert pair.contrast == pytest.approx(2 / 3 * at_middle * 4 * grey * (1 - grey), rel=0.1)
    doubled = sampler.make(replace(drawn, strength=3.0))
    assert doubled.contrast == pytest.approx(2 * pair.contrast, rel=1e-4)


def test_a_mirrored_pair_is_the_same_seen_in_a_mirror(sampler, projected):
    plain, mirrored = sampler.make(projected), sampler.make(replace(projected, mirrored=True))

    for name in ("after", "before", "mask", "free"):
        np.testing.assert_array_equal(getattr(mirrored, name), getattr(plain, name)[:, ::-1])
    assert mirrored.contrast == plain.contrast


def test_in_a_drr_what_lies_behind_is_unknown_and_its_contrast_is_against_the_surroundings(
    sampler,
):
    """The shadow is 20 brighter than the slope of 60 to 60 + 159 / 2."""
    draws = (sampler.draw(np.random.default_rng(n)) for n in range(99))
    pair = sampler.make(next(d for d in draws if d.source == "drr" and not d.mirrored))
    low, high = sampler.drrs[0].robust_range

    np.testing.assert_array_equal(np.isnan(pair.before), pair.free > 0)
    outside = pair.free == 0
    np.testing.assert_array_equal(pair.before[outside], pair.after[outside])
    # 160 rows become 1,024 pixels: the disc with a radius of 6 has 76.8
    assert ellipse_diameter(pair.mask) == pytest.approx(12 * 6.4, rel=0.04)
    place = np.array(np.nonzero(pair.mask > 0.5)).mean(axis=1)
    np.testing.assert_allclose(place, 127.5, atol=1.0)
    assert pair.contrast == pytest.approx(20 / (high - low), rel=0.1)


def test_places_are_in_the_thorax_and_rather_where_it_is_dark():
    pixels = np.full((200, 300), 255, np.uint8)
    pixels[:, :150] = 90
    pixels[:20] = 0
    image = Radiograph(pixels, image_plane_matrix())
    places = np.array([draw_place(image, np.random.default_rng(n)) for n in range(60)])

    for axis, side in enumerate(pixels.shape):
        low, high = WITHIN[axis]
        assert (places[:, axis] >= low * side).all()
        assert (places[:, axis] <= high * side).all()
    assert (places[:, 1] < 156).mean() > 0.95


def test_a_picture_of_an_even_side_keeps_its_middle_on_the_patch():
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    patch = on_patch(values)

    np.testing.assert_array_equal(patch[126:130, 126:130], values)
    assert patch.sum() == values.sum()
    large = np.pad(values, 130)
    np.testing.assert_array_equal(on_patch(large)[126:130, 126:130], values)


def test_no_nodule_has_no_contrast():
    assert contrast_of(np.ones((4, 4), np.float32), np.zeros((4, 4), np.float32)) == 0


def test_a_fingerprint_is_that_of_the_pixels(sampler, patches_folder):
    again = CxrPatchSampler.load(patches_folder, "train")
    assert again.fingerprint() == sampler.fingerprint()
    fewer = CxrPatchSampler(sampler.radiographs[:1], sampler.cubes)
    assert fewer.fingerprint() != sampler.fingerprint()


def test_nothing_to_draw_from_is_refused(tmp_path, sampler):
    with pytest.raises(LungSynthError, match=r"no patches to learn from: .* 0 shadows in DRRs"):
        CxrPatchSampler.load(tmp_path, "train")
    drr_only = CxrPatchSampler([], None, sampler.drrs, sampler.drr_nodules)
    assert drr_only.draw(np.random.default_rng(0)).source == "drr"


def test_real_pairs(shared_data):
    """Nodules of the validation split: none without a shadow, contrasts as radiographs have."""
    cubes = NoduleCubes.load(shared_data / "ct_nodules", "val")
    pixels = np.random.default_rng(0).integers(20, 230, (512, 512)).astype(np.uint8)
    sampler = CxrPatchSampler([Radiograph(pixels, image_plane_matrix())], cubes)
    rng = np.random.default_rng(3)
    pairs = [sampler.make(sampler.draw(rng)) for _ in range(20)]

    assert all((pair.mask > 0.5).any() for pair in pairs)
    contrast = np.array([pair.contrast for pair in pairs])
    assert (contrast > 0).all()
    assert contrast.max() < 0.6
