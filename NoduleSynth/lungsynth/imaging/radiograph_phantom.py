"""A procedural frontal radiograph, projected from the CT phantom: no patient's data in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.core.volume import Volume
from lungsynth.imaging.phantom import thorax_phantom
from lungsynth.imaging.projection import WATER_PER_MM
from lungsynth.imaging.voi import anatomical_axes

PIXEL_MM = 0.4
BITS = 12
PHOTONS = 4.0e4
"""Quanta that reach a pixel of the detector where nothing is in the beam."""
BLUR_MM = 0.3
"""Standard deviation of the blur by focal spot and detector."""
AERATED_HU = (-950.0, -600.0)
LEAST_LUNG_PART = 0.45
"""Part of the body along the beam that is aerated lung, from where on a pixel counts as lung
field: behind heart and diaphragm there is less."""
_MARGIN = 1.08
_BONE = 1.6
"""(ours) Bone attenuates more than its HU say at the lower energies that make up most of a beam."""
_BONE_HU = 150.0


@dataclass(frozen=True, eq=False)
class RadiographPhantom:
    """A radiograph, and where its lungs are.

    Args:
        image: 12 bits, MONOCHROME2, with its spacing.
        lungs: Lung field on the left and on the right of the picture, bool (2, rows, columns).
    """

    image: Radiograph
    lungs: NDArray[np.bool_]


def thorax_radiograph(
    seed: int = 0, *, volume: Volume | None = None, pixel_mm: float = PIXEL_MM
) -> RadiographPhantom:
    """Project a chest CT from front to back with parallel rays.

    Args:
        seed: Decides anatomy and noise; the same seed gives the same pixels.
        volume: A CT in HU to project; None draws the phantom of the seed.
        pixel_mm: Side of a pixel of the radiograph.

    Raises:
        LungSynthError: If the pixel is not from 0.05 to 4 mm.
    """
    if not 0.05 <= pixel_mm <= 4:
        msg = f"pixel_mm must be from 0.05 to 4; got {pixel_mm:g}"
        raise LungSynthError(msg)
    volume = thorax_phantom(seed) if volume is None else volume
    order, flipped = anatomical_axes(volume)
    hu = volume.voxels.transpose(order).astype(np.float32)  # (z, y, x) to S, P, L
    for axis, back in enumerate(flipped):
        hu = np.flip(hu, axis) if back else hu
    spacing = volume.spacing_mm[::-1][list(order)]
    attenuation = (np.clip(hu, -1000, None) + 1000) / 1000 * WATER_PER_MM
    attenuation = np.where(hu > _BONE_HU, _BONE * attenuation, attenuation)
    aerated = (hu > AERATED_HU[0]) & (hu < AERATED_HU[1])
    # rows run to the feet, columns to the patient's left, as radiographs are looked at
    line = attenuation.sum(axis=1)[::-1] * spacing[1]
    lung = aerated.sum(axis=1)[::-1] / np.maximum((hu > AERATED_HU[0]).sum(axis=1)[::-1], 1)
    zoom = (spacing[0] / pixel_mm, spacing[2] / pixel_mm)
    line = np.clip(ndimage.zoom(line, zoom, order=3, mode="nearest"), 0, None)
    lung = ndimage.zoom(lung.astype(np.float32), zoom, order=1, mode="nearest")
    line = ndimage.gaussian_filter(line, BLUR_MM / pixel_mm)
    rng = np.random.default_rng([seed, 1])
    detected = rng.poisson(PHOTONS * pixel_mm**2 / PIXEL_MM**2 * np.exp(-line)) + 0.5
    seen = -np.log(detected / (PHOTONS * pixel_mm**2 / PIXEL_MM**2))
    top = float(np.percentile(seen, 99)) * _MARGIN
    stored = np.clip(np.rint(seen / top * (2**BITS - 1)), 0, 2**BITS - 1).astype(np.uint16)
    spacing_mm = (pixel_mm, pixel_mm)
    image = Radiograph(
        stored,
        image_plane_matrix(spacing_mm),
        spacing_mm,
        header={"DICOM_ViewPosition": "PA"},
        limits=(0.0, float(2**BITS - 1)),
    )
    return RadiographPhantom(image, _two_lungs(lung > LEAST_LUNG_PART))


def _two_lungs(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the two largest pieces, that on the left of the picture first."""
    labels, count = ndimage.label(ndimage.binary_opening(mask, iterations=2))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    pieces = [labels == 1 + n for n in np.argsort(sizes)[::-1][:2]]
    pieces = [np.asarray(ndimage.binary_fill_holes(piece)) for piece in pieces]
    pieces.sort(key=lambda piece: float(np.nonzero(piece)[1].mean()))
    if len(pieces) < 2:  # the lungs touch, or there is one
        whole = pieces[0] if pieces else mask
        column = np.arange(mask.shape[1])[None, :]
        middle = mask.shape[1] // 2
        pieces = [whole & (column < middle), whole & (column >= middle)]
    return np.stack(pieces)
