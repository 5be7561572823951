"""Cubic volumes of interest (VOIs): cut out of any volume, and a difference put back.

A VOI lies along the voxel axes of its volume, permuted and flipped so that its axes (z, y, x)
point nearest to S, P and L. Cutting out and putting back are then three small matrices, one for
each axis, whatever the spacing, orientation or type of the volume, and cost nothing that grows
with its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.core.insertion import Box
from lungsynth.core.volume import Volume

Matrices = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
SPL = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0]], dtype=np.float64)
"""Directions S, P and L in RAS: where the axes (z, y, x) of a VOI point."""


def interpolation_matrix(
    source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]], half_width: float
) -> NDArray[np.float32]:
    """Return weights (len(target), len(source)) of a triangular kernel between two 1-D grids.

    With ``half_width`` equal to the source's spacing this is linear interpolation; with a larger
    one it also averages, which keeps a coarser target free of aliasing.
    """
    distance = np.abs(target[:, None] - source[None, :])
    weights = np.clip(1 - distance / half_width, 0, None)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def apply_matrices(matrices: Matrices, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``values`` (z, y, x) with one matrix applied along each axis, float32."""
    for axis, matrix in enumerate(matrices):
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(values, dtype=np.float32)


def box_taper(taper_voxels: int) -> NDArray[np.float32]:
    """Return weights (32, 32, 32): 0 at the faces of the box, 1 from ``taper_voxels`` inwards.

    Differences are multiplied by it, so that nothing changes at the faces and no edge shows.
    """
    depth = np.minimum(np.arange(BOX_VOXELS), np.arange(BOX_VOXELS)[::-1]) + 0.5
    ramp = np.clip(depth / (taper_voxels + 0.5), 0, 1)
    smooth = (ramp * ramp * (3 - 2 * ramp)).astype(np.float32)
    return smooth[:, None, None] * smooth[None, :, None] * smooth[None, None, :]


@dataclass(frozen=True, eq=False)
class Voi:
    """A cube in a volume, with its 32^3 box in the middle.

    Args:
        order: For each VOI axis (z, y, x) the array axis (0, 1, 2 for K, J, I) it lies along.
        flipped: For each VOI axis whether it runs against that array axis.
        cut: For each VOI axis the weights (64, n) from the native indices ``reach`` to the grid.
        reach: For each VOI axis the native indices that ``cut`` reads, reflected at the border.
        put: For each VOI axis the weights (m, 32) from the box to the native voxels inside it.
        box: Those native voxels, in the order of the array.
        box_mm: Side of the box; that of the cube is twice as long.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    cut: Matrices
    reach: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    put: Matrices
    box: Box
    box_mm: float

    def extract(self, voxels: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return the cube, float32 (64, 64, 64), axes (z, y, x)."""
        index = [self.reach[self.order.index(axis)] for axis in range(3)]
        block = voxels[np.ix_(*index)].astype(np.float32).transpose(self.order)
        return apply_matrices(self.cut, block)

    def to_native(self, box_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values on the box grid (32, 32, 32) resampled to the native voxels of ``box``."""
        inside = apply_matrices(self.put, box_values)
        back = np.argsort(self.order)
        return np.ascontiguousarray(inside.transpose(back))

    def round_trip(self) -> Matrices:
        """Return, for each axis, (64, 32): from the box to native voxels and back to the cube.

        It shows what is left of a difference once the volume's own voxels have held it.
        """
        matrices = []
        for axis, array_axis in enumerate(self.order):
            start, stop = self.box[0][array_axis], self.box[1][array_axis]
            inside = (self.reach[axis] >= start) & (self.reach[axis] < stop)
            # A voxel that the border reflects is read twice: both columns carry its change.
            rows = np.zeros((len(self.reach[axis]), BOX_VOXELS), dtype=np.float32)
            offset = self.reach[axis][inside] - start
            rows[inside] = self.put[axis][offset]
            matrices.append(self.cut[axis] @ rows)
        return matrices[0], matrices[1], matrices[2]


def anatomical_axes(volume: Volume) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Return which array axis lies nearest to each of S, P, L, and whether it runs against it."""
    directions = volume.ijk_to_ras[:3, :3] / volume.spacing_mm
    cosines = SPL @ directions[:, ::-1]  # rows z, y, x; columns K, J, I
    order = [-1, -1, -1]
    left = np.abs(cosines)
    for _ in range(3):  # the best match first, so that an oblique volume gets a permutation
        row, column = np.unravel_index(np.argmax(left), left.shape)
        order[row] = int(column)
        left[row, :] = left[:, column] = -1
    flipped = [bool(cosines[axis, order[axis]] < 0) for axis in range(3)]
    return (order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2])


def reflected(index: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """Return ``index`` with what lies beyond 0 .. length - 1 mirrored back into it."""
    period = 2 * length
    folded = index % period
    return np.asarray(np.where(folded < length, folded, period - 1 - folded))


def locate_voi(volume: Volume, centre_ras_mm: tuple[float, float, float], box_mm: float) -> Voi:
    """Return the VOI around a point of the volume.

    Args:
        volume: Where it lies; only its geometry is read.
        centre_ras_mm: Its centre, inside the volume.
        box_mm: Side of its box. The cube may reach beyond the volume (it sees it reflected);
            what of the box lies beyond is not put back.
    """
    order, flipped = anatomical_axes(volume)
    centre_kji = volume.ras_to_ijk(centre_ras_mm)[::-1]
    spacing_kji = volume.spacing_mm[::-1]
    grid_mm = 2 * box_mm / GRID_VOXELS
    grid = (np.arange(GRID_VOXELS) - (GRID_VOXELS - 1) / 2) * grid_mm
    margin = (GRID_VOXELS - BOX_VOXELS) // 2
    box_grid = slice(margin, margin + BOX_VOXELS)
    cuts, reaches, puts = [], [], []
    low, high = [0, 0, 0], [0, 0, 0]
    for axis, array_axis in enumerate(order):
        sign = -1.0 if flipped[axis] else 1.0
        length, spacing = volume.voxels.shape[array_axis], float(spacing_kji[array_axis])
        centre = float(centre_kji[array_axis])
        # Every grid point must find a source voxel within the kernel, so reach one further.
        reach_voxels = (box_mm + max(spacing, grid_mm)) / spacing
        index = np.arange(
            int(np.floor(centre - reach_voxels)), int(np.ceil(centre + reach_voxels)) + 1
        )
        cuts.append(
            interpolation_matrix((index - centre) * spacing * sign, grid, max(spacing, grid_mm))
        )
        reaches.append(reflected(index, length))
        first = max(0, int(np.ceil(centre - box_mm / 2 / spacing)))
        last = min(length - 1, int(np.floor(centre + box_mm / 2 / spacing)))
        low[array_axis], high[array_axis] = first, max(first, last + 1)
        native = (np.arange(first, last + 1) - centre) * spacing * sign
        # (ours) Half a native voxel of averaging: thick slices see part of a volume, yet what
        # was cut out of them comes back nearly as it was.
        weights = interpolation_matrix(grid, native, max(grid_mm, spacing / 2))[:, box_grid]
        puts.append(weights)
    return Voi(
        order=order,
        flipped=flipped,
        cut=(cuts[0], cuts[1], cuts[2]),
        reach=(reaches[0], reaches[1], reaches[2]),
        put=(puts[0], puts[1], puts[2]),
        box=((low[0], low[1], low[2]), (high[0], high[1], high[2])),
        box_mm=box_mm,
    )
