"""What the generator is told of the nodule to be.

[1] is the paper named in the package's docstring.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Attenuation, NoduleSpec

ATTENUATIONS = tuple(Attenuation)
CONDITION_FEATURES = 9
SIZE_CLASSES_MM = (10.0, 20.0)  # small, medium, large [1, 6.2.1]
DENSITY_QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
DENSITY_BY_LOG2_DIAMETER = {
    Attenuation.SOLID: (
        (-546, 108),
        (-465, 137),
        (-391, 138),
        (-308, 117),
        (-198, 65),
        (-40, 4),
        (291, -111),
    ),
    Attenuation.PART_SOLID: (
        (-693, 21),
        (-632, 50),
        (-554, 16),
        (-462, 45),
        (-379, 80),
        (-271, 74),
        (-177, 86),
    ),
    Attenuation.GROUND_GLASS: (
        (-816, 0),
        (-784, 0),
        (-735, 0),
        (-667, 0),
        (-626, 0),
        (-571, 0),
        (-497, 0),
    ),
}
"""Mean HU inside the mask of the real training nodules (ours): for each of the quantiles its value
at 8 mm and by how much it rises with each doubling, from linear quantile regressions. Solid ones
are skewed: half lie within 190 HU, and every tenth is calcified. Ground glass is too rare (39) for
slopes."""


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
    """Draw the density of a nodule from its latent seed, as densities of its class are spread.

    Partial volume darkens small nodules. What is drawn keeps off the ends of the class's range,
    for the nodule that is made of it will miss it by a little; more so off the lower one, where
    ground glass is hardly to be told from lung and its diameter not to be measured.
    """
    low, high = ATTENUATION_HU_RANGE[spec.attenuation]
    rng = np.random.default_rng((spec.latent_seed, 1))
    lines = np.array(DENSITY_BY_LOG2_DIAMETER[spec.attenuation], dtype=np.float64)
    quantiles = np.sort(lines @ [1.0, np.log2(spec.diameter_mm / 8)])  # lines may cross
    drawn = np.interp(rng.uniform(), DENSITY_QUANTILES, quantiles)
    return float(np.clip(drawn, low + (high - low) / 10, high - (high - low) / 20))
