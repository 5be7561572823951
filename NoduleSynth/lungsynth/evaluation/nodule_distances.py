"""Distances between nodules, and which nodules are compared, for the diversity study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.nodule_net import CROP_VOXELS

SIZE_RATIO = 1.15
"""(ours) Real nodules are compared whose diameters differ by no more than this factor."""
MARGIN_MM = 1.0
"""(ours) How far the ball reaches beyond the larger nodule's radius."""
DISTANCES = ("rms_hu", "features")

Floats = NDArray[np.float64]
PairList = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Measured:
    """Nodules ready to be compared.

    Args:
        crops: HU around the middle of each, (N, 32, 32, 32).
        features: Features of each, (N, F).
        diameter_mm: Of each, (N,).
    """

    crops: Floats
    features: Floats
    diameter_mm: Floats

    def distances(self, pairs: Sequence[tuple[int, int]]) -> dict[str, Floats]:
        """Return both distances of each pair, (P,)."""
        rms = [
            rms_in_ball(self.crops[a], self.crops[b], float(max(self.diameter_mm[[a, b]])))
            for a, b in pairs
        ]
        apart = [float(np.linalg.norm(self.features[a] - self.features[b])) for a, b in pairs]
        return {"rms_hu": np.array(rms), "features": np.array(apart)}


def rms_in_ball(
    first: NDArray[np.generic], second: NDArray[np.generic], diameter_mm: float
) -> float:
    """Return the root mean square difference of two crops in a ball around their middle.

    Args:
        first: HU, (32, 32, 32), 1 mm; the nodule's middle is at voxel 16.
        second: Same shape.
        diameter_mm: Of the larger nodule; the ball is ``MARGIN_MM`` larger all around.
    """
    away = np.square(np.indices(first.shape) - CROP_VOXELS // 2).sum(axis=0)
    inside = away <= (diameter_mm / 2 + MARGIN_MM) ** 2
    difference = first[inside].astype(np.float64) - second[inside].astype(np.float64)
    return float(np.sqrt(np.square(difference).mean()))


def draw_real_pairs(
    cubes: NoduleCubes, chosen: NDArray[np.int64], per_site: int, rng: np.random.Generator
) -> PairList:
    """Draw pairs of like nodules of different patients, as positions in ``chosen``.

    Args:
        cubes: The split.
        chosen: Which of its nodules take part.
        per_site: How many others each nodule is compared with, at most.
        rng: Draws them where there are more.
    """
    found: set[tuple[int, int]] = set()
    for a, one in enumerate(chosen.tolist()):
        like = [
            b
            for b, other in enumerate(chosen.tolist())
            if cubes.table[other]["patient"] != cubes.table[one]["patient"]
            and cubes.attenuation[other] is cubes.attenuation[one]
            and _alike(float(cubes.diameter_mm[one]), float(cubes.diameter_mm[other]))
        ]
        if like:
            picked = rng.choice(like, min(per_site, len(like)), replace=False)
            found |= {(min(a, b), max(a, b)) for b in picked.tolist()}
    return sorted(found)


def _alike(one_mm: float, other_mm: float) -> bool:
    return max(one_mm, other_mm) <= SIZE_RATIO * min(one_mm, other_mm)


def noise_pairs(index: NDArray[np.int64]) -> PairList:
    """Return all pairs of nodules that were made at the same site."""
    pairs: PairList = []
    for site in dict.fromkeys(index.tolist()):
        pairs += combinations(np.flatnonzero(index == site).tolist(), 2)
    return pairs


def site_pairs(
    index: NDArray[np.int64], chosen: NDArray[np.int64], real_pairs: PairList
) -> PairList:
    """Return the pairs of generated nodules of two sites, the first one made at each."""
    first = {int(site): n for n, site in reversed(list(enumerate(index.tolist())))}
    return [
        (first[int(chosen[a])], first[int(chosen[b])])
        for a, b in real_pairs
        if int(chosen[a]) in first and int(chosen[b]) in first
    ]
