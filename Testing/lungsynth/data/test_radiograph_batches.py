"""Radiographs of a batch are varied as drawn, never mirrored, and the same draw is the same."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lungsynth.data.radiograph_batches import Draw, RadiographSampler, Variation

SIDE = 32


@pytest.fixture
def sampler(monkeypatch):
    """Three images made by formula: a bright spot right of and above the middle."""
    j, i = np.indices((SIDE, SIDE))
    spot = np.exp(-((j - 10) ** 2 + (i - 20) ** 2) / 18).astype(np.float32)
    images = np.stack([spot * 2 - 1, spot - 1, spot * 1.5 - 1])
    monkeypatch.setattr("lungsynth.data.radiograph_batches.read_squares", lambda *_: images)
    records = [SimpleNamespace(patient=str(n // 2), view="PA" if n else "") for n in range(3)]
    return RadiographSampler(records, SIDE, None, Variation(0.1, 5.0, 1.3))


def centre(image):
    weight = (image + 1).clamp(min=0)
    j, i = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    return [(weight * at).sum().item() / weight.sum().item() for at in (j, i)]


def test_draw_without_change_is_the_image(sampler):
    found = sampler.batch([Draw(1), Draw(0)], torch.device("cpu"))

    assert found.shape == (2, 1, SIDE, SIDE)
    np.testing.assert_array_equal(found[0, 0], sampler.images[1].astype(np.float32))


def test_zoom_enlarges_about_the_middle(sampler):
    found = sampler.batch([Draw(0, zoom=1.1)], torch.device("cpu"))[0, 0]

    middle = (SIDE - 1) / 2
    expected = (middle + 1.1 * (10 - middle), middle + 1.1 * (20 - middle))
    assert centre(found) == pytest.approx(expected, abs=0.15)


def test_shift_shows_what_lies_to_the_right(sampler):
    found = sampler.batch([Draw(0, shift=(0.125, 0.0))], torch.device("cpu"))[0, 0]

    # a part to the right by 2 pixels moves the spot to the left
    assert centre(found) == pytest.approx((10, 18), abs=0.2)


def test_turn_keeps_the_middle_and_moves_the_spot(sampler):
    found = sampler.batch([Draw(0, turn=np.pi / 2)], torch.device("cpu"))[0, 0]

    # from (right, up) = (4.5, 5.5) of the middle to (-5.5, 4.5) or (5.5, -4.5)
    row, column = centre(found)
    assert (row, column) == pytest.approx((15.5 - 4.5, 15.5 - 5.5), abs=0.2)


def test_gamma_bends_brightness_and_keeps_the_ends(sampler):
    found = sampler.batch([Draw(0, gamma=2.0)], torch.device("cpu"))[0, 0]

    unit = (sampler.images[0].astype(np.float32) + 1) / 2
    np.testing.assert_allclose(found, 2 * unit**2 - 1, atol=1e-5)


def test_drawn_parts_stay_within_the_image(sampler):
    rng = np.random.default_rng(11)
    draws = [sampler.draw(rng) for _ in range(400)]

    for draw in draws:
        assert 1 <= draw.zoom <= 1.1
        assert max(map(abs, draw.shift)) <= 1 - 1 / draw.zoom
        assert abs(draw.turn) <= np.radians(5)
        assert 1 / 1.3 <= draw.gamma <= 1.3
    assert {draw.index for draw in draws} == {0, 1, 2}
    assert max(draw.turn for draw in draws) > np.radians(4)


def test_summary_counts_patients_and_views(sampler):
    found = sampler.summary()

    assert (found["radiographs"], found["patients"]) == (3, 2)
    assert found["views"] == {"PA": 2, "unknown": 1}
