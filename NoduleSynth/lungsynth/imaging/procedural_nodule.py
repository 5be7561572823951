"""A nodule drawn by formulas: an ellipsoid with lobulation, spiculation and smooth texture.

All of it is ours; the mean densities are those of the real training nodules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec

MEAN_HU = {
    Attenuation.SOLID: (-150.0, 60.0),
    Attenuation.PART_SOLID: (-430.0, 60.0),
    Attenuation.GROUND_GLASS: (-660.0, 40.0),
}
"""Mean and standard deviation of a nodule's density inside its edge, in HU."""
EDGE_MM = 0.5


@dataclass(frozen=True, eq=False)
class Shape:
    """Everything random in one procedural nodule."""

    axes: NDArray[np.float64]  # relative half axes, (3,)
    rotation: NDArray[np.float64]  # 3 x 3
    lobes: NDArray[np.float64]  # (n, 4): direction, height
    spicules: NDArray[np.float64]  # (n, 4): direction, height
    mean_hu: float
    core: float  # radius of the solid part of a part-solid nodule, relative
    texture: NDArray[np.float32]  # (32, 32, 32), unit variance


def draw_shape(spec: NoduleSpec) -> Shape:
    """Make every random choice about a nodule from its latent seed."""
    rng = np.random.default_rng(spec.latent_seed)
    malignant = spec.malignancy is Malignancy.MALIGNANT
    spicule_count = int(rng.integers(5, 12)) if malignant else int(rng.integers(0, 4))

    def bumps(count: int, height: tuple[float, float]) -> NDArray[np.float64]:
        direction = rng.standard_normal((count, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        return np.column_stack([direction, rng.uniform(*height, count)])

    mean, deviation = MEAN_HU[spec.attenuation]
    noise = rng.standard_normal((BOX_VOXELS,) * 3).astype(np.float32)
    texture = ndimage.gaussian_filter(noise, 1.5)
    return Shape(
        axes=rng.uniform(0.8, 1.25, 3),
        # by position: SciPy 1.15 renamed the argument
        rotation=Rotation.random(None, rng).as_matrix(),
        lobes=bumps(int(rng.integers(3, 7)), (-0.12, 0.18)),
        spicules=bumps(spicule_count, (0.2, 0.5)),
        mean_hu=float(rng.normal(mean, deviation)),
        core=float(rng.uniform(0.4, 0.65)),
        texture=np.asarray(texture / texture.std(), dtype=np.float32),
    )


def asked_box_mm(diameter_mm: float) -> float:
    """Return the side in mm of the box for a nodule of the diameter that is asked."""
    return 1.6 * diameter_mm + 3.0


def draw_nodule_into(
    old: NDArray[np.float32], spec: NoduleSpec, box_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return HU and soft mask of the box with a nodule in it.

    Args:
        old: The tissue in the box, HU, float32 (32, 32, 32).
        spec: The nodule.
        box_mm: Side of the box; one other than ``asked_box_mm`` rescales the nodule.
    """
    shape = draw_shape(spec)
    # The asked diameter belongs to the box that it asks for: a rescaled box rescales the nodule.
    radius_mm = spec.diameter_mm / 2 * box_mm / asked_box_mm(spec.diameter_mm)
    depth_mm = _depth_mm(shape, radius_mm, box_mm)
    soft = _ramp(depth_mm, EDGE_MM).astype(np.float32)
    inside = shape.mean_hu + 25 * shape.texture
    if spec.attenuation is Attenuation.PART_SOLID:
        core = _ramp(depth_mm - (1 - shape.core) * radius_mm, EDGE_MM)
        inside = inside - 130 + 500 * core
    if spec.attenuation is Attenuation.GROUND_GLASS:
        # Vessels stay visible through ground glass.
        inside = np.maximum(inside, old + 80)
    new = old + soft * (inside - old)
    return new.astype(np.float32), soft


def _depth_mm(shape: Shape, radius_mm: float, box_mm: float) -> NDArray[np.float64]:
    """Return how deep each voxel of the box lies below the nodule's surface, in mm."""
    line = (np.arange(BOX_VOXELS) - (BOX_VOXELS - 1) / 2) * box_mm / BOX_VOXELS
    points = np.stack(np.meshgrid(line, line, line, indexing="ij"), axis=-1) @ shape.rotation
    distance = np.linalg.norm(points, axis=-1) + 1e-6
    direction = points / distance[..., None]
    axes = shape.axes / np.cbrt(shape.axes.prod())
    surface = 1 / np.linalg.norm(direction / axes, axis=-1)
    for bumps, sharpness in ((shape.lobes, 4.0), (shape.spicules, 60.0)):
        for *towards, height in bumps:
            surface = surface + height * np.exp(sharpness * (direction @ np.array(towards) - 1))
    # Scaled so that the nodule keeps the volume of the sphere that was asked for.
    inside = distance < radius_mm * surface
    volume = max(int(inside.sum()), 1) * (box_mm / BOX_VOXELS) ** 3
    fit = np.cbrt(4 / 3 * np.pi * radius_mm**3 / volume)
    return np.asarray(radius_mm * surface * fit - distance)


def _ramp(depth_mm: NDArray[np.float64], edge_mm: float) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(2 * depth_mm / edge_mm, -30, 30))))
