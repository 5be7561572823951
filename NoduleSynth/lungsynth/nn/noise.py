"""Everything random in a nodule, drawn from its own seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.nn.centre_unet import LAYER_NOISE_SIDES


@dataclass(frozen=True, eq=False)
class Noise:
    """Everything random in a batch of nodules."""

    box: Tensor  # (B, 1, 32, 32, 32), U[-0.5, 0.5] [han2020, 6.2.1]
    latent: Tensor  # (B, L), N(0, 1)
    layers: tuple[Tensor, ...]  # (B, 1, s, s, s) for each s in LAYER_NOISE_SIDES, N(0, 1)

    def __getitem__(self, items: slice) -> Noise:
        """Return the noise of some of the items."""
        return Noise(self.box[items], self.latent[items], tuple(n[items] for n in self.layers))

    def to(self, device: torch.device) -> Noise:
        """Return the same noise on a device."""
        layers = tuple(layer.to(device) for layer in self.layers)
        return Noise(self.box.to(device), self.latent.to(device), layers)


def draw_noise(latent_features: int, seeds: Sequence[int]) -> Noise:
    """Draw the noise of each item from its own seed, so that no item depends on its batch."""
    boxes, latents, layers = [], [], []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        boxes.append(rng.uniform(-0.5, 0.5, (1, BOX_VOXELS, BOX_VOXELS, BOX_VOXELS)))
        latents.append(rng.standard_normal(latent_features))
        layers.append([rng.standard_normal((1, s, s, s), np.float32) for s in LAYER_NOISE_SIDES])
    stacked = [np.stack(level) for level in zip(*layers, strict=True)]
    return Noise(
        box=torch.from_numpy(np.stack(boxes).astype(np.float32)),
        latent=torch.from_numpy(np.stack(latents).astype(np.float32)),
        layers=tuple(torch.from_numpy(level) for level in stacked),
    )
