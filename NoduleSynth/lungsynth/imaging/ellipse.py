"""The size of a shape in a radiograph: axes of the ellipse that has its second moments.

[shen2022, III.B]: a nodule's diameter is the mean of the major and the minor axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError


def ellipse_axes(
    mask: NDArray[Any], pixel_spacing: tuple[float, float] = (1.0, 1.0)
) -> tuple[float, float]:
    """Return the full lengths of the major and the minor axis.

    Args:
        mask: Shape (rows, columns), bool, or soft: each pixel counts by its value, as a square.
        pixel_spacing: Pixel size along (rows, columns); the lengths are in its unit.

    Raises:
        LungSynthError: If the mask is empty.
    """
    weight = np.asarray(mask, dtype=np.float64)
    total = float(weight.sum())
    if weight.ndim != 2 or total <= 0:
        msg = f"a 2-D mask with at least one pixel is needed; got {weight.shape}, sum {total:g}"
        raise LungSynthError(msg)
    row_size, column_size = pixel_spacing
    row = np.arange(weight.shape[0]) * row_size
    column = np.arange(weight.shape[1]) * column_size
    by_row, by_column = weight.sum(axis=1) / total, weight.sum(axis=0) / total
    row, column = row - by_row @ row, column - by_column @ column
    cross = float(row @ weight @ column) / total
    # The second moment of a pixel itself is a twelfth of its side's square.
    rows = float(by_row @ row**2) + row_size**2 / 12
    columns = float(by_column @ column**2) + column_size**2 / 12
    moments = np.linalg.eigvalsh(np.array([[rows, cross], [cross, columns]]))
    # That of an ellipse with the full axis 2a is a^2 / 4.
    minor, major = 4 * np.sqrt(np.clip(moments, 0, None))
    return float(major), float(minor)


def ellipse_diameter(mask: NDArray[Any], pixel_spacing: tuple[float, float] = (1.0, 1.0)) -> float:
    """Return the mean of both axes [shen2022, III.B]; see ``ellipse_axes``."""
    major, minor = ellipse_axes(mask, pixel_spacing)
    return (major + minor) / 2
