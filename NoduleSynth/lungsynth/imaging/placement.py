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
SOFT_TISSUE_HU = -200.0
"""(ours) A nodule in place of denser tissue than this is said to be in soft tissue."""
_ALONG = ("from head to foot", "from front to back", "from side to side")
_SAMPLES = np.stack(np.meshgrid(*[np.linspace(-0.9, 0.9, 9)] * 3), axis=-1).reshape(-1, 3)
_BALL = _SAMPLES[np.linalg.norm(_SAMPLES, axis=1) <= 1]
"""Points within a ball of radius 1 where the tissue is looked at."""


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
        (volume.ras_to_ijk(done.seed.position_ras_mm), _half_box(volume, done), done.seed)
        for done in earlier
    ]
    for seed in seeds:
        ijk = volume.ras_to_ijk(seed.position_ras_mm)
        if (ijk < -0.5).any() or (ijk > shape_ijk - 0.5).any():
            raise LungSynthError(_outside(volume, seed, ijk))
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
                reach_mm = half_mm + other_half_mm
                raise LungSynthError(_overlap(volume, (seed, other), apart_mm, reach_mm))
        taken.append((ijk, half_mm, seed))


def place_note(volume: Volume, seed: Seed) -> str:
    """Return a warning where a seed that can work is most likely not where it is meant to be.

    Returns:
        One line if most of the asked ball is soft tissue or bone; empty if all is well.
    """
    points = seed.position_ras_mm + seed.spec.diameter_mm / 2 * _BALL
    ijk = np.rint(volume.ras_to_ijk(points)).astype(int)
    i, j, k = np.clip(ijk, 0, np.array(volume.voxels.shape[::-1]) - 1).T
    found_hu = float(np.median(volume.voxels[k, j, i]))
    if found_hu <= SOFT_TISSUE_HU:
        return ""
    return f"{seed} lies in soft tissue ({found_hu:.0f} HU), not in the lung"


def _outside(volume: Volume, seed: Seed, ijk: NDArray[np.float64]) -> str:
    """Say how far a seed is from the volume, and where that is."""
    top = np.array(volume.voxels.shape[::-1]) - 0.5
    beyond_mm = np.clip(np.maximum(-0.5 - ijk, ijk - top), 0, None) * volume.spacing_mm
    corners = np.stack(np.meshgrid(*zip((-0.5,) * 3, top, strict=True)), axis=-1).reshape(-1, 3)
    ras = volume.ijk_to_ras_mm(corners)
    spans = zip("RAS", ras.min(axis=0), ras.max(axis=0), strict=True)
    span = ", ".join(f"{axis} {round(low)} to {round(high)}" for axis, low, high in spans)
    far = float(np.linalg.norm(beyond_mm))
    return f"{seed} lies outside the volume, {far:.1f} mm beyond its edge; it spans {span} mm"


def _overlap(
    volume: Volume,
    seeds: tuple[Seed, Seed],
    apart_mm: NDArray[np.float64],
    needed_mm: NDArray[np.float64],
) -> str:
    """Say how far a seed is from an earlier one along the axis where least is missing.

    Args:
        volume: Names the axes.
        seeds: The seed, and the one it is too near to.
        apart_mm: Distance of their centres along (i, j, k).
        needed_mm: Distance that would do along any one of these.
    """
    seed, other = seeds
    axis = int(np.argmin(needed_mm - apart_mm))
    along = _ALONG[anatomical_axes(volume)[0].index(2 - axis)]
    missing = needed_mm[axis] - apart_mm[axis]
    name = f"seed {other.name}" if other.name else str(other)
    return (
        f"{seed} overlaps an earlier nodule ({name}): it is {apart_mm[axis]:.1f} mm from it "
        f"{along}, where nodules of {seed.spec.diameter_mm:g} and {other.spec.diameter_mm:g} mm "
        f"need {needed_mm[axis]:.1f} mm along one axis; move it {missing:.1f} mm further"
    )


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
