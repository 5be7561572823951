"""Spectrally normalised 3-D critics."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import spectral_norm


class ScaledLeakyReLU(nn.Module):
    """Leaky rectifier times sqrt(2): under spectral normalisation alone, logits fade with depth."""

    def forward(self, features: Tensor) -> Tensor:
        """Map features of any shape."""
        return leaky_relu(features, 0.2) * math.sqrt(2)


class PatchCritic(nn.Module):
    """Strided 4^3 convolutions to a map of logits, and, with conditions, their projection.

    [1] Isola et al., pix2pix, CVPR 2017 (patches). [2] Miyato and Koyama, cGANs with projection
    discriminator, ICLR 2018, Eq. 6 (the projection).

    Args:
        channels: Output channels of each strided convolution.
        condition_features: Length of the condition vector; 0 for an unconditional critic.
        fine: Begin with a 3^3 convolution at full resolution, which sees single-voxel texture.
    """

    def __init__(self, channels: tuple[int, ...], condition_features: int = 0, *, fine: bool) -> None:
        super().__init__()
        first = channels[0] // 2 if fine else 1
        layers: list[nn.Module] = []
        if fine:
            layers += [spectral_norm(nn.Conv3d(1, first, 3, padding=1)), ScaledLeakyReLU()]
        for a, b in zip((first, *channels), channels, strict=False):
            layers += [spectral_norm(nn.Conv3d(a, b, 4, 2, 1)), ScaledLeakyReLU()]
        self.trunk = nn.Sequential(*layers)
        self.logits = spectral_norm(nn.Conv3d(channels[-1], 1, 3, padding=1))
        self.project = (
            nn.Sequential(
                spectral_norm(nn.Linear(condition_features, 64)),
                nn.LeakyReLU(0.2),
                spectral_norm(nn.Linear(64, channels[-1])),
            )
            if condition_features
            else None
        )

    def forward(self, cube: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits (B, P) of a cube (B, 1, D, D, D): one for each patch."""
        features = self.trunk(cube)
        logits: Tensor = self.logits(features).flatten(1)
        if self.project is not None and condition is not None:
            pooled = leaky_relu(features, 0.2).mean(dim=(2, 3, 4))
            logits = logits + torch.sum(pooled * self.project(condition), dim=1, keepdim=True)
        return logits
