"""The phantom's radiograph: what a beam from front to back makes of its CT."""

from __future__ import annotations

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.core.volume import Volume
from lungsynth.imaging.phantom import SMALL, thorax_phantom
from lungsynth.imaging.radiograph_phantom import thorax_radiograph
from lungsynth.imaging.radiograph_proposal import (
    CxrPopulation,
    draw_cxr_nodule,
    pixels_of,
    propose_cxr_seeds,
)


@pytest.fixture(scope="module")
def small():
    return thorax_phantom(0, **SMALL)


@pytest.fixture(scope="module")
def phantom(small):
    return thorax_radiograph(0, volume=small, pixel_mm=1.5)


def test_a_slab_of_water_gives_its_own_attenuation():
    """100 mm of water in the left half of the picture, half as much in the right, air above."""
    hu = np.full((40, 50, 60), -1000, np.int16)
    hu[:30, :, :30] = 0
    hu[:30, :25, 30:] = 0
    volume = Volume(hu, np.diag([-2.0, -2.0, 3.0, 1.0]))  # k to S, j to P, i to L

    image = thorax_radiograph(0, volume=volume, pixel_mm=1.0).image

    pixels = image.pixels.astype(float)
    assert pixels.shape == (120, 120)
    left, right = pixels[50:110, 20:50].mean(), pixels[50:110, 70:100].mean()
    assert right / left == pytest.approx(0.5, abs=0.03)  # 0.02 / mm over 100 and 50 mm
    assert pixels[5:25].mean() < 0.05 * left  # the top of the picture is the top of the CT
    assert (image.pixel_spacing_mm, image.limits) == ((1.0, 1.0), (0, 4095))


def test_lungs_are_dark_and_lie_left_and_right(phantom):
    pixels, lungs = phantom.image.pixels, phantom.lungs
    assert phantom.image.pixels.dtype == np.uint16
    assert pixels[lungs.any(axis=0)].mean() < 0.6 * np.percentile(pixels, 95)
    left, right = (np.nonzero(lung)[1].mean() / lungs.shape[2] for lung in lungs)
    assert left < 0.45
    assert right > 0.55
    assert all(0.05 < lung.mean() < 0.25 for lung in lungs)
    assert not (lungs[0] & lungs[1]).any()


def test_orientation_does_not_matter_and_the_seed_decides(small, phantom):
    turned = Volume(small.voxels[::-1], small.ijk_to_ras @ _flip_k(small))
    again = thorax_radiograph(0, volume=turned, pixel_mm=1.5).image
    np.testing.assert_array_equal(again.pixels, phantom.image.pixels)
    other = thorax_radiograph(1, volume=small, pixel_mm=1.5).image
    assert (other.pixels != phantom.image.pixels).any()


def _flip_k(volume):
    flip = np.eye(4)
    flip[2, 2], flip[2, 3] = -1, volume.voxels.shape[0] - 1
    return flip


def test_a_pixel_of_no_use_is_refused(small):
    with pytest.raises(LungSynthError, match=r"pixel_mm must be from 0\.05 to 4; got 9"):
        thorax_radiograph(0, volume=small, pixel_mm=9)


def test_proposed_nodules_lie_in_the_lungs_apart_from_each_other(phantom):
    image, fields = phantom.image, phantom.lungs.any(axis=0)
    specs = [CxrNoduleSpec(diameter_mm=d, latent_seed=n) for n, d in enumerate((8, 25, 12, 18))]

    seeds = propose_cxr_seeds(image, fields, specs, np.random.default_rng(4))

    assert [seed.spec for seed in seeds] == specs
    places = np.array([image.ras_to_pixel(seed.position_ras_mm) for seed in seeds])
    rows, columns = np.indices(fields.shape)
    for at, spec in zip(places, specs, strict=True):
        away_mm = 1.5 * np.hypot(rows - at[0], columns - at[1])
        assert fields[away_mm <= spec.diameter_mm / 2].all()
    for n, spec in enumerate(specs):
        for m in range(n):
            apart = np.abs(places[n] - places[m]).max() * 1.5
            assert apart > 0.7 * (spec.diameter_mm + specs[m].diameter_mm)
    with pytest.raises(LungSynthError, match="no room in the lung fields for 60 nodules"):
        propose_cxr_seeds(image, fields, specs[1:2] * 60, np.random.default_rng(4))
    with pytest.raises(LungSynthError, match="no room"):
        propose_cxr_seeds(image, np.zeros_like(fields), specs[:1], np.random.default_rng(4))


def test_nodules_are_drawn_in_mm_or_in_pixels_of_an_image_of_400_mm(phantom):
    rng = np.random.default_rng(1)
    specs = [draw_cxr_nodule(CxrPopulation((9, 11)), phantom.image, rng, 0.1) for _ in range(20)]
    assert all(9 <= spec.diameter_mm <= 11 and spec.contrast == 0.1 for spec in specs)
    assert len({spec.latent_seed for spec in specs}) == 20
    unknown = type(phantom.image)(phantom.image.pixels, phantom.image.ijk_to_ras)
    side = max(unknown.pixels.shape)
    drawn = draw_cxr_nodule(CxrPopulation((9, 11)), unknown, rng)
    assert 9 / 400 * side - 0.1 <= drawn.diameter_px <= 11 / 400 * side + 0.1
    assert pixels_of(100, unknown) == side / 4
