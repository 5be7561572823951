"""How dense real nodules are: the table's own numbers, and what must hold between them."""

import numpy as np
import pytest

from lungsynth.core.density import density_at, density_rank, within_class
from lungsynth.core.nodule import Attenuation

SOLID, PART, GLASS = Attenuation


@pytest.mark.parametrize(
    ("rank", "diameter_mm", "attenuation", "rating", "hu"),
    [
        (0.5, 8, SOLID, None, -308),
        (0.5, 16, SOLID, None, -308 + 117),
        (0.625, 8, SOLID, None, (-308 - 198) / 2),  # half way between two quantiles
        (0.0, 8, SOLID, None, -546),
        (1.0, 8, SOLID, None, 291),
        (0.5, 8, SOLID, 2.0, -8),
        (0.5, 8, SOLID, 2.1, -330),
        (0.5, 8, SOLID, 4.0, -306),
        (0.75, 4, SOLID, 5.0, -255 - 103),
        (0.1, 16, PART, None, -632 + 50),
        (0.1, 16, PART, 4.5, -632 + 50),
        (0.9, 30, GLASS, 1.0, -571),
    ],
)
def test_densities_by_hand(rank, diameter_mm, attenuation, rating, hu):
    assert density_at(rank, diameter_mm, attenuation, rating) == pytest.approx(hu)


def test_steep_lines_go_on_level_where_no_real_nodules_are():
    """Benign solid ones end at 10.5 mm: -8 + 260 log2(10.5 / 8)."""
    expected = -8 + 260 * np.log2(10.5 / 8)
    assert density_at(0.5, 10.5, SOLID, 1.5) == pytest.approx(expected)
    assert density_at(0.5, 30.0, SOLID, 1.5) == pytest.approx(expected)


@pytest.mark.parametrize("attenuation", Attenuation)
@pytest.mark.parametrize("rating", [None, 1.0, 3.0, 5.0])
@pytest.mark.parametrize("diameter_mm", [3.0, 7.0, 40.0])
def test_rank_and_density_undo_each_other(attenuation, rating, diameter_mm):
    ranks = np.linspace(0.02, 0.98, 33)
    there = [density_at(rank, diameter_mm, attenuation, rating) for rank in ranks]

    assert there == sorted(there)
    back = [density_rank(hu, diameter_mm, attenuation, rating) for hu in there]
    np.testing.assert_allclose(back, ranks, atol=1e-9)


def test_ranks_end_where_the_table_does():
    assert density_rank(-900, 8, SOLID) == 0.02
    assert density_rank(900, 8, SOLID) == 0.98


def test_a_class_keeps_a_tenth_off_its_lower_and_a_twentieth_off_its_upper_end():
    assert within_class(GLASS, -900) == pytest.approx(-799 + 26.5)
    assert within_class(GLASS, 0) == pytest.approx(-534 - 13.25)
    assert within_class(GLASS, -650) == -650
