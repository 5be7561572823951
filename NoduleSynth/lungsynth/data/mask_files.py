"""Masks from files: label maps of the image's geometry, and the nodules in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.data.dicom_seg import is_segmentation, read_segmentation
from lungsynth.data.records import CaseError, Point, Trouble, VoxelMask
from lungsynth.io.reading import read_volume

MAX_LABELS = 1000
"""More different values than that are an image, not a label map."""
CRUMB_VOXELS = 3
"""Connected parts below this are specks of the segmenting, not nodules."""
_NEIGHBOURS = np.ones((3, 3, 3), bool)


def read_label_map(path: Path, volume: Volume) -> NDArray[np.integer]:
    """Read a segmentation (a label map or DICOM SEG) on the voxels of its image, (K, J, I).

    Raises:
        CaseError: If it cannot be read, is no label map, is empty or of another geometry.
    """
    try:
        if is_segmentation(path):
            return read_segmentation(path, volume)
        mask = read_volume(path)
    except CaseError:
        raise
    except LungSynthError as error:
        raise CaseError(Trouble.MASK, str(error)) from error
    if not same_geometry(mask, volume):
        sizes = [" x ".join(map(str, v.voxels.shape[::-1])) for v in (mask, volume)]
        what = f"{sizes[0]} voxels, {sizes[1]} in the image"
        if sizes[0] == sizes[1]:
            what = f"{sizes[0]} voxels as in the image, but with other spacing, origin or direction"
        msg = f"{path}: of another geometry than its image ({what})"
        raise CaseError(Trouble.MASK_GEOMETRY, msg)
    voxels = mask.voxels
    if voxels.dtype.kind not in "iu":
        if not np.isfinite(voxels).all() or (voxels != np.rint(voxels)).any():
            msg = f"{path}: no mask: it holds values that are not whole numbers"
            raise CaseError(Trouble.MASK, msg)
        voxels = voxels.astype(np.int32)
    return np.asarray(voxels)


def same_geometry(one: Volume, other: Volume) -> bool:
    """Return whether the corners of two volumes lie within a tenth of a voxel."""
    if one.voxels.shape != other.voxels.shape:
        return False
    last = np.array(one.voxels.shape[::-1]) - 1
    corners = np.array(np.meshgrid(*[[0, n] for n in last])).reshape(3, -1).T
    apart = np.abs(one.ijk_to_ras_mm(corners) - other.ijk_to_ras_mm(corners)).max()
    return bool(apart <= 0.1 * min(one.spacing_mm.min(), other.spacing_mm.min()))


def masks_in(labels: NDArray[np.integer], path: Path) -> list[VoxelMask]:
    """Return the nodules of a label map: the connected parts of each value above 0.

    Raises:
        CaseError: If there is none, or it is no label map.
    """
    values = [int(value) for value in np.unique(labels) if value > 0]
    if len(values) > MAX_LABELS:
        msg = f"{path}: no mask: it holds {len(values)} different values"
        raise CaseError(Trouble.MASK, msg)
    found = []
    for value in values:
        for part in _parts(labels == value):
            if part.voxels.sum() >= CRUMB_VOXELS:
                found.append(part)
    if not found:
        msg = f"{path}: the mask is empty"
        raise CaseError(Trouble.EMPTY_MASK, msg)
    return found


def pick_mask(
    labels: NDArray[np.integer],
    volume: Volume,
    path: Path,
    *,
    label: int | None,
    at: Point | None,
) -> VoxelMask:
    """Return the nodule with a label, or the connected part that a point lies in or nearest to.

    Raises:
        CaseError: If the label is not there, or nothing lies within 5 mm of the point.
    """
    if label is not None:
        mask = VoxelMask.cropped(labels == label)
        if not mask:
            msg = f"{path}: the mask is empty: no voxel has the value {label}"
            raise CaseError(Trouble.EMPTY_MASK, msg)
        return mask
    masks = masks_in(labels, path)
    distances = []
    for mask in masks:
        inside = np.argwhere(mask.voxels) + mask.start
        apart = volume.ijk_to_ras_mm(inside[:, ::-1]) - np.asarray(at)
        distances.append(float(np.linalg.norm(apart, axis=1).min()))
    nearest = int(np.argmin(distances))
    if distances[nearest] > 5:
        msg = (
            f"{path}: the mask is empty at the nodule: the nearest part of it is "
            f"{distances[nearest]:.1f} mm away"
        )
        raise CaseError(Trouble.EMPTY_MASK, msg)
    return masks[nearest]


def _parts(mask: NDArray[np.bool_]) -> list[VoxelMask]:
    """Return the connected parts (26 neighbours)."""
    whole = VoxelMask.cropped(mask)
    labels, _ = ndimage.label(whole.voxels, structure=_NEIGHBOURS)
    parts = []
    for number, at in enumerate(ndimage.find_objects(labels), start=1):
        k, j, i = (s.start + first for s, first in zip(at, whole.start, strict=True))
        parts.append(VoxelMask((k, j, i), labels[at] == number))
    return parts
