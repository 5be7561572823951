"""The lungs in a chest CT, from HU and morphology, for any orientation and voxel size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.imaging.airways import central_airways
from lungsynth.imaging.coarse import (
    Bools,
    CoarseGrid,
    bounding_slices,
    close_by_ball,
    component_sizes,
)

LungMethod = Literal["threshold", "lungmask", "auto"]

AERATED_HU = -400.0
SOFT_TISSUE_HU = 50.0
GAS_HU = -945.0  # what a region of lung never has as its median, emphysema included
LEAST_ML = 60.0  # of a lung
PLEURAL_BALL_MM = 12.0  # closes what is up to twice as wide at the pleura: nodules, vessels
SIDES = ("right", "left")
ZONES = ("upper", "middle", "lower")


@dataclass(frozen=True, eq=False)
class CoarseLungs:
    """The lungs on a coarse grid.

    Args:
        grid: How the blocks lie in the volume.
        hu: Block means, shape (S, A, R).
        sides: 0 outside, 1 right lung, 2 left lung, same shape.
        airways: Lumen of trachea and main bronchi, same shape.
    """

    grid: CoarseGrid
    hu: NDArray[np.float32]
    sides: NDArray[np.uint8]
    airways: Bools

    def zones(self) -> NDArray[np.uint8]:
        """Return 0 outside, 1 to 3 right upper, middle, lower third, 4 to 6 left.

        Thirds hold about the same volume of their lung each, like lobes by and large.
        """
        zones = np.zeros(self.sides.shape, np.uint8)
        for side in (1, 2):
            blocks = np.argwhere(self.sides == side)
            if not len(blocks):
                continue
            level = self.grid.to_ras_mm(blocks)[:, 2]
            thirds = np.searchsorted(np.quantile(-level, [1 / 3, 2 / 3]), -level)
            zones[tuple(blocks.T)] = 3 * (side - 1) + 1 + thirds
        return zones


def lung_mask(volume: Volume, *, method: LungMethod = "threshold") -> Bools:
    """Return where the lungs are, shape (K, J, I).

    Vessels, nodules (those at the pleura up to about 24 mm too) and lobar bronchi belong to
    the lungs; trachea, main bronchi, mediastinum and gas in the bowel do not. Consolidated
    lung of more than that width at the pleura is missed.

    Args:
        volume: Chest CT in HU.
        method: "threshold" finds them by HU and shape and gives the same everywhere;
            "lungmask" asks that package's network, which must be there with its weights;
            "auto" takes the network where it is there.

    Raises:
        LungSynthError: If there are no lungs, or the method cannot be used.
    """
    if method != "threshold":
        from lungsynth.imaging.lungmask_net import lungmask_available, lungmask_lungs

        if method == "lungmask" or lungmask_available():
            return lungmask_lungs(volume)
    lungs = find_lungs(volume)
    return lungs.grid.stretch(lungs.sides > 0)


def find_lungs(volume: Volume) -> CoarseLungs:
    """Find the lungs on blocks of about 2.4 mm.

    Raises:
        LungSynthError: If there are no lungs.
    """
    grid = CoarseGrid.of(volume)
    hu = grid.shrink(volume.voxels)
    air = hu < AERATED_HU
    outside = _outside_air(hu, air)
    inside = _with_dense_lung(hu, air & ~outside)
    airways = central_airways(hu, inside, grid.spacing_mm)
    around = ndimage.binary_dilation(airways, iterations=1)
    aerated, gas = _without_gas(hu, inside & ~around, grid)
    if not aerated.any():
        msg = (
            f"no lungs found: no {LEAST_ML:g} ml of aerated tissue ({GAS_HU:g} to "
            f"{AERATED_HU:g} HU) in one piece; values run from {hu.min():.0f} to "
            f"{hu.max():.0f}; a chest CT in HU is needed"
        )
        raise LungSynthError(msg)
    sides = _split_sides(aerated, grid)
    forbidden = outside | gas | around
    for side in (1, 2):
        closed = close_by_ball(sides == side, PLEURAL_BALL_MM, grid.spacing_mm)
        closed = ndimage.binary_fill_holes(closed)
        sides[closed & ~forbidden & (sides == 0)] = side
    return CoarseLungs(grid, hu, sides, airways)


def _with_dense_lung(hu: NDArray[np.float32], inside: Bools) -> Bools:
    """Move the threshold half way from the lung that was found to soft tissue.

    Lungs scanned at less than full breath are dense; their dependent parts would be lost.
    """
    lung = hu[inside & (hu > GAS_HU)]
    if not lung.size:
        return inside
    level = float(np.clip(0.5 * (np.median(lung) + SOFT_TISSUE_HU), AERATED_HU, -300))
    wider = hu < level
    return np.asarray(inside | (wider & ndimage.binary_dilation(inside, iterations=2)))


def split_lungs(volume: Volume, lungs: Bools) -> CoarseLungs:
    """Return a lung mask that is given, shape (K, J, I), on the coarse grid.

    Raises:
        LungSynthError: If the mask is empty or of another shape than the volume.
    """
    if lungs.shape != volume.voxels.shape or not lungs.any():
        msg = (
            f"the lung mask must have the volume's shape {volume.voxels.shape} and not be "
            f"empty; got shape {lungs.shape}"
        )
        raise LungSynthError(msg)
    grid = CoarseGrid.of(volume)
    hu = grid.shrink(volume.voxels)
    mask = grid.shrink(lungs) >= 0.5
    air = hu < AERATED_HU
    airways = central_airways(hu, air & ~_outside_air(hu, air), grid.spacing_mm)
    return CoarseLungs(grid, hu, _split_sides(mask, grid), airways)


def _outside_air(hu: NDArray[np.float32], air: Bools) -> Bools:
    """Return the air around the body: at the border of its axial slice, and dark as air is.

    Slices are looked at one by one, since a trachea may open into padding and lead into the
    lungs. Lungs that the border cuts are at the border too but not as dark; what is darker
    than they are beside them is still outside.
    """
    outside = air & (hu < GAS_HU)
    for row, (plane, lucent) in enumerate(zip(hu, air, strict=True)):
        outside[row] = _at_border(outside[row]) > 0
        pieces = _at_border(lucent)
        for label in np.unique(pieces[pieces > 0]):
            piece = pieces == label
            if np.median(plane[piece]) < GAS_HU:
                outside[row, piece] = True
    return np.asarray(ndimage.binary_dilation(outside, iterations=2, mask=air))


def _at_border(plane: Bools) -> NDArray[np.int32]:
    """Return the labels of the pieces of a slice that touch its border; 0 elsewhere."""
    labels, count = ndimage.label(plane)
    touches = np.zeros(count + 1, bool)
    touches[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    return np.asarray(np.where(touches[labels], labels, 0), np.int32)


def _without_gas(hu: NDArray[np.float32], air: Bools, grid: CoarseGrid) -> tuple[Bools, Bools]:
    """Tell lung from other gas (stomach, bowel, rest of the trachea); return both.

    Pieces are judged once eroded by a block, since a thin wall (stomach and diaphragm) may
    leak.
    """
    core = ndimage.binary_erosion(air, border_value=1)
    labels, count = ndimage.label(core)
    is_gas = np.zeros(count + 1, bool)
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        is_gas[label] = np.median(hu[box][labels[box] == label]) < GAS_HU
    gas = air & ndimage.binary_dilation(is_gas[labels], iterations=2)
    rest, pieces = ndimage.label(air & ~gas)
    volume_ml = component_sizes(rest, pieces) * grid.block_ml
    keep = (volume_ml >= LEAST_ML) & (volume_ml >= 0.08 * volume_ml.max())
    return np.asarray(keep[rest]), gas


def _split_sides(lungs: Bools, grid: CoarseGrid) -> NDArray[np.uint8]:
    """Label right (1) and left (2) lung, also where they touch.

    Lungs that touch are eroded until they part; each block goes to the nearer part. A single
    lung is called by the half of the patient's axis that it is in, seen from the volume's
    centre.
    """
    sides = np.zeros(lungs.shape, np.uint8)
    box = bounding_slices(lungs)
    inner = lungs[box]
    depth = ndimage.distance_transform_edt(np.pad(inner, 1), sampling=grid.spacing_mm)
    depth = depth[1:-1, 1:-1, 1:-1]
    for erosion_mm in (0.0, 3.0, 6.0, 9.0, 13.0, 18.0):
        labels, count = ndimage.label(depth > erosion_mm)
        sizes = component_sizes(labels, count)
        order = np.argsort(sizes)[::-1]
        if count >= 2 and sizes[order[1]] > 0.2 * sizes[order[0]]:
            parts = [labels == order[0], labels == order[1]]
            across = [float(np.nonzero(part)[2].mean()) for part in parts]
            right, left = parts if across[0] > across[1] else parts[::-1]
            to_right = ndimage.distance_transform_edt(~right, sampling=grid.spacing_mm)
            to_left = ndimage.distance_transform_edt(~left, sampling=grid.spacing_mm)
            sides[box] = np.where(inner, np.where(to_right <= to_left, 1, 2), 0)
            return sides
    middle = 0.5 * (lungs.shape[2] - 1)
    sides[lungs] = 1 if np.nonzero(lungs)[2].mean() > middle else 2
    return sides
