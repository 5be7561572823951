"""How benign and malignant nodules differ in what can be measured, real and generated alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.classes import rated
from lungsynth.evaluation.morphology import Morphology, compare_classes, measure_morphology

MEASURES = (
    "diameter_mm",
    "mean_hu",
    "deviation_hu",
    "high_hu",
    "margin_per_mm",
    "sphericity",
    "roughness",
)
"""Of ``Morphology``: sphericity stands for lobulation, roughness for spiculation."""


def measure_all(hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> list[Morphology | None]:
    """Measure nodules (N, 48, 48, 48) of 1 mm voxels."""
    return [measure_morphology(h, m, 1.0) for h, m in zip(hu, mask, strict=True)]


def real_measures(cubes: NoduleCubes) -> dict[str, dict[str, float]]:
    """Return the measures of the real nodules of both classes."""
    index, malignant = rated(cubes, undecided=False)
    measured = measure_all(cubes.hu[index], cubes.mask[index])
    return by_class(measured, malignant)


def by_class(
    measured: Sequence[Morphology | None], malignant: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Compare the classes' measures; those without a measure are left out."""
    groups: tuple[list[Morphology], list[Morphology]] = ([], [])
    for one, kind in zip(measured, malignant.tolist(), strict=True):
        if one is not None:
            groups[kind].append(one)
    benign, malign = groups
    return compare_classes(benign, malign) if benign and malign else {}
