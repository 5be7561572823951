"""A nodule in a radiograph drawn by formulas: the baseline that learned synthesizers must beat.

The shadow of a ball with a lobulated outline and smooth texture, added to what is there, as
attenuation adds up along a beam. All of it is (ours).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import PATCH_PIXELS, Painting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.imaging.ellipse import ellipse_diameter

CONTRAST = (0.03, 0.1)
"""Between which the mean contrast inside the mask is drawn, over the robust range."""
EDGE_PIXELS = 1.6
"""Standard deviation of the blur of the outline, on the patch's grid (about 0.6 mm)."""
_HARMONICS = 6


@dataclass(frozen=True, eq=False)
class CxrShape:
    """Everything random in one procedural nodule."""

    elongation: float  # major over minor axis
    angle: float  # of the major axis, radians
    waves: NDArray[np.float64]  # (6, 2): amplitude and phase of the outline's harmonics 2 to 7
    flatness: float  # exponent of the profile: 0.5 for a ball, less for a plateau
    contrast: float
    texture: NDArray[np.float32]  # (256, 256), unit variance


def draw_cxr_shape(spec: CxrNoduleSpec) -> CxrShape:
    """Make every random choice about a nodule from its latent seed."""
    rng = np.random.default_rng(spec.latent_seed)
    order = np.arange(2, 2 + _HARMONICS)
    amplitude = rng.normal(0, 0.06, _HARMONICS) / np.sqrt(order - 1)
    noise = rng.standard_normal((PATCH_PIXELS, PATCH_PIXELS)).astype(np.float32)
    texture = ndimage.gaussian_filter(noise, 4.0)
    return CxrShape(
        elongation=float(rng.uniform(1.0, 1.5)),
        angle=float(rng.uniform(0, math.pi)),
        waves=np.column_stack([amplitude, rng.uniform(0, 2 * math.pi, _HARMONICS)]),
        flatness=float(rng.uniform(0.4, 0.7)),
        contrast=float(rng.uniform(*CONTRAST)),
        texture=np.asarray(texture / texture.std(), dtype=np.float32),
    )


class CxrProcedural:
    """Draws nodules by formulas; needs no weights and no torch."""

    name = "procedural"
    weights_sha256: str | None = None
    device = "cpu"

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> CxrProcedural:  # noqa: ARG003 - one signature for all
        """Return the synthesizer; it runs on the CPU whatever the device.

        Raises:
            LungSynthError: If weights are given.
        """
        if weights is not None:
            msg = f"{weights}: the procedural synthesizer takes no weights"
            raise LungSynthError(msg)
        return cls()

    def paint(
        self,
        context: NDArray[np.float32],
        specs: Sequence[CxrNoduleSpec],
        diameter_px: Sequence[float],
    ) -> Painting:
        """Paint one nodule into each patch; see ``CxrSynthesizer.paint``."""
        drawn = [
            _shadow(draw_cxr_shape(spec), diameter)
            for spec, diameter in zip(specs, diameter_px, strict=True)
        ]
        values = np.stack([old + new for old, (new, _) in zip(context, drawn, strict=True)])
        return Painting(values=values, mask=np.stack([mask for _, mask in drawn]))


def _shadow(shape: CxrShape, diameter_px: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a nodule adds, on the scale of the context, and its soft mask."""
    line = np.arange(PATCH_PIXELS) - (PATCH_PIXELS - 1) / 2
    x, y = np.meshgrid(line, line)
    cos, sin = math.cos(shape.angle), math.sin(shape.angle)
    along, across = cos * x + sin * y, cos * y - sin * x
    # The mean of both axes stays what was asked.
    minor = 2 / (1 + shape.elongation)
    along, across = along / (minor * shape.elongation), across / minor
    direction = np.arctan2(across, along)
    outline = np.ones_like(direction)
    for order, (amplitude, phase) in enumerate(shape.waves, start=2):
        outline += amplitude * np.cos(order * direction + phase)
    part = np.hypot(along, across) / (diameter_px / 2 * np.clip(outline, 0.5, None))
    if (part < 1).any():  # waves make the outline's ellipse larger or smaller
        part *= ellipse_diameter(part < 1) / diameter_px
    mask = ndimage.gaussian_filter((part < 1).astype(np.float32), EDGE_PIXELS)
    thickness = np.clip(1 - part**2, 0, None) ** shape.flatness
    thickness = thickness * (1 + 0.08 * shape.texture)
    thickness = ndimage.gaussian_filter(thickness.astype(np.float32), EDGE_PIXELS)
    inside = mask > 0.5
    strength = (
        2 * shape.contrast / max(float(thickness[inside].mean()), 1e-3) if inside.any() else 0
    )
    return np.asarray(strength * thickness, np.float32), np.asarray(mask, np.float32)
