"""A picture of what was inserted: before, after, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion
from lungsynth.core.volume import Volume
from lungsynth.io.atomic import atomic_path, shown
from lungsynth.io.font import HEIGHT, WIDTH, draw_text
from lungsynth.io.itk import quiet_stderr, reason
from lungsynth.io.segments import COLORS, segment_name

WINDOW_HU = (-1350.0, 150.0)
"""The lung window: level -600, width 1500."""
MOST_NODULES = 10
TILE = 240
_GAP = 6
_LINE = 2 * HEIGHT + 6
_FIELD_MM = 60.0
# Name, and the directions that the picture's columns and rows run in, in RAS: R and A lie on
# the left of the picture, A and S at the top, as radiologists look at it.
_PLANES = (
    ("axial", (-1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),
    ("coronal", (-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    ("sagittal", (0.0, -1.0, 0.0), (0.0, 0.0, -1.0)),
)
_EDGES = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}  # left, right, top, bottom
_COLUMNS = ("where", "before", "after", "after, outlined")
_BLOCK_WIDTH = len(_COLUMNS) * (TILE + _GAP) - _GAP
_BLOCK_HEIGHT = 3 * _LINE + len(_PLANES) * (TILE + _GAP)
_WHITE, _GREY, _AMBER = (255, 255, 255), (150, 150, 150), (255, 190, 60)

Picture = NDArray[np.uint8]
"""Shape (rows, columns, 3)."""


def write_preview(
    before: Volume, after: Volume, insertions: Sequence[Insertion], path: Path
) -> None:
    """Write a PNG: for each nodule three planes, each before, after, outlined, and where it is.

    All slices go through the seed along the patient's axes, whatever the volume's orientation,
    with square pixels in mm and the lung window. Of many nodules the first 10 are shown.

    Args:
        before: The input.
        after: The output, on the same grid.
        insertions: What was done.
        path: .png.

    Raises:
        LungSynthError: If the file cannot be written.
    """
    write_picture(lambda: preview_picture(before, after, insertions), path)


def write_picture(draw: Callable[[], Picture], path: Path) -> None:
    """Draw a picture and write it as PNG.

    Raises:
        LungSynthError: If the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        msg = f"cannot write {shown(path)}: a preview is a .png"
        raise LungSynthError(msg)
    picture = draw()
    with atomic_path(path) as temporary:
        try:
            with quiet_stderr():
                image = sitk.GetImageFromArray(picture, isVector=True)
                sitk.WriteImage(image, str(temporary))
        except RuntimeError as error:
            msg = f"cannot write {shown(path)}: {reason(error)}"
            raise LungSynthError(msg) from error


def preview_picture(before: Volume, after: Volume, insertions: Sequence[Insertion]) -> Picture:
    """Return what ``write_preview`` writes; blocks of nodules side by side in pairs."""
    listed = list(insertions[:MOST_NODULES])
    across = min(2, max(1, len(listed)))
    rows = -(-len(listed) // across)
    picture = np.zeros(
        (
            _LINE + _GAP + rows * (_BLOCK_HEIGHT + 3 * _GAP),
            across * (_BLOCK_WIDTH + 3 * _GAP) + _GAP,
            3,
        ),
        np.uint8,
    )
    title = "SYNTHETIC nodules, lung window (-600 / 1500 HU)"
    if len(insertions) > len(listed):
        title += f"; the first {len(listed)} of {len(insertions)}"
    draw_text(picture, title, (4, 2 * _GAP), color=_AMBER)
    for number, insertion in enumerate(listed):
        row, column = divmod(number, across)
        top = _LINE + _GAP + row * (_BLOCK_HEIGHT + 3 * _GAP)
        left = 2 * _GAP + column * (_BLOCK_WIDTH + 3 * _GAP)
        block = picture[top : top + _BLOCK_HEIGHT, left : left + _BLOCK_WIDTH]
        _draw_block(block, before, after, insertion, number)
    return picture


def _draw_block(
    block: Picture, before: Volume, after: Volume, insertion: Insertion, number: int
) -> None:
    seed, spec, measured = insertion.seed, insertion.spec, insertion.measured
    place = ", ".join(f"{x:.1f}" for x in seed.position_ras_mm)
    color = color_of(number)
    draw_text(block, f"{segment_name(insertion, number + 1)} at RAS {place}", (4, 0), color=color)
    line = (
        f"asked {spec.diameter_mm:.1f} mm, measured {measured.diameter_mm:.1f} mm, "
        f"{measured.mean_hu:.0f} HU, {measured.volume_mm3:.0f} mm3"
    )
    draw_text(block, line, (_LINE, 0))
    if not insertion.within_tolerance:
        at = (_LINE, (len(line) + 2) * 2 * WIDTH)
        draw_text(block, "NOT WITHIN TOLERANCE", at, color=_AMBER)
    for column, name in enumerate(_COLUMNS):
        draw_text(block, name, (2 * _LINE, column * (TILE + _GAP)), color=_GREY)
    field_mm = max(_FIELD_MM, 2.5 * spec.diameter_mm)
    for row, (plane, right, down) in enumerate(_PLANES):
        axes = np.array([right, down])
        centre = np.asarray(seed.position_ras_mm)
        near = plane_points(centre, axes, field_mm)
        tiles = (
            _overview(after, insertion, axes, color),
            _grey(sample(before, near)),
            _grey(sample(after, near)),
            outlined(_grey(sample(after, near)), mask_at(after, insertion, near), color),
        )
        top = 3 * _LINE + row * (TILE + _GAP)
        for column, tile in enumerate(tiles):
            _label(tile, plane, field_mm=None if column == 0 else field_mm, first=column < 2)
            left = column * (TILE + _GAP)
            block[top : top + TILE, left : left + TILE] = tile


def plane_points(
    centre_ras_mm: NDArray[np.float64], axes: NDArray[np.float64], field_mm: float
) -> NDArray[np.float64]:
    """Return RAS points in mm, shape (TILE, TILE, 3), of a square of ``field_mm`` in a plane.

    Args:
        centre_ras_mm: Middle of the square.
        axes: Unit directions of columns and rows in RAS, shape (2, 3).
        field_mm: Side of the square.
    """
    steps = ((np.arange(TILE) + 0.5) / TILE - 0.5) * field_mm
    across, down = steps[None, :, None] * axes[0], steps[:, None, None] * axes[1]
    return np.asarray(centre_ras_mm + across + down)


def sample(volume: Volume, points_ras_mm: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return linearly interpolated voxels at RAS points (..., 3); air outside the volume."""
    at = np.moveaxis(volume.ras_to_ijk(points_ras_mm), -1, 0)[::-1]
    # half a voxel beyond the outermost centres still belongs to the volume
    limits = np.reshape(volume.voxels.shape, (3,) + (1,) * (at.ndim - 1))
    inside = ((at >= -0.5) & (at <= limits - 0.5)).all(axis=0)
    values = ndimage.map_coordinates(
        volume.voxels, at, output=np.float32, order=1, mode="nearest", prefilter=False
    )
    return np.where(inside, values, np.float32(WINDOW_HU[0]))


def mask_at(
    volume: Volume, insertion: Insertion, points_ras_mm: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return whether RAS points (..., 3) lie in the nodule's mask, interpolated."""
    at = np.moveaxis(volume.ras_to_ijk(points_ras_mm), -1, 0)[::-1]
    origin = np.reshape(insertion.box[0], (3,) + (1,) * (at.ndim - 1))
    mask = insertion.mask.astype(np.float32)
    values = ndimage.map_coordinates(mask, at - origin, order=1, mode="grid-constant")
    return np.asarray(values >= 0.5)


def _grey(hu: NDArray[np.float32]) -> Picture:
    low, high = WINDOW_HU
    levels = np.clip((hu - low) * (255.0 / (high - low)), 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def color_of(number: int) -> tuple[int, int, int]:
    """Return the colour of the nodule of that number, from 0, as in its segment but lighter."""
    r, g, b = COLORS[number % len(COLORS)]
    return int(80 + 175 * r), int(80 + 175 * g), int(80 + 175 * b)  # lighter: on dark lung


def outlined(tile: Picture, mask: NDArray[np.bool_], color: tuple[int, int, int]) -> Picture:
    """Colour the ring just outside the mask, so that the nodule itself stays to be seen."""
    tile[ndimage.binary_dilation(mask, iterations=2) & ~mask] = color
    return tile


def _overview(
    volume: Volume, insertion: Insertion, axes: NDArray[np.float64], color: tuple[int, int, int]
) -> Picture:
    """Return the whole slice through the seed with a square around the nodule."""
    k, j, i = volume.voxels.shape
    corners = np.array([(a, b, c) for a in (0, i - 1) for b in (0, j - 1) for c in (0, k - 1)])
    on_plane = volume.ijk_to_ras_mm(corners) @ axes.T  # mm along columns and rows
    seed = np.asarray(insertion.seed.position_ras_mm)
    low, high = on_plane.min(axis=0), on_plane.max(axis=0)
    field_mm = float((high - low).max())
    middle = seed + ((low + high) / 2 - axes @ seed) @ axes
    tile = _grey(sample(volume, plane_points(middle, axes, field_mm)))
    half = max(7.0, insertion.spec.diameter_mm * TILE / field_mm)
    column, row = (axes @ (seed - middle) / field_mm + 0.5) * TILE
    top, bottom = (int(np.clip(row + side * half, 0, TILE - 1)) for side in (-1, 1))
    left, right = (int(np.clip(column + side * half, 0, TILE - 1)) for side in (-1, 1))
    frame = tile[top : bottom + 1, left : right + 1]
    frame[:2] = frame[-2:] = color
    frame[:, :2] = frame[:, -2:] = color
    return tile


def _label(tile: Picture, plane: str, *, field_mm: float | None, first: bool) -> None:
    """Write the patient's directions at the edges and, on close-ups, a bar of 10 mm."""
    if first:
        left, right, top, bottom = tuple(_EDGES[plane])
        middle = TILE // 2 - HEIGHT
        draw_text(tile, left, (middle, 3))
        draw_text(tile, right, (middle, TILE - 2 * WIDTH - 1))
        draw_text(tile, top, (3, TILE // 2 - WIDTH))
        draw_text(tile, bottom, (TILE - 2 * HEIGHT + 2, TILE // 2 - WIDTH))
        if field_mm is None:
            draw_text(tile, plane, (3, 3))
    if field_mm is not None and first:
        length = round(10 / field_mm * TILE)
        tile[TILE - 8 : TILE - 5, 6 : 6 + length] = _WHITE
        draw_text(tile, "10 mm", (TILE - 30, 6))
