"""Can this image be a chest radiograph? Wherever it comes from; needs numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph

LEAST_SIDE = 128
LARGEST_SIDE_MM = 700.0
"""A detector is at most 430 mm wide; a larger image has no spacing but a stand-in for it."""
_BACKGROUND_SHARE, _MIDDLE_SHARE = 0.8, 0.08
"""(ours) A page of text is mostly one value, and little of the rest is grey."""
_HU_OF_AIR = -700.0


def check_image(source: str, image: Radiograph) -> None:
    """Raise unless an image can be a chest radiograph.

    Args:
        source: What messages call it.
        image: What was read.

    Raises:
        LungSynthError: If it is too small, blank, not finite, one slice of a CT, or plain text.
    """
    rows, columns = image.pixels.shape
    if min(rows, columns) < LEAST_SIDE:
        msg = (
            f"{source}: a 2-D image of {columns} x {rows} pixels; a radiograph needs {LEAST_SIDE} "
            "on each side, and a CT is a volume"
        )
        raise LungSynthError(msg)
    if image.pixels.dtype.kind == "f" and not np.isfinite(image.pixels).all():
        msg = f"{source}: has NaN or infinite pixels; they must be finite"
        raise LungSynthError(msg)
    sample: NDArray[Any] = image.pixels[:: max(1, rows // 256), :: max(1, columns // 256)]
    low, high = float(sample.min()), float(sample.max())
    if high <= low:
        msg = f"{source}: a blank image (every pixel is {low:g}); a radiograph is needed"
        raise LungSynthError(msg)
    if low < _HU_OF_AIR:
        msg = (
            f"{source}: values run from {low:g} to {high:g}, as in one slice of a CT in HU; "
            "a radiograph is needed, or the whole CT"
        )
        raise LungSynthError(msg)
    _check_not_text(source, (sample - low) / (high - low))


def _check_not_text(source: str, unit: NDArray[np.floating[Any]]) -> None:
    """Refuse a page of burnt-in text: one background, and hardly any grey between it and ink."""
    histogram = np.histogram(unit, bins=64, range=(0, 1))[0] / unit.size
    middle = float(histogram[8:-8].sum())
    if histogram.max() > _BACKGROUND_SHARE and middle < _MIDDLE_SHARE:
        msg = (
            f"{source}: burnt-in text or drawing on a plain background, no radiograph "
            f"({100 * histogram.max():.0f} % of it has one value)"
        )
        raise LungSynthError(msg)
