"""Images in [-1, 1] as grey pixels, and many of them side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = (8, 16)
PICTURE_SIDE = 128
"""Smaller images are enlarged in grids."""


def to_pixels(images: NDArray[np.float32], bits: int = 8) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return images in [-1, 1], any shape, over the whole range of 8 or 16 bits."""
    unit = (np.clip(images, -1, 1).astype(np.float64) + 1) / 2
    if bits == 8:
        return np.rint(unit * 255).astype(np.uint8)
    return np.rint(unit * 65535).astype(np.uint16)


def grid_picture(
    images: NDArray[np.float32], columns: int, side: int | None = None
) -> NDArray[np.uint8]:
    """Return images (N, S, S) in [-1, 1] side by side in rows, grey, 8 bits.

    Args:
        images: Which; what is left of the last row stays black.
        columns: Images of a row.
        side: Pixels of an image there, at least; a whole multiple of its own.
    """
    own = images.shape[-1]
    zoom = max(1, (side or max(own, PICTURE_SIDE)) // own)
    grey = np.asarray(to_pixels(images), np.uint8).repeat(zoom, axis=1).repeat(zoom, axis=2)
    grey = np.concatenate([grey, np.zeros((-len(grey) % columns, *grey.shape[1:]), np.uint8)])
    rows = grey.reshape(-1, columns, *grey.shape[1:]).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(rows.reshape(-1, columns * grey.shape[2]))
