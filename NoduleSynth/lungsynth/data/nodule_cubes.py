"""Real nodules as 48 mm cubes of 1 mm voxels with masks and readers' ratings.

The format is that of ``ct_nodules``: ``<split>.npz`` with ``hu8`` (HU = 8 * value - 1024) and
bit-packed ``mask``, and ``<split>.csv`` with one row for each cube. The cubes come from the NODE21
generation baseline: LUNA16 and LIDC-IDRI nodules, axes (z, y, x) pointing to S, P, L.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation
from lungsynth.core.volume import Volume

CUBE_VOXELS = 48
SPLITS = ("train", "val", "test")


def attenuation_from_texture(texture: float) -> Attenuation:
    """Return the class of a mean LIDC texture rating (1 ground glass, 3 part-solid, 5 solid)."""
    if texture < 2.5:
        return Attenuation.GROUND_GLASS
    return Attenuation.PART_SOLID if texture < 4.5 else Attenuation.SOLID


@dataclass(frozen=True, eq=False)
class NoduleCubes:
    """The nodules of one split.

    Args:
        hu: Intensities in HU, int16, shape (N, 48, 48, 48), axes (z, y, x), 1 mm.
        mask: Nodule masks, bool, same shape.
        table: One row for each nodule.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    table: list[dict[str, str]]

    @classmethod
    def load(cls, folder: Path, split: str) -> NoduleCubes:
        """Read one split.

        Raises:
            LungSynthError: If the folder lacks the split's files, or they do not match.
        """
        archive, table = folder / f"{split}.npz", folder / f"{split}.csv"
        for path in (archive, table):
            if not path.is_file():
                msg = f"{path}: not found; nodule cubes need {split}.npz and {split}.csv"
                raise LungSynthError(msg)
        try:
            with np.load(archive, allow_pickle=False) as arrays:
                hu8, packed = arrays["hu8"], arrays["mask"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            msg = f"{archive}: not an archive of nodule cubes with 'hu8' and 'mask' ({error})"
            raise LungSynthError(msg) from None
        with table.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        if len(rows) != len(hu8):
            msg = f"{table}: {len(rows)} rows for {len(hu8)} cubes in {archive.name}"
            raise LungSynthError(msg)
        shape = (-1, CUBE_VOXELS, CUBE_VOXELS, CUBE_VOXELS)
        hu = hu8.astype(np.int16) * 8 - 1024
        mask = np.unpackbits(packed, axis=1)[:, : CUBE_VOXELS**3].reshape(shape).astype(bool)
        return cls(hu=hu, mask=mask, table=rows)

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def diameter_mm(self) -> NDArray[np.float64]:
        """Diameter of the sphere with the volume of each mask, shape (N,)."""
        volume = self.mask.reshape(len(self), -1).sum(axis=1)
        return np.asarray(np.cbrt(6 * volume / np.pi))

    @cached_property
    def attenuation(self) -> list[Attenuation | None]:
        """Class of each nodule; None where the readers' texture is missing or ambiguous."""
        return [
            attenuation_from_texture(float(row["texture"]))
            if row["texture"] and float(row["ambiguous"] or 1) == 0
            else None
            for row in self.table
        ]

    @cached_property
    def mean_hu(self) -> NDArray[np.float64]:
        """Mean intensity inside each mask, shape (N,)."""
        return np.array(
            [float(hu[mask].mean()) for hu, mask in zip(self.hu, self.mask, strict=True)]
        )

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Which nodules have a clear attenuation and a mask in one piece, centred and whole."""
        return np.array(
            [
                attenuation is not None and _is_sane(mask)
                for attenuation, mask in zip(self.attenuation, self.mask, strict=True)
            ]
        )

    def centre(self, n: int) -> NDArray[np.float64]:
        """Return the middle of the mask's bounding box as a voxel index (z, y, x)."""
        inside = np.argwhere(self.mask[n])
        return np.asarray((inside.min(axis=0) + inside.max(axis=0)) / 2)

    def cube_volume(self, n: int) -> Volume:
        """Return cube ``n`` as a volume whose RAS origin is the middle of the cube."""
        half = (CUBE_VOXELS - 1) / 2
        ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
        ijk_to_ras[:3, 3] = (half, half, -half)
        return Volume(self.hu[n], ijk_to_ras)


def _is_sane(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask is one piece (95 %), off the cube's faces and near its centre."""
    labels, count = ndimage.label(mask)
    if count == 0 or np.bincount(labels.ravel())[1:].max() < 0.95 * mask.sum():
        return False
    inside = np.argwhere(mask)
    low, high = inside.min(axis=0), inside.max(axis=0)
    middle = (low + high) / 2 - (CUBE_VOXELS - 1) / 2
    return bool(low.min() > 0 and high.max() < CUBE_VOXELS - 1 and np.abs(middle).max() <= 4)
