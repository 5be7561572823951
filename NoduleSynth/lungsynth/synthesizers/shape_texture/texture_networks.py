"""The texture generator and its discriminator [1, III.C and Fig. 4]; [1] as in the package.

The figures of [1, Table I] (MAE .0007 over the patch, .0296 in the mask) say that its results are
put back into the original outside the mask; so they are here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad
from torch.nn.utils.parametrizations import spectral_norm

from lungsynth.core.contracts import PATCH_PIXELS
from lungsynth.nn.gated import GatedAutoencoder
from lungsynth.synthesizers.shape_texture.config import TextureConfig

LIFT_SCALE = 3.0
"""(ours) Lifts, mostly below 0.3, are multiplied by it before the networks see them."""
_MARGIN = 16
"""(ours) Pixels that a small patch leaves around what may change."""


@dataclass(frozen=True, eq=False)
class TextureInput:
    """What a batch of nodules is painted from; images are (B, 1, S, S), in [-1, 1].

    Args:
        base: The patch, and where it may change what lies behind: the tissue itself or what the
            surroundings suggest.
        mask: How far each pixel belongs to the shape (or is in its box), 0 to 1.
        free: How far each pixel may change, 0 to 1.
        seen: Whether ``base`` is the tissue itself, 0 or 1, (B,).
        lift: How much a plain nodule of the asked contrast adds, see ``conditions.dome``.
    """

    base: Tensor
    mask: Tensor
    free: Tensor
    seen: Tensor
    lift: Tensor

    def central(self, side: int) -> TextureInput:
        """Return the middle of the patches."""
        start = (self.base.shape[-1] - side) // 2
        middle = (..., slice(start, start + side), slice(start, start + side))
        return TextureInput(
            self.base[middle], self.mask[middle], self.free[middle], self.seen, self.lift[middle]
        )

    def to(self, device: torch.device) -> TextureInput:
        """Return the same on a device."""
        return TextureInput(
            self.base.to(device),
            self.mask.to(device),
            self.free.to(device),
            self.seen.to(device),
            self.lift.to(device),
        )


class TextureGenerator(nn.Module):
    """Coarse and refining networks; of one stage, the coarse one alone."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config
        image, w, halvings = config.image_channels, config.width, config.halvings
        told = 4 if config.guided else 1
        self.coarse = GatedAutoencoder(image + told - config.guided, image, w, halvings)
        self.refine = (
            GatedAutoencoder(image + told, image, w, halvings) if config.two_stage else None
        )
        if config.guided:  # what they add begins with nothing
            for stage in (self.coarse, self.refine):
                if stage is not None:
                    for parameter in stage.out.parameters():
                        nn.init.zeros_(parameter)

    def forward(self, given: TextureInput) -> tuple[Tensor, Tensor]:
        """Return what the coarse and the last stage make of it, (B, 1, S, S) each.

        Nothing is put back yet outside of what may change; see ``put_back``.
        """
        if self.config.guided:
            return self._guided(given)
        channels = self.config.image_channels
        # [1, III.C]: I_orig (1 - M) + M, with the mask as one more channel
        image = (given.base * (1 - given.mask) + given.mask).expand(-1, channels, -1, -1)
        coarse = self.coarse(torch.cat([image, given.mask], dim=1))
        last = coarse
        if self.refine is not None:
            last = self.refine(torch.cat([coarse, given.mask], dim=1))
        return coarse.mean(dim=1, keepdim=True), last.mean(dim=1, keepdim=True)

    def _guided(self, given: TextureInput) -> tuple[Tensor, Tensor]:
        seen = given.seen[:, None, None, None] * given.mask
        told = [given.mask, LIFT_SCALE * given.lift, seen]
        coarse = given.base + given.lift + self.coarse(torch.cat([given.base, *told], dim=1))
        if self.refine is None:
            return coarse, coarse
        placed = put_back(coarse, given)
        last = coarse + self.refine(torch.cat([given.base, placed, *told], dim=1))
        return coarse, last

    def paint(self, given: TextureInput) -> Tensor:
        """Return whole patches with their nodules, all else as it was, (B, 1, 256, 256)."""
        side = working_side(self.config, given.free)
        part = given.central(side)
        painted = put_back(self(part)[1], part)
        margin = (PATCH_PIXELS - side) // 2
        change = pad(painted - part.base, [margin] * 4)
        # added, not copied, where something changes, so that all else is the same to the bit
        return torch.where(pad(part.free, [margin] * 4) > 0, given.base + change, given.base)


def put_back(painted: Tensor, given: TextureInput) -> Tensor:
    """Return what was painted as far as a pixel may change, and the patch as it was elsewhere."""
    return given.base + given.free * (painted - given.base)


def working_side(config: TextureConfig, free: Tensor) -> int:
    """Return the side of the patch that is worked on: the small one if all changes fit into it."""
    margin = (PATCH_PIXELS - config.small_side) // 2 + _MARGIN
    inner = free[..., margin:-margin, margin:-margin]
    fits = config.small_side < PATCH_PIXELS and bool((free > 0).sum() == (inner > 0).sum())
    return config.small_side if fits else PATCH_PIXELS


class TextureCritic(nn.Module):
    """PatchGAN of six convolutions, each spectrally normalised, to a map of 1/32 [1, Fig. 4c]."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        w = config.critic_width
        channels = (config.image_channels + 1, w, 2 * w, 4 * w, 4 * w, 4 * w)
        self.image_channels = config.image_channels
        self.strided = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, 2, 1)) for a, b in pairwise(channels)
        )
        self.last = spectral_norm(nn.Conv2d(channels[-1], 1, 3, padding=1))

    def forward(self, image: Tensor, mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (B, 1, S / 32, S / 32) and the features of the strided convolutions.

        Args:
            image: (B, 1, S, S).
            mask: (B, 1, S, S).
        """
        found = torch.cat([image.expand(-1, self.image_channels, -1, -1), mask], dim=1)
        features = []
        for conv in self.strided:
            found = leaky_relu(conv(found), 0.2)
            features.append(found)
        return self.last(found), features
