"""Places for nodules in the lung fields of a radiograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed, Radiograph
from lungsynth.imaging.radiograph_placement import EDGE_PIXELS, REACH

CHEST_SIDE_MM = 400.0
"""(ours) Longer side of a radiograph of unknown spacing, to draw diameters from."""
INSIDE_PART = 0.55
"""(ours) How much of its diameter a nodule's centre keeps from the border of the fields: it lies
in them as a whole, with a little to spare for what their outline is off."""
_COARSE_SIDE = 512
_TRIES = 64


@dataclass(frozen=True)
class CxrPopulation:
    """From what nodules are drawn when the user leaves them open."""

    diameter_mm: tuple[float, float] = (8.0, 30.0)


def draw_cxr_nodule(
    population: CxrPopulation,
    image: Radiograph,
    rng: np.random.Generator,
    contrast: float | None = None,
) -> CxrNoduleSpec:
    """Make every random choice about a nodule here; in pixels where the spacing is unknown."""
    diameter_mm = float(rng.uniform(*population.diameter_mm))
    latent_seed = int(rng.integers(2**31))
    if image.pixel_spacing_mm is not None:
        return CxrNoduleSpec(round(diameter_mm, 1), None, contrast, latent_seed)
    return CxrNoduleSpec(None, round(pixels_of(diameter_mm, image), 1), contrast, latent_seed)


def pixels_of(diameter_mm: float, image: Radiograph) -> float:
    """Return a diameter in pixels if the longer side of the image were 400 mm."""
    return diameter_mm / CHEST_SIDE_MM * float(max(image.pixels.shape))


def propose_cxr_seeds(
    image: Radiograph,
    fields: NDArray[np.bool_],
    specs: Sequence[CxrNoduleSpec],
    rng: np.random.Generator,
) -> list[CxrSeed]:
    """Return a seed for each nodule, in the fields and apart from each other.

    Args:
        image: The radiograph.
        fields: Where nodules may lie, shape of the image.
        specs: The nodules; the largest is placed first, as it has the fewest places.
        rng: Where the choice comes from.

    Raises:
        LungSynthError: If there is not enough room.
    """
    step = max(1, max(image.pixels.shape) // _COARSE_SIDE)
    coarse = np.pad(fields[::step, ::step], 1)
    depth = ndimage.distance_transform_edt(coarse)[1:-1, 1:-1] * step
    placed: dict[int, CxrSeed] = {}
    taken: list[tuple[NDArray[np.float64], float]] = []
    sizes = [spec.diameter_in_pixels(image) for spec in specs]
    for n in np.argsort([-size for size in sizes], kind="stable"):
        half = REACH * sizes[n] + EDGE_PIXELS
        free = np.argwhere(depth > INSIDE_PART * sizes[n]) * step
        for _ in range(_TRIES if len(free) else 0):
            at = free[rng.integers(len(free))] + rng.uniform(-0.5, 0.5, 2)
            room = np.minimum(at, np.array(image.pixels.shape) - 1 - at).min()
            if room > half and all(
                (np.abs(at - other) >= half + reach).any() for other, reach in taken
            ):
                break
        else:
            msg = (
                f"no room in the lung fields for {len(specs)} nodules: found places for "
                f"{len(placed)}; ask for fewer or smaller ones"
            )
            raise LungSynthError(msg)
        taken.append((at, half))
        ras = tuple(float(x) for x in image.pixel_to_ras_mm(at))
        placed[int(n)] = CxrSeed((ras[0], ras[1], ras[2]), specs[n], name=str(n + 1))
    return [placed[n] for n in range(len(specs))]
