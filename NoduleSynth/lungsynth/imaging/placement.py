"""Whether a nodule can go where it is asked to: checked before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Occupied
from lungsynth.core.nodule import Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.voi import anatomical_axes

AIR_HU = -965.0
"""Smoothed intensities below this are air; lung tissue lies above, emphysema apart."""
EDGE_MM = 2.0
"""How far a nodule's surface must stay from the volume's edge."""


def check_seeds(
    volume: Volume,
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    *,
    earlier: Sequence[Occupied] = (),
) -> None:
    """Refuse seeds that cannot work.

    Raises:
        LungSynthError: If there is no seed, or one lies outside the volume, too near its edge, in
            the air outside the body, or where its box would overlap that of an earlier nodule.
    """
    if not seeds:
        msg = "no seed given; at least one is needed"
        raise LungSynthError(msg)
    shape_ijk = np.array(volume.voxels.shape[::-1])
    taken = [
        (volume.ras_to_ijk(done.seed.position_ras_mm), _half_box(volume, done), str(done.seed))
        for done in earlier
    ]
    for seed in seeds:
        ijk = volume.ras_to_ijk(seed.position_ras_mm)
        if (ijk < -0.5).any() or (ijk > shape_ijk - 0.5).any():
            msg = (
                f"{seed} lies outside the volume: voxel (i, j, k) = {_rounded(ijk)} of {shape_ijk}"
            )
            raise LungSynthError(msg)
        room_mm = float((np.minimum(ijk + 0.5, shape_ijk - 0.5 - ijk) * volume.spacing_mm).min())
        needed_mm = seed.spec.diameter_mm / 2 + EDGE_MM
        if room_mm < needed_mm:
            msg = (
                f"{seed} is too near the volume's edge: {room_mm:.1f} mm from it, where a nodule "
                f"of {seed.spec.diameter_mm:g} mm needs {needed_mm:.1f} mm"
            )
            raise LungSynthError(msg)
        thickest_mm = float(volume.spacing_mm.max())
        if thickest_mm > synthesizer.box_mm(seed.spec.diameter_mm):
            msg = (
                f"{seed}: a nodule of {seed.spec.diameter_mm:g} mm can fall between voxels that "
                f"are {thickest_mm:g} mm apart; ask for a larger one or take a finer volume"
            )
            raise LungSynthError(msg)
        if in_outside_air(volume, ijk):
            msg = f"{seed} lies in the air outside the body; place it inside the lungs"
            raise LungSynthError(msg)
        half_mm = np.full(3, synthesizer.box_mm(seed.spec.diameter_mm) / 2)
        for other_ijk, other_half_mm, other in taken:
            apart_mm = np.abs(ijk - other_ijk) * volume.spacing_mm
            if (apart_mm < half_mm + other_half_mm).all():
                needed = float((half_mm + other_half_mm).max())
                msg = (
                    f"{seed} overlaps an earlier nodule ({other}): their boxes need {needed:.1f} "
                    f"mm between centres along one axis and have {apart_mm.max():.1f} mm"
                )
                raise LungSynthError(msg)
        taken.append((ijk, half_mm, str(seed)))


def in_outside_air(volume: Volume, ijk: NDArray[np.float64]) -> bool:
    """Return whether a point lies in the air around the body.

    Only its slice (across the axis nearest S) is looked at: air that reaches the slice's border
    through air is outside the body; that in the lungs, airways and bowel is walled in.
    """
    order, _ = anatomical_axes(volume)
    k_axis = order[0]
    kji = np.clip(np.rint(ijk[::-1]).astype(int), 0, np.array(volume.voxels.shape) - 1)
    plane = np.take(volume.voxels, int(kji[k_axis]), axis=k_axis).astype(np.float32)
    spacing = np.delete(volume.spacing_mm[::-1], k_axis)
    row, column = (int(n) for n in np.delete(kji, k_axis))
    # A patch of about 5 mm around the point settles most seeds without looking further.
    reach = np.maximum(1, np.rint(2.5 / spacing).astype(int))
    patch = plane[
        max(0, row - reach[0]) : row + reach[0] + 1,
        max(0, column - reach[1]) : column + reach[1] + 1,
    ]
    if not np.median(patch) < AIR_HU:
        return False
    size = [int(2 * n + 1) for n in reach]
    air = ndimage.uniform_filter(plane, size=size, mode="nearest") < AIR_HU
    air[row, column] = True  # the median may call it air where the mean does not
    labels, _ = ndimage.label(air)
    at_border = {*labels[0], *labels[-1], *labels[:, 0], *labels[:, -1]} - {0}
    return int(labels[row, column]) in {int(n) for n in at_border}


def _half_box(volume: Volume, done: Occupied) -> NDArray[np.float64]:
    extent_kji = np.array(done.box[1]) - np.array(done.box[0])
    return np.asarray(extent_kji[::-1] * volume.spacing_mm / 2)


def _rounded(ijk: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{x:.1f}" for x in ijk) + ")"
