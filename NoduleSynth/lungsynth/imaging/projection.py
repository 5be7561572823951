"""A CT nodule as it adds to a radiograph: its excess attenuation, projected along parallel rays.

After the CT templates of [1], which shen2022 compares with (Table IV). What a nodule adds is what
its tissue attenuates more than the lung that it displaces; the integral of that along the beam is
added to a radiograph, whose values are close to the logarithm of the exposure.

[1] Litjens et al., Simulation of nodules and diffuse infiltrates in chest radiographs using CT
templates, MICCAI 2010, p. 396.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lungsynth.core.errors import LungSynthError

WATER_PER_MM = 0.02
"""Linear attenuation of water in 1/mm at 65 keV, the mean energy of a 120 kV beam (NIST)."""
LUNG_HU = -850.0
"""(ours) Background where a nodule's surroundings show no lung."""
SHELL_MM = (1.5, 6.0)
"""(ours) Between which distances from the mask the displaced lung is looked for."""
RANGE_ATTENUATION = 3.0
"""(ours) Attenuation over the robust range of a radiograph: lungs 1-2, mediastinum about 5, less
by scatter, more by the contrast that displays add."""

LEAST_GAIN, GAIN_BLUR_PX = 0.15, 6.0
"""(ours) What is left of an added attenuation where a film is nearly black or white, and over how
many pixels of its grid the film around decides."""
UNSHARPNESS_MM = 0.5
"""(ours) Standard deviation of the blur by focal spot, motion and detector; it also takes the
steps off masks that were drawn slice by slice."""

VIEWS: dict[str, NDArray[np.float64]] = {
    "frontal": np.eye(3),
    "lateral": np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]),  # the nodule turns by 90 deg
}
"""Rotations (z, y, x) that bring the side that is to be seen in front of the beam along y."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A projected nodule, its centre of mass in the middle of the picture.

    Args:
        attenuation: Excess line integral (no unit; 0 where nothing is added), float32 (rows,
            columns), square: rows run to the feet, columns to the patient's left.
        mask: How far each pixel lies in the nodule's shadow, 0 to 1, float32, same shape.
        pixel_mm: Side of a pixel.
    """

    attenuation: NDArray[np.float32]
    mask: NDArray[np.float32]
    pixel_mm: float


def draw_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a rotation (3 x 3), uniform over all orientations."""
    # by position: SciPy 1.15 renamed the argument
    return np.asarray(Rotation.random(None, rng).as_matrix(), dtype=np.float64)


def background_hu(
    hu: NDArray[Any], mask: NDArray[np.bool_], spacing_mm: tuple[float, float, float]
) -> float:
    """Return the HU of the lung that a nodule displaces: the median around it of what is lung."""
    away = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    lung = hu[(away >= SHELL_MM[0]) & (away <= SHELL_MM[1]) & (hu < -500)]
    return float(np.median(lung)) if len(lung) else LUNG_HU


def project_nodule(
    hu: NDArray[Any],
    mask: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    pixel_mm: float,
    rotation: NDArray[np.float64] | None = None,
    *,
    scale: float = 1.0,
    background: float | None = None,
    blur_mm: float = UNSHARPNESS_MM,
    even_side: bool = False,
) -> Projection:
    """Project a nodule along the beam (from front to back) with parallel rays.

    Args:
        hu: Cube of CT in HU, axes (z, y, x) pointing to S, P, L.
        mask: The nodule in it, same shape; only its tissue is projected.
        spacing_mm: Voxel size along (z, y, x).
        pixel_mm: Side of the radiograph's pixels; finer than the voxels is interpolated, coarser
            is averaged.
        rotation: Turns the nodule about its centre of mass before the projection, 3 x 3 over
            (z, y, x); see ``VIEWS`` and ``draw_rotation``. None leaves it as it lay.
        scale: Enlarges the nodule; the longer way through it attenuates more.
        background: HU of the lung that it displaces; None finds it around the mask.
        blur_mm: Standard deviation of the picture's unsharpness; the mask stays as it is.
        even_side: Give the picture an even number of pixels, its middle between two of them, as a
            patch of 256 has it, and not an odd one, its middle in a pixel.

    Raises:
        LungSynthError: If the mask is empty or of another shape, or a length is not positive.
    """
    if hu.shape != mask.shape or hu.ndim != 3 or not mask.any():
        msg = f"a mask with the cube's shape {hu.shape} and one voxel at least is needed"
        raise LungSynthError(msg)
    if min(*spacing_mm, pixel_mm, scale) <= 0:
        msg = f"spacing, pixel and scale must be positive; got {spacing_mm}, {pixel_mm}, {scale}"
        raise LungSynthError(msg)
    level = background_hu(hu, mask, spacing_mm) if background is None else background
    turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
    spacing = np.asarray(spacing_mm) * scale
    box, centre, radius_mm = _extent(mask, spacing)
    inside = np.pad(mask[box].astype(np.float32), 1)
    excess = np.pad(np.clip(hu[box].astype(np.float32) - level, 0, None), 1) * inside
    per_mm = excess * np.float32(WATER_PER_MM / 1000)

    fine = int(np.ceil(pixel_mm / spacing.min()))  # samples across one pixel
    side = 2 * int(np.ceil((radius_mm + 3 * blur_mm) / pixel_mm)) + (not even_side)
    across_mm = pixel_mm / fine
    along_mm = min(float(spacing.min()), across_mm * 2)
    across = (np.arange(side * fine) + 0.5) * across_mm - side / 2 * pixel_mm
    depth = np.arange(-np.ceil(radius_mm / along_mm), np.ceil(radius_mm / along_mm) + 1) * along_mm
    # A sample at (row, depth, column) steps of the detector comes from turn^T of it in the cube.
    steps = np.array([-across_mm, along_mm, across_mm])  # rows run down, z runs up
    first = np.array([-across[0], depth[0], across[0]])
    matrix = (turn.T / spacing[:, None]) * steps[None, :]
    offset = (turn.T @ first) / spacing + centre + 1
    shape = (len(across), len(depth), len(across))
    sampled = ndimage.affine_transform(per_mm, matrix, offset, shape, order=1, mode="constant")
    shadow = ndimage.affine_transform(inside, matrix, offset, shape, order=1, mode="constant")
    attenuation = _block_mean(sampled.sum(axis=1) * along_mm, fine)
    return Projection(
        attenuation=ndimage.gaussian_filter(attenuation, blur_mm / pixel_mm),
        mask=_block_mean((shadow.max(axis=1) >= 0.5).astype(np.float32), fine),
        pixel_mm=pixel_mm,
    )


def added_brightness(
    attenuation: NDArray[np.float32], patch: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return by how much attenuation brightens a patch of a radiograph.

    (ours) Films and displays follow an S-shaped curve, steepest at middle grey: lungs show what is
    in them, mediastinum, abdomen and direct exposure hardly do. The slope is 4 v (1 - v), v from 0
    to 1 over the robust range of the image.

    Args:
        attenuation: Excess line integral, (rows, columns).
        patch: What it is added to, same shape, robust range as [-1, 1].

    Returns:
        Change on the patch's scale, float32.
    """
    grey = np.clip((ndimage.gaussian_filter(patch, GAIN_BLUR_PX) + 1) / 2, 0, 1)
    gain = np.clip(4 * grey * (1 - grey), LEAST_GAIN, 1)
    return np.asarray(attenuation * gain * (2 / RANGE_ATTENUATION), dtype=np.float32)


def _extent(
    mask: NDArray[np.bool_], spacing: NDArray[np.float64]
) -> tuple[tuple[slice, ...], NDArray[np.float64], float]:
    """Return the mask's box, its centre of mass as an index in it, and the radius in mm."""
    inside = np.argwhere(mask)
    low, high = inside.min(axis=0), inside.max(axis=0)
    centre = inside.mean(axis=0) - low
    away = (np.abs(inside - low - centre) + 0.5) * spacing
    radius = float(np.sqrt((away**2).sum(axis=1)).max())
    return tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True)), centre, radius


def _block_mean(values: NDArray[Any], fine: int) -> NDArray[np.float32]:
    side = values.shape[0] // fine
    blocks = values.reshape(side, fine, side, fine)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)
