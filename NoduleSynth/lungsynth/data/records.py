"""What every reader of training data gives: one nodule, one case, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.core.volume import Volume

Point = tuple[float, float, float]


class Trouble(StrEnum):
    """Kinds of problems, in the words of the report."""

    SOURCE = "the source as a whole cannot be read"
    NO_IMAGE = "no image belongs to the annotation"
    NO_ANNOTATION = "no annotation belongs to the image"
    ANNOTATION = "the annotation file cannot be read"
    IMAGE = "the image cannot be used"
    VALUE = "a value of the table cannot be used"
    OUTSIDE = "it lies outside of its image"
    MIXED_AXES = "LPS and RAS seem to be mixed up"
    DUPLICATE = "the same nodule is there twice"
    SIZE = "its diameter is not from 3 to 40 mm"
    EMPTY_MASK = "its mask is empty"
    MASK_GEOMETRY = "its mask is of another geometry than the image"
    MASK = "its mask is in pieces or does not fit into the cube"
    ATTENUATION = "its attenuation is unknown"
    FEW_READERS = "too few readers outlined it"
    READERS_DISAGREE = "its readers do not agree"
    TWO_SPLITS = "its patient is in two splits"


class CaseError(LungSynthError):
    """Why a case or a nodule cannot be used, and what kind of problem that is."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


@dataclass(frozen=True)
class Problem:
    """Why something of a source is not used.

    Args:
        case: Which case: an image, a file or a row, as the user finds it.
        trouble: What kind of problem.
        message: One line: what is wrong.
        nodules: How many nodules it costs; 0 where none is known of.
    """

    case: str
    trouble: Trouble
    message: str
    nodules: int = 1


@dataclass(frozen=True, eq=False)
class VoxelMask:
    """A mask on the voxels of an image, cut to what it covers.

    Args:
        start: First voxel (k, j, i) of the part.
        voxels: The part, bool, (K, J, I); what lies outside of it is not in the mask.
    """

    start: tuple[int, int, int]
    voxels: NDArray[np.bool_]

    @classmethod
    def cropped(
        cls, voxels: NDArray[np.bool_], start: tuple[int, int, int] = (0, 0, 0)
    ) -> VoxelMask:
        """Return a mask cut to its bounding box."""
        found = ndimage.find_objects(voxels.astype(np.uint8))
        if not found:
            return cls(start, np.zeros((0, 0, 0), bool))
        low = [at.start + first for at, first in zip(found[0], start, strict=True)]
        return cls((low[0], low[1], low[2]), voxels[found[0]].copy())

    def __bool__(self) -> bool:
        return bool(self.voxels.any())

    def diameter_mm(self, volume: Volume) -> float:
        """Return the diameter of the sphere with the mask's volume."""
        return float(np.cbrt(6 * self.voxels.sum() * volume.voxel_mm3 / np.pi))

    def centroid_ras_mm(self, volume: Volume) -> Point:
        """Return the centre of mass in RAS mm."""
        return self._ras(volume, np.argwhere(self.voxels).mean(axis=0))

    def middle_ras_mm(self, volume: Volume) -> Point:
        """Return the middle of the mask's bounding box along R, A and S."""
        inside = np.argwhere(self.voxels) + self.start
        ras = volume.ijk_to_ras_mm(inside[:, ::-1])
        r, a, s = ((ras.min(axis=0) + ras.max(axis=0)) / 2).tolist()
        return r, a, s

    def _ras(self, volume: Volume, kji: NDArray[np.float64]) -> Point:
        r, a, s = volume.ijk_to_ras_mm((kji + self.start)[::-1]).tolist()
        return r, a, s


@dataclass(frozen=True, eq=False)
class NoduleRecord:
    """One nodule as its source describes it.

    Args:
        name: How messages call it.
        image: The CT: a file or a DICOM folder.
        position_ras_mm: Its centre.
        diameter_mm: As annotated, or of the sphere with the mask's volume.
        patient: Whom it is of; splits go by it.
        attenuation: None where it is not known.
        malignancy: None where it is not known or between the two.
        ratings: Medians over the readers, by the names of LIDC.
        mask: Its voxels in the image; None where the source has none.
        split: The split that the source itself puts it into.
        n_readers: How many readers outlined it; 0 where that does not apply.
    """

    name: str
    image: Path
    position_ras_mm: Point
    diameter_mm: float
    patient: str
    attenuation: Attenuation | None = None
    malignancy: Malignancy | None = None
    ratings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    mask: VoxelMask | None = None
    split: str | None = None
    n_readers: int = 0


@dataclass(frozen=True, eq=False)
class Reading:
    """A case that was read: the image, its nodules, and what of it cannot be used."""

    volume: Volume
    records: Sequence[NoduleRecord]
    problems: Sequence[Problem] = ()


class Case(Protocol):
    """One image and its annotations, not read yet; can be sent to another process."""

    @property
    def name(self) -> str:
        """How messages call it; no two cases of a source share one."""
        ...

    @property
    def patient(self) -> str:
        """Whom it is of, as far as that is known before reading."""
        ...

    @property
    def nodules(self) -> int:
        """How many nodules are annotated, as far as that is known before reading."""
        ...

    @property
    def files(self) -> Sequence[Path]:
        """What it is read from; folders stand for the files in them."""
        ...

    def read(self) -> Reading:
        """Read the image and place the nodules in it.

        Raises:
            LungSynthError: If the case as a whole cannot be used.
        """
        ...


@dataclass(frozen=True, eq=False)
class Source:
    """Training data of one of the formats, listed but not read.

    Args:
        form: The format, as the report calls it.
        path: Where it is.
        cases: Images with annotations.
        problems: What was seen to be wrong while listing.
        notes: What else the user should know.
        settings: How it is read, as far as that can be chosen.
    """

    form: str
    path: Path
    cases: Sequence[Case]
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)


def malignancy_from_rating(rating: float) -> Malignancy | None:
    """Return the class of a median LIDC rating: <= 2 benign, >= 4 malignant [yang2019, 3.1]."""
    if rating <= 2:
        return Malignancy.BENIGN
    return Malignancy.MALIGNANT if rating >= 4 else None
