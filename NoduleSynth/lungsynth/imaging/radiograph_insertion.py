"""Putting nodules into a radiograph: cut out, paint, put back the difference, measure, calibrate.

The counterpart of ``imaging.insertion``. Only the nodule and a narrow rim around it change: the
rest of the patch that a synthesizer paints is thrown away, so no seam can show and what lies
outside is exactly the original. The image's own noise stays under the nodule, since a difference
is added to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import PATCH_PIXELS, CxrSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Box, Occupied
from lungsynth.core.radiograph import CxrSeed, Radiograph
from lungsynth.core.radiograph_insertion import (
    CxrInsertion,
    CxrMeasurement,
    contrast_tolerance,
    cxr_diameter_tolerance_px,
)
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.radiograph_patch import RadiographPatch, locate_patch
from lungsynth.imaging.radiograph_placement import check_cxr_seeds

ROUNDS = 5
"""How often a nodule is painted again until it keeps the diameter that was asked."""
BATCH = 4
"""How many nodules go through the network at once."""
TAPER_PART, LEAST_TAPER_PIXELS = 0.15, 4.0
"""(ours) Over which part of its diameter, and over how many patch pixels at least, the change
fades out around the mask."""
BORDER_PIXELS = 8
"""(ours) Over how many pixels a change fades out at the border of the patch."""
LARGEST_SCALE = 2.0
"""(ours) How far a painted difference is made stronger or weaker before it is shifted instead."""
_CONTRAST_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class CxrInsertionResult:
    """The radiograph with its nodules, in the order of the seeds, and where the time went."""

    image: Radiograph
    insertions: list[CxrInsertion]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class CxrAttempt:
    """One nodule as it would be in the radiograph; arrays have the shape of the box."""

    box: Box
    pixels: NDArray[np.generic]
    mask: NDArray[np.bool_]
    measured: CxrMeasurement
    details: dict[str, str]

    def miss(self, asked_px: float) -> float:
        """Return how far the diameter is from what was asked: up to 1 is within tolerance."""
        return abs(self.measured.diameter_px - asked_px) / cxr_diameter_tolerance_px(asked_px)


def insert_into_radiograph(
    image: Radiograph,
    seeds: Sequence[CxrSeed],
    synthesizer: CxrSynthesizer,
    *,
    earlier: Sequence[CxrInsertion | Occupied] = (),
    lung_fields: NDArray[np.bool_] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> CxrInsertionResult:
    """Return the radiograph with a nodule at each seed; the input is not touched.

    Each nodule sees the input around it, never the other nodules, so that it is the same in
    whatever company it comes.

    Args:
        image: A frontal chest radiograph.
        seeds: Where the nodules go and what they are to be.
        synthesizer: Who paints them.
        earlier: Nodules that the image already holds and that none may overlap.
        lung_fields: Where the lungs are, shape of the image: a nodule outside gets a note.
        on_progress: Called with how many nodules are done, and of how many.

    Raises:
        LungSynthError: If the image or a seed cannot work; nothing is changed then.
    """
    started = time.perf_counter()
    check_cxr_seeds(image, seeds, earlier=earlier)
    checked = time.perf_counter()
    attempts: list[CxrAttempt] = []
    for first in range(0, len(seeds), BATCH):
        attempts += paint_nodules(image, seeds[first : first + BATCH], synthesizer)
        if on_progress is not None:
            on_progress(len(attempts), len(seeds))
    made = time.perf_counter()
    pixels = image.pixels.copy()
    insertions = [
        paste_into_radiograph(pixels, image, seed, attempt, lung_fields=lung_fields)
        for seed, attempt in zip(seeds, attempts, strict=True)
    ]
    ended = time.perf_counter()
    return CxrInsertionResult(
        image=image.with_pixels(pixels),
        insertions=insertions,
        seconds={"check": checked - started, "synthesis": made - checked, "paste": ended - made},
    )


def paint_nodules(
    image: Radiograph,
    seeds: Sequence[CxrSeed],
    synthesizer: CxrSynthesizer,
    *,
    rounds: int = ROUNDS,
) -> list[CxrAttempt]:
    """Paint a batch of nodules, each again until its diameter is right or the tries are spent."""
    patches = [locate_patch(image, image.ras_to_pixel(seed.position_ras_mm)) for seed in seeds]
    context = np.stack([patch.extract(image) for patch in patches])
    asked_px = [seed.spec.diameter_in_pixels(image) for seed in seeds]
    grid_px = [float(np.sqrt(np.prod(patch.pixel))) for patch in patches]
    scale = [1.0] * len(seeds)
    best: list[CxrAttempt | None] = [None] * len(seeds)
    open_items = list(range(len(seeds)))
    for _ in range(rounds):
        painting = synthesizer.paint(
            context[open_items],
            [seeds[n].spec for n in open_items],
            [asked_px[n] / grid_px[n] * scale[n] for n in open_items],
        )
        for row, n in enumerate(open_items):
            details = dict(painting.details[row]) if painting.details else {}
            attempt = _on_native_pixels(
                image,
                seeds[n],
                patches[n],
                (painting.values[row] - context[n], painting.mask[row]),
                details,
            )
            known = best[n]
            if known is None or attempt.miss(asked_px[n]) < known.miss(asked_px[n]):
                best[n] = attempt
            ratio = asked_px[n] / max(attempt.measured.diameter_px, 1e-3)
            scale[n] = float(np.clip(scale[n] * np.clip(ratio, 0.6, 1.6), 0.3, 3.0))
        # Half the tolerance: other ways to measure a nodule shall agree too.
        open_items = [n for n in open_items if (made := best[n]) and made.miss(asked_px[n]) > 0.5]
        if not open_items:
            break
    return [attempt for attempt in best if attempt is not None]


def freedom_around(mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far each pixel of the patch may change: 1 in the mask, 0 beyond a narrow rim.

    Args:
        mask: How far each pixel belongs to the nodule, 0 to 1, (256, 256).

    Returns:
        float32, (256, 256); 0 everywhere where the mask is nowhere above 0.5.
    """
    nodule = main_piece(mask > 0.5)
    if not nodule.any():
        return np.zeros_like(mask)
    taper = max(LEAST_TAPER_PIXELS, TAPER_PART * ellipse_diameter(nodule))
    away = ndimage.distance_transform_edt(~nodule)
    depth = np.minimum(np.arange(PATCH_PIXELS), np.arange(PATCH_PIXELS)[::-1]) / BORDER_PIXELS
    border = _smooth_step(depth)
    free = _smooth_step(1 - away / taper)
    return np.asarray(free * border[:, None] * border[None, :], dtype=np.float32)


def _smooth_step(part: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    part = np.clip(part, 0, 1)
    return np.asarray(part * part * (3 - 2 * part))


def main_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest 8-connected piece of a mask, its holes filled."""
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    if count > 1:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(mask), dtype=bool)


def _on_native_pixels(
    image: Radiograph,
    seed: CxrSeed,
    patch: RadiographPatch,
    painted: tuple[NDArray[np.float32], NDArray[np.float32]],
    details: dict[str, str],
) -> CxrAttempt:
    """Bring a difference and its mask to the image's own pixels, and measure there."""
    difference, soft_mask = painted
    if not (np.isfinite(difference).all() and np.isfinite(soft_mask).all()):
        msg = f"{seed}: the synthesizer gave values that are not finite; try another --random-seed"
        raise LungSynthError(msg)
    free = freedom_around(soft_mask)
    change = patch.to_native(difference * free)
    mask = main_piece(patch.to_native(soft_mask) > 0.5)
    weight = patch.to_native(free * ndimage.gaussian_filter(soft_mask, 1.0))
    # The box is as small as the change: beyond it nothing differs.
    touched = patch.to_native(free) > 0
    rows, columns = _extent(touched | mask)
    top, left = patch.corner
    box = ((0, top + rows.start, left + columns.start), (1, top + rows.stop, left + columns.stop))
    old = image.pixels[patch.slices][rows, columns]
    change, mask, weight = change[rows, columns], mask[rows, columns], weight[rows, columns]
    new = _with_contrast(image, old, (change, weight), mask, seed.spec.contrast)
    measured = measure_nodule(image, old, new, mask)
    return CxrAttempt(box, new, mask, measured, details)


def _extent(touched: NDArray[np.bool_]) -> tuple[slice, slice]:
    found = ndimage.find_objects(touched.astype(np.int8))
    if not found:
        return slice(0, 1), slice(0, 1)
    rows, columns = found[0]
    return rows, columns


def _with_contrast(
    image: Radiograph,
    old: NDArray[Any],
    painted: tuple[NDArray[np.float32], NDArray[np.float32]],
    mask: NDArray[np.bool_],
    asked: float | None,
) -> NDArray[Any]:
    """Return pixels with the change added, as strong as asked.

    The difference is scaled up to twice either way, which keeps what the nodule looks like; what
    is missing then is added over the mask. Again a few times, since rounding and the largest
    value that a file can hold take some of it away.
    """
    change, weight = painted
    new = add_change(image, old, change)
    if asked is None or not mask.any():
        return new
    mean = float(change[mask].mean()) / 2  # the normalised range is 2 wide
    scale = float(np.clip(asked / mean, 1 / LARGEST_SCALE, LARGEST_SCALE)) if mean > 1e-3 else 1.0
    change = scale * change
    inside = max(float(weight[mask].mean()), 0.25)
    change = change + np.float32(2 * (asked - scale * mean) / inside) * weight
    for _ in range(_CONTRAST_ROUNDS):
        new = add_change(image, old, change)
        missing = asked - measure_contrast(image, old, new, mask)
        if abs(missing) <= contrast_tolerance(asked) / 4:
            break
        change = change + np.float32(2 * missing / inside) * weight
    return new


def add_change(
    image: Radiograph, old: NDArray[Any], change: NDArray[np.float32]
) -> NDArray[np.generic]:
    """Return old + change in the image's dtype, rounded and kept within what the file can hold.

    Args:
        image: Whose scale, photometric interpretation and limits apply.
        old: Pixels as stored.
        change: On the synthesizers' scale, same shape.
    """
    stored = image.denormalised_difference(change)
    if old.dtype.kind == "f":
        return np.asarray(old + stored, dtype=old.dtype)
    info = np.iinfo(old.dtype)
    low, high = image.limits or (info.min, info.max)
    new = np.clip(np.rint(old.astype(np.float64) + stored), low, high).astype(old.dtype)
    return np.where(stored == 0, old, new)  # what lies beyond the limits already stays


def measure_contrast(
    image: Radiograph, old: NDArray[Any], new: NDArray[Any], mask: NDArray[np.bool_]
) -> float:
    """Return the mean brightening over a mask, over the robust range; NaN if it is empty."""
    if not mask.any():
        return float("nan")
    low, high = image.robust_range
    rise = new[mask].astype(np.float64).mean() - old[mask].astype(np.float64).mean()
    return float(image.sign * rise / (high - low))


def measure_nodule(
    image: Radiograph, old: NDArray[Any], new: NDArray[Any], mask: NDArray[np.bool_]
) -> CxrMeasurement:
    """Measure a nodule from its pixels before and after and its mask, all of one shape."""
    spacing = image.pixel_spacing_mm or (1.0, 1.0)
    diameter = ellipse_diameter(mask, spacing) if mask.any() else 0.0
    diameter_px = diameter / float(np.sqrt(np.prod(spacing)))
    diameter_mm = None if image.pixel_spacing_mm is None else diameter
    return CxrMeasurement(
        diameter_px, diameter_mm, measure_contrast(image, old, new, mask), int(mask.sum())
    )


def paste_into_radiograph(
    pixels: NDArray[np.generic],
    image: Radiograph,
    seed: CxrSeed,
    attempt: CxrAttempt,
    *,
    lung_fields: NDArray[np.bool_] | None = None,
) -> CxrInsertion:
    """Put a nodule into pixels and return the record of it.

    Args:
        pixels: What becomes the output, changed in place: a copy of the image's pixels, with or
            without earlier nodules.
        image: The radiograph that the nodule was painted for; not touched.
        seed: What was asked.
        attempt: What was made.
        lung_fields: Where the lungs are, shape of the image; None does not check.
    """
    (_, row0, column0), (_, row1, column1) = attempt.box
    region = pixels[row0:row1, column0:column1]
    before = region.copy()
    source = image.pixels[row0:row1, column0:column1]
    changed = attempt.pixels != source
    region[changed] = attempt.pixels[changed]
    measured = measure_nodule(image, source, region, attempt.mask)
    final = replace(attempt, measured=measured)
    notes = _why_not(seed, final, seed.spec.diameter_in_pixels(image))
    return CxrInsertion(
        seed=seed,
        measured=measured,
        box=attempt.box,
        mask=attempt.mask[None],
        before=before[None],
        within_tolerance=not notes,
        note="; ".join([*notes, *_where(image, seed, lung_fields)]),
        details=attempt.details,
    )


def undo_in_radiograph(pixels: NDArray[np.generic], insertion: CxrInsertion) -> None:
    """Take the latest insertion out of the pixels that it was put into, exactly."""
    pixels[insertion.slices[1:]] = insertion.before[0]


def _where(image: Radiograph, seed: CxrSeed, lung_fields: NDArray[np.bool_] | None) -> list[str]:
    if lung_fields is None:
        return []
    row, column = np.rint(image.ras_to_pixel(seed.position_ras_mm)).astype(int)
    return [] if lung_fields[row, column] else ["the seed lies outside the lung fields"]


def _why_not(seed: CxrSeed, attempt: CxrAttempt, asked_px: float) -> list[str]:
    """Say which promise was not kept."""
    notes = []
    measured = attempt.measured
    if attempt.miss(asked_px) > 1:
        notes.append(
            f"diameter {measured.diameter_px:.1f} px where {asked_px:.1f} "
            f"+- {cxr_diameter_tolerance_px(asked_px):.1f} px was asked"
        )
    asked = seed.spec.contrast
    if asked is not None and not abs(measured.contrast - asked) <= contrast_tolerance(asked):
        notes.append(
            f"contrast {measured.contrast:.3f} where {asked:g} "
            f"+- {contrast_tolerance(asked):.3f} was asked"
        )
    return notes
