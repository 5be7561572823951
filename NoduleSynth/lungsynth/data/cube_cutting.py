"""Cubes of 48 mm at 1 mm out of any CT, along the patient's own axes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.volume import Volume
from lungsynth.data.nodule_cubes import CUBE_VOXELS
from lungsynth.data.records import Point, VoxelMask

_HALF = (CUBE_VOXELS - 1) / 2
_ZYX_TO_RAS = np.array([[0, 0, -1], [0, -1, 0], [1, 0, 0]], dtype=np.float64)
"""One voxel of the cube along z, y, x in RAS mm: to S, P and L."""
_FINE_MM = 0.6
"""(ours) Voxels below this are averaged a little first, for every second would be passed over."""
_MARGIN = 4


def cut_cube(volume: Volume, centre_ras_mm: Point) -> NDArray[np.float32]:
    """Return the cube around a point of the volume, float32 (48, 48, 48), axes (z, y, x).

    Linear interpolation in 3-D, so also oblique volumes are brought to the axes S, P, L. What
    lies beyond the volume is its mirror image.
    """
    return _resample(volume, volume.voxels, (0, 0, 0), centre_ras_mm, smooth=True)


def cut_mask(volume: Volume, mask: VoxelMask, centre_ras_mm: Point) -> NDArray[np.bool_]:
    """Return a mask of the volume's voxels in the cube around a point, bool (48, 48, 48)."""
    # with a border of zeros, for beyond its box the mask ends and is not mirrored
    padded = np.pad(mask.voxels, 1)
    k, j, i = (first - 1 for first in mask.start)
    inside = _resample(volume, padded, (k, j, i), centre_ras_mm, smooth=False)
    return np.asarray(inside >= 0.5)


def _resample(
    volume: Volume,
    voxels: NDArray[np.generic],
    start: tuple[int, int, int],
    centre_ras_mm: Point,
    *,
    smooth: bool,
) -> NDArray[np.float32]:
    """Return ``voxels``, the part of the volume's grid from ``start`` on, in the cube."""
    to_kji = np.linalg.inv(volume.ijk_to_ras[:3, :3])[::-1]
    matrix = to_kji @ _ZYX_TO_RAS
    middle = volume.ras_to_ijk(centre_ras_mm)[::-1] - np.asarray(start)
    reach = np.abs(matrix).sum(axis=1) * _HALF + _MARGIN
    low = np.clip(np.floor(middle - reach), 0, None).astype(int)
    high = np.minimum(np.ceil(middle + reach).astype(int) + 1, voxels.shape)
    if (high <= low).any():
        return np.zeros((CUBE_VOXELS,) * 3, np.float32)
    part = voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].astype(np.float32)
    fine = volume.spacing_mm[::-1] < _FINE_MM
    if smooth and fine.any():
        ratio = 1 / volume.spacing_mm[::-1]
        part = ndimage.gaussian_filter(
            part, np.where(fine, 0.4 * np.sqrt(np.clip(ratio**2 - 1, 0, None)), 0), mode="reflect"
        )
    offset = middle - low - matrix @ np.full(3, _HALF)
    return np.asarray(
        ndimage.affine_transform(
            part,
            matrix,
            offset,
            output_shape=(CUBE_VOXELS,) * 3,
            order=1,
            mode="reflect" if smooth else "constant",
        ),
        dtype=np.float32,
    )
