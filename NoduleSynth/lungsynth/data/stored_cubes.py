"""Reading a store of nodule cubes: from disk when they are asked for, never all at once."""

from __future__ import annotations

import csv
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import CUBE_VOXELS, NoduleCubes

CARD = "store.json"


def is_store(folder: Path) -> bool:
    """Return whether a folder is a store."""
    return (folder / CARD).is_file()


def load_split(folder: Path, split: str) -> NoduleCubes:
    """Open one split of a store.

    Raises:
        LungSynthError: If the store has no nodules in that split, or is damaged.
    """
    table = folder / f"{split}.csv"
    if not table.is_file():
        msg = f"{folder}: no nodule of its source is in the split '{split}'"
        raise LungSynthError(msg)
    try:
        hu8 = np.load(folder / f"{split}.hu8.npy", mmap_mode="r", allow_pickle=False)
        mask = np.load(folder / f"{split}.mask.npy", mmap_mode="r", allow_pickle=False)
        with table.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, ValueError, EOFError) as error:
        msg = f"{folder}: a damaged store ({error}); remove the folder and have it built again"
        raise LungSynthError(msg) from error
    if not len(hu8) == len(mask) == len(rows):
        msg = f"{folder}: a damaged store; remove the folder and have it built again"
        raise LungSynthError(msg)
    return StoredCubes(
        hu=cast("NDArray[np.int16]", _Hu(hu8)),
        mask=cast("NDArray[np.bool_]", _Mask(mask)),
        table=rows,
    )


class StoredCubes(NoduleCubes):
    """Nodule cubes that stay on disk; what was measured when they were cut is in the table."""

    @cached_property
    def diameter_mm(self) -> NDArray[np.float64]:
        """Diameter of the sphere with the volume of each mask, shape (N,)."""
        return np.array([float(row["mask_equivalent_diameter_mm"]) for row in self.table])

    @cached_property
    def mean_hu(self) -> NDArray[np.float64]:
        """Mean intensity inside each mask, shape (N,)."""
        return np.array([float(row["mask_mean_hu"]) for row in self.table])

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """All of them: the others were left out when the store was built."""
        return np.ones(len(self), bool)


class _Lazy(ABC):
    """Looks like an array whose first axis counts cubes, and decodes those that are indexed."""

    def __init__(self, raw: NDArray[np.uint8]) -> None:
        self._raw = raw

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self._raw), CUBE_VOXELS, CUBE_VOXELS, CUBE_VOXELS)

    @property
    def ndim(self) -> int:
        return 4

    def __len__(self) -> int:
        return len(self._raw)

    def __getitem__(self, index: Any) -> NDArray[Any]:  # noqa: ANN401 - whatever numpy takes
        first, rest = (index[0], index[1:]) if isinstance(index, tuple) else (index, ())
        cubes = self._decoded(np.asarray(self._raw[first]))
        if not rest:
            return cubes
        return cubes[rest] if cubes.ndim == 3 else cubes[(slice(None), *rest)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: ANN401 - numpy's protocol
        return np.asarray(self[:], dtype)

    @abstractmethod
    def _decoded(self, raw: NDArray[np.uint8]) -> NDArray[Any]:
        """Return stored cubes as the values that they stand for."""


class _Hu(_Lazy):
    dtype = np.dtype(np.int16)

    def _decoded(self, raw: NDArray[np.uint8]) -> NDArray[np.int16]:
        return raw.astype(np.int16) * np.int16(8) - np.int16(1024)


class _Mask(_Lazy):
    dtype = np.dtype(np.bool_)

    def _decoded(self, raw: NDArray[np.uint8]) -> NDArray[np.bool_]:
        bits = np.unpackbits(raw, axis=-1)
        return bits.reshape(*raw.shape[:-1], *(CUBE_VOXELS,) * 3).astype(bool)
