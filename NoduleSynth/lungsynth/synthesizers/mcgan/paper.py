"""The networks of the paper [1, Fig. 17] at their full size.

[1] is the paper named in the package's docstring. It gives the inputs, the four convolutions and
four deconvolutions with skip connections, batch normalisation, LeakyReLU and ReLU, dropout, and
two "Pix2Pix-like" discriminators; the numbers of channels are pix2pix's (ours), as is tanh over
[-1024, 1024] HU.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, pad

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.imaging.voi import box_taper
from lungsynth.nn.centre_unet import CentreSegmenter, central
from lungsynth.nn.intensities import from_unit, to_unit
from lungsynth.nn.noise import Noise

PAPER_CONDITIONS = 6
"""Three sizes and three attenuations, tiled [1, 6.2.1]."""
_MARGIN = (GRID_VOXELS - BOX_VOXELS) // 2


@dataclass(frozen=True)
class PaperConfig:
    """Hyper-parameters; each is that of [1, 6.2.1] unless marked (ours)."""

    width: int = 64  # (ours) pix2pix
    segmenter_width: int = 8  # (ours) measures the nodule, takes no part in the paper's objective
    dropout: float = 0.5  # (ours) pix2pix
    latent_features: int = 1  # unused: noise comes from the box and from dropout
    taper_voxels: int = 4  # (ours) at pasting only; the generator sees a hard box
    box_per_diameter: float = 1.6  # (ours)
    box_margin_mm: float = 3.0  # (ours)
    batch_size: int = 16
    learning_rate: float = 2e-4
    adam_beta1: float = 0.5  # (ours) pix2pix
    segmenter_learning_rate: float = 1e-3  # (ours)
    gradient_penalty: float = 10.0  # (ours) that of WGAN-GP
    l1_weight: float = 0.0  # [1, Eq. 1]; 100 is [1, Eq. 2]
    label_flip_every: int = 3
    total_steps: int = 6_000_000

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm for a nodule of a diameter in mm."""
        return self.box_per_diameter * diameter_mm + self.box_margin_mm


PAPER_PRESETS: dict[str, PaperConfig] = {
    "paper": PaperConfig(),
    "paper-l1": PaperConfig(l1_weight=100.0),
    "paper-tiny": PaperConfig(width=2, segmenter_width=2, batch_size=2),
}


def tile(condition: Tensor, side: int) -> Tensor:
    """Return conditions (B, F) tiled to (B, F, side, side, side)."""
    return condition[:, :, None, None, None].expand(-1, -1, side, side, side)


class LastingDropout(nn.Dropout):
    """Dropout that stays on when the network is used: it is a source of the noise [1, 6.2.1]."""

    def forward(self, features: Tensor) -> Tensor:
        """Drop features of any shape, by torch's generator."""
        return dropout(features, self.p, training=True)


class PaperUNet(nn.Module):
    """3-D U-Net of four strided convolutions and four deconvolutions, 64^3 x 7 to 64^3."""

    def __init__(self, width: int, dropout_part: float) -> None:
        super().__init__()
        w = width
        self.down = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(a, b, 4, 2, 1),
                nn.BatchNorm3d(b),
                nn.LeakyReLU(0.2),
            )
            for a, b in ((1 + PAPER_CONDITIONS, w), (w, 2 * w), (2 * w, 4 * w), (4 * w, 8 * w))
        )
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.ConvTranspose3d(a, b, 4, 2, 1),
                nn.BatchNorm3d(b),
                LastingDropout(dropout_part),
                nn.ReLU(),
            )
            for a, b in ((8 * w, 4 * w), (8 * w, 2 * w), (4 * w, w))
        )
        self.out = nn.ConvTranspose3d(2 * w, 1, 4, 2, 1)

    def forward(self, given: Tensor) -> Tensor:
        """Return the whole cube (B, 1, 64, 64, 64) in [-1, 1] of inputs (B, 7, 64, 64, 64)."""
        skips = []
        features = given
        for block in self.down:
            features = block(features)
            skips.append(features)
        features = self.up[0](features)
        for block, skip in zip(self.up[1:], (skips[2], skips[1]), strict=True):
            features = block(torch.cat([features, skip], dim=1))
        filled: Tensor = torch.tanh(self.out(torch.cat([features, skips[0]], dim=1)))
        return filled


class PaperNetworks(nn.Module):
    """Generator and segmenter, used by the synthesizer as those of the default preset are."""

    taper: Tensor

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = PaperUNet(config.width, config.dropout)
        self.segmenter = CentreSegmenter(config.segmenter_width)
        taper = torch.from_numpy(box_taper(config.taper_voxels))
        self.register_buffer("taper", taper[None, None], persistent=False)

    def hidden(self, cube: Tensor, noise: Noise) -> Tensor:
        """Return cubes in [-1, 1] with the noise box in place of their centre [1, 6.2.1]."""
        inside = pad(torch.ones_like(noise.box), [_MARGIN] * 6)
        return to_unit(cube) * (1 - inside) + pad(noise.box, [_MARGIN] * 6)

    def paint(self, cube: Tensor, condition: Tensor, noise: Noise) -> Tensor:
        """Return the new centre (B, 1, 32, 32, 32) of cubes (B, 1, 64, 64, 64)."""
        tiled = tile(condition[:, :PAPER_CONDITIONS], GRID_VOXELS)
        filled = self.generator(torch.cat([self.hidden(cube, noise), tiled], dim=1))
        return from_unit(central(filled, BOX_VOXELS).float())

    def change(self, cube: Tensor, painted: Tensor) -> Tensor:
        """Return by how much the centre changes: nothing at its faces."""
        return self.taper * (painted - central(cube, BOX_VOXELS))


def _strided(channels: tuple[int, ...], *, batch_norm: bool) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for n, (a, b) in enumerate(pairwise(channels)):
        layers.append(nn.Conv3d(a, b, 4, 2, 1))
        if batch_norm and n > 0:
            layers.append(nn.BatchNorm3d(b))
        layers.append(nn.LeakyReLU(0.2))
    return layers


class PaperCritics(nn.Module):
    """Context and nodule discriminators [1, Fig. 17].

    The first sees the noise-box cube beside the filled one, the second the centre and its tiled
    conditions. The second has no batch normalisation: WGAN-GP's penalty is for each item alone.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        w = config.width
        self.context = nn.Sequential(
            *_strided((2, w, 2 * w, 4 * w, 8 * w), batch_norm=True),
            nn.Conv3d(8 * w, 1, 3, padding=1),
        )
        self.nodule = nn.Sequential(
            *_strided((1 + PAPER_CONDITIONS, w, 2 * w, 4 * w), batch_norm=False),
            nn.Conv3d(4 * w, 1, 4),
        )

    def judge_context(self, hidden: Tensor, cube: Tensor) -> Tensor:
        """Return scores (B, P) of pairs of cubes (B, 1, 64, 64, 64) in [-1, 1]."""
        scores: Tensor = self.context(torch.cat([hidden, cube], dim=1)).flatten(1)
        return scores

    def judge_nodule(self, centre: Tensor, condition: Tensor) -> Tensor:
        """Return scores (B,) of centres (B, 1, 32, 32, 32) in [-1, 1]."""
        tiled = tile(condition[:, :PAPER_CONDITIONS], BOX_VOXELS)
        scores: Tensor = self.nodule(torch.cat([centre, tiled], dim=1)).flatten()
        return scores
