"""What the generator is told of the nodule to be.

[1] is the paper named in the package's docstring.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.core.density import density_at, within_class
from lungsynth.core.nodule import Attenuation, NoduleSpec

ATTENUATIONS = tuple(Attenuation)
CONDITION_FEATURES = 9
SIZE_CLASSES_MM = (10.0, 20.0)  # small, medium, large [1, 6.2.1]


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
    """Draw the density of a nodule from its latent seed, as densities of its class are spread."""
    rank = float(np.random.default_rng((spec.latent_seed, 1)).uniform())
    return within_class(spec.attenuation, density_at(rank, spec.diameter_mm, spec.attenuation))
