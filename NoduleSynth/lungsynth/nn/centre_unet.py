"""A 3-D U-Net that reads a whole cube and decodes only its centre.

A generator that fills the central 32^3 of a 64^3 cube needs the surroundings as context alone:
decoding them would cost eight times as much and be thrown away. Each level of the decoder keeps
the centre and one voxel around it, which is what the next convolutions read.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

LAYER_NOISE_SIDES = (6, 10, 18, 34)


def central(values: Tensor, side: int) -> Tensor:
    """Return the central ``side``^3 of the last three axes."""
    start = (values.shape[-1] - side) // 2
    middle = slice(start, start + side)
    return values[..., middle, middle, middle]


class ModulatedConv(nn.Module):
    """Convolution 3^3 without padding, noise, normalisation over the item, scale and shift.

    One group in the normalisation: the ratios between channels, which carry how noisy and how
    dense the surroundings are, survive it. Fine levels go without: there a large bright nodule
    would darken, through the item's mean and deviation, the lung around it.
    """

    def __init__(
        self, channels_in: int, channels_out: int, condition_features: int, *, normalised: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv3d(channels_in, channels_out, 3)
        self.norm = nn.GroupNorm(1, channels_out, affine=False) if normalised else nn.Identity()
        self.style = nn.Linear(condition_features, 2 * channels_out)
        self.noise_scale = nn.Parameter(torch.full((1, channels_out, 1, 1, 1), 0.1))

    def forward(self, features: Tensor, condition: Tensor, noise: Tensor) -> Tensor:
        """Map (B, C, D, D, D) to (B, C', D-2, D-2, D-2); noise is (B, 1, D-2, D-2, D-2)."""
        features = self.conv(features) + self.noise_scale * noise
        scale, shift = self.style(condition)[:, :, None, None, None].chunk(2, dim=1)
        return leaky_relu(self.norm(features) * (1 + scale) + shift, 0.2)


class CentreUNet(nn.Module):
    """Generator: strided convolutions over the cube, as many decoding levels over its centre.

    Args:
        channels_in: Channels of the cube.
        width: Channels of the first level; doubled at each further one.
        condition_features: Length of the condition vector.
        latent_features: Length of the latent vector.
        levels: 4 for a cube of 64^3, 3 for one of 32^3.
    """

    def __init__(
        self,
        channels_in: int,
        width: int,
        condition_features: int,
        latent_features: int,
        *,
        levels: int = 4,
    ) -> None:
        super().__init__()
        w, hidden = width, 128
        channels = [channels_in, *(w * 2**level for level in range(levels))]
        self.embed = nn.Sequential(
            nn.Linear(condition_features + latent_features, hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
        )
        self.down = nn.ModuleList(
            nn.Conv3d(a, b, 4, stride=2, padding=1) for a, b in pairwise(channels)
        )
        outwards = [*channels[-2:0:-1], w // 2]
        self.up = nn.ModuleList(
            ModulatedConv(below + skip, out, hidden, normalised=level < levels - 2)
            for level, (below, skip, out) in enumerate(
                zip([channels[-1], *outwards], channels[-2::-1], outwards, strict=False)
            )
        )
        self.out = nn.Conv3d(w // 2, 1, 3)

    def forward(
        self, cube: Tensor, condition: Tensor, latent: Tensor, layer_noise: Sequence[Tensor]
    ) -> Tensor:
        """Return the filled centre (B, 1, 32, 32, 32), or (B, 1, 16, 16, 16) with 3 levels.

        Args:
            cube: (B, C, 64, 64, 64), or (B, C, 32, 32, 32) with 3 levels.
            condition: (B, F).
            latent: (B, L).
            layer_noise: One (B, 1, s, s, s) for each of the first s in LAYER_NOISE_SIDES.
        """
        return self.decode(self.encode(cube), condition, latent, layer_noise)

    def encode(self, cube: Tensor) -> list[Tensor]:
        """Return the cube and what each strided convolution makes of it, the coarsest last."""
        skips = [cube]
        for conv in self.down:
            skips.append(leaky_relu(conv(skips[-1]), 0.2))
        return skips

    def decode(
        self,
        skips: Sequence[Tensor],
        condition: Tensor,
        latent: Tensor,
        layer_noise: Sequence[Tensor],
    ) -> Tensor:
        """Return the filled centre of what ``encode`` returned; see ``forward``."""
        embedded = self.embed(torch.cat([condition, latent], dim=1))
        features = skips[-1]
        for block, skip, noise in zip(self.up, skips[-2::-1], layer_noise, strict=True):
            side = noise.shape[-1] + 2
            features = interpolate(features, scale_factor=2.0, mode="nearest")
            joined = torch.cat([central(features, side), central(skip, side)], dim=1)
            features = block(joined, embedded, noise)
        filled: Tensor = self.out(features)
        return filled


class CentreSegmenter(nn.Module):
    """A small U-Net from the filled centre to logits of the nodule's mask.

    It is trained on real nodules and their masks alone, so what it measures in a generated one is
    not the generator's own claim.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        w = width
        self.first = nn.Conv3d(1, w, 3, padding=1)
        self.down1 = nn.Sequential(
            nn.Conv3d(w, 2 * w, 4, 2, 1), nn.InstanceNorm3d(2 * w, affine=True)
        )
        self.down2 = nn.Sequential(
            nn.Conv3d(2 * w, 4 * w, 4, 2, 1), nn.InstanceNorm3d(4 * w, affine=True)
        )
        self.middle = nn.Conv3d(4 * w, 4 * w, 3, padding=1)
        self.up1 = nn.Conv3d(6 * w, 2 * w, 3, padding=1)
        self.up2 = nn.Conv3d(3 * w, w, 3, padding=1)
        self.out = nn.Conv3d(w, 1, 1)

    def forward(self, centre: Tensor) -> Tensor:
        """Return logits (B, 1, 32, 32, 32) for centres of the same shape."""
        full = leaky_relu(self.first(centre), 0.2)
        half = leaky_relu(self.down1(full), 0.2)
        quarter = leaky_relu(self.down2(half), 0.2)
        quarter = leaky_relu(self.middle(quarter), 0.2)
        up = interpolate(quarter, scale_factor=2.0, mode="nearest")
        up = leaky_relu(self.up1(torch.cat([up, half], dim=1)), 0.2)
        up = interpolate(up, scale_factor=2.0, mode="nearest")
        up = leaky_relu(self.up2(torch.cat([up, full], dim=1)), 0.2)
        logits: Tensor = self.out(up)
        return logits
