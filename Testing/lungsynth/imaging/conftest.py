"""Volumes of every orientation, and a synthesizer that does exactly what it is told to."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from lungsynth.core.contracts import Inpainting
from lungsynth.core.volume import Volume

TILT = Rotation.from_euler("xyz", [12, -9, 15], degrees=True).as_matrix()
GEOMETRIES = {
    # directions of (i, j, k) in RAS as columns, spacing of (i, j, k), shape (K, J, I)
    "thick axial slices": (np.diag([-1.0, -1, 1]), (0.7, 0.8, 2.5), (32, 90, 100)),
    "flipped in every axis": (np.diag([1.0, 1, -1]), (0.9, 0.8, 1.25), (60, 90, 80)),
    "sagittal slices": (np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]]), (0.8, 0.7, 2.0), None),
    "oblique": (TILT @ np.diag([-1.0, -1, 1]), (0.7, 0.8, 2.0), (40, 90, 100)),
    "oblique, permuted": (
        TILT @ np.array([[0, -1.0, 0], [0, 0, -1], [1, 0, 0]]),
        (0.8, 0.9, 1.5),
        (48, 80, 90),
    ),
}


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    """Shape (K, J, I) and ijk_to_ras of a volume, its origin somewhere off zero."""
    directions, spacing, shape = GEOMETRIES[request.param]
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(spacing)
    matrix[:3, 3] = (31.0, -52.0, 77.0)
    return shape or (40, 90, 80), matrix


@dataclass
class BallMaker:
    """Puts a ball of the asked diameter, times ``oversize``, in the middle of the box."""

    oversize: float = 1.0
    only_mm: float | None = None  # oversized are only the nodules of this asked diameter
    level_hu: float = -100.0
    fixed_mm: float | None = None  # the same ball whatever is asked
    beside_mm: tuple = (0.0, 0.0, 0.0)  # off the middle, along (z, y, x) of the box
    name: str = "balls"
    weights_sha256: str | None = None
    device: str = "cpu"
    calls: list = field(default_factory=list)

    def box_mm(self, diameter_mm):
        return 1.6 * diameter_mm + 3

    def inpaint(self, context_hu, specs, box_mm):
        self.calls.append([spec.diameter_mm for spec in specs])
        hu, masks = [], []
        for cube, spec, side in zip(context_hu, specs, box_mm, strict=True):
            scale = side / self.box_mm(spec.diameter_mm)
            oversize = self.oversize if self.only_mm in {None, spec.diameter_mm} else 1.0
            diameter = self.fixed_mm or spec.diameter_mm * oversize * scale
            line = (np.arange(32) - 15.5) * side / 32
            z, y, x = np.meshgrid(*(line - off for off in self.beside_mm), indexing="ij")
            mask = np.clip(diameter / 2 - np.sqrt(z**2 + y**2 + x**2) + 0.5, 0, 1)
            rng = np.random.default_rng(spec.latent_seed)
            level = self.level_hu + rng.normal(0, 20, mask.shape)
            old = cube[16:48, 16:48, 16:48]
            hu.append((old + mask * (level - old)).astype(np.float32))
            masks.append(mask.astype(np.float32))
        return Inpainting(np.stack(hu), np.stack(masks))


@pytest.fixture
def make_balls():
    return BallMaker


@pytest.fixture
def lung_volume():
    """Make a volume of noisy lung tissue in a geometry."""

    def make(geometry, dtype=np.int16, offset=0):
        shape, matrix = geometry
        tissue = np.random.default_rng(0).normal(-840, 30, shape) + offset
        voxels = tissue.astype(dtype) if np.issubdtype(dtype, np.floating) else np.rint(tissue)
        return Volume(voxels.astype(dtype), matrix, {"Modality": "CT"})

    return make
