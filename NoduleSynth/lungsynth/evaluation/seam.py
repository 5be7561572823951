"""Whether the border of an inserted box shows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.insertion import Box


@dataclass(frozen=True)
class Seam:
    """Absolute differences across the faces of one or more boxes, before and after.

    Args:
        before: Sum over all pairs of voxels across a face, in HU, of the input.
        after: The same of the output.
        count: How many pairs of voxels there are.
    """

    before: float
    after: float
    count: int

    @property
    def ratio(self) -> float | None:
        """Mean absolute gradient after over before; None where nothing can be compared."""
        return self.after / self.before if self.before > 0 else None


def face_differences(voxels: NDArray[np.generic], box: Box) -> tuple[float, int]:
    """Return the sum of |first voxel inside - first voxel outside| over the faces, and the count.

    Args:
        voxels: Intensities in HU, shape (K, J, I).
        box: Half-open box in them. A face on the border of the volume has no outside and is
            left out.
    """
    low, high = box
    inside = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
    total, count = 0.0, 0
    for axis in range(3):
        for first, beyond in ((low[axis], low[axis] - 1), (high[axis] - 1, high[axis])):
            if not 0 <= beyond < voxels.shape[axis]:
                continue
            index = list(inside)
            index[axis] = slice(first, first + 1)
            within = voxels[tuple(index)].astype(np.float64)
            index[axis] = slice(beyond, beyond + 1)
            outside = voxels[tuple(index)].astype(np.float64)
            total += float(np.abs(within - outside).sum())
            count += within.size
    return total, count


def measure_seam(before: NDArray[np.generic], after: NDArray[np.generic], box: Box) -> Seam:
    """Compare the gradient across the faces of a box in the output with that in the input."""
    old, count = face_differences(before, box)
    new, _ = face_differences(after, box)
    return Seam(before=old, after=new, count=count)


def pooled(seams: Iterable[Seam]) -> Seam:
    """Return all pairs of voxels of several boxes as one."""
    every = list(seams)
    return Seam(
        before=sum(s.before for s in every),
        after=sum(s.after for s in every),
        count=sum(s.count for s in every),
    )
