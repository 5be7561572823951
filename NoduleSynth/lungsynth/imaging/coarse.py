"""A coarse copy of a volume, turned to the patient's axes, and morphology in millimetres.

Lungs are big: finding them on blocks of 2 to 3 mm is as good as on every voxel, takes a
fraction of the time and memory, and averages the noise away.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.volume import Volume

Bools = NDArray[np.bool_]
Places = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]
"""For each voxel along an axis: the block below, the block above, and how far between."""


@dataclass(frozen=True, eq=False)
class CoarseGrid:
    """Blocks of a volume's voxels, with axes turned to point about S, A and R.

    Coarse arrays have shape (S, A, R): the first axis runs up, the second to the front, the
    third to the patient's right, as nearly as the voxel axes allow.

    Args:
        fine_shape: Shape (K, J, I) of the volume.
        factors: Voxels of a block along (K, J, I).
        order: Which of (K, J, I), 0 to 2, is the S, A and R axis.
        flips: Whether that axis runs the other way.
        spacing_mm: Size of a block along (S, A, R).
        ijk_to_ras: The volume's matrix.
    """

    fine_shape: tuple[int, int, int]
    factors: tuple[int, int, int]
    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    spacing_mm: NDArray[np.float64]
    ijk_to_ras: NDArray[np.float64]

    @classmethod
    def of(cls, volume: Volume, block_mm: float = 2.4) -> CoarseGrid:
        """Choose blocks of about ``block_mm``, never less than one voxel."""
        k, j, i = volume.voxels.shape
        spacing = volume.spacing_mm[::-1]
        wanted = np.maximum(1, np.rint(block_mm / spacing)).astype(int)
        factors = [min(int(f), n) for f, n in zip(wanted, (k, j, i), strict=True)]
        cosines = (volume.ijk_to_ras[:3, :3] / volume.spacing_mm)[
            ::-1, ::-1
        ]  # (S, A, R) x (K, J, I)
        order = max(
            itertools.permutations(range(3)),
            key=lambda p: float(np.prod([abs(cosines[row, p[row]]) for row in range(3)])),
        )
        flips = [bool(cosines[row, order[row]] < 0) for row in range(3)]
        return cls(
            (k, j, i),
            (factors[0], factors[1], factors[2]),
            (order[0], order[1], order[2]),
            (flips[0], flips[1], flips[2]),
            np.array([spacing[axis] * factors[axis] for axis in order]),
            volume.ijk_to_ras,
        )

    def turn(self, native: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a (K, J, I) array as a view with axes (S, A, R)."""
        view = native.transpose(self.order)
        return view[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]

    def turn_back(self, turned: NDArray[np.generic]) -> NDArray[np.generic]:
        """Return a (S, A, R) array as a view with axes (K, J, I)."""
        view = turned[tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)]
        return view.transpose(np.argsort(self.order))

    def shrink(self, voxels: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return block means, shape (S, A, R); a last, incomplete block is left out."""
        fk, fj, fi = self.factors
        nk, nj, ni = (n // f for n, f in zip(self.fine_shape, self.factors, strict=True))
        means = np.empty((nk, nj, ni), np.float32)
        for block, mean in enumerate(means):
            slab = voxels[block * fk : (block + 1) * fk, : nj * fj, : ni * fi]
            layer = slab.sum(axis=0, dtype=np.float32)
            columns = np.add.reduce(layer.reshape(nj * fj, ni, fi), axis=2)
            mean[:] = np.add.reduce(columns.reshape(nj, fj, ni), axis=1)
        means /= fk * fj * fi
        return np.ascontiguousarray(self.turn(means))

    def stretch(self, turned: Bools) -> Bools:
        """Return a coarse mask on the volume's voxels, with a smooth surface.

        The mask is blurred a little, interpolated and cut at one half, slice by slice, so
        that no more than the result is as large as the volume.
        """
        blurred = ndimage.gaussian_filter(turned.astype(np.float32), 0.6, mode="nearest")
        soft = np.ascontiguousarray(self.turn_back(blurred))
        fine = np.zeros(self.fine_shape, bool)
        (low, high, rest), *plane = (self._places(axis) for axis in range(3))
        used = np.flatnonzero(soft.max(axis=(1, 2)) > 0.5)
        if not len(used):
            return fine
        rows, columns = (
            _covered(place, soft.max(axis=(0, other)) > 0.5)
            for place, other in zip(plane, (2, 1), strict=True)
        )
        for k in _covered((low, high, rest), soft.max(axis=(1, 2)) > 0.5):
            layer = soft[low[k]] + rest[k] * (soft[high[k]] - soft[low[k]])
            tall = _between(layer, plane[0], rows)
            wide = _between(np.ascontiguousarray(tall.T), plane[1], columns)
            fine[k, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = wide.T > 0.5
        return fine

    def _places(self, axis: int) -> Places:
        """Return, for each voxel along a native axis, the blocks around it and where between."""
        count, factor = self.fine_shape[axis], self.factors[axis]
        last = count // factor - 1
        place = np.clip((np.arange(count) - (factor - 1) / 2) / factor, 0, last)
        low = place.astype(np.intp)
        return low, np.minimum(low + 1, last), (place - low).astype(np.float32)

    def to_ras_mm(self, blocks: NDArray[np.number]) -> NDArray[np.float64]:
        """Return RAS points of the centres of blocks (S, A, R indices), shape (N, 3)."""
        centre = self.to_kji(blocks)[:, ::-1]
        return np.asarray(centre @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3])

    def to_kji(self, blocks: NDArray[np.number]) -> NDArray[np.float64]:
        """Return continuous voxel indices (k, j, i) of the centres of blocks, shape (N, 3)."""
        native = np.empty(blocks.shape, np.float64)
        for row, axis in enumerate(self.order):
            count = self.fine_shape[axis] // self.factors[axis]
            block = count - 1 - blocks[:, row] if self.flips[row] else blocks[:, row]
            native[:, axis] = block * self.factors[axis] + (self.factors[axis] - 1) / 2
        return native

    @property
    def block_ml(self) -> float:
        """Volume of a block in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000


def _covered(places: Places, used: Bools) -> NDArray[np.intp]:
    """Return the run of voxels along an axis that used blocks can reach."""
    low, high, _ = places
    touched = np.flatnonzero(used[low] | used[high])
    return np.arange(touched[0], touched[-1] + 1)


def _between(
    layer: NDArray[np.float32], places: Places, rows: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Interpolate a plane of blocks along its first axis, at some of the voxels."""
    low, high, rest = (part[rows] for part in places)
    below = layer[low]
    return np.asarray(below + rest[:, None] * (layer[high] - below))


def bounding_slices(mask: Bools, margin: int = 0) -> tuple[slice, ...]:
    """Return the box of a mask, widened by ``margin`` where the array allows."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(
        slice(max(0, part.start - margin), min(size, part.stop + margin))
        for part, size in zip(box, mask.shape, strict=True)
    )


def close_by_ball(mask: Bools, radius_mm: float, spacing_mm: NDArray[np.float64]) -> Bools:
    """Return the morphological closing of a mask by a ball, given in mm.

    What lies beyond the array counts as empty for the dilation and as full for the erosion,
    so that a border does not eat into the mask.
    """
    if not mask.any():
        return mask.copy()
    reach = np.ceil(radius_mm / spacing_mm).astype(int) + 1
    inner = bounding_slices(mask)
    pads = [(int(r), int(r)) for r in reach]
    padded = np.pad(mask[inner], pads)
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing_mm) <= radius_mm
    closed = ndimage.distance_transform_edt(grown, sampling=spacing_mm) > radius_mm
    result = mask.copy()
    result[inner] |= closed[tuple(slice(low, -high) for low, high in pads)]
    return result


def component_sizes(labels: NDArray[np.int32], count: int) -> NDArray[np.int64]:
    """Return the number of voxels of labels 0 to ``count``; that of 0 is set to zero."""
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray(sizes, np.int64)
