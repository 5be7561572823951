"""What the generator is told, and what is drawn, by hand."""

import numpy as np
import pytest
import torch

from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec
from lungsynth.synthesizers.class_aware.conditions import (
    class_name,
    class_probabilities,
    condition_vector,
    draw_mean_hu,
    draw_rating,
    told_fill,
    told_rating,
)

SEEDS = range(200)


def test_conditions_by_hand():
    told = condition_vector(
        np.array([16.0, 4.0]),
        np.array([2, 0]),
        np.array([-600.0, -100.0]),
        np.array([32.0, 6.4]),
        np.array([1.5, 4.5]),
    )

    expected = [[0, 0, 1, 1.0, 0.0, -1.0, -1.0], [1, 0, 0, -1.0, 0.5, 1.0, 1.0]]
    torch.testing.assert_close(told, torch.tensor(expected))
    torch.testing.assert_close(told_fill(told), torch.tensor([0.5, 0.625]))
    torch.testing.assert_close(told_rating(told), torch.tensor([1.5, 4.5]))


def test_readers_in_between_count_for_both_classes():
    """Benign up to 2, malignant from 4 [1, 3]; half way at 3."""
    found = class_probabilities(torch.tensor([1.0, 2.0, 2.5, 3.0, 4.0, 5.0]))

    expected = [[0, 1, 0], [0, 1, 0], [0, 0.75, 0.25], [0, 0.5, 0.5], [0, 0, 1], [0, 0, 1]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32))
    names = [class_name(rating) for rating in (2.0, 2.01, 3.99, 4.0)]
    assert names == ["benign", "undecided", "undecided", "malignant"]


@pytest.mark.parametrize(("malignancy", "low", "high"), [("benign", 1, 2), ("malignant", 4, 5)])
def test_an_asked_class_is_drawn_from_its_ratings(malignancy, low, high):
    drawn = [draw_rating(NoduleSpec(9.0, malignancy=malignancy, latent_seed=s)) for s in SEEDS]

    assert low <= min(drawn) < low + 0.1
    assert high - 0.1 < max(drawn) <= high


def test_malignancy_left_open_follows_the_size():
    """Solid: 2.80 + 0.99 log2(d / 8), deviation 0.70."""
    small, large = ([draw_rating(NoduleSpec(d, latent_seed=s)) for s in SEEDS] for d in (6.0, 12.0))

    assert np.mean(small) == pytest.approx(2.39, abs=0.15)
    assert np.mean(large) == pytest.approx(3.38, abs=0.15)
    assert np.std(large) == pytest.approx(0.7, abs=0.1)
    assert all(1 <= rating <= 5 for rating in small + large)
    assert small == [draw_rating(NoduleSpec(6.0, latent_seed=s)) for s in SEEDS]


@pytest.mark.parametrize("attenuation", Attenuation)
@pytest.mark.parametrize("rating", [1.2, 3.0, 4.8])
@pytest.mark.parametrize("diameter_mm", [3.0, 40.0])
def test_drawn_densities_lie_in_their_class(attenuation, rating, diameter_mm):
    low, high = ATTENUATION_HU_RANGE[attenuation]
    drawn = [draw_mean_hu(NoduleSpec(diameter_mm, attenuation, None, s), rating) for s in SEEDS]

    assert low + (high - low) / 10 <= min(drawn)
    assert max(drawn) <= high - (high - low) / 20


def test_benign_solid_nodules_are_denser_than_malignant_ones_of_the_same_seed():
    """At 8 mm -8 and -306 HU are the medians; in real ones it is calcification."""
    specs = [NoduleSpec(8.0, latent_seed=s) for s in SEEDS]
    benign, malignant = (np.array([draw_mean_hu(s, r) for s in specs]) for r in (1.5, 4.5))

    assert np.median(benign) == pytest.approx(-8, abs=45)
    assert np.median(malignant) == pytest.approx(-306, abs=25)
    assert (benign >= malignant).all()
