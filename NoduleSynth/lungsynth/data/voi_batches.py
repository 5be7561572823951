"""Training batches of VOIs from real nodule cubes, through the same resampling as insertion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.nodule import Attenuation
from lungsynth.core.volume import Volume
from lungsynth.data.nodule_cubes import CUBE_VOXELS, NoduleCubes
from lungsynth.imaging.voi import interpolation_matrix, locate_voi

ATTENUATIONS = tuple(Attenuation)


@dataclass(frozen=True)
class Augmentation:
    """How a nodule is varied each time that it is drawn.

    Args:
        zoom: Largest relative change of the box's side [han2020, 6.2.1: 10 % at test time].
        shift: Largest shift of the centre as a part of the box's side (ours).
        thick_slices: How often the cube is first averaged to thicker slices (ours), so that CTs
            of 2.5 and 3 mm are known.
        slice_mm: Range of those slices.
    """

    zoom: float = 0.1
    shift: float = 0.04
    thick_slices: float = 0.35
    slice_mm: tuple[float, float] = (1.5, 3.0)


@dataclass(frozen=True)
class Draw:
    """Every random choice about one training item."""

    index: int
    quarter_turns: int
    flips: tuple[bool, bool, bool]
    zoom: float
    shift: tuple[float, float, float]
    slice_mm: float


@dataclass(frozen=True, eq=False)
class VoiBatch:
    """Real VOIs and what is known of their nodules.

    Args:
        hu: Cubes (B, 64, 64, 64), float32.
        mask: How far each voxel lies in the nodule's mask (B, 64, 64, 64), float32, 0 to 1.
        round_trip: For each axis the matrices (B, 64, 32) of ``Voi.round_trip``.
        diameter_mm: (B,).
        box_mm: (B,).
        mean_hu: (B,), inside the mask.
        attenuation: (B,), index into ``ATTENUATIONS``.
        index: (B,), which of the cubes each is.
    """

    hu: NDArray[np.float32]
    mask: NDArray[np.float32]
    round_trip: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
    diameter_mm: NDArray[np.float64]
    box_mm: NDArray[np.float64]
    mean_hu: NDArray[np.float64]
    attenuation: NDArray[np.int64]
    index: NDArray[np.int64]


class NoduleVoiSampler:
    """Draws batches of VOIs.

    (ours) Classes come by the square root of their frequency and nodules by the square root of
    their diameter, for ground glass and large nodules are rare and wanted.

    Args:
        cubes: Of them the usable ones are drawn.
        box_mm: From a diameter to the side of the box.
        augmentation: How they are varied.
        among: Draw only these, (N,).
    """

    def __init__(
        self,
        cubes: NoduleCubes,
        box_mm: Callable[[float], float],
        augmentation: Augmentation = Augmentation(),
        *,
        among: NDArray[np.bool_] | None = None,
    ) -> None:
        self.cubes, self.box_mm, self.augmentation = cubes, box_mm, augmentation
        self.indices = np.flatnonzero(cubes.usable if among is None else cubes.usable & among)
        known = [cubes.attenuation[n] for n in self.indices]
        self.classes = np.array([ATTENUATIONS.index(a) for a in known if a is not None])
        count = np.bincount(self.classes, minlength=len(ATTENUATIONS))
        weights = np.sqrt(cubes.diameter_mm[self.indices] / count[self.classes])
        self.probabilities = weights / weights.sum()

    def draw(self, rng: np.random.Generator) -> Draw:
        """Make every random choice about one item."""
        a = self.augmentation
        thick = rng.random() < a.thick_slices
        return Draw(
            index=int(rng.choice(len(self.indices), p=self.probabilities)),
            quarter_turns=int(rng.integers(4)),
            flips=(bool(rng.integers(2)), bool(rng.integers(2)), bool(rng.integers(2))),
            zoom=float(rng.uniform(1 - a.zoom, 1 + a.zoom)),
            shift=tuple(rng.uniform(-a.shift, a.shift, 3).tolist()),
            slice_mm=float(rng.uniform(*a.slice_mm)) if thick else 1.0,
        )

    def batch(self, draws: list[Draw]) -> VoiBatch:
        """Return the items of ``draws``, in their order."""
        items = [self._item(draw) for draw in draws]
        at = self.indices[[draw.index for draw in draws]]
        trips = [np.stack([item[2][axis] for item in items]) for axis in range(3)]
        return VoiBatch(
            hu=np.stack([item[0] for item in items]),
            mask=np.stack([item[1] for item in items]),
            round_trip=(trips[0], trips[1], trips[2]),
            diameter_mm=self.cubes.diameter_mm[at],
            box_mm=np.array([item[3] for item in items]),
            mean_hu=self.cubes.mean_hu[at],
            attenuation=self.classes[[draw.index for draw in draws]],
            index=at,
        )

    def _item(
        self, draw: Draw
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], tuple[NDArray[np.float32], ...], float]:
        n = int(self.indices[draw.index])
        box_mm = self.box_mm(float(self.cubes.diameter_mm[n])) * draw.zoom
        flips = tuple(axis for axis in range(3) if draw.flips[axis])

        def turned(values: NDArray[np.generic]) -> NDArray[np.generic]:
            return np.flip(np.rot90(values, draw.quarter_turns, axes=(1, 2)), axis=flips)

        hu, mask = turned(self.cubes.hu[n]), turned(self.cubes.mask[n])
        inside = np.argwhere(mask)
        centre = (inside.min(axis=0) + inside.max(axis=0)) / 2
        centre = centre + np.array(draw.shift) * box_mm
        hu, mask, origin = _thick_slices(hu, mask, draw.slice_mm)
        ijk_to_ras = np.diag([-1.0, -1.0, draw.slice_mm, 1.0])
        ijk_to_ras[2, 3] = origin
        volume = Volume(hu, ijk_to_ras)
        voi = locate_voi(volume, (-centre[2], -centre[1], centre[0]), box_mm)
        return voi.extract(hu), voi.extract(mask), voi.round_trip(), box_mm


def _thick_slices(
    hu: NDArray[np.generic], mask: NDArray[np.generic], slice_mm: float
) -> tuple[NDArray[np.generic], NDArray[np.generic], float]:
    """Return the arrays averaged along z to slices of ``slice_mm``, and z of the first in mm."""
    if slice_mm <= 1:
        return hu, mask, 0.0
    count = int(CUBE_VOXELS / slice_mm)
    origin = (CUBE_VOXELS - 1 - (count - 1) * slice_mm) / 2
    z = origin + slice_mm * np.arange(count)
    weights = interpolation_matrix(np.arange(CUBE_VOXELS, dtype=np.float64), z, slice_mm)
    thick = np.tensordot(weights, hu.astype(np.float32), axes=1)
    return thick, np.tensordot(weights, mask.astype(np.float32), axes=1), origin
