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

from lungsynth.core.contracts import CtSynthesizer
from lungsynth.core.density import LEAST_CONTRAST_HU
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import (
    Insertion,
    Measurement,
    Occupied,
    diameter_tolerance_mm,
)
from lungsynth.core.nodule import ATTENUATION_HU_RANGE, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.attempt import Attempt, attempt_each, contrast_hu, measure
from lungsynth.imaging.placement import SOFT_TISSUE_HU, check_seeds

ROUNDS_PER_DRAW = 5
"""How often a nodule is made in boxes of other sizes and places before it is drawn anew."""
ROUNDS = 4 * ROUNDS_PER_DRAW
"""How often a nodule is made at most until it keeps what was asked."""
FURTHEST_MOVE = 0.25
"""(ours) How far a box may lie off its seed, over the diameter asked."""
BATCH = 4
"""How many nodules go through the network at once."""


@dataclass(frozen=True, eq=False)
class InsertionResult:
    """The volume with its nodules, in the order of the seeds, and where the time went."""

    volume: Volume
    insertions: list[Insertion]
    seconds: dict[str, float]


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
    or it can hardly be seen, another nodule is drawn, always the same one for a latent seed.
    """
    everyone = range(len(seeds))
    best: list[Attempt | None] = [None] * len(seeds)
    for draw in range(-(-rounds // ROUNDS_PER_DRAW)):
        todo = [n for n in everyone if (made := best[n]) is None or made.fails(seeds[n])]
        drawn = {n: _drawn_anew(seeds[n], draw) if draw else seeds[n] for n in todo}
        scale, moved = dict.fromkeys(todo, 1.0), dict.fromkeys(todo, np.zeros(3))
        for _ in range(min(ROUNDS_PER_DRAW, rounds - draw * ROUNDS_PER_DRAW)):
            if not todo:
                break
            tried = attempt_each(
                volume,
                [drawn[n] for n in todo],
                [np.add(seeds[n].position_ras_mm, moved[n]) for n in todo],
                [synthesizer.box_mm(seeds[n].spec.diameter_mm) * scale[n] for n in todo],
                synthesizer,
                replaced,
            )
            for n, attempt in zip(todo, tried, strict=True):
                known, seed = best[n], seeds[n]
                if known is None or attempt.worth(seed) < known.worth(seed):
                    best[n] = attempt
                    if draw:
                        attempt.details["drawn_anew"] = str(draw)
                ratio = seed.spec.diameter_mm / max(attempt.measured.diameter_mm, 1e-3)
                scale[n] = float(np.clip(scale[n] * np.clip(ratio, 0.7, 1.4), 0.5, 2.0))
                moved[n] = _moved_further(moved[n], attempt, seed)
            fits = [one.fits(seeds[n]) for n, one in zip(todo, tried, strict=True)]
            todo = [n for n, done in zip(todo, fits, strict=True) if not done]
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
        note="; ".join(
            [
                *_why_not(seed, measured),
                *_hardly_seen(seed, source, attempt),
                *_where(source, attempt.mask),
            ]
        ),
        details=attempt.details,
    )


def _hardly_seen(seed: Seed, source: NDArray[Any], attempt: Attempt) -> list[str]:
    """Say so if a nodule stands out less than 98 % of the real ones of its class do."""
    made = attempt
    if made.contrast_hu is None:  # it came through a file, which does not hold it
        made = replace(attempt, contrast_hu=contrast_hu(source, attempt.voxels, attempt.mask))
    if not made.faint(seed):
        return []
    least = LEAST_CONTRAST_HU[seed.spec.attenuation]
    return [
        f"hardly to be seen: {made.contrast_hu:.0f} HU denser than the lung that was there, "
        f"98 % of real {seed.spec.attenuation} ones {least:.0f} HU or more"
    ]


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
