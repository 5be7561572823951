"""Readers' ratings of nodule cubes, and drawing only those that have one."""

import numpy as np
import pytest

from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.voi_batches import NoduleVoiSampler


@pytest.fixture
def cubes(cubes_folder):
    return NoduleCubes.load(cubes_folder, "train")


def test_a_rating_is_a_number_or_not_known(cubes):
    cells = ["4.5", "", "n/a", "2", "3", None, "nan", "1", "5"]
    for row, cell in zip(cubes.table, cells, strict=True):
        if cell is not None:
            row["malignancy"] = cell
    cubes.table[4]["ambiguous"] = "1.0"  # another nodule could be meant
    nan = float("nan")

    expected = [4.5, nan, nan, 2, nan, nan, nan, 1, 5]
    np.testing.assert_array_equal(cubes.rating("malignancy"), expected)
    assert np.isnan(cubes.rating("spiculation")).all()  # no such column


def test_only_some_can_be_drawn_and_a_batch_says_which_they_are(cubes):
    among = np.zeros(len(cubes), dtype=bool)
    among[[2, 7]] = True
    sampler = NoduleVoiSampler(cubes, lambda d: 1.6 * d + 3, among=among)
    rng = np.random.default_rng(0)
    batch = sampler.batch([sampler.draw(rng) for _ in range(20)])

    assert set(batch.index.tolist()) == {2, 7}
    np.testing.assert_array_equal(batch.diameter_mm, cubes.diameter_mm[batch.index])
