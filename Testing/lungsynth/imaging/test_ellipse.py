"""Axes of the ellipse with equal second moments: by hand, and against scikit-image."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.ellipse import ellipse_axes, ellipse_diameter


def ellipse(half_rows, half_columns, side=101):
    rows, columns = np.indices((side, side)) - side // 2
    return (rows / half_rows) ** 2 + (columns / half_columns) ** 2 <= 1


def test_a_rectangle_by_hand():
    """Moments of 6 x 4 pixels are 36 / 12 and 16 / 12, the axes 4 times their roots."""
    mask = np.zeros((20, 30), bool)
    mask[3:9, 11:15] = True

    assert ellipse_axes(mask) == pytest.approx((4 * np.sqrt(3), 4 * np.sqrt(4 / 3)))
    assert ellipse_diameter(mask) == pytest.approx(2 * (np.sqrt(3) + np.sqrt(4 / 3)))


def test_an_ellipse_has_its_own_axes_in_either_direction():
    assert ellipse_axes(ellipse(30, 12)) == pytest.approx((60, 24), rel=0.02)
    assert ellipse_axes(ellipse(12, 30)) == pytest.approx((60, 24), rel=0.02)


def test_spacing_counts_along_its_own_axis():
    """Rows of 0.5 mm make an ellipse of 60 x 24 pixels a circle of 30 x 24 mm ... nearly."""
    assert ellipse_axes(ellipse(30, 12), (0.5, 1.0)) == pytest.approx((30, 24), rel=0.02)


def test_a_soft_mask_counts_by_its_values():
    """Half a pixel beside three whole ones: mean 1.2857, variance by hand."""
    soft = np.array([[1, 1, 1, 0.5]])
    at = np.arange(4)
    weight = soft[0] / 3.5
    variance = weight @ (at - weight @ at) ** 2 + 1 / 12

    assert ellipse_axes(soft) == pytest.approx((4 * np.sqrt(variance), 4 * np.sqrt(1 / 12)))


def test_agrees_with_scikit_image():
    """Which takes pixels as points: without the twelfth that a square has of its own."""
    measure = pytest.importorskip("skimage.measure", reason="scikit-image is not installed")
    rng = np.random.default_rng(5)
    mask = np.zeros((64, 80), bool)
    for row, column in rng.integers(20, 45, (9, 2)):
        mask[row : row + 13, column : column + 7] = True
    [theirs] = measure.regionprops(mask.astype(int))

    points = np.sqrt(np.square(ellipse_axes(mask)) - 16 / 12)
    assert points == pytest.approx((theirs.axis_major_length, theirs.axis_minor_length))


def test_an_empty_mask_is_refused():
    with pytest.raises(LungSynthError, match="at least one pixel"):
        ellipse_diameter(np.zeros((5, 5), bool))
