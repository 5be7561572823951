"""What was asked of a nodule in a radiograph and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.insertion import Box
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed


def cxr_diameter_tolerance_px(asked_px: float) -> float:
    """Return how far a measured diameter may be from the asked one: max(1 pixel, 5 %)."""
    return max(1.0, 0.05 * asked_px)


def contrast_tolerance(asked: float) -> float:
    """Return how far a measured contrast may be from the asked one: max(0.005, 10 %)."""
    return max(0.005, 0.1 * asked)


@dataclass(frozen=True)
class CxrMeasurement:
    """A nodule as measured on the pixels of the radiograph that it was put into.

    Args:
        diameter_px: Mean of the axes of the ellipse with the second moments of the mask, in
            pixels of the image; 0 where the mask is empty.
        diameter_mm: The same in mm; None where the pixel spacing is not known.
        contrast: Mean over the mask of after - before, brighter where denser, over the robust
            range of the image; NaN where the mask is empty.
        area_px: Pixels in the mask.
    """

    diameter_px: float
    diameter_mm: float | None
    contrast: float
    area_px: int


@dataclass(frozen=True)
class CxrTaken:
    """The place of an earlier nodule of which no more than that is at hand."""

    seed: CxrSeed
    box: Box


@dataclass(frozen=True, eq=False)
class CxrInsertion:
    """One nodule in a radiograph: what was asked, what was measured, what was changed.

    Boxes and arrays are those of the radiograph as a volume of one slice, so that segments and
    undo work as in CT.

    Args:
        seed: Position and spec as asked.
        measured: Read from the output.
        box: The only pixels that may differ from the input, ((0, row0, col0), (1, row1, col1)).
        mask: Nodule mask inside ``box``, bool, shape (1, rows, columns) of the box.
        before: Pixels of the input inside ``box``, so that the insertion can be undone.
        within_tolerance: Whether diameter and contrast are as promised.
        note: Why not, and what else the user should know, in words.
        details: What else the synthesizer records.
    """

    seed: CxrSeed
    measured: CxrMeasurement
    box: Box
    mask: NDArray[np.bool_]
    before: NDArray[np.generic]
    within_tolerance: bool
    note: str = ""
    details: Mapping[str, str] = field(default_factory=dict)

    @property
    def spec(self) -> CxrNoduleSpec:
        """The nodule that was asked for."""
        return self.seed.spec

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of ``box`` into the pixels as a volume of one slice."""
        (k0, j0, i0), (k1, j1, i1) = self.box
        return slice(k0, k1), slice(j0, j1), slice(i0, i1)
