"""Radiographs whose nodules are known: what detectors are trained and measured on."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import WORKING_SIDE_PIXELS
from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import replacing
from lungsynth.data.radiograph_pixels import read_pixels
from lungsynth.data.radiographs import NODULE_FINDINGS, RadiographSet


@dataclass(frozen=True)
class KnownNodule:
    """One nodule in a radiograph.

    Args:
        box: (left, top, right, bottom) in pixels of the radiograph.
        diameter_px: Mean of the axes of its ellipse, or of the box's sides where there is no mask;
            on the grid on which the radiograph's longer side is 1,024.
        contrast: Mean brightening inside its mask over the robust range; NaN where not known.
    """

    box: tuple[float, float, float, float]
    diameter_px: float
    contrast: float = math.nan

    def position(self, shape: tuple[int, ...]) -> tuple[float, float]:
        """Return its middle as parts of height and width of the radiograph (rows, columns)."""
        left, top, right, bottom = self.box
        return (top + bottom) / 2 / shape[0], (left + right) / 2 / shape[1]


@dataclass(frozen=True, eq=False)
class NoduleCase:
    """One radiograph with all its nodules, or without any.

    Args:
        pixels: As stored, (rows, columns), denser brighter.
        nodules: What is in it.
        patient: Whom it shows; intervals resample patients.
        source: Where it comes from, for reports.
    """

    pixels: NDArray[Any]
    nodules: tuple[KnownNodule, ...]
    patient: str
    source: str

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Boxes (N, 4) in pixels."""
        return np.array([n.box for n in self.nodules], dtype=np.float64).reshape(-1, 4)


def grid_factor(shape: tuple[int, ...]) -> float:
    """Return pixels of the grid for one pixel of a radiograph (rows, columns)."""
    return WORKING_SIDE_PIXELS / max(shape)


def read_marked(
    folder: Path, split: str, *, normal_too: bool = True, most_normal: int | None = None
) -> list[NoduleCase]:
    """Read radiographs whose nodules or masses are boxed, and normal ones.

    Args:
        folder: As ``RadiographSet.open`` takes it.
        split: "train", "val" or "test".
        normal_too: Read those without findings as well.
        most_normal: At most so many of them, the first of the table.

    Raises:
        LungSynthError: If no nodule is boxed.
    """
    records = RadiographSet.open(folder).select(split)
    marked = [r for r in records if any(b.finding in NODULE_FINDINGS for b in r.boxes)]
    if not marked:
        msg = f"{folder}: no nodule or mass of its {split} split has a box to learn from"
        raise LungSynthError(msg)
    normal = [r for r in records if r.is_normal][:most_normal] if normal_too else []
    cases = []
    for record in (*marked, *normal):
        pixels = read_pixels(record.image)
        boxes = [b.pixels(pixels.shape) for b in record.boxes if b.finding in NODULE_FINDINGS]
        nodules = tuple(KnownNodule(box, box_diameter(box, pixels.shape)) for box in boxes)
        cases.append(NoduleCase(pixels, nodules, record.patient, "real"))
    return cases


def box_diameter(box: tuple[float, float, float, float], shape: tuple[int, ...]) -> float:
    """Return the mean of the sides of a box, on the grid."""
    left, top, right, bottom = box
    return (right - left + bottom - top) / 2 * grid_factor(shape)


def mask_box(mask: NDArray[np.bool_], corner: tuple[int, int] = (0, 0)) -> tuple[float, ...]:
    """Return (left, top, right, bottom) of a mask whose first pixel is (row, column) ``corner``."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, left = corner
    return (
        float(left + columns[0]),
        float(top + rows[0]),
        float(left + columns[-1] + 1),
        float(top + rows[-1] + 1),
    )


def save_cases(path: Path, cases: Sequence[NoduleCase]) -> None:
    """Write cases into one archive (.npz), whole or not at all; ``load_cases`` reads it."""
    arrays: dict[str, Any] = {f"pixels_{n}": case.pixels for n, case in enumerate(cases)}
    rows = [
        (n, *nodule.box, nodule.diameter_px, nodule.contrast)
        for n, case in enumerate(cases)
        for nodule in case.nodules
    ]
    arrays["nodules"] = np.array(rows, dtype=np.float64).reshape(-1, 7)
    arrays["patients"] = np.array([case.patient for case in cases], dtype=np.str_)
    arrays["sources"] = np.array([case.source for case in cases], dtype=np.str_)
    with replacing(path) as temporary, temporary.open("wb") as target:
        np.savez_compressed(target, **arrays)


def load_cases(path: Path) -> list[NoduleCase]:
    """Read what ``save_cases`` wrote.

    Raises:
        LungSynthError: If the file is damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            table = stored["nodules"]
            return [
                NoduleCase(
                    pixels=stored[f"pixels_{n}"],
                    nodules=tuple(
                        KnownNodule((row[1], row[2], row[3], row[4]), row[5], row[6])
                        for row in table[table[:, 0] == n].tolist()
                    ),
                    patient=str(patient),
                    source=str(source),
                )
                for n, (patient, source) in enumerate(
                    zip(stored["patients"], stored["sources"], strict=True)
                )
            ]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path}: not a readable archive of cases ({error}); remove it to have it made again"
        raise LungSynthError(msg) from None


def summary(cases: Sequence[NoduleCase]) -> dict[str, object]:
    """Return what there is, as JSON can hold it."""
    sources = sorted({case.source for case in cases})
    return {
        "radiographs": len(cases),
        "patients": len({case.patient for case in cases}),
        "nodules": sum(len(case.nodules) for case in cases),
        "by_source": {s: sum(case.source == s for case in cases) for s in sources},
    }
