"""Putting nodules into a CT: cut out, fill, put back the difference, measure, calibrate.

Nothing here grows with the volume beyond the copy that becomes the output, and every seed is
checked before any voxel changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS, CtSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import (
    Box,
    Insertion,
    Measurement,
    Occupied,
    diameter_tolerance_mm,
)
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.placement import SOFT_TISSUE_HU, check_seeds
from lungsynth.imaging.voi import Voi, box_taper, locate_voi

TAPER_VOXELS = 4
"""(ours) Eighth of the box over which a difference fades out towards each face."""
ROUNDS_PER_DRAW = 5
"""How often a nodule is made in boxes of other sizes before it is drawn anew."""
ROUNDS = 4 * ROUNDS_PER_DRAW
"""How often a nodule is made at most until it keeps what was asked."""
RIM_FADE_MM = (2.5, 6.0)
"""(ours) From where around a nodule lung tissue is kept, and from where wholly."""
WALL_HU = -300.0
"""(ours) Denser tissue that reaches into a box from outside is wall, and kept from closer by."""
WALL_FADE_MM = (1.0, 3.5)
"""(ours) As RIM_FADE_MM, for walls."""
FURTHEST_MOVE = 0.25
"""(ours) How far a box may lie off its seed, over the diameter asked."""
BATCH = 4
"""How many nodules go through the network at once."""

_CENTRE = slice((GRID_VOXELS - BOX_VOXELS) // 2, (GRID_VOXELS + BOX_VOXELS) // 2)
_TAPER = box_taper(TAPER_VOXELS)


@dataclass(frozen=True, eq=False)
class InsertionResult:
    """The volume with its nodules, in the order of the seeds, and where the time went."""

    volume: Volume
    insertions: list[Insertion]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Attempt:
    """One nodule as it would be in the volume; ``centre_ras_mm`` is its mask's centre of mass."""

    box: Box
    voxels: NDArray[np.generic]
    mask: NDArray[np.bool_]
    measured: Measurement
    details: dict[str, str]
    centre_ras_mm: tuple[float, float, float] = (float("nan"),) * 3

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

    def will_do(self, seed: Seed) -> bool:
        """Return whether it need not be made again.

        Half the tolerance, for other ways to measure a nodule shall agree too; of the place, which
        is no promise, a little more.
        """
        return self.miss(seed) <= 0.5 and self.away(seed) <= 0.8

    def worth(self, seed: Seed) -> tuple[bool, float]:
        """Return what is less for the better of two: a promise kept counts before all."""
        miss = self.miss(seed)
        return miss > 1, max(miss, self.away(seed))


def insert(
    volume: Volume,
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    *,
    out: NDArray[np.generic] | None = None,
    earlier: Sequence[Occupied] = (),
    replaced: NDArray[np.bool_] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> InsertionResult:
    """Return the volume with a nodule at each seed; the input is not touched.

    Each nodule sees the input volume around it, never the other nodules, so that it is the same
    in whatever company it comes.

    Args:
        volume: CT in HU.
        seeds: Where the nodules go and what they are to be.
        synthesizer: Who makes them.
        out: Array for the output's voxels, like the input's; made if not given.
        earlier: Insertions that the volume already holds and that none may overlap.
        replaced: Mask (K, J, I) of real nodules that are to go where the new ones come: they
            and their rims are drawn anew too. All other tissue away from a new nodule is kept,
            walls and vessels above all.
        on_progress: Called with how many nodules are done, and of how many.

    Raises:
        LungSynthError: If a seed, ``out`` or ``replaced`` cannot work, or there are NaN or
            infinite voxels around a seed; nothing is changed then.
    """
    started = time.perf_counter()
    if replaced is not None and replaced.shape != volume.voxels.shape:
        msg = f"replaced must be {volume.voxels.shape} like the input; got {replaced.shape}"
        raise LungSynthError(msg)
    voxels = np.empty_like(volume.voxels) if out is None else out
    if voxels.shape != volume.voxels.shape or voxels.dtype != volume.voxels.dtype:
        msg = (
            f"out must be {volume.voxels.shape} {volume.voxels.dtype} like the input; "
            f"got {voxels.shape} {voxels.dtype}"
        )
        raise LungSynthError(msg)
    if np.may_share_memory(voxels, volume.voxels):
        msg = "out shares memory with the input, which is never changed; give another array"
        raise LungSynthError(msg)
    check_seeds(volume, seeds, synthesizer, earlier=earlier)
    checked = time.perf_counter()
    # The copy waits for memory, the networks for arithmetic: side by side they cost the larger.
    # An array of the caller's is not touched before all is known to go well.
    with ThreadPoolExecutor(max_workers=1) as pool:
        copied = pool.submit(copy_voxels, volume.voxels, voxels) if out is None else None
        attempts = _make_in_batches(
            volume,
            seeds,
            synthesizer,
            rounds=ROUNDS,
            replaced=replaced,
            on_progress=on_progress,
        )
        made = time.perf_counter()
        if copied is None:
            copy_voxels(volume.voxels, voxels)
        else:
            copied.result()
    insertions = [
        paste(voxels, volume, seed, attempt) for seed, attempt in zip(seeds, attempts, strict=True)
    ]
    ended = time.perf_counter()
    return InsertionResult(
        volume=replace(volume, voxels=voxels),
        insertions=insertions,
        seconds={"check": checked - started, "synthesis": made - checked, "paste": ended - made},
    )


def make_all(
    volume: Volume,
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    *,
    earlier: Sequence[Occupied] = (),
    rounds: int = ROUNDS,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Attempt]:
    """Return the nodules, without a volume to hold them: ``paste`` puts them into one.

    Args:
        volume: CT in HU; not touched.
        seeds: Where the nodules go and what they are to be.
        synthesizer: Who makes them.
        earlier: Places in the volume that are taken.
        rounds: How often a nodule may be made until it keeps what was asked; fewer is quicker.
        on_progress: Called with how many nodules are done, and of how many.

    Raises:
        LungSynthError: As in ``insert``.
    """
    check_seeds(volume, seeds, synthesizer, earlier=earlier)
    return _make_in_batches(volume, seeds, synthesizer, rounds=rounds, on_progress=on_progress)


def _make_in_batches(
    volume: Volume,
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    *,
    rounds: int,
    on_progress: Callable[[int, int], None] | None,
    replaced: NDArray[np.bool_] | None = None,
) -> list[Attempt]:
    attempts: list[Attempt] = []
    for first in range(0, len(seeds), BATCH):
        batch = seeds[first : first + BATCH]
        attempts += make_nodules(volume, batch, synthesizer, rounds=rounds, replaced=replaced)
        if on_progress is not None:
            on_progress(len(attempts), len(seeds))
    return attempts


def copy_voxels(source: NDArray[np.generic], target: NDArray[np.generic]) -> None:
    """Copy a volume by slabs in two threads.

    The only work that grows with the volume; most of it is the system handing out memory, and
    two threads halve that.
    """
    middle = len(source) // 2
    with ThreadPoolExecutor(max_workers=2) as pool:
        halves = [slice(None, middle), slice(middle, None)]
        list(pool.map(lambda half: np.copyto(target[half], source[half]), halves))


def undo(voxels: NDArray[np.generic], insertion: Insertion) -> None:
    """Take the latest insertion out of the voxels that it was put into, exactly."""
    voxels[insertion.slices] = insertion.before


def make_nodules(
    volume: Volume,
    seeds: Sequence[Seed],
    synthesizer: CtSynthesizer,
    *,
    rounds: int = ROUNDS,
    replaced: NDArray[np.bool_] | None = None,
) -> list[Attempt]:
    """Make a batch of nodules and calibrate each until it is what was asked, or tries are spent.

    A nodule of the wrong size is made again in a box that is larger or smaller by as much, one
    that lies beside its seed in a box that lies as far on the other side. If that does not help,
    another nodule is drawn, always the same one for a latent seed.
    """
    asked_box = [synthesizer.box_mm(seed.spec.diameter_mm) for seed in seeds]
    drawn = list(seeds)
    scale, moved = [1.0] * len(seeds), [np.zeros(3)] * len(seeds)
    best: list[Attempt | None] = [None] * len(seeds)
    open_items = list(range(len(seeds)))
    for turn in range(rounds):
        draw, tries = divmod(turn, ROUNDS_PER_DRAW)
        if draw and not tries:
            open_items = [n for n in open_items if (made := best[n]) and made.miss(seeds[n]) > 1]
            for n in open_items:
                drawn[n], scale[n], moved[n] = _drawn_anew(seeds[n], draw), 1.0, np.zeros(3)
        if not open_items:
            break
        tried = _attempt(
            volume,
            [drawn[n] for n in open_items],
            [np.add(seeds[n].position_ras_mm, moved[n]) for n in open_items],
            [asked_box[n] * scale[n] for n in open_items],
            synthesizer,
            replaced,
        )
        for n, attempt in zip(open_items, tried, strict=True):
            known, seed = best[n], seeds[n]
            if known is None or attempt.worth(seed) < known.worth(seed):
                best[n] = attempt
                if draw:
                    attempt.details["drawn_anew"] = str(draw)
            ratio = seed.spec.diameter_mm / max(attempt.measured.diameter_mm, 1e-3)
            scale[n] = float(np.clip(scale[n] * np.clip(ratio, 0.7, 1.4), 0.5, 2.0))
            moved[n] = _moved_further(moved[n], attempt, seed)
        open_items = [n for n in open_items if (made := best[n]) and not made.will_do(seeds[n])]
    return [attempt for attempt in best if attempt is not None]


def _drawn_anew(seed: Seed, draw: int) -> Seed:
    """Return the seed with another latent seed that follows from its own."""
    other = np.random.SeedSequence([seed.spec.latent_seed, draw]).generate_state(1)[0]
    return replace(seed, spec=replace(seed.spec, latent_seed=int(other)))


def _moved_further(moved: NDArray[np.float64], attempt: Attempt, seed: Seed) -> NDArray[np.float64]:
    """Return where the next box lies from the seed, in RAS mm, so that the nodule lies on it."""
    beside = np.nan_to_num(np.subtract(attempt.centre_ras_mm, seed.position_ras_mm))
    further = moved - beside
    most = FURTHEST_MOVE * seed.spec.diameter_mm
    return np.asarray(further * min(1.0, most / max(float(np.linalg.norm(further)), 1e-9)))


def _attempt(  # noqa: PLR0917 - of a batch
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
        attempts.append(_on_native_grid(volume, seed, voi, change, filled.mask[n], details))
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
    return Attempt(voi.box, new, mask, measured, details, _centre_ras_mm(volume, voi.box, mask))


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


def paste(voxels: NDArray[np.generic], volume: Volume, seed: Seed, attempt: Attempt) -> Insertion:
    """Put a nodule into voxels and return the record of it.

    Args:
        voxels: What becomes the output (K, J, I), changed in place: a copy of the volume's
            voxels, with or without earlier nodules.
        volume: The volume that the nodule was made for; not touched.
        seed: What was asked.
        attempt: What was made.
    """
    (k0, j0, i0), (k1, j1, i1) = attempt.box
    region = voxels[k0:k1, j0:j1, i0:i1]
    before = region.copy()
    source = volume.voxels[k0:k1, j0:j1, i0:i1]
    # Where the faded rims of two boxes meet, the earlier nodule's voxels stay.
    changed = (attempt.voxels != source) & (before == source)
    region[changed] = attempt.voxels[changed]
    measured = measure(region, attempt.mask, volume.voxel_mm3)
    final = replace(attempt, measured=measured)
    within = final.miss(seed) <= 1
    return Insertion(
        seed=seed,
        measured=measured,
        box=attempt.box,
        mask=attempt.mask,
        before=before,
        within_tolerance=within,
        note="; ".join([*_why_not(seed, measured), *_where(source, attempt.mask)]),
        details=attempt.details,
    )


def _where(before: NDArray[Any], mask: NDArray[np.bool_]) -> list[str]:
    """Say so if a nodule took the place of soft tissue: most often the seed is not where meant."""
    old_hu = float(np.median(before[mask])) if mask.any() else SOFT_TISSUE_HU
    if old_hu <= SOFT_TISSUE_HU:
        return []
    return [f"placed in soft tissue ({old_hu:.0f} HU before), not in the lung"]


def _why_not(seed: Seed, measured: Measurement) -> list[str]:
    """Say which promise was not kept."""
    asked = seed.spec
    tolerance = diameter_tolerance_mm(asked.diameter_mm)
    notes = []
    if abs(measured.diameter_mm - asked.diameter_mm) > tolerance:
        notes.append(
            f"diameter {measured.diameter_mm:.1f} mm where {asked.diameter_mm:g} "
            f"+- {tolerance:g} mm was asked"
        )
    low, high = ATTENUATION_HU_RANGE[asked.attenuation]
    if measured.mean_hu < low or measured.mean_hu > high:
        notes.append(
            f"mean {measured.mean_hu:.0f} HU where {asked.attenuation} is {low:g} to {high:g} HU"
        )
    return notes
