"""Radiographs in the format of ChestX-ray14: a table of findings beside a folder of images.

[1] Wang et al., ChestX-ray8, CVPR 2017, and the files that came with ChestX-ray14.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import SPLITS
from lungsynth.data.radiograph_pixels import Pixels, RadiographScale, read_pixels, to_square

NO_FINDING = "No Finding"
NODULE_FINDINGS = frozenset({"Nodule", "Mass"})
_LISTED = 10
_T = TypeVar("_T")


@dataclass(frozen=True)
class FindingBox:
    """Where a finding is, in parts of the image's width and height, so at any resolution.

    Args:
        finding: Its name.
        left: Left edge, 0 to 1.
        top: Upper edge, 0 to 1.
        width: Part of the image's width.
        height: Part of the image's height.
    """

    finding: str
    left: float
    top: float
    width: float
    height: float

    def pixels(self, shape: tuple[int, ...]) -> tuple[float, float, float, float]:
        """Return (left, top, right, bottom) in pixels of an image (rows, columns)."""
        rows, columns = shape
        left, top = self.left * columns, self.top * rows
        return left, top, left + self.width * columns, top + self.height * rows


@dataclass(frozen=True)
class RadiographRecord:
    """One radiograph as its table describes it.

    Args:
        image: The file.
        patient: Whom it is of; splits go by it.
        split: "train", "val" or "test".
        findings: What it shows; empty for a normal one.
        view: "PA", "AP", another view's name, or empty where the table does not say.
        boxes: Where findings are, as far as they are marked.
        age: In years; None where it is not known.
        sex: "M", "F" or empty.
        size_mm: What the image covers, (height, width); None where it is not known.
    """

    image: Path
    patient: str
    split: str
    findings: tuple[str, ...] = ()
    view: str = ""
    boxes: tuple[FindingBox, ...] = ()
    age: int | None = None
    sex: str = ""
    size_mm: tuple[float, float] | None = None

    @property
    def is_normal(self) -> bool:
        """Return whether nothing was found on it."""
        return not self.findings

    def pixel_spacing_mm(self, shape: tuple[int, ...]) -> tuple[float, float] | None:
        """Return the spacing (row, column) in mm of the pixels of the image (rows, columns)."""
        return self.size_mm and (self.size_mm[0] / shape[0], self.size_mm[1] / shape[1])

    @property
    def has_nodule(self) -> bool:
        """Return whether a nodule or a mass was found on it."""
        return not NODULE_FINDINGS.isdisjoint(self.findings)


@dataclass(frozen=True, eq=False)
class RadiographSet:
    """A folder of radiographs, listed but not read.

    Args:
        path: Where it is.
        form: Which format was recognised.
        records: One for each image, in the order of the table.
        notes: What else the user should know.
    """

    path: Path
    form: str
    records: Sequence[RadiographRecord]
    notes: Sequence[str] = ()

    @classmethod
    def open(cls, path: Path) -> RadiographSet:
        """List a folder, or the table in it, without reading its images.

        Raises:
            LungSynthError: If there is no table of a known format, or rows of it cannot be used;
                all problems are told together.
        """
        from lungsynth.data.radiograph_tables import read_set  # which builds on this module

        return read_set(path)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[RadiographRecord]:
        return iter(self.records)

    def select(
        self, split: str | None = None, *, normal_only: bool = False, views: Sequence[str] = ()
    ) -> list[RadiographRecord]:
        """Return records in the order of the table.

        Args:
            split: One of "train", "val" and "test"; None takes all.
            normal_only: Leave out those with findings.
            views: Which views; none means any.

        Raises:
            LungSynthError: If nothing is left.
        """
        if split is not None and split not in SPLITS:
            msg = f"unknown split '{split}'; allowed are {', '.join(SPLITS)}"
            raise LungSynthError(msg)
        chosen = [
            record
            for record in self.records
            if (split is None or record.split == split)
            and (record.is_normal or not normal_only)
            and (not views or record.view in views)
        ]
        if not chosen:
            wanted = [split or "", "normal" if normal_only else "", " or ".join(views)]
            words = " ".join(word for word in wanted if word)
            msg = f"{self.path}: none of its {len(self.records)} radiographs is {words}".rstrip()
            raise LungSynthError(msg)
        return chosen

    def images(
        self,
        split: str | None = None,
        *,
        normal_only: bool = False,
        views: Sequence[str] = (),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Pixels]:
        """Read the images of ``select``, uint8 or uint16 (rows, columns), denser brighter.

        Raises:
            LungSynthError: If any cannot be used; all of them are told together.
        """
        return read_images(
            self.select(split, normal_only=normal_only, views=views), on_progress=on_progress
        )


def read_images(
    records: Sequence[RadiographRecord],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Pixels]:
    """Read the images of records, as ``RadiographSet.images`` does."""
    return _read(records, lambda pixels: pixels, on_progress)


def read_squares(
    records: Sequence[RadiographRecord],
    side: int,
    scale: RadiographScale,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Read images for networks: float32 (N, side, side) in [-1, 1], denser brighter.

    Args:
        records: Which.
        side: Pixels along each side, see ``radiograph_pixels.to_square``.
        scale: How stored values become [-1, 1]; it is taken from the whole image.
        on_progress: Called with images read and images in all.

    Raises:
        LungSynthError: If any cannot be used; all of them are told together.
    """
    squares = _read(records, lambda pixels: to_square(scale.apply(pixels), side), on_progress)
    return np.stack(squares) if squares else np.empty((0, side, side), np.float32)


def _read(
    records: Sequence[RadiographRecord],
    convert: Callable[[Pixels], _T],
    on_progress: Callable[[int, int], None] | None,
) -> list[_T]:
    found: list[_T] = []
    problems: list[str] = []
    for number, record in enumerate(records, start=1):
        try:
            found.append(convert(read_pixels(record.image)))
        except LungSynthError as error:
            problems.append(str(error))
        if on_progress is not None:
            on_progress(number, len(records))
    refuse(problems, f"{len(problems)} of {len(records)} radiographs cannot be used")
    return found


def refuse(problems: Sequence[str], what: str) -> None:
    """Raise one error for all problems, if there are any.

    Raises:
        LungSynthError: In one line: what, and the first of the problems.
    """
    if problems:
        more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        msg = f"{what}: {'; '.join(problems[:_LISTED])}{more}"
        raise LungSynthError(msg)


def check_patients(records: Sequence[RadiographRecord]) -> list[str]:
    """Return a line for each patient who is in two splits: nothing measured there would hold."""
    splits: dict[str, set[str]] = defaultdict(set)
    for record in records:
        splits[record.patient].add(record.split)
    return [
        f"patient {patient} is in {' and '.join(sorted(found))}"
        for patient, found in splits.items()
        if len(found) > 1
    ]
