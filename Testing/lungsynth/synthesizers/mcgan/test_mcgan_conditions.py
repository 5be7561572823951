"""What the generator is told, by hand."""

import numpy as np
import pytest
import torch

from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec
from lungsynth.synthesizers.mcgan.conditions import (
    condition_vector,
    draw_mean_hu,
)


@pytest.mark.parametrize(
    ("diameter_mm", "size"),
    [(4, 0), (10, 0), (10.01, 1), (20, 1), (20.01, 2), (40, 2)],
)
def test_sizes_part_at_10_and_20_mm(diameter_mm, size):
    """[1, 6.2.1]: small up to 10 mm, medium up to 20 mm, large above."""
    told = condition_vector(
        np.array([diameter_mm]), np.array([1]), np.array([0.0]), np.array([20.0])
    )

    assert told[0, :3].tolist() == np.eye(3)[size].tolist()


def test_conditions_by_hand():
    told = condition_vector(
        np.array([16.0, 4.0]),
        np.array([2, 0]),
        np.array([-600.0, -100.0]),
        np.array([32.0, 6.4]),
    )

    expected = [
        [0, 1, 0, 0, 0, 1, 1.0, 0.0, -1.0],
        [1, 0, 0, 1, 0, 0, -1.0, 0.5, 1.0],
    ]
    torch.testing.assert_close(told, torch.tensor(expected))
    assert [str(a) for a in Attenuation] == ["solid", "part-solid", "ground-glass"]


@pytest.mark.parametrize("attenuation", Attenuation)
@pytest.mark.parametrize("diameter_mm", [3.0, 8.0, 40.0])
def test_drawn_densities_lie_in_their_class(attenuation, diameter_mm):
    low, high = ATTENUATION_HU_RANGE[attenuation]
    drawn = [draw_mean_hu(NoduleSpec(diameter_mm, attenuation, None, s)) for s in range(100)]

    tenth = (high - low) / 10
    assert low + tenth <= min(drawn) < max(drawn) <= high - tenth
    assert drawn == [
        draw_mean_hu(NoduleSpec(diameter_mm, attenuation, None, s)) for s in range(100)
    ]


def test_drawn_densities_rise_with_size():
    small, large = (
        np.mean([draw_mean_hu(NoduleSpec(d, latent_seed=s)) for s in range(300)])
        for d in (4.0, 16.0)
    )

    assert large - small == pytest.approx(2 * 84, abs=30)
