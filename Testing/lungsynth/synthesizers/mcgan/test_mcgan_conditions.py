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

    assert low + (high - low) / 10 <= min(drawn) < max(drawn) <= high - (high - low) / 20
    assert drawn == [
        draw_mean_hu(NoduleSpec(diameter_mm, attenuation, None, s)) for s in range(100)
    ]


def test_drawn_densities_are_spread_as_those_of_real_solid_nodules_are():
    """At 8 mm the quartiles are -391, -308 and -198 HU; a tenth is above -40, up to the margin."""
    drawn = [draw_mean_hu(NoduleSpec(8.0, latent_seed=s)) for s in range(2000)]

    quartiles = np.quantile(drawn, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [-391, -308, -198], atol=15)
    assert np.mean(np.array(drawn) > -40) == pytest.approx(0.1, abs=0.02)
    assert max(drawn) == pytest.approx(99 - 636 / 20, abs=0.1)


def test_drawn_densities_rise_with_size():
    small, large = (
        np.median([draw_mean_hu(NoduleSpec(d, latent_seed=s)) for s in range(1000)])
        for d in (4.0, 16.0)
    )

    assert large - small == pytest.approx(2 * 117, abs=30)


@pytest.mark.parametrize("attenuation", Attenuation)
def test_a_higher_quantile_is_denser_at_any_size(attenuation):
    """Lines of single quantiles cross far from 8 mm; what is drawn must not."""
    for diameter_mm in (3.0, 40.0):
        drawn = {}
        for seed in range(300):
            part = np.random.default_rng((seed, 1)).uniform()
            drawn[part] = draw_mean_hu(NoduleSpec(diameter_mm, attenuation, None, seed))
        in_order = [drawn[part] for part in sorted(drawn)]
        assert in_order == sorted(in_order)
