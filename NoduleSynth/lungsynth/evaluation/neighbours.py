"""Whose neighbours nodules are, by their features: of their own kind, of which class.

[1] Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lungsynth.evaluation.classes import malignancy_class
from lungsynth.evaluation.statistics import Estimate, wilson_interval

NEIGHBOURS = 5
"""(ours) Real neighbours that are asked for their class."""

Floats = NDArray[np.float64]


def own_kind_share(real: Floats, generated: Floats) -> Estimate:
    """Return how often a nodule's nearest neighbour is of its own kind [1].

    As many of each kind are compared: of the larger one every so many are left out.

    Args:
        real: Features (N, F).
        generated: Features (M, F).
    """
    count = min(len(real), len(generated))
    both = np.concatenate([_thinned(real, count), _thinned(generated, count)])
    away = cdist(both, both)
    np.fill_diagonal(away, np.inf)
    kind = np.arange(2 * count) >= count
    own = kind[away.argmin(axis=1)] == kind
    return wilson_interval(int(own.sum()), 2 * count)


def _thinned(features: Floats, count: int) -> Floats:
    return np.asarray(features[np.linspace(0, len(features) - 1, count).astype(int)])


def class_shares(
    real: Floats,
    real_malignant: NDArray[np.bool_],
    others: Floats | None = None,
    other_malignant: NDArray[np.bool_] | None = None,
) -> dict[str, float]:
    """Return how many of the nearest real neighbours are malignant, for both classes.

    Args:
        real: Features (N, F).
        real_malignant: Their classes.
        others: Generated nodules' features (M, F); None asks the real ones about each other.
        other_malignant: What was asked of them, (M,).

    Returns:
        ``{"benign": share around benign ones, "malignant": share around malignant ones}``.
    """
    away = cdist(real if others is None else others, real)
    if others is None:
        np.fill_diagonal(away, np.inf)
    asked = real_malignant if other_malignant is None else other_malignant
    nearest = np.argsort(away, axis=1, kind="stable")[:, : min(NEIGHBOURS, len(real) - 1)]
    share = real_malignant[nearest].mean(axis=1)
    return {
        str(malignancy_class(malignant=kind)): float(share[asked == kind].mean())
        if (asked == kind).any()
        else float("nan")
        for kind in (False, True)
    }
