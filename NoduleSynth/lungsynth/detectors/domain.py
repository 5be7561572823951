"""Whether an image as a whole is such as the normals that a detector knows.

A lateral view, a child or no chest at all fits no normal either, but its score means nothing. Two
things are looked at (ours): which way edges run in each part of the image [1], against the nearest
of the known normals; and how much of a small picture the principal components of those do not
explain, since noise has edges of all directions everywhere. On the development data the first tells
rotated, mirrored and inverted radiographs, slices of CT and cut-outs from whole ones, and no
finding; the components alone told a quarter of the rotated.

[1] Dalal and Triggs, Histograms of oriented gradients for human detection, CVPR 2005.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.calibration import Calibration
from lungsynth.detectors.contracts import Images

SIDE, CELL, DIRECTIONS = 64, 8, 8
PICTURE_SIDE, COMPONENTS = 16, 24
NEIGHBOUR = 3
MOST_REFERENCES = 1000
UNLIKELY = 0.001
"""Below this p-value an image is said to be of another kind; half for each of the two things."""


@dataclass(frozen=True, eq=False)
class Domain:
    """What the known normals look like as a whole.

    Args:
        references: Edge histograms of known normals (R, F).
        mean: Of their small pictures (PICTURE_SIDE ** 2,).
        components: (C, PICTURE_SIDE ** 2), orthonormal.
        apart: Distances of held normals from the third nearest reference (N,).
        beside: What the components leave of held normals (N,).
    """

    references: NDArray[np.float32]
    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    apart: NDArray[np.float64]
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
        pictures = _picture(normals)
        mean = pictures.mean(axis=0)
        rows = np.linalg.svd(pictures - mean, full_matrices=False)[2]
        components = rows[: min(COMPONENTS, len(normals) // 4)]
        count = min(MOST_REFERENCES, len(normals))
        chosen = np.linspace(0, len(normals) - 1, count).round().astype(int)
        references = edge_histograms(normals[chosen])
        bare = cls(references, mean, components, np.empty(0), np.empty(0))
        return cls(references, mean, components, *bare.statistics(held))

    def statistics(self, images: Images) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distance from the known and what the components leave, of each image (B,)."""
        own = edge_histograms(images)
        squares = (own**2).sum(1)[:, None] + (self.references**2).sum(1)[None]
        distances = np.sqrt(np.maximum(squares - 2 * own @ self.references.T, 0))
        apart = np.sort(distances, axis=1)[:, min(NEIGHBOUR, len(self.references)) - 1]
        centred = _picture(images) - self.mean
        rest = centred - (centred @ self.components.T) @ self.components
        return apart.astype(np.float64) + 1e-9, (rest**2).sum(axis=1).astype(np.float64) + 1e-9

    def p_value(self, images: Images) -> NDArray[np.float64]:
        """Return how likely one of the known kind is so far from the known normals, (B,)."""
        apart, beside = self.statistics(images)
        both = np.minimum(
            Calibration(self.apart).p_value(apart), Calibration(self.beside).p_value(beside)
        )
        return np.asarray(np.minimum(1.0, 2 * both))


def edge_histograms(images: Images) -> NDArray[np.float32]:
    """Return which way edges run in each of 8 x 8 cells of images (B, S, S), (B, 512).

    Each cell's histogram has length 1 where edges are plain, less where there are hardly any.
    """
    pictures = _shrunk(images, SIDE)
    down, right = np.gradient(pictures, axis=(1, 2))
    strength = np.hypot(right, down)
    direction = (np.arctan2(down, right) / (2 * np.pi) * DIRECTIONS) % DIRECTIONS
    lower = np.floor(direction).astype(int)
    part, cells, histograms = direction - lower, SIDE // CELL, []
    for n in range(DIRECTIONS):
        share = (lower % DIRECTIONS == n) * (1 - part) + ((lower + 1) % DIRECTIONS == n) * part
        blocks = (strength * share).reshape(-1, cells, CELL, cells, CELL)
        histograms.append(blocks.sum(axis=(2, 4)))
    found = np.stack(histograms, axis=-1)
    usual = 0.1 * CELL**2 * strength.mean(axis=(1, 2))[:, None, None, None]
    found = found / (np.linalg.norm(found, axis=-1, keepdims=True) + usual + 1e-6)
    return np.asarray(found.reshape(len(images), -1), dtype=np.float32)


def _picture(images: Images) -> NDArray[np.float32]:
    """Return small pictures as rows of mean 0 and standard deviation 1."""
    flat = _shrunk(images, PICTURE_SIDE).reshape(len(images), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-3))


def _shrunk(images: Images, side: int) -> NDArray[np.float32]:
    whole = torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32))[:, None]
    method = "area" if images.shape[-1] > side else "bilinear"
    small: NDArray[np.float32] = torch.nn.functional.interpolate(whole, (side, side), mode=method)[
        :, 0
    ].numpy()
    return small
