"""The seam, against numbers done by hand."""

import numpy as np
import pytest

from lungsynth.evaluation.seam import Seam, face_differences, measure_seam, pooled

K, J, I = np.mgrid[:4, :4, :4]  # noqa: E741 - the axes' names
RAMP = (3 * K + 2 * J + I).astype(np.int16)
MIDDLE = ((1, 1, 1), (3, 3, 3))


def test_a_ramp_has_its_own_steps_across_the_faces():
    """Two faces of 2 x 2 pairs an axis, with steps of 3, 2 and 1: 8 * (3 + 2 + 1)."""
    assert face_differences(RAMP, MIDDLE) == (48.0, 24)


def test_a_raised_box_shows_on_all_faces():
    """By 10: steps of 3 become 13 on the lower face and 7 on the upper, and so on: 240."""
    raised = RAMP.copy()
    raised[1:3, 1:3, 1:3] += 10

    seam = measure_seam(RAMP, raised, MIDDLE)

    assert seam == Seam(before=48.0, after=240.0, count=24)
    assert seam.ratio == pytest.approx(5.0)


def test_unsigned_voxels_do_not_wrap_around():
    falling = np.array([5, 3, 9, 1], np.uint16).reshape(1, 1, 4)

    assert face_differences(falling, ((0, 0, 1), (1, 1, 3))) == (2.0 + 8.0, 2)


def test_a_face_on_the_border_of_the_volume_is_left_out():
    """Box of 1 x 2 x 3 in the corner: one face across each axis is left, 6 + 3 + 2 pairs."""
    total, count = face_differences(RAMP, ((0, 0, 0), (1, 2, 3)))

    assert count == 6 + 3 + 2
    assert total == 6 * 3 + 3 * 2 + 2 * 1


def test_a_box_as_large_as_the_volume_has_no_seam_to_compare():
    assert measure_seam(RAMP, RAMP, ((0, 0, 0), (4, 4, 4))).ratio is None


def test_pooling_weighs_by_pairs_of_voxels():
    whole = pooled([Seam(10.0, 10.0, 2), Seam(30.0, 60.0, 4)])

    assert whole == Seam(40.0, 70.0, 6)
    assert whole.ratio == pytest.approx(1.75)
