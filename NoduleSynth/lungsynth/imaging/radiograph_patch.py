"""Patches of radiographs: cut out on the grid of the synthesizers, and a difference put back.

As ``imaging.voi`` does it in three dimensions: a small matrix along each axis, whatever the size
and spacing of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import PATCH_PIXELS, WORKING_PIXEL_MM, WORKING_SIDE_PIXELS
from lungsynth.core.radiograph import Radiograph
from lungsynth.imaging.voi import interpolation_matrix, reflected

_LEAST_KERNEL_PIXELS = 0.5
"""(ours) Least half width of the kernel that brings a difference to native pixels."""


def working_pixel(image: Radiograph) -> tuple[float, float]:
    """Return the pixel of the patch's grid in native pixels, (along rows, along columns).

    0.4 mm where the spacing is known, else such that the longer side of the image is 1,024.
    """
    if image.pixel_spacing_mm is not None:
        row_mm, column_mm = image.pixel_spacing_mm
        return WORKING_PIXEL_MM / row_mm, WORKING_PIXEL_MM / column_mm
    side = max(image.pixels.shape) / WORKING_SIDE_PIXELS
    return side, side


@dataclass(frozen=True, eq=False)
class RadiographPatch:
    """A square around a point of a radiograph.

    Args:
        cut: For rows and columns the weights (256, n) from the native indices ``reach``.
        reach: For rows and columns the native indices that ``cut`` reads, reflected at the border.
        put: For rows and columns the weights (m, 256) from the patch to native pixels inside it.
        corner: First native (row, column) inside the patch.
        shape: Native (rows, columns) inside the patch.
        pixel: Side of the patch's pixel in native pixels, (along rows, along columns).
    """

    cut: tuple[NDArray[np.float32], NDArray[np.float32]]
    reach: tuple[NDArray[np.int64], NDArray[np.int64]]
    put: tuple[NDArray[np.float32], NDArray[np.float32]]
    corner: tuple[int, int]
    shape: tuple[int, int]
    pixel: tuple[float, float]

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the native pixels inside the patch."""
        (row, column), (rows, columns) = self.corner, self.shape
        return slice(row, row + rows), slice(column, column + columns)

    def extract(self, image: Radiograph) -> NDArray[np.float32]:
        """Return the patch on the synthesizers' scale, float32 (256, 256)."""
        block = image.normalised(image.pixels[np.ix_(*self.reach)])
        return np.asarray(self.cut[0] @ block @ self.cut[1].T, dtype=np.float32)

    def to_native(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values on the patch's grid at the native pixels inside it."""
        return np.asarray(self.put[0] @ values @ self.put[1].T, dtype=np.float32)


def locate_patch(image: Radiograph, centre: NDArray[np.float64]) -> RadiographPatch:
    """Return the patch around a point.

    Args:
        image: Where it lies; only its geometry is read.
        centre: Its centre, (row, column) inside the image. The patch may reach beyond the image
            (it sees it reflected); what of it lies beyond is not put back.
    """
    pixel = working_pixel(image)
    grid = np.arange(PATCH_PIXELS) - (PATCH_PIXELS - 1) / 2
    cuts, reaches, puts, corner, shape = [], [], [], [], []
    for length, middle, side in zip(image.pixels.shape, centre, pixel, strict=True):
        at = grid * side  # native pixels from the centre
        half = at[-1] + side / 2
        width = max(1.0, side)
        low, high = int(np.floor(middle - half - width)), int(np.ceil(middle + half + width))
        index = np.arange(low, high + 1)
        cuts.append(interpolation_matrix(index - middle, at, width))
        reaches.append(reflected(index, length))
        first = max(0, int(np.ceil(middle - half)))
        last = min(length - 1, int(np.floor(middle + half)))
        native = np.arange(first, last + 1) - middle
        # beyond the outermost centres of the grid the outermost value holds
        native = np.clip(native, at[0], at[-1])
        puts.append(interpolation_matrix(at, native, max(side, _LEAST_KERNEL_PIXELS)))
        corner.append(first)
        shape.append(last - first + 1)
    return RadiographPatch(
        cut=(cuts[0], cuts[1]),
        reach=(reaches[0], reaches[1]),
        put=(puts[0], puts[1]),
        corner=(corner[0], corner[1]),
        shape=(shape[0], shape[1]),
        pixel=pixel,
    )
