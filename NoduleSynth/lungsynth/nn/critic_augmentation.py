"""Changes of what a critic sees, real or drawn alike, that the generator does not learn.

[1] Zhao et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020: what
to change.
[2] Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020,
section 3: how often, by how far the critic overfits. A change that is not always made does not
leak into what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST = 0.85
"""No more often than that [2, section 2.2]: at 1 the changed images would be what is learnt."""
_SHIFT = 1 / 8  # of the side [1]
_CUT = 1 / 2  # of the side [1]


@dataclass(frozen=True, eq=False)
class Changes:
    """One change of each kind for each image of a batch; what is not changed has none.

    Args:
        shift: Pixels (down, right), int64, (B, 2).
        cut: Upper left corner (row, column) of the square that is made grey, int64, (B, 2); at
            the side's end where nothing is cut.
        brightness: Added, (B,).
        contrast: Times the distance to the image's mean, (B,).
    """

    shift: Tensor
    cut: Tensor
    brightness: Tensor
    contrast: Tensor

    def part(self, own: slice) -> Changes:
        """Return those of some of the images."""
        return Changes(self.shift[own], self.cut[own], self.brightness[own], self.contrast[own])


def draw_changes(count: int, side: int, probability: float, rng: np.random.Generator) -> Changes:
    """Draw the changes of a batch, each kind for each image with a probability of its own."""
    made = rng.random((count, 4)) < probability
    most = int(side * _SHIFT)
    shift = rng.integers(-most, most + 1, (count, 2)) * made[:, :1]
    size = int(side * _CUT)
    cut = np.where(made[:, 1:2], rng.integers(1 - size, side, (count, 2)), side)
    brightness = rng.uniform(-0.5, 0.5, count) * made[:, 2]
    contrast = np.where(made[:, 3], rng.uniform(0.5, 1.5, count), 1.0)
    return Changes(
        shift=torch.from_numpy(shift),
        cut=torch.from_numpy(cut),
        brightness=torch.from_numpy(brightness.astype(np.float32)),
        contrast=torch.from_numpy(contrast.astype(np.float32)),
    )


def change(images: Tensor, changes: Changes) -> Tensor:
    """Return images (B, 1, S, S) changed; gradients pass through.

    What a shift moves in is black (-1), what is cut out grey (0).
    """
    side = images.shape[-1]
    device = images.device
    contrast, brightness = (
        values.to(device).view(-1, 1, 1, 1) for values in (changes.contrast, changes.brightness)
    )
    mean = images.mean(dim=(2, 3), keepdim=True)
    images = (images - mean) * contrast + mean + brightness
    if bool((changes.shift != 0).any()):
        images = _moved(images, changes.shift.to(device))
    if bool((changes.cut < side).any()):
        images = images * ~_within(changes.cut.to(device), side)
    return images


def _moved(images: Tensor, shift: Tensor) -> Tensor:
    """Return images (B, 1, S, S) moved by (down, right), (B, 2)."""
    side = images.shape[-1]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    # where each row and each column of the result comes from, (B, S)
    rows, columns = (
        torch.arange(side, device=images.device) - shift[:, axis : axis + 1] for axis in (0, 1)
    )
    near = [at.clamp(0, side - 1) for at in (rows, columns)]
    inside = (near[0] == rows)[:, :, None] & (near[1] == columns)[:, None]
    moved = images[batch, 0, near[0][:, :, None], near[1][:, None]]
    return torch.where(inside, moved, moved.new_tensor(-1.0))[:, None]


def _within(corner: Tensor, side: int) -> Tensor:
    """Return whether pixels (B, 1, S, S) lie in the square with an upper left corner (B, 2)."""
    at = torch.arange(side, device=corner.device)
    rows, columns = (
        (at >= corner[:, axis : axis + 1]) & (at < corner[:, axis : axis + 1] + int(side * _CUT))
        for axis in (0, 1)
    )
    return (rows[:, :, None] & columns[:, None])[:, None]


def next_probability(probability: float, sign: float, target: float, step: float) -> float:
    """Return the probability for the next batch [2, section 3].

    Args:
        probability: For this batch.
        sign: Mean sign of the scores of real images: 1 once the critic knows them by heart.
        target: The sign that is aimed at.
        step: How far the probability moves.
    """
    moved = probability + (step if sign > target else -step)
    return min(max(moved, 0.0), MOST)
