"""What networks must know of the box that they fill: its voxels, its millimetres."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lungsynth.core.contracts import BOX_VOXELS


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
