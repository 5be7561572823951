"""Boxes of objects: overlap, their coding relative to anchors, suppression of repeated ones.

A box is (left, top, right, bottom) in pixels; pixel n covers n to n + 1. All on plain torch.

[2] Ren et al., Faster R-CNN, NIPS 2015, arXiv:1506.01497v3.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LARGEST_SCALING = math.log(1000 / 16)
"""No box becomes larger than its anchor by more than this, as a logarithm."""


def areas(boxes: Tensor) -> Tensor:
    """Return the areas (N,) of boxes (N, 4)."""
    return (boxes[:, 2] - boxes[:, 0]).clamp(min=0) * (boxes[:, 3] - boxes[:, 1]).clamp(min=0)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return intersection over union (N, M) of boxes (N, 4) with boxes (M, 4)."""
    low = torch.maximum(first[:, None, :2], second[None, :, :2])
    high = torch.minimum(first[:, None, 2:], second[None, :, 2:])
    common = (high - low).clamp(min=0).prod(dim=2)
    union = areas(first)[:, None] + areas(second)[None, :] - common
    return common / union.clamp(min=1e-9)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return (x, y, width, height) of boxes relative to anchors [2, Eq. 2], both (N, 4)."""
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    anchor_middle, anchor_size = (
        (anchors[:, :2] + anchors[:, 2:]) / 2,
        anchors[:, 2:] - anchors[:, :2],
    )
    return torch.cat([(middle - anchor_middle) / anchor_size, torch.log(size / anchor_size)], dim=1)


def decode(codes: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes (N, 4) that ``encode`` made codes of."""
    anchor_middle, anchor_size = (
        (anchors[:, :2] + anchors[:, 2:]) / 2,
        anchors[:, 2:] - anchors[:, :2],
    )
    middle = anchor_middle + codes[:, :2] * anchor_size
    half = torch.exp(codes[:, 2:].clamp(max=LARGEST_SCALING)) * anchor_size / 2
    return torch.cat([middle - half, middle + half], dim=1)


def clip(boxes: Tensor, side: int) -> Tensor:
    """Return boxes cut off at the border of a square image."""
    return boxes.clamp(0, side)


def suppress(boxes: Tensor, scores: Tensor, threshold: float, most: int) -> Tensor:
    """Return indices of the boxes that stay, best first: non-maximum suppression.

    Of boxes that overlap by more than the threshold the one with the best score stays.

    Args:
        boxes: (N, 4).
        scores: (N,).
        threshold: Of intersection over union.
        most: How many may stay.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    left, top, right, bottom = boxes[order].detach().double().cpu().numpy().T
    area = (right - left) * (bottom - top)
    alive = np.arange(len(order))
    kept: list[int] = []
    while len(alive) and len(kept) < most:
        # against those that are left alone: a table of all pairs costs ten times as much
        n, alive = int(alive[0]), alive[1:]
        kept.append(n)
        width = np.minimum(right[n], right[alive]) - np.maximum(left[n], left[alive])
        height = np.minimum(bottom[n], bottom[alive]) - np.maximum(top[n], top[alive])
        common = np.clip(width, 0, None) * np.clip(height, 0, None)
        union = np.maximum(area[n] + area[alive] - common, 1e-9)
        alive = alive[common / union <= threshold]
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def match(anchors: Tensor, boxes: Tensor, low: float, high: float, *, best: bool) -> Tensor:
    """Return which box each anchor is to find: its index, -1 for none, -2 where it is left open.

    Args:
        anchors: (N, 4).
        boxes: What there is in the image, (M, 4); M may be 0.
        low: An anchor with less overlap with every box is to find none.
        high: One with at least so much is to find the box; in between it does not count.
        best: Each box is also found by the anchors with its largest overlap [2, 3.1.2], though
            it be less.
    """
    if not len(boxes):
        return torch.full((len(anchors),), -1, dtype=torch.long, device=anchors.device)
    table = overlaps(anchors, boxes)
    value, index = table.max(dim=1)
    result = torch.where(value >= high, index, torch.where(value < low, -1, -2))
    if best:
        of_box = table.max(dim=0).values
        ties = (table >= of_box[None] - 1e-6) & (of_box[None] > 0)
        rows = ties.any(dim=1)
        result[rows] = torch.where(ties[rows], table[rows], -1).argmax(dim=1)
    return result


def draw_sample(matches: Tensor, count: int, positive_part: float) -> Tensor:
    """Draw which anchors a loss counts, from torch's generator [2, 3.1.3].

    Args:
        matches: As ``match`` returns them, (N,).
        count: How many are drawn.
        positive_part: At most so many of them are to find a box; the others find none.

    Returns:
        Indices, those that are to find a box first.
    """
    positive = torch.nonzero(matches >= 0)[:, 0]
    negative = torch.nonzero(matches == -1)[:, 0]
    some = positive[torch.randperm(len(positive), device=matches.device)]
    some = some[: int(count * positive_part)]
    rest = negative[torch.randperm(len(negative), device=matches.device)]
    return torch.cat([some, rest[: count - len(some)]])
