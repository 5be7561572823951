"""Networks of the default preset; [1] is the paper named in the package's docstring."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.imaging.voi import box_taper
from lungsynth.nn.centre_unet import CentreSegmenter, CentreUNet, central
from lungsynth.nn.noise import Noise
from lungsynth.nn.patch_critics import PatchCritic
from lungsynth.synthesizers.mcgan.conditions import CONDITION_FEATURES
from lungsynth.synthesizers.mcgan.config import MCGANConfig


class MCGANNetworks(nn.Module):
    """The networks that insertion needs: generator and segmenter."""

    taper: Tensor

    def __init__(self, config: MCGANConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = CentreUNet(2, config.width, CONDITION_FEATURES, config.latent_features)
        self.segmenter = CentreSegmenter(config.segmenter_width)
        taper = torch.from_numpy(box_taper(config.taper_voxels))
        self.register_buffer("taper", taper[None, None], persistent=False)

    def paint(self, cube: Tensor, condition: Tensor, noise: Noise) -> Tensor:
        """Return the new centre (B, 1, 32, 32, 32), before the taper, of cubes (B, 1, 64^3)."""
        margin = (GRID_VOXELS - BOX_VOXELS) // 2
        weight = nn.functional.pad(self.taper, [margin] * 6)
        hidden = cube * (1 - weight) + nn.functional.pad(noise.box, [margin] * 6) * weight
        given = torch.cat([hidden, weight.expand_as(hidden)], dim=1)
        painted: Tensor = self.generator(given, condition, noise.latent, noise.layers)
        return painted.float()

    def change(self, cube: Tensor, painted: Tensor) -> Tensor:
        """Return by how much the centre changes: nothing at its faces."""
        return self.taper * (painted - central(cube, BOX_VOXELS))


class Critics(nn.Module):
    """Context and nodule critics [1, Fig. 17]."""

    def __init__(self, config: MCGANConfig) -> None:
        super().__init__()
        w = config.critic_width
        self.context = PatchCritic((w, 2 * w, 4 * w, 4 * w), fine=False)
        self.nodule = PatchCritic((w, 2 * w, 4 * w), CONDITION_FEATURES, fine=True)

    def forward(self, cube: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of both for cubes (B, 1, 64, 64, 64)."""
        around = cube[..., 8:-8, 8:-8, 8:-8]
        centre = cube[..., 16:-16, 16:-16, 16:-16]
        return self.context(around), self.nodule(centre, condition)
