"""Pairs of radiograph patches: with a known nodule, and with a generated one in its place.

The known ones are those of ``data.cxr_patches``: real nodules of CT projected onto real radiographs
of other patients than any that was trained on, and DRRs with the shadows of their nodules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.contracts import CxrSynthesizer
from lungsynth.core.radiograph import CONTRAST_RANGE, CxrNoduleSpec
from lungsynth.data.cxr_patches import CxrPatchSampler, PatchPair
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.fill import filled
from lungsynth.imaging.radiograph_insertion import freedom_around

LEAST_DIAMETER_PX = 6.0
"""Patches whose nodule measures less are left out."""
_TRIES = 20
FloatImage = NDArray[np.float32]
OnProgress = Callable[[int, int], None]


class Filler(Protocol):
    """Draws a nodule again in a shape that is given, not seeing the one that is there."""

    def fill(
        self,
        patches: NDArray[np.float32],
        masks: Sequence[NDArray[np.float32]],
        *,
        contrast: Sequence[float],
        seen: Sequence[bool],
    ) -> NDArray[np.float32]:
        """Return patches (B, 256, 256); see ``shape_texture``."""


@dataclass(frozen=True, eq=False)
class CxrPairs:
    """Both versions of patches, on the scale of the synthesizers.

    Args:
        real: With the known nodule, float32 (N, 256, 256).
        generated: With another in its place, same shape.
        mask: Of the known nodules, 0 to 1, same shape.
        patient: Whom the radiograph shows, (N,): what resampling draws.
    """

    real: FloatImage
    generated: FloatImage
    mask: FloatImage
    patient: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.real)


def draw_known(
    sampler: CxrPatchSampler, count: int, rng: np.random.Generator
) -> tuple[list[PatchPair], list[str]]:
    """Draw patches with known nodules, and a name of the radiograph of each."""
    pairs, names = [], []
    for _ in range(count):
        for _ in range(_TRIES):
            drawn = sampler.draw(rng)
            pair = sampler.make(drawn)
            inside = pair.mask > 0.5
            if inside.any() and ellipse_diameter(inside) >= LEAST_DIAMETER_PX:
                break
        pairs.append(pair)
        names.append(f"{drawn.source}-{drawn.image}")
    return pairs, names


def reconstructed(
    known: tuple[list[PatchPair], list[str]], filler: Filler, on_progress: OnProgress | None = None
) -> CxrPairs:
    """Return the pairs with each nodule drawn again in its own shape, unseen."""
    pairs, names = known
    made = []
    for n, pair in enumerate(pairs):
        [values] = filler.fill(
            pair.after[None], [pair.mask], contrast=[pair.contrast], seen=[False]
        )
        made.append(values)
        if on_progress is not None:
            on_progress(n + 1, len(pairs))
    return _stacked(pairs, names, made)


def replaced(
    known: tuple[list[PatchPair], list[str]],
    synthesizer: CxrSynthesizer,
    rng: np.random.Generator,
    on_progress: OnProgress | None = None,
) -> CxrPairs:
    """Return the pairs with another nodule of the same diameter and contrast in its place.

    It is painted into the patch without the nodule (for a DRR, where that is not known, into what
    the surroundings suggest), and put in as the engine does.
    """
    pairs, names = known
    made = []
    for n, pair in enumerate(pairs):
        spec = CxrNoduleSpec(
            diameter_px=20.0,
            contrast=float(np.clip(pair.contrast, *CONTRAST_RANGE)),
            latent_seed=int(rng.integers(2**31)),
        )
        made.append(_painted(pair, spec, synthesizer))
        if on_progress is not None:
            on_progress(n + 1, len(pairs))
    return _stacked(pairs, names, made)


def _painted(pair: PatchPair, spec: CxrNoduleSpec, synthesizer: CxrSynthesizer) -> FloatImage:
    unknown = bool(np.isnan(pair.before).any())
    before = filled(pair.after, pair.free > 0) if unknown else pair.before
    asked = ellipse_diameter(pair.mask > 0.5)
    painting = synthesizer.paint(before[None], [spec], [asked])
    mask = painting.mask[0]
    change = (painting.values[0] - before) * freedom_around(mask)
    inside = mask > 0.5
    mean = float(change[inside].mean()) / 2 if inside.any() else 0.0
    if spec.contrast is not None and mean > 1e-3:
        change = change * np.float32(np.clip(spec.contrast / mean, 0.5, 2))
    return np.asarray(before + change, dtype=np.float32)


def _stacked(
    pairs: Sequence[PatchPair], names: Sequence[str], made: Sequence[FloatImage]
) -> CxrPairs:
    return CxrPairs(
        real=np.stack([pair.after for pair in pairs]),
        generated=np.stack(made).astype(np.float32),
        mask=np.stack([pair.mask for pair in pairs]),
        patient=np.array(names, dtype=np.str_),
    )
