"""Measures of a nodule on shapes whose numbers are known."""

import math

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.evaluation.morphology import Morphology, compare_classes, measure_morphology

AXES = np.indices((64, 64, 64)) - 31.5


def ellipsoid(*semi_axes):
    return sum(np.square(a / s) for a, s in zip(AXES, semi_axes, strict=True)) <= 1


def two_levels(mask, blur=0.0):
    hu = np.where(mask, 0.0, -800.0)
    return ndimage.gaussian_filter(hu, blur) if blur else hu


def test_a_ball_by_hand():
    """Radius 12 voxels of 0.5 mm."""
    mask = ellipsoid(12, 12, 12)
    found = measure_morphology(two_levels(mask), mask, 0.5)

    assert found.diameter_mm == pytest.approx(12, rel=0.01)
    assert (found.mean_hu, found.deviation_hu, found.high_hu) == (0, 0, 0)
    assert found.sphericity == pytest.approx(1, abs=0.01)
    assert found.roughness == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("radius", [2.5, 5, 20])
def test_a_ball_is_one_whatever_its_size(radius):
    mask = ellipsoid(radius, radius, radius)

    found = measure_morphology(two_levels(mask), mask, 1.0)
    assert found.sphericity == pytest.approx(1, abs=0.02)


def test_an_ellipsoid_has_the_sphericity_of_its_formula():
    """A prolate spheroid: surface 2 pi a^2 (1 + c / (a e) asin e), e^2 = 1 - a^2 / c^2."""
    a, c = 9.0, 22.0
    mask = ellipsoid(c, a, a)
    e = math.sqrt(1 - (a / c) ** 2)
    surface = 2 * math.pi * a**2 * (1 + c / (a * e) * math.asin(e))
    volume = 4 / 3 * math.pi * a**2 * c
    expected = math.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface
    found = measure_morphology(two_levels(mask), mask, 1.0)

    assert found.sphericity == pytest.approx(expected, abs=0.02)
    assert found.roughness > 0.2


def test_spicules_lower_sphericity_and_raise_roughness():
    ball = ellipsoid(12, 12, 12)
    spicules = ellipsoid(24, 1.6, 1.6) | ellipsoid(1.6, 24, 1.6) | ellipsoid(1.6, 1.6, 24)
    plain, spiked = (measure_morphology(two_levels(m), m, 1.0) for m in (ball, ball | spicules))

    assert spiked.sphericity < plain.sphericity - 0.05
    assert spiked.roughness > plain.roughness + 0.1


@pytest.mark.parametrize("voxel_mm", [0.5, 1.0])
def test_the_margin_of_a_blurred_edge_has_the_slope_of_its_gaussian(voxel_mm):
    """A step blurred by s, seen by a surface 1 voxel thick: 1 / sqrt(2 pi (s^2 + 1)).

    A little more where the blur lowers the step between both sides too.
    """
    mask = ellipsoid(16, 16, 16)
    blurs = (1.5, 2.5)
    found = [measure_morphology(two_levels(mask, b), mask, voxel_mm).margin_per_mm for b in blurs]

    for margin, blur in zip(found, blurs, strict=True):
        expected = 1 / math.sqrt(2 * math.pi * (blur**2 + 1)) / voxel_mm
        assert margin == pytest.approx(expected, rel=0.3)
    assert found[0] > 1.2 * found[1]


def test_density_is_read_inside_the_mask_alone():
    mask = ellipsoid(10, 10, 10)
    hu = np.where(mask, -100.0, 3000.0)
    hu[30:34, 30:34, 30:34] = 400.0  # 64 of about 4,169 voxels
    found = measure_morphology(hu, mask, 1.0)

    assert found.mean_hu == pytest.approx(-100 + 500 * 64 / mask.sum())
    assert found.high_hu == -100
    assert math.isnan(found.margin_per_mm)  # not brighter than what is around it


@pytest.mark.parametrize("mask", [np.zeros((8, 8, 8), bool), np.ones((8, 8, 8), bool)])
def test_a_mask_without_inside_or_outside_cannot_be_measured(mask):
    assert measure_morphology(np.zeros((8, 8, 8)), mask, 1.0) is None


def test_classes_are_compared_by_medians_and_by_how_often_one_is_above():
    def one(mean_hu, margin):
        return Morphology(8.0, mean_hu, 0.0, 0.0, margin, 1.0, 0.0)

    nan = float("nan")
    table = compare_classes([one(0, nan), one(10, nan), one(20, nan)], [one(10, 0.5), one(30, nan)])

    assert table["mean_hu"] == pytest.approx(
        {"benign": 10, "malignant": 20, "above": (1 + 0.5 + 0 + 3) / 6}
    )
    assert table["sphericity"]["above"] == 0.5
    assert "margin_per_mm" not in table
