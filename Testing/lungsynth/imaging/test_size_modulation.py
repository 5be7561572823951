"""A shape at the diameter that is asked, whatever its own."""

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.ellipse import ellipse_axes, ellipse_diameter
from lungsynth.imaging.size_modulation import modulate_size


@pytest.fixture(scope="module")
def bean():
    """An oblique ellipse of 60 x 30 with a dent, off the middle."""
    row, column = np.indices((128, 128)) - np.array([70.3, 55.1])[:, None, None]
    along, across = (row + column) / np.sqrt(2), (row - column) / np.sqrt(2)
    ellipse = (along / 30) ** 2 + (across / 15) ** 2 <= 1
    dent = (along - 4) ** 2 + (across - 14) ** 2 <= 64
    return ellipse & ~dent


@pytest.mark.parametrize("asked", [3.0, 10.0, 37.5, 100.0])
def test_the_diameter_is_the_one_that_is_asked(bean, asked):
    mask = modulate_size(bean, asked)

    assert mask.shape == (256, 256)
    assert mask.dtype == np.float32
    assert ellipse_diameter(mask) == pytest.approx(asked, rel=0.003)
    # what insertion measures are the pixels more than half inside
    assert ellipse_diameter(mask > 0.5) == pytest.approx(asked, rel=0.03, abs=0.9)


def test_the_proportions_and_the_direction_stay(bean):
    mask = modulate_size(bean, 90)
    given, made = ellipse_axes(bean), ellipse_axes(mask)

    assert made[0] / made[1] == pytest.approx(given[0] / given[1], rel=0.01)
    centred = [p - p.mean() for p in np.nonzero(mask > 0.5)]
    assert np.corrcoef(*centred)[0, 1] > 0.4  # along the falling diagonal, as it was


def test_the_centre_of_mass_lies_in_the_middle(bean):
    """Of 256 pixels, between 127 and 128."""
    mask = modulate_size(bean, 61)
    place = [
        float((mask.sum(axis=1 - axis) * np.arange(256)).sum() / mask.sum()) for axis in (0, 1)
    ]

    np.testing.assert_allclose(place, 127.5, atol=0.1)


def test_edges_hold_parts_of_pixels_and_all_else_is_whole(bean):
    mask = modulate_size(bean, 40)
    levels = np.unique(mask)

    assert set(levels * 16) <= set(range(17))
    assert 0.02 < ((mask > 0) & (mask < 1)).sum() / (mask > 0).sum() < 0.4


def test_another_patch_takes_its_own_side(bean):
    assert modulate_size(bean, 50, 128).shape == (128, 128)


def test_what_cannot_be_done_is_refused(bean):
    with pytest.raises(LungSynthError, match=r"250 pixels does not fit into a patch of 256"):
        modulate_size(bean, 250)
    with pytest.raises(LungSynthError, match="must be positive; got 0 pixels"):
        modulate_size(bean, 0)
    with pytest.raises(LungSynthError, match="is empty"):
        modulate_size(bean * 0.4, 20)
