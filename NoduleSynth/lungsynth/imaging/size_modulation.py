"""Size modulation of nodule shapes: the same outline at the diameter that is asked.

After shen2022, III.B: the diameter is the mean of the major and minor axes of the ellipse with the
shape's normalised second central moments; the shape is scaled by asked over measured and laid on
the centre of an empty patch. (ours) Instead of nearest-neighbour copies of pixels, the outline is
scaled, and each pixel of the result holds how much of it lies inside: a shape of 6 pixels and one
of 100 have as smooth an edge. What the pixels then measure is corrected until it is what was asked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.ellipse import ellipse_diameter

SHAPE_SIDE = 128
"""Side of the masks that shapes are learnt on [shen2022, III.A]."""
PATCH_SIDE = 256
"""Side of the patches that nodules are put into [shen2022, III.B]."""
INITIAL_DIAMETER_PX = 100.0
"""To which every shape is brought on a patch before it is learnt, d_init [shen2022, IV.A]."""
_FINE = 4  # samples across a pixel
_TOLERANCE = 0.002
_ROUNDS = 6


def modulate_size(
    shape: NDArray[Any], diameter_px: float, side: int = PATCH_SIDE
) -> NDArray[np.float32]:
    """Return the shape at a diameter, its centre of mass in the middle of a patch.

    Args:
        shape: How far each pixel lies in the shape, 0 to 1, (rows, columns), square pixels; the
            outline is where it passes 0.5.
        diameter_px: Asked mean of the axes of the ellipse with equal second moments.
        side: Of the patch.

    Returns:
        How much of each pixel is inside, 0 to 1, float32 (side, side).

    Raises:
        LungSynthError: If the shape is empty, or the diameter is not positive, or what is asked
            is larger than the patch.
    """
    given = np.pad(np.asarray(shape, np.float32), 1)
    if not (given >= 0.5).any():
        msg = "the shape to be scaled is empty: none of its values reaches 0.5"
        raise LungSynthError(msg)
    if not diameter_px > 0:
        msg = f"a nodule's diameter must be positive; got {diameter_px:g} pixels"
        raise LungSynthError(msg)
    inside = given >= 0.5
    centre = np.asarray(ndimage.center_of_mass(inside))
    reach = float(np.abs(np.argwhere(inside) - centre).max()) + 1
    factor = diameter_px / ellipse_diameter(inside)
    for _ in range(_ROUNDS):
        if reach * factor > side / 2:
            msg = f"a nodule of {diameter_px:g} pixels does not fit into a patch of {side}"
            raise LungSynthError(msg)
        mask = _scaled(given, centre, factor, reach, side)
        # of a nodule below a pixel nothing may be left to measure
        measured = ellipse_diameter(mask) if mask.any() else diameter_px / 2
        if abs(measured / diameter_px - 1) <= _TOLERANCE:
            break
        factor *= diameter_px / measured
    return mask


def _scaled(
    given: NDArray[np.float32], centre: NDArray[Any], factor: float, reach: float, side: int
) -> NDArray[np.float32]:
    """Return the shape enlarged by ``factor``, each pixel the part of it that is inside."""
    half = min(int(np.ceil(reach * factor)) + 1, side // 2)
    count = 2 * half * _FINE
    # the middle of a patch of an even side lies between its two middle pixels
    first = centre + ((0.5 / _FINE) - half) / factor
    step = np.full(2, 1 / (_FINE * factor))
    fine = ndimage.affine_transform(given, step, first, (count, count), order=1) >= 0.5
    blocks = fine.reshape(2 * half, _FINE, 2 * half, _FINE).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(np.pad(blocks, side // 2 - half), dtype=np.float32)
