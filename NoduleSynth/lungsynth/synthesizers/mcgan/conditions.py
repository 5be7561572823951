"""What the generator is told: normalised intensities, conditions and noise.

[1] is the paper named in the package's docstring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec
from lungsynth.nn.centre_unet import LAYER_NOISE_SIDES

ATTENUATIONS = tuple(Attenuation)
CONDITION_FEATURES = 9
SIZE_CLASSES_MM = (10.0, 20.0)  # small, medium, large [1, 6.2.1]
HU_CENTRE, HU_SCALE = -400.0, 600.0
DENSITY_BY_LOG2_DIAMETER = {
    Attenuation.SOLID: (-272.0, 84.0, 150.0),
    Attenuation.PART_SOLID: (-454.0, 47.0, 130.0),
    Attenuation.GROUND_GLASS: (-675.0, 2.0, 75.0),
}
"""Mean HU inside the mask of the real training nodules: at 8 mm, per doubling, deviation (ours)."""


@dataclass(frozen=True, eq=False)
class Noise:
    """Everything random in a batch of nodules."""

    box: Tensor  # (B, 1, 32, 32, 32), U[-0.5, 0.5] [1]
    latent: Tensor  # (B, L), N(0, 1)
    layers: tuple[Tensor, ...]  # (B, 1, s, s, s) for each s in LAYER_NOISE_SIDES, N(0, 1)

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


def normalise(hu: Tensor) -> Tensor:
    """Map HU to the networks' range: -1000 is -1, 200 is 1."""
    return (hu - HU_CENTRE) / HU_SCALE


def denormalise(values: Tensor) -> Tensor:
    """Map the networks' range back to HU."""
    return values * HU_SCALE + HU_CENTRE


def condition_vector(
    diameter_mm: NDArray[np.float64],
    attenuation: NDArray[np.int64],
    mean_hu: NDArray[np.float64],
    box_mm: NDArray[np.float64],
) -> Tensor:
    """Return conditions (B, 9): size class (3), attenuation (3), log diameter, fill, density."""
    size = np.digitize(diameter_mm, SIZE_CLASSES_MM, right=True)
    columns = [
        np.eye(3)[size],
        np.eye(3)[attenuation],
        np.log2(diameter_mm / 8)[:, None],
        (4 * (diameter_mm / box_mm - 0.5))[:, None],
        ((mean_hu + 350) / 250)[:, None],
    ]
    return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))


def draw_mean_hu(spec: NoduleSpec) -> float:
    """Draw the density of a nodule from its latent seed.

    The middle of the class's real range rises with size (partial volume darkens small nodules);
    the spread is a normal one, kept off the range's ends.
    """
    low, high = ATTENUATION_HU_RANGE[spec.attenuation]
    rng = np.random.default_rng((spec.latent_seed, 1))
    intercept, slope, deviation = DENSITY_BY_LOG2_DIAMETER[spec.attenuation]
    drawn = rng.normal(intercept + slope * np.log2(spec.diameter_mm / 8), deviation)
    tenth = (high - low) / 10
    return float(np.clip(drawn, low + tenth, high - tenth))
