"""How a nodule looks, in numbers: size, density, margin, and how far its shape is from a ball.

By them benign and malignant nodules are compared, real ones and generated ones alike. The margin
and the two shape measures stand for what LIDC readers rate as margin, lobulation and spiculation;
they are surrogates, not those ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTH_VOXELS = 1.0
"""Deviation of the Gaussian that turns a mask into a field with a gradient at its surface."""
RIM_MM = 2.0
"""How far from the surface the inside and the outside of a margin reach."""


@dataclass(frozen=True)
class Morphology:
    """One nodule as measured.

    Args:
        diameter_mm: Of the sphere with the volume of the mask.
        mean_hu: Inside the mask.
        deviation_hu: Standard deviation inside the mask.
        high_hu: 95th percentile inside the mask; calcification shows here.
        margin_per_mm: How steeply intensity falls across the surface, as a part of the difference
            between both sides, per mm; large is sharp.
        sphericity: Surface of a ball with the mask's volume over the mask's surface; 1 for a ball,
            less the more lobes and spicules.
        roughness: Deviation of the surface's distance from the centroid over its mean; 0 for a
            ball.
    """

    diameter_mm: float
    mean_hu: float
    deviation_hu: float
    high_hu: float
    margin_per_mm: float
    sphericity: float
    roughness: float


def measure_morphology(
    hu: NDArray[np.generic], mask: NDArray[np.bool_], voxel_mm: float
) -> Morphology | None:
    """Measure a nodule, or return None where the mask has no inside or no outside.

    Args:
        hu: Intensities (K, J, I).
        mask: Same shape; the nodule off its faces.
        voxel_mm: Side of a voxel, the same along all axes.
    """
    if not mask.any() or mask.all():
        return None
    values = hu.astype(np.float64)
    volume_mm3 = float(mask.sum()) * voxel_mm**3
    inside = values[mask]
    return Morphology(
        diameter_mm=float(np.cbrt(6 * volume_mm3 / np.pi)),
        mean_hu=float(inside.mean()),
        deviation_hu=float(inside.std()),
        high_hu=float(np.percentile(inside, 95)),
        margin_per_mm=_margin(values, mask, voxel_mm),
        sphericity=float(_slope(_ball(int(mask.sum()))).sum() / _slope(mask).sum()),
        roughness=_roughness(mask, _slope(mask)),
    )


def _slope(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how steep the smoothed mask is; its integral is the mask's surface (coarea formula).

    Small surfaces come out too small, so a mask is compared with a ball that went the same way.
    """
    field = ndimage.gaussian_filter(mask.astype(np.float64), SMOOTH_VOXELS)
    return np.asarray(np.sqrt(sum(np.square(g) for g in np.gradient(field))))


def _ball(voxels: int) -> NDArray[np.bool_]:
    """Return a ball of about so many voxels."""
    radius = (3 * voxels / (4 * np.pi)) ** (1 / 3)
    half = int(np.ceil(radius)) + 4
    away = np.sqrt(sum(np.square(a) for a in np.indices((2 * half,) * 3) - half + 0.5))
    nearest = np.argsort(away, axis=None, kind="stable")[:voxels]
    ball = np.zeros(away.size, dtype=bool)
    ball[nearest] = True
    return ball.reshape(away.shape)


def _margin(hu: NDArray[np.float64], mask: NDArray[np.bool_], voxel_mm: float) -> float:
    """Return the mean slope of intensity along the surface's normal over the step across it."""
    field = ndimage.gaussian_filter(mask.astype(np.float64), SMOOTH_VOXELS)
    along = sum(a * b for a, b in zip(np.gradient(hu, voxel_mm), np.gradient(field), strict=True))
    at_surface = float(np.sum(along) / _slope(mask).sum())
    outwards = ndimage.distance_transform_edt(~mask) * voxel_mm
    inwards = ndimage.distance_transform_edt(mask) * voxel_mm
    deep = mask & (inwards >= min(RIM_MM, float(inwards.max())))
    beyond = (outwards > RIM_MM) & (outwards <= 2 * RIM_MM)
    if not beyond.any():
        return float("nan")
    step = float(hu[deep].mean() - np.median(hu[beyond]))
    return at_surface / step if step > 0 else float("nan")


def _roughness(mask: NDArray[np.bool_], slope: NDArray[np.float64]) -> float:
    """Return deviation over mean of the surface's distance from the centroid."""
    centre = np.argwhere(mask).mean(axis=0)
    away = np.linalg.norm(np.indices(mask.shape) - centre[:, None, None, None], axis=0)
    mean = float((away * slope).sum() / slope.sum())
    variance = float((np.square(away - mean) * slope).sum() / slope.sum())
    # The surface itself is as thick as the Gaussian that made it.
    return float(np.sqrt(max(variance - SMOOTH_VOXELS**2, 0.0)) / mean)


def compare_classes(
    benign: Sequence[Morphology], malignant: Sequence[Morphology]
) -> dict[str, dict[str, float]]:
    """Return, for each measure, both medians and how often a malignant one is above a benign one.

    Args:
        benign: At least one nodule.
        malignant: At least one nodule.

    Returns:
        ``{"mean_hu": {"benign": ..., "malignant": ..., "above": ...}, ...}``; "above" is the
        area under the ROC curve, 0.5 where the measure tells nothing.
    """
    table = {}
    for name in asdict(benign[0]):
        one, two = (
            np.array([value for m in group if np.isfinite(value := getattr(m, name))])
            for group in (benign, malignant)
        )
        if not len(one) or not len(two):
            continue
        above = (two[:, None] > one).mean() + 0.5 * (two[:, None] == one).mean()
        table[name] = {
            "benign": float(np.median(one)),
            "malignant": float(np.median(two)),
            "above": float(above),
        }
    return table
