"""What the surroundings suggest of what is hidden."""

import numpy as np

from lungsynth.imaging.fill import filled


def hidden_disc(side, radius):
    row, column = np.indices((side, side)) - (side - 1) / 2
    return row**2 + column**2 <= radius**2


def test_what_is_seen_stays_and_what_is_hidden_is_not_looked_at():
    rng = np.random.default_rng(4)
    values = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    hidden = hidden_disc(64, 11)
    other = np.where(hidden, np.nan, values).astype(np.float32)
    found = filled(other, hidden)

    np.testing.assert_array_equal(found[~hidden], values[~hidden])
    np.testing.assert_array_equal(found, filled(values, hidden))
    assert found.dtype == np.float32


def test_a_level_picture_is_filled_with_its_level():
    found = filled(np.full((32, 32), 0.25, np.float32), hidden_disc(32, 8))

    np.testing.assert_allclose(found, 0.25, atol=1e-6)


def test_a_slope_is_carried_through_roughly_and_smoothly():
    slope = np.tile(np.linspace(-1, 1, 64, dtype=np.float32), (64, 1))
    hidden = hidden_disc(64, 12)
    found = filled(slope, hidden)

    assert np.abs(found - slope)[hidden].mean() < 0.1  # 0.2 for the mean of all around
    assert found.min() >= -1
    assert found.max() <= 1
    assert found[32, 42] > found[32, 32] > found[32, 22]
    assert np.abs(np.diff(found, axis=1)).max() < 0.3


def test_nothing_hidden_is_nothing_changed():
    values = np.arange(16, dtype=np.float32).reshape(4, 4)

    np.testing.assert_array_equal(filled(values, np.zeros((4, 4), bool)), values)
