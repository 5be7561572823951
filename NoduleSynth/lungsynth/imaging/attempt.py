"""One nodule as it would be in a volume: made once, measured, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS, CtSynthesizer
from lungsynth.core.density import LEAST_CONTRAST_HU
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Box, Measurement, diameter_tolerance_mm
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.voi import Voi, box_taper, locate_voi

TAPER_VOXELS = 4
"""(ours) Eighth of the box over which a difference fades out towards each face."""
RIM_FADE_MM = (2.5, 6.0)
"""(ours) From where around a nodule lung tissue is kept, and from where wholly."""
WALL_HU = -300.0
"""(ours) Denser tissue that reaches into a box from outside is wall, and kept from closer by."""
WALL_FADE_MM = (1.0, 3.5)
"""(ours) As RIM_FADE_MM, for walls."""
LUNG_BELOW_HU = -600.0
"""(ours) What is thinner is lung without vessels, which a nodule has to stand out from."""
_CENTRE = slice((GRID_VOXELS - BOX_VOXELS) // 2, (GRID_VOXELS + BOX_VOXELS) // 2)
_TAPER = box_taper(TAPER_VOXELS)


@dataclass(frozen=True, eq=False)
class Attempt:
    """One nodule as it would be in the volume.

    Args:
        box: Voxels that it replaces.
        voxels: What comes there.
        mask: The nodule in them.
        measured: Its size and density.
        details: For the report.
        centre_ras_mm: Centre of mass of its mask.
        contrast_hu: By how much it is denser than the lung that was there; NaN if most was none,
            None if nobody has looked.
    """

    box: Box
    voxels: NDArray[np.generic]
    mask: NDArray[np.bool_]
    measured: Measurement
    details: dict[str, str]
    centre_ras_mm: tuple[float, float, float] = (float("nan"),) * 3
    contrast_hu: float | None = None

    def miss(self, seed: Seed) -> float:
        """Return how far it is from what was asked: up to 1 is within tolerance."""
        asked = seed.spec.diameter_mm
        size = abs(self.measured.diameter_mm - asked) / diameter_tolerance_mm(asked)
        low, high = ATTENUATION_HU_RANGE[seed.spec.attenuation]
        mean = self.measured.mean_hu
        beyond = max(low - mean, mean - high, 0.0) if np.isfinite(mean) else 0.0  # size says it
        return size if beyond == 0 else max(size, 1 + beyond / (high - low))

    def away(self, seed: Seed) -> float:
        """Return how far its centre is from the seed, as a part of the diameter's tolerance."""
        apart = np.subtract(self.centre_ras_mm, seed.position_ras_mm)
        return float(np.linalg.norm(np.nan_to_num(apart))) / diameter_tolerance_mm(
            seed.spec.diameter_mm
        )

    def faint(self, seed: Seed) -> bool:
        """Return whether it can hardly be seen: 98 % of real ones of its class stand out more."""
        contrast = self.contrast_hu
        return contrast is not None and contrast < LEAST_CONTRAST_HU[seed.spec.attenuation]

    def fits(self, seed: Seed) -> bool:
        """Return whether it need not be made again in another box.

        Half the tolerance, for other ways to measure a nodule shall agree too; of the place, which
        is no promise, a little more.
        """
        return self.miss(seed) <= 0.5 and self.away(seed) <= 0.8

    def fails(self, seed: Seed) -> bool:
        """Return whether another nodule is to be drawn."""
        return self.miss(seed) > 1 or self.faint(seed)

    def worth(self, seed: Seed) -> tuple[bool, bool, float]:
        """Return what is less for the better of two: a promise kept counts before all."""
        miss = self.miss(seed)
        return miss > 1, self.faint(seed), max(miss, self.away(seed))


def attempt_each(  # noqa: PLR0917 - of a batch
    volume: Volume,
    seeds: Sequence[Seed],
    places_ras_mm: Sequence[NDArray[np.float64]],
    box_mm: Sequence[float],
    synthesizer: CtSynthesizer,
    replaced: NDArray[np.bool_] | None,
) -> list[Attempt]:
    """Make each nodule once, in a box of the place and size given."""
    vois = [
        locate_voi(volume, (float(r), float(a), float(s)), side)
        for (r, a, s), side in zip(places_ras_mm, box_mm, strict=True)
    ]
    cubes = np.stack([voi.extract(volume.voxels) for voi in vois])
    for seed, cube in zip(seeds, cubes, strict=True):
        if not np.isfinite(cube).all():
            msg = f"{seed}: the volume has NaN or infinite voxels there; they must be finite"
            raise LungSynthError(msg)
    filled = synthesizer.inpaint(cubes, [seed.spec for seed in seeds], box_mm)
    centres = cubes[:, _CENTRE, _CENTRE, _CENTRE]
    attempts = []
    for n, (seed, voi) in enumerate(zip(seeds, vois, strict=True)):
        details = dict(filled.details[n]) if filled.details else {}
        old = None if replaced is None else voi.extract(replaced) > 0.5
        change = _TAPER * (filled.hu[n] - centres[n])
        change *= freedom_to_change(cubes[n], filled.mask[n], box_mm[n], old)
        made = _on_native_grid(volume, seed, voi, change, filled.mask[n], details)
        (k0, j0, i0), (k1, j1, i1) = voi.box
        box = (slice(k0, k1), slice(j0, j1), slice(i0, i1))
        going = None if replaced is None else replaced[box]
        contrast = contrast_hu(volume.voxels[box], made.voxels, made.mask, going)
        attempts.append(replace(made, contrast_hu=contrast))
    return attempts


def freedom_to_change(
    cube_hu: NDArray[np.float32],
    soft_mask: NDArray[np.float32],
    box_mm: float,
    replaced: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Return how far each voxel of the box may change, 0 to 1, shape (32, 32, 32).

    The nodule and its rim may; tissue further off stays as it was, and dense tissue that reaches
    in from outside the box (chest wall, mediastinum, large vessels) stays from close by.

    Args:
        cube_hu: The cube before, (64, 64, 64).
        soft_mask: How far each voxel of the box belongs to the nodule, (32, 32, 32).
        box_mm: Side of the box.
        replaced: Nodules in the cube (64, 64, 64) that are to go: free like the new one.
    """
    nodule = soft_mask > 0.5
    if not nodule.any():
        return np.ones_like(soft_mask)
    dense = cube_hu > WALL_HU
    if replaced is not None:
        nodule = nodule | replaced[_CENTRE, _CENTRE, _CENTRE]
        dense = dense & ~replaced
    away_mm = ndimage.distance_transform_edt(~nodule) * box_mm / BOX_VOXELS
    free = _fade(away_mm, RIM_FADE_MM)
    labels, _ = ndimage.label(dense)
    outside = labels.copy()
    outside[_CENTRE, _CENTRE, _CENTRE] = 0
    reaching = np.unique(outside)
    wall = np.isin(labels[_CENTRE, _CENTRE, _CENTRE], reaching[reaching > 0])
    if wall.any():
        soft = ndimage.gaussian_filter(ndimage.binary_dilation(wall).astype(np.float32), 0.7)
        free = free * (1 - soft * (1 - _fade(away_mm, WALL_FADE_MM)))
    return np.asarray(free, dtype=np.float32)


def _fade(away_mm: NDArray[np.float64], between_mm: tuple[float, float]) -> NDArray[np.float64]:
    """Return 1 up to the first distance, 0 from the second on, and a smooth step between."""
    near, far = between_mm
    part = np.clip((far - away_mm) / (far - near), 0, 1)
    return np.asarray(part * part * (3 - 2 * part))


def _on_native_grid(  # noqa: PLR0917 - one item of a batch
    volume: Volume,
    seed: Seed,
    voi: Voi,
    change: NDArray[np.float32],
    soft_mask: NDArray[np.float32],
    details: dict[str, str],
) -> Attempt:
    """Bring a change and its mask to the volume's own voxels and measure there."""
    (k0, j0, i0), (k1, j1, i1) = voi.box
    old = volume.voxels[k0:k1, j0:j1, i0:i1]
    native_change = voi.to_native(change)
    native_soft = voi.to_native(soft_mask)
    mask = _main_piece(native_soft > 0.5)
    new = _as_dtype(old, native_change)
    measured = measure(new, mask, volume.voxel_mm3)
    low, high = ATTENUATION_HU_RANGE[seed.spec.attenuation]
    if mask.any() and not low <= measured.mean_hu <= high:
        # Denser or thinner as a whole, by what is missing and a tenth of the class's range.
        tenth = (high - low) / 10
        offset = np.clip(measured.mean_hu, low + tenth, high - tenth) - measured.mean_hu
        weight = voi.to_native(_TAPER * soft_mask)
        offset = offset / max(float(weight[mask].mean()), 0.25)
        new = _as_dtype(old, native_change + np.float32(offset) * weight)
        measured = measure(new, mask, volume.voxel_mm3)
        details = {**details, "density_offset_hu": f"{offset:.0f}"}
    return Attempt(
        voi.box,
        new,
        mask,
        measured,
        details,
        centre_ras_mm=_centre_ras_mm(volume, voi.box, mask),
    )


def contrast_hu(
    old: NDArray[np.generic],
    new: NDArray[np.generic],
    mask: NDArray[np.bool_],
    replaced: NDArray[np.bool_] | None = None,
) -> float:
    """Return by how much a nodule is denser than the lung that was there; NaN if most was not.

    Args:
        old: HU before.
        new: HU after, same shape.
        mask: The nodule, same shape.
        replaced: Nodules that were there before, same shape: no lung, however thin.
    """
    lung = mask & (np.asarray(old) < LUNG_BELOW_HU)
    if replaced is not None:
        lung &= ~replaced
    if not lung.any() or 2 * lung.sum() < mask.sum():
        return float("nan")
    change = new[lung].astype(np.float64) - old[lung].astype(np.float64)
    return float(change.mean())


def _centre_ras_mm(volume: Volume, box: Box, mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the centre of mass of a mask (k, j, i) in a box of the volume; NaN if it is empty."""
    if not mask.any():
        return (float("nan"),) * 3
    k, j, i = np.argwhere(mask).mean(axis=0) + box[0]
    r, a, s, _ = volume.ijk_to_ras @ np.array([i, j, k, 1.0])
    return float(r), float(a), float(s)


def measure(voxels: NDArray[np.generic], mask: NDArray[np.bool_], voxel_mm3: float) -> Measurement:
    """Measure a nodule from voxels in HU and its mask, both of the same shape."""
    count = int(mask.sum())
    volume_mm3 = count * voxel_mm3
    return Measurement(
        diameter_mm=float(np.cbrt(6 * volume_mm3 / np.pi)),
        mean_hu=float(voxels[mask].mean()) if count else float("nan"),
        volume_mm3=volume_mm3,
    )


def _main_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest 26-connected piece, its holes filled."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3, 3)))
    if count > 1:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(mask), dtype=bool)


def _as_dtype(old: NDArray[Any], change: NDArray[np.float32]) -> NDArray[Any]:
    """Return old + change in old's type: rounded and kept within its range."""
    if np.issubdtype(old.dtype, np.floating):
        return np.asarray(old + change, dtype=old.dtype)
    limits = np.iinfo(old.dtype)
    # A change never takes a voxel below air, unless it was there before.
    floor = np.minimum(old.astype(np.float32), max(-1024, limits.min))
    new = np.clip(np.rint(old.astype(np.float32) + change), floor, limits.max)
    return np.asarray(new, dtype=old.dtype)
