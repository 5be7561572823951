"""Where a radiograph shows a patient: not the collimator's border, not markers and burnt-in text.

All of it is (ours): what lies outside would differ from any normal image without being a finding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FLAT = 0.01
"""A border pixel belongs to the collimator if within so little of its neighbours and of the
image's darkest or brightest value (both in parts of the image's range)."""
MARKER_STEP = 0.25
"""A marker stands out of its surroundings by this part of the image's range ..."""
MARKER_LEVEL = 0.9
"""... and is at least so bright, in the same parts ..."""
MARKER_SIDE = 0.09
"""... and is narrower than this part of the image's side."""
CENTRAL = (0.2, 0.85, 0.16, 0.84)
"""Top, bottom, left and right of where no marker is looked for: a dense device there is a
finding. In parts of rows and columns; not used where the lungs are known."""


def exposed_field(
    image: NDArray[np.floating], lungs: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return which pixels show the patient or the air around.

    Args:
        image: Radiograph (rows, columns) on any scale, dense tissue bright.
        lungs: Lung fields, same shape, if they are known: a marker never touches them.
    """
    low, high = float(image.min()), float(image.max())
    unit = (image - low) / max(high - low, 1e-12)
    marked = ndimage.binary_dilation(markers(unit, lungs), iterations=_pixels(image, 0.008))
    return np.asarray(~(collimated(unit) | marked))


def collimated(unit: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the flat darkest or brightest part that reaches the border of an image in [0, 1].

    One pixel of it along the edge towards the picture is counted too, since shrinking blurs it.
    """
    span = ndimage.maximum_filter(unit, 3) - ndimage.minimum_filter(unit, 3)
    found = np.zeros(unit.shape, bool)
    for extreme in (unit <= FLAT, unit >= 1 - FLAT):
        flat = extreme & (ndimage.minimum_filter(span, 3) <= FLAT)
        names, count = ndimage.label(flat)
        if not count:
            continue
        at_border = np.unique(np.concatenate([names[0], names[-1], names[:, 0], names[:, -1]]))
        sizes = np.bincount(names.ravel(), minlength=count + 1)
        # a border is a border, not the few pixels in which a saturated shoulder ends
        keep = [n for n in at_border if n and sizes[n] >= 0.002 * unit.size]
        found |= np.isin(names, keep)
    return np.asarray(
        ndimage.binary_dilation(found, np.ones((3, 3), bool)) if found.any() else found
    )


def markers(
    unit: NDArray[np.floating], lungs: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Return small bright things with sharp edges, such as a letter of lead, in [0, 1] images."""
    side = _pixels(unit, MARKER_SIDE)
    stands_out = ndimage.white_tophat(unit, size=(side, side)) >= MARKER_STEP
    names, count = ndimage.label(stands_out & (unit >= MARKER_LEVEL), np.ones((3, 3), bool))
    if not count:
        return np.zeros(unit.shape, bool)
    forbidden = _central(unit.shape) if lungs is None else lungs
    touched = np.unique(names[forbidden])
    return np.asarray((names > 0) & ~np.isin(names, touched))


def _central(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, columns = shape
    top, bottom, left, right = CENTRAL
    inside = np.zeros(shape, bool)
    inside[
        round(top * rows) : round(bottom * rows), round(left * columns) : round(right * columns)
    ] = True
    return inside


def _pixels(image: NDArray[np.floating], part: float) -> int:
    return max(1, round(part * float(min(image.shape))))
