"""What a critic sees is changed as drawn, as often as asked, and gradients pass."""

import numpy as np
import pytest
import torch

from lungsynth.nn.critic_augmentation import (
    MOST,
    Changes,
    change,
    draw_changes,
    next_probability,
)


def no_changes(count, side):
    return Changes(
        shift=torch.zeros(count, 2, dtype=torch.int64),
        cut=torch.full((count, 2), side),
        brightness=torch.zeros(count),
        contrast=torch.ones(count),
    )


def test_shift_moves_down_and_right_and_fills_with_black():
    images = torch.arange(1.0, 17).view(1, 1, 4, 4).repeat(2, 1, 1, 1)
    changes = no_changes(2, 4)
    changes.shift[1] = torch.tensor([1, -2])

    found = change(images, changes)

    torch.testing.assert_close(found[0], images[0])
    expected = torch.tensor([[-1.0, -1, -1, -1], [3, 4, -1, -1], [7, 8, -1, -1], [11, 12, -1, -1]])
    torch.testing.assert_close(found[1, 0], expected)


def test_cut_makes_a_square_of_half_the_side_grey():
    images = torch.ones(2, 1, 4, 4)
    changes = no_changes(2, 4)
    changes.cut[0] = torch.tensor([-1, 2])

    found = change(images, changes)

    expected = torch.ones(4, 4)
    expected[0, 2:] = 0
    torch.testing.assert_close(found[0, 0], expected)
    torch.testing.assert_close(found[1, 0], torch.ones(4, 4))


def test_brightness_is_added_and_contrast_is_about_the_mean():
    images = torch.tensor([0.0, 0.4, 0.0, 0.4]).view(1, 1, 2, 2)
    changes = no_changes(1, 2)
    changes.brightness[0], changes.contrast[0] = 0.1, 0.5

    torch.testing.assert_close(
        change(images, changes).flatten(), torch.tensor([0.2, 0.4, 0.2, 0.4])
    )


def test_nothing_is_changed_at_probability_zero():
    changes = draw_changes(50, 16, 0.0, np.random.default_rng(2))
    images = torch.rand(50, 1, 16, 16)

    torch.testing.assert_close(change(images, changes), images)


def test_each_kind_is_drawn_as_often_as_asked():
    changes = draw_changes(4000, 64, 0.3, np.random.default_rng(1))

    assert (changes.cut[:, 0] < 64).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (changes.brightness != 0).float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert (changes.contrast != 1).float().mean().item() == pytest.approx(0.3, abs=0.03)
    # one shift of 17 is by nothing, in each direction
    moved = (changes.shift != 0).any(dim=1).float().mean().item()
    assert moved == pytest.approx(0.3 * (1 - 1 / 17**2), abs=0.03)
    assert changes.shift.abs().max() == 8


def test_gradient_reaches_every_pixel_that_is_still_seen():
    images = torch.rand(1, 1, 8, 8, requires_grad=True)
    changes = no_changes(1, 8)
    changes.shift[0] = torch.tensor([1, 0])

    change(images, changes).sum().backward()

    torch.testing.assert_close(images.grad[0, 0, :7], torch.ones(7, 8))
    torch.testing.assert_close(images.grad[0, 0, 7], torch.zeros(8))


@pytest.mark.parametrize(
    ("probability", "sign", "expected"),
    [(0.2, 0.7, 0.25), (0.2, 0.5, 0.15), (0.01, 0.0, 0.0), (MOST, 1.0, MOST)],
)
def test_probability_follows_the_critic(probability, sign, expected):
    assert next_probability(probability, sign, 0.6, 0.05) == pytest.approx(expected)
