"""Radiographs from files to a scanner, and what it found back on their own pixels."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph
from lungsynth.data.radiograph_pixels import MAX_SIDE, SUFFIXES, RadiographScale, to_square
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.residuals import Region
from lungsynth.detectors.scanner import Scan, Scanner
from lungsynth.io.dicom import is_dicom
from lungsynth.io.radiograph_reading import PICTURE_SUFFIXES, lateral_view, read_radiograph
from lungsynth.io.reading import VOLUME_SUFFIXES, shape_of, volume_suffix

YOUNGEST = 16
"""(ours) Younger patients are said to be of another kind; the paper's normals are 19 or older."""
_CHEST = re.compile(r"chest|thora|lung|rib|cxr", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class FoundFile:
    """A scanned file, or why it could not be scanned.

    Args:
        path: The file.
        radiograph: As read; None where it could not be.
        scan: What was found; None where it could not be read.
        error: One line; empty where it was scanned.
    """

    path: Path
    radiograph: Radiograph | None = None
    scan: Scan | None = None
    error: str = ""


@dataclass(frozen=True)
class FoundRegion:
    """A region on the radiograph's own pixels.

    Args:
        label: Its number in the map of regions.
        peak: Largest deviation, in standard deviations of normals; negative where less dense.
        denser: Whether it is denser than normal.
        row: Of its centre of mass.
        column: Of the same.
        box: First row, last row, first column, last column.
        ras_mm: Its centre in RAS mm.
        area_px: In pixels of the radiograph.
        area_mm2: None where the pixel spacing is unknown.
    """

    label: int
    peak: float
    denser: bool
    row: float
    column: float
    box: tuple[float, float, float, float]
    ras_mm: tuple[float, float, float]
    area_px: float
    area_mm2: float | None


def list_inputs(path: Path) -> list[Path]:
    """Return the radiographs of a folder and of those below it, or the one file that is named.

    Files that are no images (tables, say) are left out; images that cannot be used are not, so
    that they are told.

    Raises:
        LungSynthError: If there is none.
    """
    if not path.exists():
        msg = f"there is no file or folder {path}"
        raise LungSynthError(msg)
    if not path.is_dir():
        return [path]
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and _may_be(file)]
    if not files:
        allowed = ", ".join((*SUFFIXES, *VOLUME_SUFFIXES))
        msg = f"{path}: no radiograph in this folder or below it; allowed are {allowed} and DICOM"
        raise LungSynthError(msg)
    return files


def _may_be(file: Path) -> bool:
    if file.name.startswith("."):
        return False
    suffix = volume_suffix(file)
    if suffix in (*SUFFIXES, *VOLUME_SUFFIXES):
        return True
    return suffix in ("", ".ima") and is_dicom(file)


def scan_files(
    paths: Sequence[Path],
    scanner: Scanner,
    *,
    false_positive_rate: float,
    batch_size: int = 8,
) -> Iterator[FoundFile]:
    """Scan files in batches; one that cannot be used is told in its place, and the rest is done.

    Args:
        paths: The files.
        scanner: Which scans them.
        false_positive_rate: Asked of score and regions.
        batch_size: Radiographs that are searched at once.
    """
    for first in range(0, len(paths), batch_size):
        found: list[FoundFile] = []
        for path in paths[first : first + batch_size]:
            try:
                found.append(FoundFile(path, read_for_scan(path)))
            except LungSynthError as error:
                found.append(FoundFile(path, error=" ".join(str(error).split())))
        read = [one.radiograph for one in found if one.radiograph is not None]
        if not read:
            yield from found
            continue
        images = np.stack([model_image(r, scanner.scale, scanner.image_size) for r in read])
        scans = iter(scanner.scan(images, false_positive_rate))
        for one in found:
            if one.radiograph is None:
                yield one
                continue
            reason = other_kind(one.path, one.radiograph)
            yield replace(one, scan=replace(next(scans), reason=reason))


def read_for_scan(path: Path) -> Radiograph:
    """Read a radiograph that is worth scanning.

    Raises:
        LungSynthError: If it is none, is of another part of the body, or is far from square.
    """
    _check_size(path)
    radiograph = read_radiograph(path)
    part = radiograph.header.get("DICOM_BodyPartExamined", "")
    if part and not _CHEST.search(part):
        msg = f"{path}: the header says that it shows {part}; a chest radiograph is needed"
        raise LungSynthError(msg)
    rows, columns = radiograph.pixels.shape
    if max(rows, columns) > 2 * min(rows, columns):
        msg = f"{path}: {columns} x {rows} pixels; a chest radiograph is not so far from square"
        raise LungSynthError(msg)
    return radiograph


def _check_size(path: Path) -> None:
    """Refuse a picture with more pixels than memory may hold, before they are read."""
    if volume_suffix(path) not in PICTURE_SUFFIXES or not path.is_file():
        return
    try:
        shape = shape_of(path)
    except LungSynthError:
        return  # whose reader says what is wrong with it
    if max(shape) > MAX_SIDE:
        size = " x ".join(map(str, shape))
        msg = f"{path}: {size} pixels; a radiograph has at most {MAX_SIDE} along each side"
        raise LungSynthError(msg)


def other_kind(path: Path, radiograph: Radiograph) -> str:
    """Return what in the header says that it is no frontal view of an adult; empty if nothing."""
    view = lateral_view(radiograph)
    if view:
        return f"lateral view ({view})"
    if is_dicom(path):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientAge"])
        age = re.fullmatch(r"0*(\d+)([DWMY])", str(header.get("PatientAge", "")).strip())
        if age and (age[2] != "Y" or int(age[1]) < YOUNGEST):
            return f"a child (PatientAge {age[0]})"
    return ""


def denser_brighter(radiograph: Radiograph) -> NDArray[np.float32]:
    """Return the pixels with dense tissue bright, turned over where they are MONOCHROME1."""
    pixels: NDArray[Any] = radiograph.pixels
    if radiograph.sign > 0:
        return pixels.astype(np.float32)
    return np.asarray(_top(radiograph) - pixels.astype(np.float32))


def model_image(radiograph: Radiograph, scale: RadiographScale, side: int) -> Images:
    """Return a radiograph as a network sees it, (S, S) in [-1, 1]."""
    values: Any = denser_brighter(radiograph)  # the scale takes numbers of any kind
    return to_square(scale.apply(values), side)


def stored_values(normal: Images, radiograph: Radiograph, scale: RadiographScale) -> Images:
    """Return a network's image (S, S) in the radiograph's own values and on its own pixels."""
    values: Any = denser_brighter(radiograph)
    low, high = scale.limits(values)
    brighter = low + (on_pixels(normal, radiograph) + 1) / 2 * (high - low)
    own = brighter if radiograph.sign > 0 else _top(radiograph) - brighter
    return np.asarray(own, dtype=np.float32)


def stored_difference(difference: Images, radiograph: Radiograph, scale: RadiographScale) -> Images:
    """Return a difference of a network's images in the radiograph's own values and pixels."""
    values: Any = denser_brighter(radiograph)
    low, high = scale.limits(values)
    return np.asarray(
        radiograph.sign * on_pixels(difference, radiograph) * ((high - low) / 2), dtype=np.float32
    )


def _top(radiograph: Radiograph) -> float:
    if radiograph.limits is not None:
        return float(radiograph.limits[1])
    pixels: NDArray[Any] = radiograph.pixels
    return 255.0 if pixels.dtype == np.uint8 else float(pixels.max())


def on_pixels(grid: NDArray[Any], radiograph: Radiograph, *, nearest: bool = False) -> Images:
    """Return a map (S, S) on the pixels of the radiograph that was stretched to it."""
    values = torch.from_numpy(np.ascontiguousarray(grid, dtype=np.float32))[None, None]
    shape = radiograph.pixels.shape
    if nearest:
        drawn = torch.nn.functional.interpolate(values, shape, mode="nearest-exact")
    else:
        drawn = torch.nn.functional.interpolate(values, shape, mode="bilinear")
    found: Images = drawn[0, 0].numpy()
    return found


def region_on_pixels(region: Region, side: int, radiograph: Radiograph) -> FoundRegion:
    """Return a region of the model's grid on the radiograph's own pixels."""
    rows, columns = radiograph.pixels.shape
    down, right = rows / side, columns / side
    row = (region.centre[0] + 0.5) * down - 0.5
    column = (region.centre[1] + 0.5) * right - 0.5
    first_row, last_row, first_column, last_column = region.box
    box = (
        first_row * down,
        (last_row + 1) * down - 1,
        first_column * right,
        (last_column + 1) * right - 1,
    )
    area = region.pixels * down * right
    spacing = radiograph.pixel_spacing_mm
    ras = radiograph.pixel_to_ras_mm((row, column))
    return FoundRegion(
        label=region.label,
        peak=region.peak,
        denser=region.denser,
        row=row,
        column=column,
        box=box,
        ras_mm=(float(ras[0]), float(ras[1]), float(ras[2])),
        area_px=area,
        area_mm2=None if spacing is None else area * spacing[0] * spacing[1],
    )
