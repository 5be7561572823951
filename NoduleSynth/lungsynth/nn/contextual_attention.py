"""Contextual attention in 3-D: what is missing is rebuilt from patches of what is known.

[1] Yu et al., Generative Image Inpainting with Contextual Attention, CVPR 2018,
arXiv:1801.07892v2, section 4.1 (2-D there).

As the code of [1] does, scores spread to neighbours before the softmax, in which only patches
that hold nothing of the hole take part.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, normalize, pad


class ContextualAttention(nn.Module):
    """Rebuilds each place of a feature map from the patches outside a hole that are like it.

    It has no parameters; its gradient goes to the features that are matched and to those that
    are borrowed.

    Args:
        patch: Side of a patch, odd.
        spread: How far scores spread along each axis, k of [1, 4.1]; 0 for not at all.
        sharpness: lambda of [1, Eq. 4.1] in the softmax; 10 is that of the code of [1].

    Raises:
        ValueError: If ``patch`` is even or ``spread`` negative.
    """

    def __init__(self, patch: int = 3, spread: int = 1, sharpness: float = 10.0) -> None:
        super().__init__()
        if patch < 1 or patch % 2 == 0:
            msg = f"patch must be odd and positive; got {patch}"
            raise ValueError(msg)
        if spread < 0:
            msg = f"spread must not be negative; got {spread}"
            raise ValueError(msg)
        self.patch, self.spread, self.sharpness = patch, spread, sharpness

    def forward(self, features: Tensor, hole: Tensor) -> Tensor:
        """Return features (B, C, D, H, W), each place the mean of the patches that cover it.

        Args:
            features: (B, C, D, H, W).
            hole: Where nothing is known: above 0; (B, 1, D, H, W).
        """
        patches = patches_of(features, self.patch)  # (B, N, C p^3)
        alike = normalize(patches.float(), dim=2)
        scores = alike @ alike.transpose(1, 2)  # cosines, from each place to each patch
        if self.spread:
            scores = spread_scores(scores, tuple(features.shape[2:]), self.spread)
        known = ~self._touched(hole)
        scores = (self.sharpness * scores).masked_fill(~known[:, None], -torch.inf)
        borrowed = scores.softmax(dim=2).to(patches.dtype) @ patches
        return overlapped(borrowed, tuple(features.shape[1:]), self.patch)

    def _touched(self, hole: Tensor) -> Tensor:
        """Return which patches (B, N) hold something of the hole; none where all would."""
        touched = max_pool3d((hole > 0).float(), self.patch, 1, self.patch // 2).flatten(1) > 0
        return touched & ~touched.all(dim=1, keepdim=True)


def patches_of(features: Tensor, patch: int) -> Tensor:
    """Return the patch around each place (B, D H W, C p^3), zeros beyond the border."""
    batch, _, *size = features.shape
    margin = patch // 2
    windows = pad(features, [margin] * 6)
    for axis in (2, 3, 4):
        windows = windows.unfold(axis, patch, 1)
    # (B, C, D, H, W, p, p, p)
    windows = windows.permute(0, 2, 3, 4, 1, 5, 6, 7)
    return windows.reshape(batch, size[0] * size[1] * size[2], -1)


def overlapped(patches: Tensor, shape: tuple[int, ...], patch: int) -> Tensor:
    """Return (B, C, D, H, W) of patches (B, D H W, C p^3): the mean of those that cover a place."""
    channels, *size = shape
    margin = patch // 2
    windows = patches.view(-1, *size, channels, patch, patch, patch).permute(0, 4, 5, 6, 7, 1, 2, 3)
    grown = [n + 2 * margin for n in size]
    total = patches.new_zeros(len(patches), channels, *grown)
    count = patches.new_zeros(1, 1, *grown)
    for z, y, x in product(range(patch), repeat=3):
        ends = (z + size[0], y + size[1], x + size[2])
        total[..., z : ends[0], y : ends[1], x : ends[2]] += windows[:, :, z, y, x]
        count[..., z : ends[0], y : ends[1], x : ends[2]] += 1
    mean = total / count
    return mean[..., margin : -margin or None, margin : -margin or None, margin : -margin or None]


def spread_scores(scores: Tensor, size: tuple[int, ...], reach: int) -> Tensor:
    """Return scores summed along each axis in turn with those of both places moved alike.

    A place and the one beside it belong with patches that lie beside each other
    [1, 4.1: attention propagation].

    Args:
        scores: (B, N, N), from places to patches, both (D, H, W) flattened.
        size: (D, H, W).
        reach: Largest move to either side.
    """
    moved = scores.view(-1, *size, *size)
    for axis in range(3):
        total = moved
        for step in range(1, reach + 1):
            if step >= size[axis]:
                break
            for low, high in ((0, step), (step, 0)):
                kept = size[axis] - step
                part = moved.narrow(1 + axis, step - low, kept).narrow(4 + axis, step - low, kept)
                margins = [0] * 12
                for dimension in (1 + axis, 4 + axis):
                    at = 2 * (6 - dimension)
                    margins[at], margins[at + 1] = step - high, high
                total = total + pad(part, margins)
        moved = total
    return moved.reshape(scores.shape)
