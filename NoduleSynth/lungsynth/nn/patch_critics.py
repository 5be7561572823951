"""3-D critics that look at patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu


class PatchCritic(nn.Module):
    """Strided 4^3 convolutions to a map of logits, and, with conditions, their projection.

    [1] Isola et al., pix2pix, CVPR 2017 (patches). [2] Miyato and Koyama, cGANs with projection
    discriminator, ICLR 2018, Eq. 6 (the projection). Not normalised: it is to be trained with a
    gradient penalty.

    Args:
        channels: Output channels of each strided convolution.
        condition_features: Length of the condition vector; 0 for an unconditional critic.
        fine: Begin with a 3^3 convolution at full resolution, which sees single-voxel texture.
    """

    def __init__(
        self, channels: tuple[int, ...], condition_features: int = 0, *, fine: bool
    ) -> None:
        super().__init__()
        first = channels[0] // 2 if fine else 1
        layers: list[nn.Module] = []
        if fine:
            layers += [nn.Conv3d(1, first, 3, padding=1), nn.LeakyReLU(0.2)]
        for a, b in zip((first, *channels), channels, strict=False):
            layers += [nn.Conv3d(a, b, 4, 2, 1), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.logits = nn.Conv3d(channels[-1], 1, 3, padding=1)
        self.project = (
            nn.Sequential(
                nn.Linear(condition_features, 64),
                nn.LeakyReLU(0.2),
                nn.Linear(64, channels[-1]),
            )
            if condition_features
            else None
        )
        for layer in self.trunk:
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, 0.2)
        nn.init.normal_(self.logits.weight, std=0.01)

    def forward(self, cube: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return logits (B, P) of a cube (B, 1, D, D, D): one for each patch."""
        return self.judge(self.trunk(cube), condition)

    def judge(self, features: Tensor, condition: Tensor | None = None) -> Tensor:
        """Return the logits (B, P) of what the trunk made of a cube."""
        logits: Tensor = self.logits(features).flatten(1)
        if self.project is not None and condition is not None:
            pooled = leaky_relu(features, 0.2).mean(dim=(2, 3, 4))
            product = torch.sum(pooled * self.project(condition), dim=1, keepdim=True)
            logits = logits + product / math.sqrt(pooled.shape[1])
        return logits
