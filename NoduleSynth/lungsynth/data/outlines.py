"""Outlines of real nodules, all brought to one size, for learning shapes.

From the readers' XML of LIDC-IDRI (see ``lidc_xml``). shen2022 outlined nodules on radiographs;
here each reader's largest outline on one slice stands in for that (ours). Why not a projection of
all slices: the XML gives places across the slices in mm and along them in pixels of unknown size,
and slices are up to 3 mm apart, so that a silhouette from the front would be a staircase of wrong
proportions; an outline on a slice is drawn by hand and has square pixels. How a nodule lies on a
slice says nothing of how it lies on a radiograph, so shapes are turned and mirrored at random when
they are drawn.
"""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import replacing
from lungsynth.data.lidc_xml import Outline, read_lidc_xml
from lungsynth.data.listed_splits import ListedSplits
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.size_modulation import (
    INITIAL_DIAMETER_PX,
    PATCH_SIDE,
    SHAPE_SIDE,
    modulate_size,
)

LEAST_DIAMETER_PX = 10.0
"""(ours) Smaller outlines, of some 7 mm, show the pixels of the CT rather than a shape."""
SHAPE_DIAMETER_PX = INITIAL_DIAMETER_PX * SHAPE_SIDE / PATCH_SIDE
"""What the 100 pixels on a patch of 256 are once that is resized to 128 [shen2022, IV.A]."""
_SMOOTHING_PX = 0.8  # of the line, which steps from pixel to pixel
_LINE_POINTS = 256
_DRAWN_EXTENT = 120.0  # of the longer side, when an outline is first filled
_FORMAT = "lungsynth-outlines-1"


@dataclass(frozen=True, eq=False)
class NoduleOutlines:
    """Filled outlines of one split.

    Args:
        shapes: How much of each pixel is inside, 0 to 255, uint8, (N, 128, 128); the centre of
            mass in the middle, 50 pixels in diameter (``SHAPE_DIAMETER_PX``).
        series: The series that each is of, by the series' number in the order of their UIDs.
        left_out: How many others were too small, or do not fit at that diameter.
    """

    shapes: NDArray[np.uint8]
    series: NDArray[np.int64]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.shapes)

    @classmethod
    def load(
        cls,
        folder: Path,
        split: str,
        cache: Path | None = None,
        *,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> NoduleOutlines:
        """Read the outlines of a split.

        Args:
            folder: With the XML files of LIDC-IDRI, or a .tar or .tar.xz of them, anywhere below;
                where it also holds nodule cubes, their splits are kept.
            split: "train", "val" or "test".
            cache: File (.npz) where what was read is kept for the next time.
            on_progress: Called with XML files read and XML files in all.

        Raises:
            LungSynthError: If the split has no usable outline.
        """
        if cache is not None and cache.is_file():
            return _read_cache(cache, split)
        splits = ListedSplits(folder, "series_uid")
        shapes: list[NDArray[np.uint8]] = []
        series: list[str] = []
        left_out = 0
        with _xml_files(folder) as files:
            for number, path in enumerate(files, start=1):
                if on_progress is not None:
                    on_progress(number, len(files))
                file = read_lidc_xml(path)
                uid = file.series_uid if file is not None else ""
                if file is None or splits[uid] != split:
                    continue
                for annotation in file.annotations:
                    shape = normalised_shape(annotation.outlines)
                    if shape is None:
                        left_out += 1
                        continue
                    shapes.append(shape)
                    series.append(uid)
        if not shapes:
            msg = (
                f"{folder}: no outline of {LEAST_DIAMETER_PX:g} pixels or more in the {split} "
                "split; LIDC-IDRI's reader XML is needed, as files or as a .tar of them"
            )
            raise LungSynthError(msg)
        numbers = np.unique(series, return_inverse=True)[1]
        found = cls(np.stack(shapes), numbers.astype(np.int64), left_out)
        if cache is not None:
            _write_cache(cache, split, found)
        return found


def normalised_shape(outlines: Sequence[Outline]) -> NDArray[np.uint8] | None:
    """Return the largest of one reader's outlines, filled, at 50 pixels in diameter.

    Returns:
        (128, 128), 0 to 255; None where it is too small, or does not fit at that diameter.
    """
    lines = [np.asarray(o.points, np.float64) for o in outlines if o.inclusion]
    line = max(lines, key=_area, default=np.zeros((0, 2)))
    if len(line) < 4 or 2 * np.sqrt(_area(line) / np.pi) < LEAST_DIAMETER_PX / 2:
        return None
    low, high = line.min(axis=0), line.max(axis=0)
    zoom = _DRAWN_EXTENT / float((high - low).max())
    middle = (SHAPE_SIDE - 1) / 2
    drawn = fill_polygon((smoothed(line) - (low + high) / 2) * zoom + middle, SHAPE_SIDE)
    if not drawn.any() or ellipse_diameter(drawn) / zoom < LEAST_DIAMETER_PX:
        return None
    try:
        shape = modulate_size(drawn, SHAPE_DIAMETER_PX, SHAPE_SIDE)
    except LungSynthError:  # a tail that reaches beyond the picture
        return None
    return np.round(shape * 255).astype(np.uint8)


def smoothed(line: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a closed line through pixels without their steps, (256, 2), evenly spaced."""
    closed = np.vstack([line, line[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    even = np.linspace(0, along[-1], _LINE_POINTS, endpoint=False)
    points = np.stack([np.interp(even, along, closed[:, axis]) for axis in (0, 1)], axis=1)
    sigma = _SMOOTHING_PX * _LINE_POINTS / along[-1]
    return np.asarray(ndimage.gaussian_filter1d(points, sigma, axis=0, mode="wrap"))


def fill_polygon(points: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """Return which pixels' centres are inside a closed polygon (even-odd rule).

    Args:
        points: (N, 2), (column, row).
        side: Of the square image.
    """
    (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
    row = np.arange(side)[:, None]
    crosses = (row >= np.minimum(y0, y1)) & (row < np.maximum(y0, y1))
    level = np.where(y1 == y0, 1.0, y1 - y0)
    rows, edges = np.nonzero(crosses)
    x = (x0 + (row - y0) * (x1 - x0) / level)[rows, edges]
    turned = np.zeros((side, side + 1), np.int64)
    np.add.at(turned, (rows, np.clip(np.ceil(x), 0, side).astype(np.int64)), 1)
    return np.asarray(np.cumsum(turned, axis=1)[:, :side] % 2 == 1)


def draw_shapes(
    outlines: NoduleOutlines, count: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Draw shapes, turned by any angle and mirrored or not, (count, 128, 128), 0 to 1."""
    drawn = []
    middle = np.full(2, (SHAPE_SIDE - 1) / 2)
    for n in rng.integers(len(outlines), size=count):
        angle, mirrored = rng.uniform(0, 2 * np.pi), rng.random() < 0.5
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([1, -1 if mirrored else 1])
        shape = outlines.shapes[n].astype(np.float32) / 255
        turned = ndimage.affine_transform(shape, matrix, middle - matrix @ middle, order=1)
        drawn.append(turned)
    return np.stack(drawn)


def _area(line: NDArray[np.float64]) -> float:
    x, y = line.T
    return 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


@contextmanager
def _xml_files(folder: Path) -> Iterator[list[Path]]:
    """Give the XML files below a folder, those packed into tar files too."""
    packed = sorted([*folder.rglob("*.tar"), *folder.rglob("*.tar.xz")])
    with tempfile.TemporaryDirectory() as unpacked:
        for path in packed:
            try:
                with tarfile.open(path) as archive:
                    archive.extractall(unpacked, filter="data")
            except (tarfile.TarError, OSError) as error:
                msg = f"{path}: not a readable tar file ({error})"
                raise LungSynthError(msg) from None
        yield [*sorted(folder.rglob("*.xml")), *sorted(Path(unpacked).rglob("*.xml"))]


def _write_cache(path: Path, split: str, found: NoduleOutlines) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            format=_FORMAT,
            split=split,
            shapes=found.shapes,
            series=found.series,
            left_out=found.left_out,
        )


def _read_cache(path: Path, split: str) -> NoduleOutlines:
    try:
        with np.load(path, allow_pickle=False) as stored:
            if (str(stored["format"]), str(stored["split"])) == (_FORMAT, split):
                left_out = int(stored["left_out"])
                return NoduleOutlines(stored["shapes"], stored["series"], left_out)
    except (OSError, ValueError, KeyError) as error:
        msg = f"{path}: not a readable cache of outlines ({error}); remove it"
        raise LungSynthError(msg) from None
    msg = f"{path}: no cache of outlines of the {split} split by this version; remove it"
    raise LungSynthError(msg)
