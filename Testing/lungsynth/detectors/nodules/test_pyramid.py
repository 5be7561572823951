"""Anchors, the order of a head's outputs, and what is cut out of a pyramid."""

from dataclasses import replace

import pytest
import torch

from lungsynth.detectors.nodules.config import PRESETS
from lungsynth.detectors.nodules.pyramid import (
    FrozenNorm,
    Pyramid,
    by_anchor,
    cut_out,
    make_anchors,
)

TINY = PRESETS["retinanet"]["tiny"]


def test_anchors_by_hand():
    """Stride 4, side 3 * 4 = 12 and twice that, ratio 1 and 4 (height over width)."""
    config = replace(TINY, levels=(2, 3), anchor_scales=(1.0, 2.0), anchor_ratios=(1.0, 4.0))
    fine, coarse = make_anchors(config, 64)

    assert fine.shape == (16 * 16 * 4, 4)
    assert coarse.shape == (8 * 8 * 4, 4)
    # The middle of the first pixel of the finest map is (2, 2)
    assert fine[0].tolist() == pytest.approx([2 - 6, 2 - 6, 2 + 6, 2 + 6])
    assert fine[1].tolist() == pytest.approx([2 - 3, 2 - 12, 2 + 3, 2 + 12])
    assert fine[2].tolist() == pytest.approx([2 - 12, 2 - 12, 2 + 12, 2 + 12])
    assert fine[4].tolist() == pytest.approx([6 - 6, 2 - 6, 6 + 6, 2 + 6])  # one to the right
    assert fine[4 * 16].tolist() == pytest.approx([2 - 6, 6 - 6, 2 + 6, 6 + 6])  # one down
    assert coarse[0].tolist() == pytest.approx([4 - 12, 4 - 12, 4 + 12, 4 + 12])


def test_outputs_of_a_head_are_in_the_order_of_the_anchors():
    """Channel a * 4 + v of pixel (row, column) is value v of anchor a there."""
    rows, columns, anchors = 3, 5, 2
    maps = torch.arange(2 * anchors * 4 * rows * columns).reshape(2, anchors * 4, rows, columns)
    flat = by_anchor(maps, 4)

    assert flat.shape == (2, rows * columns * anchors, 4)
    for row, column, anchor in ((0, 0, 0), (1, 3, 1), (2, 4, 0)):
        at = (row * columns + column) * anchors + anchor
        torch.testing.assert_close(flat[1, at], maps[1, anchor * 4 : anchor * 4 + 4, row, column])


def test_levels_have_their_strides_and_one_width():
    maps = Pyramid(TINY)(torch.zeros(2, 1, 128, 128))

    assert [tuple(m.shape) for m in maps] == [
        (2, 16, 128 // 2**n, 128 // 2**n) for n in TINY.levels
    ]


def test_further_levels_follow_the_last_stage():
    config = replace(TINY, levels=(3, 4, 5, 6, 7))
    maps = Pyramid(config)(torch.zeros(1, 1, 128, 128))

    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2, 1]


def test_frozen_norms_learn_nothing_and_do_what_they_were_given():
    """By hand: (3 - 1) / 2 * 5 + 7."""
    norm = FrozenNorm(1)
    norm.load_state_dict(
        {
            "weight": torch.tensor([5.0]),
            "bias": torch.tensor([7.0]),
            "running_mean": torch.tensor([1.0]),
            "running_var": torch.tensor([4.0 - 1e-5]),
        }
    )

    assert norm(torch.full((1, 1, 1, 1), 3.0)).item() == pytest.approx(12)
    assert not list(norm.parameters())
    network = Pyramid(replace(TINY, norm="frozen"))
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in network.modules())


def test_what_is_cut_out_of_a_ramp_is_its_values_in_the_cells():
    """A map whose value is x + 100 y in pixels of the image; cells of a box of 14 x 7 pixels."""
    stride = 4
    middle = (torch.arange(32) + 0.5) * stride
    maps = (middle[None, :] + 100 * middle[:, None])[None, None]
    box = torch.tensor([[40.0, 20.0, 54.0, 27.0]])
    found = cut_out([maps], [box], (2,), 7)

    x = 40 + (torch.arange(7) + 0.5) * 2
    y = 20 + (torch.arange(7) + 0.5) * 1
    torch.testing.assert_close(found[0, 0], x[None, :] + 100 * y[:, None])


def test_boxes_are_read_at_the_level_of_their_size_and_from_their_image():
    """[FPN, Eq. 1]: 112 pixels at level 3, 224 at level 4; smaller ones at the finest."""
    images, levels = 2, (2, 3, 4)
    maps = [
        torch.stack(
            [torch.full((1, 256 // 2**n, 256 // 2**n), 10.0 * i + n) for i in range(images)]
        )
        for n in levels
    ]
    own = [
        torch.tensor([[0.0, 0, 20, 20], [10, 10, 122, 122], [0, 0, 224, 224]]),
        torch.tensor([[5.0, 5, 25, 25]]),
    ]

    assert cut_out(maps, own, levels, 3)[:, 0, 1, 1].tolist() == pytest.approx([2, 3, 4, 12])
