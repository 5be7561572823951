"""From several readers' outlines to nodules: which belong together, and where they agree.

(ours) Two outlines are of one nodule if they come within a slice of each other; where that would
put two of one reader into one nodule, they have to come nearer, and in the end overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from lungsynth.core.volume import Volume
from lungsynth.data.lidc_xml import Annotation, Outline
from lungsynth.data.records import CaseError, Trouble, VoxelMask


def inside_of(points: Sequence[tuple[int, int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the pixels strictly inside of a closed line through pixels (column, row).

    The line itself is not inside: LIDC's readers drew it just outside of the nodule.

    Returns:
        First (row, column), and the pixels from there on, (rows, columns).
    """
    line = np.asarray(points, np.float64).reshape(-1, 2)
    low, high = line.min(axis=0).astype(np.int64), line.max(axis=0).astype(np.int64)
    x, y = np.meshgrid(np.arange(low[0], high[0] + 1), np.arange(low[1], high[1] + 1))
    odd = np.zeros(x.shape, bool)
    on_line = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(line, np.roll(line, -1, axis=0), strict=True):
        across = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
        within = (x >= min(x0, x1)) & (x <= max(x0, x1)) & (y >= min(y0, y1)) & (y <= max(y0, y1))
        on_line |= (across == 0) & within
        if y0 != y1:
            crosses = (y >= min(y0, y1)) & (y < max(y0, y1))
            odd ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return low[::-1], odd & ~on_line


def annotation_mask(
    annotation: Annotation, volume: Volume, slice_of: Callable[[Outline], int | None]
) -> VoxelMask:
    """Return what one reader outlined.

    Args:
        annotation: The outlines.
        volume: The CT.
        slice_of: From an outline to the index of its slice, None where there is no such slice.

    Raises:
        CaseError: If the outlines do not fit the CT, or nothing is inside of them.
    """
    name = f"{annotation.nodule_id} of reader {annotation.reader + 1}"
    parts = []
    rows, columns = volume.voxels.shape[1:]
    for outline in annotation.outlines:
        if not outline.points:
            continue
        k = slice_of(outline)
        if k is None:
            msg = f"{name}: no slice at z = {outline.z_mm:g} mm, on which it is outlined"
            raise CaseError(Trouble.OUTSIDE, msg)
        first, pixels = inside_of(outline.points)
        if (first < 0).any() or (first + pixels.shape > (rows, columns)).any():
            msg = f"{name}: outlined beyond the {columns} x {rows} pixels of its slice"
            raise CaseError(Trouble.OUTSIDE, msg)
        parts.append((k, first, pixels, outline.inclusion))
    if not any(pixels.any() for *_, pixels, inclusion in parts if inclusion):
        msg = f"{name}: nothing is inside of its outlines"
        raise CaseError(Trouble.EMPTY_MASK, msg)
    low = np.min([(k, *first) for k, first, _, _ in parts], axis=0)
    high = np.max([(k + 1, *(first + pixels.shape)) for k, first, pixels, _ in parts], axis=0)
    mask = np.zeros(high - low, bool)
    # holes last, whatever their place in the file
    for k, first, pixels, inclusion in sorted(parts, key=lambda part: not part[3]):
        j, i = first - low[1:]
        place = mask[k - low[0], j : j + pixels.shape[0], i : i + pixels.shape[1]]
        place[pixels] = inclusion
    start = low.tolist()
    return VoxelMask.cropped(mask, (start[0], start[1], start[2]))


def cluster(
    masks: Sequence[VoxelMask], readers: Sequence[int], volume: Volume
) -> list[tuple[list[int], bool]]:
    """Return which masks are of one nodule, and whether each such group makes sense.

    A group does not make sense if it holds two masks of one reader, even among masks that
    overlap.
    """
    apart = _distances(masks, volume)
    start = float(volume.spacing_mm.max()) * 1.01

    def split(members: list[int], tolerance: float) -> list[tuple[list[int], bool]]:
        groups = _groups(members, apart, tolerance)
        found = []
        for group in groups:
            clear = len({readers[n] for n in group}) == len(group)
            if clear or tolerance <= 0:
                found.append((group, clear))
            else:  # nearer and nearer, in the end only what overlaps
                found += split(group, tolerance / 2 if tolerance > 0.2 else 0.0)
        return found

    return split(list(range(len(masks))), start)


def _distances(masks: Sequence[VoxelMask], volume: Volume) -> Mapping[tuple[int, int], float]:
    """Return the smallest distance between the voxels of each two masks in mm."""
    points = [
        volume.ijk_to_ras_mm((np.argwhere(mask.voxels) + mask.start)[:, ::-1]) for mask in masks
    ]
    trees = [cKDTree(p) for p in points]
    return {
        (a, b): float(trees[a].query(points[b])[0].min())
        for a, b in combinations(range(len(masks)), 2)
    }


def _groups(
    members: list[int], apart: Mapping[tuple[int, int], float], tolerance: float
) -> list[list[int]]:
    near = [
        (p, q)
        for p, q in combinations(range(len(members)), 2)
        if apart[members[p], members[q]] <= tolerance
    ]
    size = len(members)
    rows, columns = [p for p, _ in near], [q for _, q in near]
    graph = coo_array((np.ones(len(near)), (rows, columns)), shape=(size, size))
    count, labels = connected_components(graph, directed=False)
    return [[members[n] for n in np.flatnonzero(labels == label)] for label in range(count)]


def consensus(masks: Sequence[VoxelMask]) -> VoxelMask:
    """Return the voxels that at least half of the masks hold."""
    low = np.min([mask.start for mask in masks], axis=0)
    high = np.max([np.add(mask.start, mask.voxels.shape) for mask in masks], axis=0)
    votes = np.zeros(high - low, np.int64)
    for mask in masks:
        at = np.subtract(mask.start, low)
        place = tuple(slice(a, a + n) for a, n in zip(at, mask.voxels.shape, strict=True))
        votes[place] += mask.voxels
    start = low.tolist()
    return VoxelMask.cropped(2 * votes >= len(masks), (start[0], start[1], start[2]))
