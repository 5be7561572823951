"""Networks of the default preset; [1] is the paper named in the package's docstring."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.imaging.voi import box_taper
from lungsynth.nn.centre_unet import CentreSegmenter, CentreUNet, central
from lungsynth.nn.patch_critics import PatchCritic
from lungsynth.synthesizers.mcgan.conditions import CONDITION_FEATURES, Noise
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


def through_voxels(change: Tensor, round_trip: Sequence[Tensor]) -> Tensor:
    """Return the cube's change (B, 1, 64, 64, 64) once native voxels have held ``change``."""
    z, y, x = round_trip
    change = torch.einsum("bxi,bckji->bckjx", x, change)
    change = torch.einsum("byj,bckjx->bckyx", y, change)
    return torch.einsum("bzk,bckyx->bczyx", z, change)


def soft_diameter_mm(mask: Tensor, box_mm: Tensor) -> Tensor:
    """Return the diameter (B,) of the sphere with the volume of a soft mask (B, 1, 32, 32, 32)."""
    voxel_mm3 = (box_mm / BOX_VOXELS) ** 3
    volume = mask.flatten(1).sum(dim=1) * voxel_mm3
    return torch.pow(6 * (volume + 1e-3) / torch.pi, 1 / 3)


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
