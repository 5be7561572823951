"""What a synthesizer must offer so that the rest of the library can use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.nodule import NoduleSpec

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
