"""Networks of the default preset; [1] is the paper named in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, interpolate, leaky_relu, max_pool3d, pad

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.imaging.voi import box_taper
from lungsynth.nn.centre_unet import CentreSegmenter, CentreUNet, central
from lungsynth.nn.contextual_attention import ContextualAttention
from lungsynth.nn.noise import Noise
from lungsynth.nn.patch_critics import PatchCritic
from lungsynth.synthesizers.class_aware.conditions import CONDITION_FEATURES, RATINGS
from lungsynth.synthesizers.class_aware.config import ClassAwareConfig

MARGIN = (GRID_VOXELS - BOX_VOXELS) // 2
TAPER_VOXELS = 4
"""Over which insertion fades out at the faces of the box."""
FADE_VOXELS = 2
"""Over which the sphere fades out: with more, spicules would show through in training."""


def soft_sphere() -> Tensor:
    """Return weights (32, 32, 32): 1 in the box's inscribed sphere, fading to 0 at its surface."""
    along = np.arange(BOX_VOXELS) - (BOX_VOXELS - 1) / 2
    z, y, x = np.meshgrid(along, along, along, indexing="ij")
    away = np.sqrt(z**2 + y**2 + x**2)
    part = np.clip((BOX_VOXELS / 2 - away) / FADE_VOXELS, 0, 1)
    smooth = (part * part * (3 - 2 * part)).astype(np.float32)
    return torch.from_numpy(smooth)


@dataclass(frozen=True, eq=False)
class Filled:
    """What the generators make of a batch.

    Args:
        coarse: Of G1, (B, 1, 16, 16, 16), at half resolution.
        refined: Of G2, (B, 1, 32, 32, 32).
    """

    coarse: Tensor
    refined: Tensor


class CoarseToFine(nn.Module):
    """Coarse G1 at half resolution and refining G2 with contextual attention [1, 2.1]."""

    def __init__(self, config: ClassAwareConfig) -> None:
        super().__init__()
        told = (CONDITION_FEATURES, config.latent_features)
        self.coarse = CentreUNet(2, config.coarse_width, *told, levels=3)
        self.refine = CentreUNet(3, config.width, *told)
        self.attention = ContextualAttention(patch=1, spread=1)
        self.borrow = nn.Conv3d(4 * config.width, 4 * config.width, 1)

    def forward(self, cube: Tensor, weight: Tensor, condition: Tensor, noise: Noise) -> Filled:
        """Fill the centres of cubes (B, 1, 64, 64, 64).

        Args:
            cube: Normalised.
            weight: How far each voxel is to be replaced, (1, 1, 64, 64, 64).
            condition: (B, 7).
            noise: Of each item.
        """
        weight = weight.expand_as(cube)
        hidden = cube * (1 - weight) + pad(noise.box, [MARGIN] * 6) * weight
        given = avg_pool3d(torch.cat([hidden, weight], dim=1), 2)
        coarse = self.coarse(given, condition, noise.latent, noise.layers[:3])
        whole = interpolate(coarse, scale_factor=2.0, mode="trilinear", align_corners=False)
        known = cube * (1 - weight) + pad(whole, [MARGIN] * 6) * weight
        skips = self.refine.encode(torch.cat([known, weight, hidden], dim=1))
        hole = max_pool3d((weight > 0.5).float(), 8)
        skips[3] = skips[3] + self.borrow(self.attention(skips[3], hole))
        change = self.refine.decode(skips, condition, noise.latent, noise.layers)
        return Filled(coarse, whole + change)


class ClassAwareNetworks(nn.Module):
    """The networks that insertion needs: generators and segmenter."""

    sphere: Tensor
    taper: Tensor

    def __init__(self, config: ClassAwareConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = CoarseToFine(config)
        self.segmenter = CentreSegmenter(config.segmenter_width)
        taper = torch.from_numpy(box_taper(TAPER_VOXELS))  # as insertion will
        self.register_buffer("sphere", soft_sphere()[None, None], persistent=False)
        self.register_buffer("taper", taper[None, None], persistent=False)

    def fill(self, cube: Tensor, condition: Tensor, noise: Noise) -> Filled:
        """Return what both generators make of cubes (B, 1, 64, 64, 64)."""
        weight = pad(self.weight, [MARGIN] * 6)
        filled: Filled = self.generator(cube, weight, condition, noise)
        return Filled(filled.coarse.float(), filled.refined.float())

    @property
    def weight(self) -> Tensor:
        """How far each voxel of the centre is replaced, (1, 1, 32, 32, 32)."""
        return self.sphere * self.taper

    def paint(self, cube: Tensor, condition: Tensor, noise: Noise) -> Tensor:
        """Return the new centre (B, 1, 32, 32, 32) as insertion wants it, which fades it out.

        Outside the sphere it is the old one.
        """
        refined = self.fill(cube, condition, noise).refined
        return torch.lerp(central(cube, BOX_VOXELS), refined, self.sphere)

    def change(self, cube: Tensor, painted: Tensor) -> Tensor:
        """Return by how much the centre changes: nothing at its faces."""
        return self.taper * (painted - central(cube, BOX_VOXELS))


class ClassCritic(PatchCritic):
    """A critic with the auxiliary classifier D_cls on top of its trunk [1, 2.2].

    Arguments as of ``PatchCritic``.
    """

    def __init__(
        self, channels: tuple[int, ...], condition_features: int = 0, *, fine: bool
    ) -> None:
        super().__init__(channels, condition_features, fine=fine)
        self.classes = nn.Linear(channels[-1], 3)

    def classify(self, features: Tensor) -> Tensor:
        """Return logits (B, 3) of fake, benign and malignant from what the trunk gave."""
        logits: Tensor = self.classes(leaky_relu(features, 0.2).mean(dim=(2, 3, 4)))
        return logits


@dataclass(frozen=True, eq=False)
class Verdict:
    """What both critics say of a batch: scores (B, P) and classes (B, 3) of each."""

    scores: tuple[Tensor, Tensor]
    classes: tuple[Tensor, Tensor]


class Critics(nn.Module):
    """D_global and D_local [1, 2.2]; the local one is also told what was asked.

    Their classifiers are not: they could not learn to see a class that they were told.
    """

    def __init__(self, config: ClassAwareConfig) -> None:
        super().__init__()
        w = config.critic_width
        self.whole = ClassCritic((w, 2 * w, 4 * w, 4 * w), fine=False)
        self.local = ClassCritic((w, 2 * w, 4 * w), CONDITION_FEATURES, fine=True)

    def forward(self, cube: Tensor, condition: Tensor) -> Verdict:
        """Judge cubes (B, 1, 64, 64, 64)."""
        around = self.whole.trunk(central(cube, 48))
        centre = self.local.trunk(central(cube, BOX_VOXELS))
        return Verdict(
            scores=(self.whole.judge(around), self.local.judge(centre, condition)),
            classes=(self.whole.classify(around), self.local.classify(centre)),
        )


class Reader(nn.Module):
    """Reads a nodule as the LIDC readers would: their mean ratings, from its box and its size.

    It is trained on real nodules alone. It is told the size so that what it sees in the voxels is
    what malignancy adds to it.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.look = nn.Sequential(
            *(nn.Conv3d(1, w, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv3d(w, 2 * w, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv3d(2 * w, 4 * w, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv3d(4 * w, 4 * w, 3, 1, 1), nn.LeakyReLU(0.2)),
        )
        self.say = nn.Sequential(
            nn.Dropout(0.2),
            nn.Linear(4 * w + 1, 4 * w),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * w, len(RATINGS)),
        )

    def forward(self, centre: Tensor, log2_diameter: Tensor) -> Tensor:
        """Return ratings (B, 6), each as (rating - 3) / 1.5.

        Args:
            centre: (B, 1, 32, 32, 32), normalised.
            log2_diameter: Of diameter / 8 mm, (B,).
        """
        seen = self.look(centre).mean(dim=(2, 3, 4))
        ratings: Tensor = self.say(torch.cat([seen, log2_diameter[:, None]], dim=1))
        return ratings
