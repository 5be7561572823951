"""Insertions made by hand, for what writes them."""

from __future__ import annotations

import numpy as np
import pytest

from lungsynth.core.insertion import Insertion, Measurement
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec, Seed


@pytest.fixture
def make_insertion():
    """Return a function that makes a ball-shaped insertion at a point of a volume."""

    def make(volume, ras_mm, diameter_mm=8.0, **changes):
        half = 0.6 * diameter_mm / volume.spacing_mm
        at = volume.ras_to_ijk(ras_mm)
        low = np.maximum(np.floor(at - half), 0).astype(int)[::-1]
        high = np.minimum(np.ceil(at + half).astype(int)[::-1] + 1, volume.voxels.shape)
        k, j, i = np.meshgrid(*map(np.arange, low, high), indexing="ij")
        distance = np.linalg.norm(volume.ijk_to_ras_mm(np.stack([i, j, k], -1)) - ras_mm, axis=-1)
        box = (tuple(map(int, low)), tuple(map(int, high)))
        before = volume.voxels[low[0] : high[0], low[1] : high[1], low[2] : high[2]].copy()
        spec = NoduleSpec(diameter_mm, Attenuation.PART_SOLID, Malignancy.MALIGNANT, 2**40)
        fields = {
            "seed": Seed(tuple(map(float, ras_mm)), spec),
            "measured": Measurement(diameter_mm * 0.98765, -321.456, 250.06),
            "box": box,
            "mask": distance <= diameter_mm / 2,
            "before": before,
            "within_tolerance": True,
        }
        return Insertion(**{**fields, **changes})

    return make
