"""Whether a nodule can go where it is asked to in a radiograph: checked before anything changes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import PATCH_PIXELS
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Occupied
from lungsynth.core.radiograph import CxrSeed, Radiograph
from lungsynth.core.radiograph_insertion import CxrInsertion
from lungsynth.imaging.radiograph_patch import working_pixel

LARGEST_PATCH_PART = 0.625
"""(ours) Largest diameter over the side of the patch, so that its surroundings can be seen."""
LEAST_PIXELS = 3.0
"""Smallest diameter in native pixels that can be drawn and measured."""
EDGE_PIXELS = 2.0
"""How far a nodule must stay from the border of the image."""
REACH = 0.7
"""(ours) How far an elongated nodule and its edge reach from its centre, over its diameter."""


def check_radiograph(image: Radiograph) -> None:
    """Refuse an image in which nothing can be drawn.

    Raises:
        LungSynthError: If its pixels are all alike, or not all finite.
    """
    if image.pixels.dtype.kind == "f" and not np.isfinite(image.pixels).all():
        msg = "the radiograph has NaN or infinite pixels; they must be finite"
        raise LungSynthError(msg)
    low, high = image.robust_range
    if not high > low:
        msg = f"the radiograph is blank: almost all its pixels have the value {low:g}"
        raise LungSynthError(msg)


def largest_diameter_px(image: Radiograph) -> float:
    """Return the largest diameter that a patch of the image can hold, in native pixels."""
    return LARGEST_PATCH_PART * PATCH_PIXELS * math.sqrt(math.prod(working_pixel(image)))


def check_cxr_seeds(
    image: Radiograph,
    seeds: Sequence[CxrSeed],
    *,
    earlier: Sequence[CxrInsertion | Occupied] = (),
) -> None:
    """Refuse seeds that cannot work.

    Raises:
        LungSynthError: If there is no seed, or one lies outside the image or too near its border,
            is larger than the patch can hold or too small to be drawn, is in mm where the
            spacing is unknown, or overlaps an earlier nodule.
    """
    if not seeds:
        msg = "no seed given; at least one is needed"
        raise LungSynthError(msg)
    check_radiograph(image)
    taken = [(*_box_of(one), one.seed.name or str(one.seed)) for one in earlier]
    for seed in seeds:
        diameter_px = seed.spec.diameter_in_pixels(image)
        at = image.ras_to_pixel(seed.position_ras_mm)
        _check_size(image, seed, diameter_px)
        _check_place(image, seed, at, diameter_px)
        half = np.full(2, REACH * diameter_px + EDGE_PIXELS)
        for other_at, other_half, other in taken:
            apart = np.abs(at - other_at)
            if (apart < half + other_half).all():
                needed = half + other_half
                axis = int(np.argmin(needed - apart))
                have, need = (_length(image, float(n[axis]), axis) for n in (apart, needed))
                along = ("down", "across")[axis]
                msg = (
                    f"{seed} overlaps an earlier nodule ({other}): it is {have} from it {along} "
                    f"the image, where {need} are needed along one axis"
                )
                raise LungSynthError(msg)
        taken.append((at, half, seed.name or str(seed)))


def _check_size(image: Radiograph, seed: CxrSeed, diameter_px: float) -> None:
    largest = largest_diameter_px(image)
    if diameter_px > largest:
        limit = f"{largest:.0f} px"
        if image.pixel_spacing_mm is not None:
            limit += f" = {largest * math.sqrt(math.prod(image.pixel_spacing_mm)):.0f} mm"
        msg = (
            f"{seed}: a nodule of {seed.spec.size} is larger than the patch around it can hold in "
            f"this radiograph (at most {limit})"
        )
        raise LungSynthError(msg)
    if diameter_px < LEAST_PIXELS:
        msg = (
            f"{seed}: a nodule of {seed.spec.size} is {diameter_px:.1f} pixels wide in this "
            f"radiograph; at least {LEAST_PIXELS:g} are needed"
        )
        raise LungSynthError(msg)


def _check_place(
    image: Radiograph, seed: CxrSeed, at: NDArray[np.float64], diameter_px: float
) -> None:
    rows, columns = image.pixels.shape
    place = f"(row, column) = ({at[0]:.1f}, {at[1]:.1f})"
    if (at < -0.5).any() or (at > np.array([rows, columns]) - 0.5).any():
        msg = f"{seed} lies outside the radiograph: {place} of {rows} x {columns}"
        raise LungSynthError(msg)
    room = float(np.minimum(at + 0.5, np.array([rows, columns]) - 0.5 - at).min())
    needed = diameter_px / 2 + EDGE_PIXELS
    if room < needed:
        msg = (
            f"{seed} is too near the border of the radiograph: {room:.0f} pixels from it, where a "
            f"nodule of {seed.spec.size} needs {needed:.0f}"
        )
        raise LungSynthError(msg)


def _length(image: Radiograph, pixels: float, axis: int) -> str:
    """Return a length along rows (0) or columns (1) in pixels, and in mm where that is known."""
    if image.pixel_spacing_mm is None:
        return f"{pixels:.0f} pixels"
    return f"{pixels:.0f} pixels ({pixels * image.pixel_spacing_mm[axis]:.1f} mm)"


def _box_of(done: CxrInsertion | Occupied) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return centre and half extent (rows, columns) of the box of a nodule that is there."""
    low, high = np.array(done.box[0][1:], float), np.array(done.box[1][1:], float)
    return (low + high - 1) / 2, (high - low) / 2
