"""A radiograph's value scale, geometry, and what may be asked of a nodule in it."""

from __future__ import annotations

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import (
    CxrNoduleSpec,
    CxrSeed,
    Photometric,
    Radiograph,
    image_plane_matrix,
)


def ramp(**options):
    """0 ... 100 in 101 columns: percentiles are the values themselves."""
    pixels = np.tile(np.arange(101, dtype=np.uint16), (3, 1))
    return Radiograph(pixels, image_plane_matrix((0.5, 0.25)), **options)


def test_the_robust_range_is_the_first_and_the_99th_percentile():
    assert ramp().robust_range == pytest.approx((1.0, 99.0))


@pytest.mark.parametrize(("photometric", "sign"), [("MONOCHROME2", 1), ("MONOCHROME1", -1)])
def test_normalised_values_are_bright_where_dense_and_clipped_at_the_robust_range(
    photometric, sign
):
    image = ramp(photometric=photometric)

    values = image.normalised(np.array([0, 1, 50, 99, 100], np.uint16))

    assert values * sign == pytest.approx([-1, -1, 0, 1, 1])
    assert values.dtype == np.float32


def test_a_difference_goes_back_to_stored_values_with_the_sign_of_the_photometric():
    up = np.array([1.0], np.float32)

    assert ramp().denormalised_difference(up) == pytest.approx([49.0])
    assert ramp(photometric="MONOCHROME1").denormalised_difference(up) == pytest.approx([-49.0])


def test_rows_run_to_p_and_columns_to_l_with_their_own_spacing():
    image = ramp()

    assert image.pixel_to_ras_mm((2, 8)) == pytest.approx((-2.0, -1.0, 0.0))
    assert image.ras_to_pixel((-2.0, -1.0, 77.0)) == pytest.approx((2, 8))
    assert image.as_volume().voxels.shape == (1, 3, 101)
    assert image.photometric is Photometric.MONOCHROME2


def test_a_diameter_in_mm_needs_a_spacing():
    spec = CxrNoduleSpec(diameter_mm=10)

    assert spec.diameter_in_pixels(ramp(pixel_spacing_mm=(0.5, 0.125))) == pytest.approx(40)
    with pytest.raises(LungSynthError, match="--pixel-spacing-mm"):
        spec.diameter_in_pixels(ramp())
    assert CxrNoduleSpec(diameter_px=17).diameter_in_pixels(ramp()) == 17


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "either in mm or in pixels"),
        ({"diameter_mm": 9, "diameter_px": 9}, "either in mm or in pixels"),
        ({"diameter_mm": 2.9}, "diameter_mm .* from 3 to 80"),
        ({"diameter_px": float("nan")}, "diameter_px"),
        ({"diameter_px": 20, "contrast": 0.7}, "contrast .* from 0.005 to 0.6; got 0.7"),
        ({"diameter_px": 20, "latent_seed": -1}, "latent_seed"),
    ],
)
def test_what_may_not_be_asked_is_refused(values, said):
    with pytest.raises(LungSynthError, match=said):
        CxrNoduleSpec(**values)


def test_what_is_no_radiograph_is_refused():
    with pytest.raises(LungSynthError, match="2-D"):
        Radiograph(np.zeros((2, 3, 4)), np.eye(4))
    with pytest.raises(LungSynthError, match="integers or floats"):
        Radiograph(np.zeros((2, 3), complex), np.eye(4))
    with pytest.raises(LungSynthError, match="positive"):
        Radiograph(np.zeros((2, 3)), np.eye(4), pixel_spacing_mm=(0.1, 0))
    with pytest.raises(LungSynthError, match="MONOCHROME1 or MONOCHROME2"):
        Radiograph(np.zeros((2, 3)), np.eye(4), photometric="RGB")
    with pytest.raises(LungSynthError, match="three finite"):
        CxrSeed((0, 0, float("inf")), CxrNoduleSpec(diameter_px=9))
