"""Real nodules as 48 mm cubes of 1 mm voxels with masks and readers' ratings.

The format is that of ``ct_nodules``: ``<split>.npz`` with ``hu8`` (HU = 8 * value - 1024) and
bit-packed ``mask``, and ``<split>.csv`` with one row for each cube, in which ``COLUMNS`` are needed
and others may be. The project's own come from the NODE21 generation baseline: LUNA16 and LIDC-IDRI
nodules. Axes (z, y, x) point to S, P, L.
"""

from __future__ import annotations

import csv
import math
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
COLUMNS = ("patient", "series_uid", "texture", "ambiguous")
"""Columns of the table: who and where from; mean LIDC rating, and 0 where readers agree on it."""
_EXAMPLES = 5
"""How many wrong values of a table a message names."""
_ARRAYS = {"hu8": (CUBE_VOXELS,) * 3, "mask": (CUBE_VOXELS**3 // 8,)}  # shapes of one cube


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
        """Read one split, of a folder of archives or of a store (``voi_store``).

        Raises:
            LungSynthError: If the folder lacks the split's files, they do not match, or one is not
                in the format.
        """
        from lungsynth.data.stored_cubes import is_store, load_split  # which builds on this module

        if is_store(folder):
            return load_split(folder, split)
        archive, table = folder / f"{split}.npz", folder / f"{split}.csv"
        for path in (archive, table):
            if not path.is_file():
                msg = f"{path}: not found; nodule cubes need {split}.npz and {split}.csv"
                raise LungSynthError(msg)
        hu8, packed = _read_arrays(archive)
        rows = _read_rows(table)
        if len(rows) != len(hu8):
            msg = f"{table}: {len(rows)} rows for {len(hu8)} cubes in {archive.name}"
            raise LungSynthError(msg)
        shape = (-1, CUBE_VOXELS, CUBE_VOXELS, CUBE_VOXELS)
        hu = hu8.astype(np.int16) * 8 - 1024
        mask = np.unpackbits(packed, axis=1).reshape(shape).astype(bool)
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

    def rating(self, column: str) -> NDArray[np.float64]:
        """Return the readers' mean rating of each nodule (N,), 1 to 5 or 6.

        NaN where the table lacks it, or where it is ambiguous which nodule was rated.
        """
        return np.array(
            [
                float(row[column])
                if _is_number(row.get(column, "")) and float(row["ambiguous"] or 1) == 0
                else np.nan
                for row in self.table
            ]
        )

    @cached_property
    def mean_hu(self) -> NDArray[np.float64]:
        """Mean intensity inside each mask, shape (N,); NaN where it is empty."""
        return np.array(
            [
                float(hu[mask].mean()) if mask.any() else np.nan
                for hu, mask in zip(self.hu, self.mask, strict=True)
            ]
        )

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """Which nodules have a clear attenuation and a mask in one piece, centred and whole."""
        return np.array(
            [
                attenuation is not None and is_sane(mask)
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


def _read_arrays(archive: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ``hu8`` (N, 48, 48, 48) and the packed ``mask`` (N, 13824)."""
    try:
        with np.load(archive, allow_pickle=False) as arrays:
            found = {name: np.asarray(arrays[name]) for name in _ARRAYS}
    except (
        *(OSError, ValueError, KeyError, IndexError, EOFError),
        *(zipfile.BadZipFile, zlib.error),
    ) as error:
        msg = f"{archive}: not an archive of nodule cubes with 'hu8' and 'mask' ({error})"
        raise LungSynthError(msg) from None
    for name, shape in _ARRAYS.items():
        array = found[name]
        if array.dtype != np.uint8 or array.ndim < 1 or array.shape[1:] != shape:
            needed = ", ".join(map(str, ("N", *shape)))
            msg = (
                f"{archive}: '{name}' is {array.dtype} of shape {array.shape}; uint8 of shape "
                f"({needed}) is needed"
            )
            raise LungSynthError(msg)
    if len(found["hu8"]) != len(found["mask"]):
        msg = f"{archive}: {len(found['hu8'])} cubes in 'hu8', but {len(found['mask'])} in 'mask'"
        raise LungSynthError(msg)
    return found["hu8"], found["mask"]


def _read_rows(table: Path) -> list[dict[str, str]]:
    """Return the rows, with numbers (or nothing) where numbers are needed."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restval="")
            columns = list(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{table}: not a readable table in UTF-8 ({error})"
        raise LungSynthError(msg) from None
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        msg = f"{table}: lacks the columns {', '.join(missing)}; needed are {', '.join(COLUMNS)}"
        raise LungSynthError(msg)
    wrong = [
        f"{name} in row {number} is '{row[name]}'"
        for number, row in enumerate(rows, start=1)
        for name in ("texture", "ambiguous")
        if row[name] and not _is_number(row[name])
    ]
    if wrong:
        shown = ", ".join(wrong[:_EXAMPLES])
        more = f" and {len(wrong) - _EXAMPLES} more" if len(wrong) > _EXAMPLES else ""
        msg = f"{table}: {shown}{more}; a number is needed, or nothing where it is not known"
        raise LungSynthError(msg)
    return rows


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def is_sane(mask: NDArray[np.bool_]) -> bool:
    """Return whether a mask is one piece (95 %), off the cube's faces and near its centre."""
    labels, count = ndimage.label(mask)
    if count == 0 or np.bincount(labels.ravel())[1:].max() < 0.95 * mask.sum():
        return False
    inside = np.argwhere(mask)
    low, high = inside.min(axis=0), inside.max(axis=0)
    middle = (low + high) / 2 - (CUBE_VOXELS - 1) / 2
    return bool(low.min() > 0 and high.max() < CUBE_VOXELS - 1 and np.abs(middle).max() <= 4)
