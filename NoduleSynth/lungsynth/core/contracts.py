"""What a synthesizer must offer so that the rest of the library can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.nodule import NoduleSpec
from lungsynth.core.radiograph import CxrNoduleSpec

GRID_VOXELS = 64
"""Side of the cube (VOI) that a CT synthesizer sees [han2020, 6.2.1]."""
BOX_VOXELS = 32
"""Side of its centre, which the synthesizer fills [han2020, 6.2.1]."""


@dataclass(frozen=True, eq=False)
class Inpainting:
    """Filled centres of a batch of VOIs.

    Args:
        hu: New intensities in HU, float32, shape (B, 32, 32, 32).
        mask: How far each voxel belongs to the nodule, 0 to 1, float32, same shape.
        details: One mapping for each item, for the report.
    """

    hu: NDArray[np.float32]
    mask: NDArray[np.float32]
    details: Sequence[Mapping[str, str]] = field(default_factory=list)


class CtSynthesizer(Protocol):
    """Fills the centre of a cube of CT with a nodule.

    The cube (VOI) has 64^3 voxels, axes (z, y, x) pointing to S, P and L, and is cubic in mm;
    its central 32^3 are the nodule's box. Everything that depends on the volume around it
    (resampling, pasting, measuring, calibration) is done elsewhere, once for all.
    """

    name: str
    weights_sha256: str | None
    device: str

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side in mm of the box for a nodule of the diameter that is asked."""

    def inpaint(
        self,
        context_hu: NDArray[np.float32],
        specs: Sequence[NoduleSpec],
        box_mm: Sequence[float],
    ) -> Inpainting:
        """Fill the centre of each VOI.

        Args:
            context_hu: Cubes in HU, shape (B, 64, 64, 64), axes (z, y, x); what the centre
                holds is the old tissue.
            specs: One nodule for each cube; all that is random follows from its latent_seed
                alone, so that an item does not depend on its batch.
            box_mm: Side of each cube's box in mm (half the side of the cube).
        """


PATCH_PIXELS = 256
"""Side of the patch that a CXR synthesizer sees [shen2022, III.C]."""
WORKING_SIDE_PIXELS = 1024
"""Longer side of the whole radiograph on the grid of patches, where the spacing is unknown."""
WORKING_PIXEL_MM = 0.4
"""Pixel of the patch's grid where the spacing is known: about that of 1,024 pixels a film."""


@dataclass(frozen=True, eq=False)
class Painting:
    """Patches of radiographs with a nodule in the middle of each.

    Args:
        values: New patches, float32, shape (B, 256, 256), on the scale of the context. Where
            they go beyond [-1, 1] they are taken as they are.
        mask: How far each pixel belongs to the nodule, 0 to 1, float32, same shape.
        details: One mapping for each item, for the report.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.float32]
    details: Sequence[Mapping[str, str]] = field(default_factory=list)


class CxrSynthesizer(Protocol):
    """Puts a nodule into the middle of a patch of a frontal chest radiograph.

    Its patch has 256^2 pixels, axes (row, column) as the image is looked at, square pixels of
    0.4 mm where the spacing is known, and else such that the longer side of the image is 1,024.
    Cutting the patch, putting back the difference at native resolution, keeping the original
    outside the mask, measuring and calibration are done elsewhere, once for all.
    """

    name: str
    weights_sha256: str | None
    device: str

    def paint(
        self,
        context: NDArray[np.float32],
        specs: Sequence[CxrNoduleSpec],
        diameter_px: Sequence[float],
    ) -> Painting:
        """Paint one nodule into each patch.

        Args:
            context: Patches, float32, shape (B, 256, 256). The robust range (1st to 99th
                percentile) of the whole image is [-1, 1], clipped; dense tissue is bright.
            specs: One nodule for each patch; all that is random follows from its latent_seed
                alone, so that an item does not depend on its batch. Its diameter is not read;
                its contrast, where given, is reached by the caller and may be used here.
            diameter_px: Diameter to draw, on the patch's grid: mean of the axes of the ellipse
                with the second moments of the mask where it is above 0.5. The caller asks again
                with another one where the result measures wrong.
        """
