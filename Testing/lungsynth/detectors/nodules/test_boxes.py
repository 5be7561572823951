"""Boxes: overlap, codes, suppression and matching, by hand."""

import math

import pytest
import torch

from lungsynth.detectors.nodules.boxes import (
    clip,
    decode,
    draw_sample,
    encode,
    match,
    overlaps,
    suppress,
)


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def test_overlap_by_hand():
    """2 x 3 of 4 x 6 and 6 x 4: 6 / (24 + 24 - 6); boxes that only touch do not overlap."""
    first = boxes([0, 0, 4, 6], [10, 10, 12, 12])
    second = boxes([2, 3, 8, 7], [12, 10, 14, 12], [10, 10, 12, 12])

    torch.testing.assert_close(overlaps(first, second), torch.tensor([[6 / 42, 0, 0], [0, 0, 1.0]]))


def test_codes_by_hand_and_back():
    """An anchor of 10 x 20 around (5, 10); the box is moved by (3, -4) and is 20 x 10."""
    anchor, box = boxes([0, 0, 10, 20]), boxes([-2, 1, 18, 11])
    code = encode(box, anchor)

    torch.testing.assert_close(code, torch.tensor([[0.3, -0.2, math.log(2), -math.log(2)]]))
    torch.testing.assert_close(decode(code, anchor), box)


def test_no_box_explodes():
    huge = decode(torch.tensor([[0.0, 0.0, 50.0, 0.0]]), boxes([0, 0, 16, 16]))

    assert (huge[0, 2] - huge[0, 0]).item() == pytest.approx(1000)


def test_boxes_end_at_the_border():
    torch.testing.assert_close(clip(boxes([-3, 5, 70, 64.5]), 64), boxes([0, 5, 64, 64]))


def test_the_best_of_those_that_overlap_stays():
    """The second overlaps the first by 0.6 and goes; the third then stays, though it is near
    the second."""
    given = boxes([0, 0, 10, 10], [2.5, 0, 12.5, 10], [5, 0, 15, 10], [30, 30, 40, 40])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.95])

    assert suppress(given, scores, 0.5, 10).tolist() == [3, 0, 2]
    assert suppress(given, scores, 0.5, 2).tolist() == [3, 0]
    assert suppress(given, scores, 0.7, 10).tolist() == [3, 0, 1, 2]
    assert suppress(boxes(), torch.tensor([]), 0.5, 10).tolist() == []


def test_anchors_match_by_overlap_and_each_box_has_its_best_anchor():
    """Overlaps with box 0: 1, 0.6, 0.43, 0; with box 1: at most 0.25, of the last anchor."""
    anchors = boxes([0, 0, 10, 10], [2.5, 0, 12.5, 10], [4, 0, 14, 10], [50, 50, 60, 60])
    given = boxes([0, 0, 10, 10], [50, 50, 55, 55])

    assert match(anchors, given, 0.4, 0.5, best=False).tolist() == [0, 0, -2, -1]
    assert match(anchors, given, 0.4, 0.5, best=True).tolist() == [0, 0, -2, 1]
    assert match(anchors, given, 0.5, 0.7, best=True).tolist() == [0, -2, -1, 1]


def test_without_a_box_no_anchor_finds_one():
    assert match(boxes([0, 0, 1, 1], [2, 2, 3, 3]), boxes(), 0.4, 0.5, best=True).tolist() == [
        -1,
        -1,
    ]


def test_a_sample_has_no_more_than_its_part_of_positives_and_follows_torchs_seed():
    matches = torch.tensor([0] * 10 + [-2] * 10 + [-1] * 50)
    torch.manual_seed(7)
    picked = draw_sample(matches, 16, 0.25)
    torch.manual_seed(7)

    assert torch.equal(picked, draw_sample(matches, 16, 0.25))
    assert (matches[picked] == 0).sum() == 4
    assert (matches[picked] == -1).sum() == 12
    assert len(set(picked.tolist())) == 16
    assert (matches[draw_sample(matches[:22], 16, 0.5)] >= 0).sum() == 8
