"""What the generator is told, and what is drawn where the user leaves it open.

[1] is the paper named in the package's docstring. Malignancy is the mean of the LIDC readers'
ratings, 1 to 5: malignant from 4 as in [1]; benign up to 2 (in [1] all below 4).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.core.density import (
    BENIGN_RATING,
    MALIGNANT_RATING,
    density_at,
    density_rank,
    within_class,
)
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec

ATTENUATIONS = tuple(Attenuation)
CONDITION_FEATURES = 7
RATINGS = ("malignancy", "spiculation", "lobulation", "margin", "sphericity", "calcification")
"""Columns of the table that the reader is taught; the first is promised."""

_RATING_BY_LOG2_DIAMETER = {
    Attenuation.SOLID: (2.80, 0.99, 0.70),
    Attenuation.PART_SOLID: (3.25, 0.74, 0.59),
    Attenuation.GROUND_GLASS: (3.21, 0.55, 0.44),
}
"""Malignancy of the real training nodules: at 8 mm, per doubling, deviation (ours)."""


def condition_vector(
    diameter_mm: NDArray[np.float64],
    attenuation: NDArray[np.int64],
    mean_hu: NDArray[np.float64],
    box_mm: NDArray[np.float64],
    rating: NDArray[np.float64],
) -> Tensor:
    """Return conditions (B, 7): attenuation (3), log diameter, fill, density, malignancy."""
    columns = [
        np.eye(3)[attenuation],
        np.log2(diameter_mm / 8)[:, None],
        (4 * (diameter_mm / box_mm - 0.5))[:, None],
        ((mean_hu + 350) / 250)[:, None],
        ((rating - 3) / 1.5)[:, None],
    ]
    return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))


def told_fill(condition: Tensor) -> Tensor:
    """Return diameter over box, (B,), from conditions (B, 7)."""
    return condition[:, 4] / 4 + 0.5


def told_rating(condition: Tensor) -> Tensor:
    """Return malignancy, (B,), 1 to 5, from conditions (B, 7)."""
    return condition[:, 6] * 1.5 + 3


def class_probabilities(rating: Tensor) -> Tensor:
    """Return probabilities (B, 3) of fake, benign and malignant for real ratings (B,).

    (ours) Certain up to 2 and from 4, in between as much of either as the rating says.
    """
    malignant = ((rating - BENIGN_RATING) / (MALIGNANT_RATING - BENIGN_RATING)).clamp(0, 1)
    return torch.stack([torch.zeros_like(malignant), 1 - malignant, malignant], dim=1)


def class_name(rating: float) -> str:
    """Return what a rating is called."""
    if rating <= BENIGN_RATING:
        return Malignancy.BENIGN
    return Malignancy.MALIGNANT if rating >= MALIGNANT_RATING else "undecided"


def draw_rating(spec: NoduleSpec) -> float:
    """Draw how malignant a nodule is from its latent seed.

    In the range of the class that was asked; where none was, from what real nodules of that size
    and attenuation are.
    """
    rng = np.random.default_rng((spec.latent_seed, 2))
    within, normal = float(rng.uniform()), float(rng.standard_normal())
    if spec.malignancy is not None:
        return within + (1.0 if spec.malignancy is Malignancy.BENIGN else MALIGNANT_RATING)
    intercept, slope, deviation = _RATING_BY_LOG2_DIAMETER[spec.attenuation]
    drawn = intercept + slope * np.log2(spec.diameter_mm / 8) + deviation * normal
    return float(np.clip(drawn, 1, 5))


def draw_mean_hu(spec: NoduleSpec, rating: float) -> float:
    """Draw the density of a nodule from its latent seed, as densities of its class are spread.

    The same seed draws the same rank among its like, whatever the malignancy.
    """
    rank = float(np.random.default_rng((spec.latent_seed, 1)).uniform())
    return within_class(
        spec.attenuation, density_at(rank, spec.diameter_mm, spec.attenuation, rating)
    )


def density_as_if(
    mean_hu: float, diameter_mm: float, attenuation: Attenuation, known: float, asked: float
) -> float:
    """Return the density of the same rank among nodules of another malignancy.

    Args:
        mean_hu: Of a real nodule.
        diameter_mm: Of it.
        attenuation: Of it.
        known: Its malignancy.
        asked: The other.
    """
    rank = density_rank(mean_hu, diameter_mm, attenuation, known)
    return within_class(attenuation, density_at(rank, diameter_mm, attenuation, asked))
