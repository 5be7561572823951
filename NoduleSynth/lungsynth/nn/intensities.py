"""Between HU and the range that networks work in."""

from __future__ import annotations

import torch
from torch import Tensor

HU_CENTRE, HU_SCALE = -400.0, 600.0
LUNG_CENTRE, LUNG_SCALE = -850.0, 150.0
LUNG_LIMIT = 1.5  # of the window's scale, on either side


def normalise(hu: Tensor) -> Tensor:
    """Map HU to the networks' range: -1000 is -1, 200 is 1."""
    return (hu - HU_CENTRE) / HU_SCALE


def denormalise(values: Tensor) -> Tensor:
    """Map the networks' range back to HU."""
    return values * HU_SCALE + HU_CENTRE


def through_windows(cube: Tensor) -> Tensor:
    """Return normalised intensities and beside them those of lung tissue, stretched.

    What sets a nodule's rim apart from lung are tens of HU among the hundreds between air and
    tissue. The stretched window bends softly at its ends, so that its gradient vanishes nowhere.

    Args:
        cube: Normalised intensities, (B, 1, D, H, W).

    Returns:
        (B, 2, D, H, W).
    """
    lung = (denormalise(cube) - LUNG_CENTRE) / LUNG_SCALE
    return torch.cat([cube, LUNG_LIMIT * torch.tanh(lung / LUNG_LIMIT)], dim=1)


def to_unit(cube: Tensor) -> Tensor:
    """Map normalised intensities to [-1, 1] over [-1024, 1024] HU, what lies beyond cut off."""
    return (denormalise(cube) / 1024).clamp(-1, 1)


def from_unit(values: Tensor) -> Tensor:
    """Undo ``to_unit``."""
    return normalise(values * 1024)
