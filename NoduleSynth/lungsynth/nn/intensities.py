"""Between HU and the range that networks work in."""

from __future__ import annotations

from torch import Tensor

HU_CENTRE, HU_SCALE = -400.0, 600.0


def normalise(hu: Tensor) -> Tensor:
    """Map HU to the networks' range: -1000 is -1, 200 is 1."""
    return (hu - HU_CENTRE) / HU_SCALE


def denormalise(values: Tensor) -> Tensor:
    """Map the networks' range back to HU."""
    return values * HU_SCALE + HU_CENTRE


def to_unit(cube: Tensor) -> Tensor:
    """Map normalised intensities to [-1, 1] over [-1024, 1024] HU, what lies beyond cut off."""
    return (denormalise(cube) / 1024).clamp(-1, 1)


def from_unit(values: Tensor) -> Tensor:
    """Undo ``to_unit``."""
    return normalise(values * 1024)
