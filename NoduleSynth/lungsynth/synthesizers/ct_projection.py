"""A CT nodule projected onto a radiograph: the baseline that shen2022 compares with (Table IV).

After the CT templates of Litjens et al., MICCAI 2010: the excess attenuation of a real nodule from
the user's own bank is projected along the beam and added to the radiograph. Without a bank the
nodule is one drawn by formulas, so that it works without any data (ours).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import BOX_VOXELS, PATCH_PIXELS, WORKING_PIXEL_MM, Painting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import DIAMETER_RANGE_MM, Attenuation, NoduleSpec
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.data.nodule_cubes import SPLITS, NoduleCubes
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.procedural_nodule import asked_box_mm, draw_nodule_into
from lungsynth.imaging.projection import (
    LUNG_HU,
    VIEWS,
    Projection,
    added_brightness,
    draw_rotation,
    project_nodule,
)

SIZE_SPREAD = 0.4
"""How far a nodule's own size may be off, as a logarithm, for the latent seed to prefer it."""
_SIZE_ROUNDS = 4
_SIZE_TOLERANCE = 0.01


class Turn(StrEnum):
    """How a CT nodule is turned before it is projected."""

    RANDOM = "random"
    """Any way, by the latent seed."""
    FRONTAL = "frontal"
    """As it lay in the CT, seen from the front."""
    LATERAL = "lateral"
    """As it lay in the CT, seen from the side."""


@dataclass(frozen=True, eq=False)
class CtNodule:
    """One nodule in CT, ready to be projected.

    Args:
        hu: Intensities, axes (z, y, x).
        mask: The nodule, same shape.
        voxel_mm: Side of the cubic voxels.
        diameter_mm: Of the sphere with the mask's volume.
        details: Where it comes from, for the report.
    """

    hu: NDArray[np.generic]
    mask: NDArray[np.bool_]
    voxel_mm: float
    diameter_mm: float
    details: Mapping[str, str]


class CtProjection:
    """Adds projected CT nodules to radiographs; needs no weights and no torch.

    Args:
        bank: Real nodules; None draws them by formulas.
        origin: How the report calls the bank.
        turn: How nodules are turned before the projection.
        strength: Multiplies what a nodule attenuates where no contrast is asked.

    Raises:
        LungSynthError: If the bank has no usable nodule, or an option is not allowed.
    """

    name = "ct-projection"
    weights_sha256: str | None = None
    device = "cpu"

    def __init__(
        self,
        bank: NoduleCubes | None = None,
        origin: str = "bank",
        *,
        turn: Turn | str = Turn.RANDOM,
        strength: float = 1.0,
    ) -> None:
        if turn not in set(Turn) or not strength > 0:
            msg = f"turn is one of {', '.join(Turn)}, strength positive; got {turn}, {strength:g}"
            raise LungSynthError(msg)
        self.bank, self.origin = bank, origin
        self.turn, self.strength = Turn(turn), strength
        self._usable = np.flatnonzero(bank.usable) if bank is not None else np.array([], int)
        if bank is not None and not len(self._usable):
            msg = f"bank {origin} has no usable nodule: none with a clear kind and a whole mask"
            raise LungSynthError(msg)

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> CtProjection:  # noqa: ARG003 - one signature for all
        """Read the bank, if there is one: its training split, else the first that it has.

        Raises:
            LungSynthError: If weights are given, or the folder is no bank.
        """
        if weights is not None:
            msg = f"{weights}: ct-projection takes a bank of CT nodules (--bank), not weights"
            raise LungSynthError(msg)
        if bank is None:
            return cls()
        split = next((s for s in SPLITS if (bank / f"{s}.npz").is_file()), SPLITS[0])
        return cls(NoduleCubes.load(bank, split), f"{bank.name}/{split}")

    def paint(
        self,
        context: NDArray[np.float32],
        specs: Sequence[CxrNoduleSpec],
        diameter_px: Sequence[float],
    ) -> Painting:
        """Add one nodule to each patch; see ``CxrSynthesizer.paint``."""
        values, masks, details = [], [], []
        for patch, spec, diameter in zip(context, specs, diameter_px, strict=True):
            nodule, rotation = self.draw_source(spec.latent_seed, diameter * WORKING_PIXEL_MM)
            made = project_at_diameter(nodule, rotation, diameter)
            margin = (PATCH_PIXELS - len(made.mask)) // 2
            around = patch[margin : PATCH_PIXELS - margin, margin : PATCH_PIXELS - margin]
            change = self.strength * added_brightness(made.attenuation, around)
            inside = made.mask > 0.5
            if spec.contrast is not None and inside.any():  # else it is asked for again, larger
                change = change * np.float32(2 * spec.contrast / change[inside].mean())
            values.append(patch + np.pad(change, margin))
            masks.append(np.pad(made.mask, margin))
            details.append(dict(nodule.details))
        return Painting(values=np.stack(values), mask=np.stack(masks), details=details)

    def draw_source(
        self, latent_seed: int, diameter_mm: float
    ) -> tuple[CtNodule, NDArray[np.float64]]:
        """Choose a nodule of about the size, and how it is turned, from the latent seed.

        Each nodule of the bank has its own advantage by the seed, so that a slightly different
        diameter, which calibration asks for, most often finds the same nodule.
        """
        rng = np.random.default_rng(latent_seed)
        rotation = draw_rotation(rng) if self.turn is Turn.RANDOM else VIEWS[self.turn]
        if self.bank is None:
            return _procedural(latent_seed, diameter_mm), rotation
        away = np.abs(np.log(self.bank.diameter_mm[self._usable] / diameter_mm))
        chosen = int(self._usable[np.argmin(away + SIZE_SPREAD * rng.random(len(away)))])
        row = self.bank.table[chosen]
        nodule = CtNodule(
            hu=self.bank.hu[chosen],
            mask=self.bank.mask[chosen],
            voxel_mm=1.0,
            diameter_mm=float(self.bank.diameter_mm[chosen]),
            details={
                "source": f"{self.origin} row {chosen}",
                "source_patient": row["patient"],
                "source_series_uid": row["series_uid"],
            },
        )
        return nodule, rotation


def project_at_diameter(
    nodule: CtNodule, rotation: NDArray[np.float64], diameter_px: float
) -> Projection:
    """Project a nodule so large that its shadow measures the diameter, on the patch's grid.

    Raises:
        LungSynthError: If it does not fit into the patch.
    """
    spacing = (nodule.voxel_mm,) * 3
    scale = diameter_px * WORKING_PIXEL_MM / nodule.diameter_mm
    for _ in range(_SIZE_ROUNDS):
        made = project_nodule(
            nodule.hu,
            nodule.mask,
            spacing,
            WORKING_PIXEL_MM,
            rotation,
            scale=scale,
            even_side=True,
        )
        # of a nodule below a pixel nothing may be left to measure
        measured = ellipse_diameter(made.mask) if made.mask.any() else diameter_px / 2
        if abs(measured / diameter_px - 1) <= _SIZE_TOLERANCE:
            break
        scale *= diameter_px / measured
    if len(made.mask) > PATCH_PIXELS:
        made = _cropped(made, diameter_px)
    return made


def _cropped(made: Projection, diameter_px: float) -> Projection:
    """Return the part that fits into the patch; what is cut off must be empty.

    Raises:
        LungSynthError: If it is not.
    """
    margin = (len(made.mask) - PATCH_PIXELS) // 2
    middle = (slice(margin, margin + PATCH_PIXELS),) * 2
    if made.mask[middle].sum() < made.mask.sum():
        msg = (
            f"a nodule of {diameter_px:.0f} pixels does not fit into the patch of {PATCH_PIXELS} "
            f"({PATCH_PIXELS * WORKING_PIXEL_MM:.0f} mm where the spacing is known)"
        )
        raise LungSynthError(msg)
    return Projection(made.attenuation[middle], made.mask[middle], made.pixel_mm)


def _procedural(latent_seed: int, diameter_mm: float) -> CtNodule:
    """Return a solid nodule drawn by formulas, its edge as sharp as its size has it."""
    asked_mm = float(np.clip(diameter_mm, *DIAMETER_RANGE_MM))
    box_mm = asked_box_mm(asked_mm)
    lung = np.full((BOX_VOXELS,) * 3, LUNG_HU, np.float32)
    spec = NoduleSpec(asked_mm, Attenuation.SOLID, latent_seed=latent_seed)
    hu, soft = draw_nodule_into(lung, spec, box_mm)
    labels, _ = ndimage.label(soft > 0.5)
    mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    voxel_mm = box_mm / BOX_VOXELS
    volume = float(mask.sum()) * voxel_mm**3
    return CtNodule(
        hu=hu,
        mask=mask,
        voxel_mm=voxel_mm,
        diameter_mm=float(np.cbrt(6 * volume / np.pi)),
        details={"source": "procedural"},
    )
