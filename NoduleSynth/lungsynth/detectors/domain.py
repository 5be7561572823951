"""Whether an image as a whole is such as the normals that a detector knows.

A lateral view, a child or no chest at all fits no normal either, but its score means nothing. All
of it is (ours): principal components of small pictures, with the two statistics of process control,
Hotelling's T^2 within the components and Q beside them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.calibration import Calibration
from lungsynth.detectors.contracts import Images

SIDE = 32
COMPONENTS = 24
UNLIKELY = 0.001
"""Below this p-value an image is said to be of another kind; half for each statistic."""


@dataclass(frozen=True, eq=False)
class Domain:
    """What the known normals look like as a whole.

    Args:
        mean: Of the small pictures (SIDE * SIDE,).
        components: (C, SIDE * SIDE), orthonormal.
        variance: Along each component (C,).
        within: T^2 of held normals (N,).
        beside: Q of held normals (N,).
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    variance: NDArray[np.float32]
    within: NDArray[np.float64]
    beside: NDArray[np.float64]

    @classmethod
    def fit(cls, normals: Images, held: Images) -> Domain:
        """Learn from normals (N, S, S); ``held`` are others of the same kind.

        Raises:
            LungSynthError: If there are too few.
        """
        if len(normals) < 10:
            msg = f"what normals look like is learnt from ten at least; got {len(normals)}"
            raise LungSynthError(msg)
        pictures = _small(normals)
        mean = pictures.mean(axis=0)
        _, values, rows = np.linalg.svd(pictures - mean, full_matrices=False)
        count = min(COMPONENTS, len(normals) // 4)
        variance = (values[:count] ** 2 / (len(normals) - 1)).astype(np.float32)
        bare = cls(mean, rows[:count], np.maximum(variance, 1e-8), np.empty(0), np.empty(0))
        within, beside = bare.statistics(held)
        return cls(bare.mean, bare.components, bare.variance, within, beside)

    def statistics(self, images: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return T^2 and Q of each image (B,)."""
        centred = _small(images) - self.mean
        along = centred @ self.components.T
        rest = centred - along @ self.components
        within = (along**2 / self.variance).sum(axis=1).astype(np.float64)
        return within + 1e-9, (rest**2).sum(axis=1).astype(np.float64) + 1e-9

    def p_value(self, images: Images) -> NDArray[np.float64]:
        """Return how likely one of the known kind is so far from the known normals, (B,)."""
        within, beside = self.statistics(images)
        both = np.minimum(
            Calibration(self.within).p_value(within), Calibration(self.beside).p_value(beside)
        )
        return np.asarray(np.minimum(1.0, 2 * both))


def _small(images: Images) -> NDArray[np.float32]:
    """Return each image as SIDE * SIDE pixels of mean 0 and standard deviation 1."""
    whole = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
    small = torch.nn.functional.interpolate(whole, (SIDE, SIDE), mode="area")
    flat: NDArray[np.float32] = small.flatten(1).numpy()
    centred = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-3))
