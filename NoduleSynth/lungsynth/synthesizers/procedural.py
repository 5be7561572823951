"""A nodule drawn by formulas: the baseline that every learned synthesizer must beat.

What is drawn, and how, stands in ``imaging.procedural_nodule``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS, Inpainting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec
from lungsynth.imaging.procedural_nodule import asked_box_mm, draw_nodule_into

_CENTRE = slice((GRID_VOXELS - BOX_VOXELS) // 2, (GRID_VOXELS + BOX_VOXELS) // 2)


class Procedural:
    """Draws nodules by formulas; needs no weights and no torch."""

    name = "procedural"
    weights_sha256: str | None = None
    device = "cpu"

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> Procedural:  # noqa: ARG003 - one signature for all
        """Return the synthesizer; it runs on the CPU whatever the device.

        Raises:
            LungSynthError: If weights are given.
        """
        if weights is not None:
            msg = f"{weights}: the procedural synthesizer takes no weights"
            raise LungSynthError(msg)
        return cls()

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm."""
        return asked_box_mm(diameter_mm)

    def inpaint(
        self,
        context_hu: NDArray[np.float32],
        specs: Sequence[NoduleSpec],
        box_mm: Sequence[float],
    ) -> Inpainting:
        """Fill the centres; see ``CtSynthesizer.inpaint``."""
        old = context_hu[:, _CENTRE, _CENTRE, _CENTRE]
        drawn = [
            draw_nodule_into(old[n], spec, side)
            for n, (spec, side) in enumerate(zip(specs, box_mm, strict=True))
        ]
        return Inpainting(hu=np.stack([d[0] for d in drawn]), mask=np.stack([d[1] for d in drawn]))
