"""Trachea and main bronchi on a coarse grid, found by their shape and grown by their HU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.imaging.coarse import Bools

Track = list[tuple[int, int, int]]

LUMEN_HU = -850.0
AREA_MM2 = (40.0, 700.0)  # of the tracheal lumen in a slice
MOST_ML = 85.0  # trachea to lobar bronchi hold 40 to 70 ml; more is a leak into the lung


def central_airways(hu: NDArray[np.float32], air: Bools, spacing_mm: NDArray[np.float64]) -> Bools:
    """Return the lumen of trachea and main bronchi; empty where no trachea is seen.

    Args:
        hu: Coarse intensities, axes (S, A, R).
        air: Air inside the body, same shape.
        spacing_mm: Block size along (S, A, R).
    """
    seeds = _trachea(hu, air, spacing_mm)
    if not seeds:
        return np.zeros(hu.shape, bool)
    start = np.zeros(hu.shape, bool)
    start[tuple(np.array(seeds).T)] = True
    block_ml = float(np.prod(spacing_mm)) / 1000
    best = start
    for level in range(-985, -859, 15):
        lumen = air & (hu < level)
        grown = ndimage.binary_propagation(start & lumen, mask=lumen)
        volume = grown.sum() * block_ml
        if volume > MOST_ML or (volume > 25 and volume > 1.7 * best.sum() * block_ml > 17):
            break
        if volume > best.sum() * block_ml:
            best = grown
    return best


def _trachea(hu: NDArray[np.float32], air: Bools, spacing_mm: NDArray[np.float64]) -> Track:
    """Return one block in the lumen for each slice of the trachea, from the top down."""
    across = np.flatnonzero(air.any(axis=(0, 1)))
    if not len(across):
        return []
    middle = 0.5 * (across[0] + across[-1])
    tracks: list[Track] = []
    open_tracks: list[Track] = []
    for s in range(len(hu) - 1, -1, -1):
        found = _round_lumens(hu[s], air[s], middle, spacing_mm)
        still: list[Track] = []
        for a, r in found:
            moves = [np.array([t[-1][1] - a, t[-1][2] - r]) * spacing_mm[1:] for t in open_tracks]
            near = [
                t
                for t, move in zip(open_tracks, moves, strict=True)
                if np.hypot(*move) < 4 + spacing_mm[0] and t not in still
            ]
            track = max(near, key=len) if near else []
            if not near:
                tracks.append(track)
            track.append((s, a, r))
            still.append(track)
        open_tracks = still
    tracks = [t for t in tracks if len(t) * spacing_mm[0] >= 18]
    return max(tracks, key=len, default=[])


def _round_lumens(
    hu: NDArray[np.float32], air: Bools, middle: float, spacing_mm: NDArray[np.float64]
) -> list[tuple[int, int]]:
    """Return the middle (A, R) of each round lumen of a trachea's size near the midline."""
    labels, _ = ndimage.label(air & (hu < LUMEN_HU))
    found: list[tuple[int, int]] = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        inside = labels[box] == label
        area = inside.sum() * spacing_mm[1] * spacing_mm[2]
        height, width = np.array(inside.shape) * spacing_mm[1:]
        at = 0.5 * (box[1].start + box[1].stop - 1)
        if (
            AREA_MM2[0] <= area <= AREA_MM2[1]
            and max(height, width) < 2.4 * min(height, width)
            and area > 0.5 * height * width
            and abs(at - middle) * spacing_mm[2] < 32
        ):
            rows, columns = np.nonzero(inside)
            central = int(np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2))
            found.append((box[0].start + int(rows[central]), box[1].start + int(columns[central])))
    return found
