"""What was asked of an insertion and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.nodule import NoduleSpec, Seed

Box = tuple[tuple[int, int, int], tuple[int, int, int]]
"""Half-open voxel box ((k0, j0, i0), (k1, j1, i1)): k0 is inside, k1 is not."""


class Occupied(Protocol):
    """A place that a nodule has taken."""

    @property
    def seed(self) -> Seed:
        """Where it is centred."""
        ...

    @property
    def box(self) -> Box:
        """The voxels that are its own."""
        ...


@dataclass(frozen=True)
class Taken:
    """The place of an earlier nodule of which no more than that is at hand."""

    seed: Seed
    box: Box


def diameter_tolerance_mm(asked_mm: float) -> float:
    """Return how far a measured diameter may be from the asked one: max(1 mm, 10 %)."""
    return max(1.0, 0.1 * asked_mm)


@dataclass(frozen=True)
class Measurement:
    """A nodule as measured on the voxel grid of the volume that it was put into.

    Args:
        diameter_mm: Diameter of the sphere with the volume of the mask.
        mean_hu: Mean intensity inside the mask; NaN where the mask is empty.
        volume_mm3: Volume of the mask.
    """

    diameter_mm: float
    mean_hu: float
    volume_mm3: float


@dataclass(frozen=True, eq=False)
class Insertion:
    """One nodule in a volume: what was asked, what was measured, what was changed.

    Args:
        seed: Position and spec as asked.
        measured: Read from the output volume.
        box: The only voxels that may differ from the input.
        mask: Nodule mask inside ``box``, bool, shape of the box.
        before: Voxels of the input inside ``box``, so that the insertion can be undone.
        within_tolerance: Whether diameter and attenuation are as promised.
        note: Why not, and what else the user should know, in words.
        details: What else the synthesizer records (the source of a copied nodule, say).
    """

    seed: Seed
    measured: Measurement
    box: Box
    mask: NDArray[np.bool_]
    before: NDArray[np.generic]
    within_tolerance: bool
    note: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> NoduleSpec:
        """The nodule that was asked for."""
        return self.seed.spec

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of ``box`` into the (K, J, I) voxels."""
        (k0, j0, i0), (k1, j1, i1) = self.box
        return slice(k0, k1), slice(j0, j1), slice(i0, i1)
