"""A scalar image with its place in the patient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungsynth.core.errors import LungSynthError


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3-D scalar image: voxels, and where they lie in the patient.

    Args:
        voxels: Intensities, shape (K, J, I) with the slowest axis first, as
            ``slicer.util.arrayFromVolume`` gives them; HU for CT. Any real dtype, any
            orientation. The array is kept, never copied.
        ijk_to_ras: 4 x 4 matrix from voxel index (i, j, k, 1) to RAS millimetres.
        header: What the file said beside the geometry, carried from reading to writing.

    Raises:
        LungSynthError: If ``voxels`` is not 3-D or empty, or the matrix is not an
            invertible, finite 4 x 4 affine.
    """

    voxels: NDArray[np.generic]
    ijk_to_ras: NDArray[np.float64]
    header: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3:
            msg = f"a volume must be 3-D (K, J, I); got shape {self.voxels.shape}"
            raise LungSynthError(msg)
        if 0 in self.voxels.shape:
            msg = f"a volume must hold at least one voxel; got shape {self.voxels.shape}"
            raise LungSynthError(msg)
        matrix = np.asarray(self.ijk_to_ras, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            msg = f"ijk_to_ras must be a finite 4 x 4 matrix; got shape {matrix.shape}"
            raise LungSynthError(msg)
        if not np.allclose(matrix[3], (0, 0, 0, 1), rtol=0, atol=1e-9):
            row = ", ".join(f"{value:g}" for value in matrix[3])
            msg = f"the last row of ijk_to_ras must be (0, 0, 0, 1); got ({row})"
            raise LungSynthError(msg)
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if (spacing <= 0).any() or abs(np.linalg.det(matrix[:3, :3] / spacing)) < 1e-3:
            msg = f"voxel spacing must be positive along three independent axes; got {spacing} mm"
            raise LungSynthError(msg)
        object.__setattr__(self, "ijk_to_ras", matrix)

    @property
    def spacing_mm(self) -> NDArray[np.float64]:
        """Voxel size along (i, j, k) in mm."""
        return np.asarray(np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0))

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm^3."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3])))

    def ras_to_ijk(self, ras_mm: ArrayLike) -> NDArray[np.float64]:
        """Return continuous voxel indices (i, j, k), shape (..., 3), of RAS points in mm."""
        offset = np.asarray(ras_mm, dtype=np.float64) - self.ijk_to_ras[:3, 3]
        return np.asarray(offset @ np.linalg.inv(self.ijk_to_ras[:3, :3]).T)

    def ijk_to_ras_mm(self, ijk: ArrayLike) -> NDArray[np.float64]:
        """Return RAS points in mm, shape (..., 3), of voxel indices (i, j, k)."""
        moved = np.asarray(ijk, dtype=np.float64) @ self.ijk_to_ras[:3, :3].T
        return np.asarray(moved + self.ijk_to_ras[:3, 3])
