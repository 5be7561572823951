"""A picture of what was inserted into a radiograph: where, before, after, and outlined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.radiograph import Radiograph
from lungsynth.core.radiograph_insertion import CxrInsertion
from lungsynth.io.font import HEIGHT, draw_text
from lungsynth.io.preview import MOST_NODULES, TILE, Picture, color_of, outlined, write_picture
from lungsynth.io.segments import segment_name

OVERVIEW = 2 * TILE
_GAP, _LINE = 6, 2 * HEIGHT + 6
_COLUMNS = ("before", "after", "after, outlined")
_WHITE, _GREY, _AMBER = (255, 255, 255), (150, 150, 150), (255, 190, 60)
_FIELD_DIAMETERS = 4.0
_LEAST_FIELD = 1 / 8  # of the longer side of the image


def write_radiograph_preview(
    before: Radiograph, after: Radiograph, insertions: Sequence[CxrInsertion], path: Path
) -> None:
    """Write a PNG: the whole radiograph with each nodule framed, and close-ups of each.

    Grey as in the robust range of the image, dense tissue bright whatever the photometric
    interpretation. Of many nodules the first 10 are shown.

    Args:
        before: The input.
        after: The output.
        insertions: What was done.
        path: .png.

    Raises:
        LungSynthError: If the file cannot be written.
    """
    write_picture(lambda: radiograph_picture(before, after, insertions), path)


def radiograph_picture(
    before: Radiograph, after: Radiograph, insertions: Sequence[CxrInsertion]
) -> Picture:
    """Return what ``write_radiograph_preview`` writes."""
    listed = list(insertions[:MOST_NODULES])
    block = 2 * _LINE + TILE + 2 * _GAP
    height = 2 * _LINE + max(OVERVIEW + _GAP, block * len(listed))
    across = len(_COLUMNS) * (TILE + _GAP)
    picture = np.zeros((height, OVERVIEW + 2 * _GAP + across, 3), np.uint8)
    title = "SYNTHETIC nodules"
    if len(insertions) > len(listed):
        title += f"; the first {len(listed)} of {len(insertions)}"
    draw_text(picture, title, (4, _GAP), color=_AMBER)
    for column, name in enumerate(_COLUMNS):
        at = (_LINE, OVERVIEW + 2 * _GAP + column * (TILE + _GAP))
        draw_text(picture, name, at, color=_GREY)
    overview = _overview(before, after, listed)
    picture[2 * _LINE : 2 * _LINE + OVERVIEW, _GAP : _GAP + OVERVIEW] = overview
    for number, insertion in enumerate(listed):
        top = 2 * _LINE + number * block
        part = picture[top : top + block, OVERVIEW + 2 * _GAP :]
        _draw_block(part, before, after, insertion, number)
    return picture


def _draw_block(
    block: Picture, before: Radiograph, after: Radiograph, insertion: CxrInsertion, number: int
) -> None:
    measured, color = insertion.measured, color_of(number)
    draw_text(block, segment_name(insertion, number + 1), (0, 0), color=color)
    size = f"{measured.diameter_px:.1f} px"
    if measured.diameter_mm is not None:
        size += f" = {measured.diameter_mm:.1f} mm"
    asked = insertion.spec.contrast
    wanted = "" if asked is None else f" ({asked:.3f} asked)"
    line = f"measured {size}, contrast {measured.contrast:.3f}{wanted}"
    draw_text(block, line, (_LINE, 0), color=_WHITE if insertion.within_tolerance else _AMBER)
    rows, columns = close_up(before, insertion)
    (_, row0, column0), _ = insertion.box
    mask = ndimage.map_coordinates(
        insertion.mask[0].astype(np.float32),
        np.meshgrid(rows - row0, columns - column0, indexing="ij"),
        order=1,
        mode="grid-constant",
    )
    tiles = [_grey(before, image, rows, columns) for image in (before, after, after)]
    tiles[2] = outlined(tiles[2], mask >= 0.5, color)
    for column, tile in enumerate(tiles):
        left = column * (TILE + _GAP)
        block[2 * _LINE : 2 * _LINE + TILE, left : left + TILE] = tile


def close_up(
    image: Radiograph, insertion: CxrInsertion
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows and the columns that a close-up of a nodule samples, TILE of each."""
    spacing = np.array(image.pixel_spacing_mm or (1.0, 1.0))
    relative = spacing / np.sqrt(spacing.prod())
    side = max(_LEAST_FIELD * max(image.pixels.shape), _FIELD_DIAMETERS * _diameter(insertion))
    steps = ((np.arange(TILE) + 0.5) / TILE - 0.5) * side
    row, column = image.ras_to_pixel(insertion.seed.position_ras_mm)
    return row + steps / relative[0], column + steps / relative[1]


def _diameter(insertion: CxrInsertion) -> float:
    return max(insertion.measured.diameter_px, insertion.spec.diameter_px or 0.0)


def _grey(
    scale: Radiograph,
    image: Radiograph,
    rows: NDArray[np.floating[Any]],
    columns: NDArray[np.floating[Any]],
) -> Picture:
    """Return a picture of an image at rows and columns, grey as in ``scale``; black outside."""
    low_row, high_row = _within(rows, image.pixels.shape[0])
    low_column, high_column = _within(columns, image.pixels.shape[1])
    part = scale.normalised(image.pixels[low_row:high_row, low_column:high_column])
    at = np.meshgrid(rows - low_row, columns - low_column, indexing="ij")
    step = float(rows[1] - rows[0])
    if step > 2:  # fewer pixels than there are: averaged, so that nothing flickers
        part = ndimage.uniform_filter(part, round(step))
    unit = ndimage.map_coordinates(part, at, order=1, mode="constant", cval=-1.0)
    levels = np.clip((unit + 1) * 127.5, 0, 255).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def _within(index: NDArray[np.floating[Any]], length: int) -> tuple[int, int]:
    low = int(np.clip(np.floor(index[0]) - 1, 0, length - 1))
    return low, int(np.clip(np.ceil(index[-1]) + 2, low + 1, length))


def _overview(before: Radiograph, after: Radiograph, insertions: Sequence[CxrInsertion]) -> Picture:
    """Return the whole radiograph with a frame around each nodule."""
    spacing = np.array(before.pixel_spacing_mm or (1.0, 1.0))
    extent = np.array(before.pixels.shape) * spacing
    scale = extent.max() / OVERVIEW / spacing  # native pixels a dot, (rows, columns)
    steps = np.arange(OVERVIEW) - (OVERVIEW - 1) / 2
    middle = (np.array(before.pixels.shape) - 1) / 2
    tile = _grey(before, after, middle[0] + steps * scale[0], middle[1] + steps * scale[1])
    for number, insertion in enumerate(insertions):
        at = before.ras_to_pixel(insertion.seed.position_ras_mm)
        centre = (at - middle) / scale + (OVERVIEW - 1) / 2
        half = np.maximum(8.0, 0.8 * _diameter(insertion) / scale)
        top, left = np.clip(centre - half, 0, OVERVIEW - 1).astype(int)
        bottom, right = np.clip(centre + half, 0, OVERVIEW - 1).astype(int)
        frame = tile[top : bottom + 1, left : right + 1]
        frame[:2] = frame[-2:] = color_of(number)
        frame[:, :2] = frame[:, -2:] = color_of(number)
        draw_text(tile, str(number + 1), (top, min(right + 3, OVERVIEW - 20)))
    return tile
