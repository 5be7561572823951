"""Where nodules can go: seeds inside the lungs, spread out and clear of what they would hit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Occupied
from lungsynth.core.nodule import NodulePopulation, NoduleSpec, Seed, draw_nodule
from lungsynth.core.volume import Volume
from lungsynth.imaging.coarse import Bools, CoarseGrid
from lungsynth.imaging.lungs import AERATED_HU, CoarseLungs, find_lungs, split_lungs
from lungsynth.imaging.placement import EDGE_MM

Site = Literal["parenchyma", "juxta-pleural", "juxta-vascular"]
Floats = NDArray[np.float64]

BOX_GAP_MM = 1.0  # between boxes, at the least
MARGIN_MM = 1.5  # from the nodule's surface to pleura, airways and large vessels
VESSEL_HU = -400.0  # block means above: vessels of about 4 mm and more
WALL_MM = 4.0  # blocks nearer to the pleura are bright from the wall, not from a vessel
SMALL_VESSEL_CONTRAST_HU = 200.0  # over the lung's median: vessels of 2 mm and more
PLEURAL_BAND = (0.3, 0.9)  # depth of a juxta-pleural nodule's centre, in radii
LEAST_CLEARANCE = 0.5  # in radii, of a nodule for which no place is deep enough
BATCH = 512


def box_side_mm(diameter_mm: float) -> float:
    """Return the side of the box that a nodule's insertion may change, where none is told."""
    return 1.6 * diameter_mm + 3.0


def propose_seeds(
    volume: Volume,
    count: int,
    rng: np.random.Generator,
    population: NodulePopulation | None = None,
    *,
    lungs: Bools | CoarseLungs | None = None,
    site: Site = "parenchyma",
    specs: Sequence[NoduleSpec] | None = None,
    box_mm: Callable[[float], float] = box_side_mm,
    earlier: Sequence[Occupied] = (),
) -> list[Seed]:
    """Choose places for nodules.

    Sides and thirds of the lungs take turns. Nodules lie inside the volume, though their boxes
    may reach beyond it; boxes do not overlap, and no two centres are nearer than the sum of the
    diameters. In the parenchyma, a nodule for which no place is deep enough goes to the deepest
    one.

    Args:
        volume: Chest CT in HU.
        count: How many seeds.
        rng: Source of every random choice; the same state gives the same seeds.
        population: From what the nodules are drawn where ``specs`` is None.
        lungs: Lung mask (K, J, I), or what ``find_lungs`` returned; found in the volume where None.
        site: In the parenchyma, clear of pleura, airways and vessels of 4 mm and more; at the
            pleura, with the centre 0.3 to 0.9 radii from it; or touching a vessel of 2 to
            5 mm.
        specs: The nodules, one for each seed.
        box_mm: From a diameter to the side of the box that the synthesizer changes, both in mm.
        earlier: Nodules in the volume that the seeds keep clear of.

    Returns:
        ``count`` seeds, in the order of ``specs``.

    Raises:
        LungSynthError: If no lungs are found or not all nodules fit; says how many do.
    """
    if site not in get_args(Site):
        msg = f"unknown site '{site}'; there are {', '.join(get_args(Site))}"
        raise LungSynthError(msg)
    if count < 1 or (specs is not None and len(specs) != count):
        given = "" if specs is None else f" and {len(specs)} specs"
        msg = f"count must be at least 1, with a spec for each; got {count}{given}"
        raise LungSynthError(msg)
    if specs is None:
        drawn_from = population or NodulePopulation()
        specs = [draw_nodule(drawn_from, rng) for _ in range(count)]
    places = _Places.of(_coarse(volume, lungs), site, box_mm)
    for done in earlier:
        extent_kji = np.subtract(done.box[1], done.box[0])
        side_mm = float((extent_kji[::-1] * volume.spacing_mm).max())
        centre_mm = np.array(done.seed.position_ras_mm)
        places.taken.append((centre_mm, done.seed.spec.diameter_mm, side_mm))
    largest_first = sorted(range(count), key=lambda n: -specs[n].diameter_mm)
    centres: dict[int, Floats] = {}
    for number in largest_first:
        centre = places.draw(specs[number].diameter_mm, rng)
        if centre is not None:
            centres[number] = centre
    if len(centres) < count:
        missed = max(specs[n].diameter_mm for n in range(count) if n not in centres)
        msg = (
            f"only {len(centres)} of {count} nodules fit ({site}; one of {missed:g} mm does "
            "not); ask for fewer or smaller ones"
        )
        raise LungSynthError(msg)
    return [
        Seed((float(r), float(a), float(s)), spec, name=f"auto-{number + 1}")
        for number, spec in enumerate(specs)
        for r, a, s in [np.round(centres[number], 2)]
    ]


def _coarse(volume: Volume, lungs: Bools | CoarseLungs | None) -> CoarseLungs:
    if isinstance(lungs, CoarseLungs):
        return lungs
    return find_lungs(volume) if lungs is None else split_lungs(volume, lungs)


@dataclass(eq=False)
class _Places:
    """The blocks of the lungs, what is near them, and what is taken already.

    Args:
        grid: How the blocks lie in the volume.
        blocks: Indices (S, A, R) of the blocks in the lungs, shape (N, 3).
        zone: 1 to 6 for each block.
        depth_mm: Distance to the pleura.
        inward: Unit vector (S, A, R) away from the pleura.
        clear_mm: Distance to airways and large vessels.
        vessel_mm: Distance to small vessels.
        aerated: Whether the block is lung, not what the closing at the pleura added.
        site: Where nodules go.
        box_mm: From a nodule's diameter to the side of its box, in mm.
        taken: Centre (RAS mm), diameter and side of the box of the nodules so far.
        used: How many nodules each zone has got.
    """

    grid: CoarseGrid
    blocks: NDArray[np.intp]
    zone: NDArray[np.uint8]
    depth_mm: Floats
    inward: Floats
    clear_mm: Floats
    vessel_mm: Floats
    aerated: Bools
    site: Site
    box_mm: Callable[[float], float]
    taken: list[tuple[Floats, float, float]] = field(default_factory=list)
    used: NDArray[np.int64] = field(default_factory=lambda: np.zeros(7, np.int64))

    @classmethod
    def of(cls, lungs: CoarseLungs, site: Site, box_mm: Callable[[float], float]) -> _Places:
        """Measure distances on the coarse grid."""
        spacing = lungs.grid.spacing_mm
        inside = lungs.sides > 0
        half = 0.5 * float(spacing.mean())  # from a block's middle to the surface
        signed = -_distance(inside, spacing)
        for side in (1, 2):  # where the lungs touch there is pleura too
            lung = lungs.sides == side
            signed[lung] = _distance(~lung, spacing)[lung]
        signed -= half * np.sign(signed)
        bright = inside & (lungs.hu > VESSEL_HU) & (signed > WALL_MM)
        if site == "juxta-vascular":  # 4 mm may be touched, what is two blocks wide not
            bright = ndimage.binary_opening(bright, np.ones((2, 2, 2)))
        walls = ndimage.binary_dilation(lungs.airways)
        level = float(np.median(lungs.hu[inside])) + SMALL_VESSEL_CONTRAST_HU
        vessels = inside & (lungs.hu > level) & (signed > WALL_MM) & ~bright & ~walls
        blocks = np.argwhere(inside)
        at = tuple(blocks.T)
        slope = np.stack(
            [part[at] for part in np.gradient(ndimage.gaussian_filter(signed, 1.0), *spacing)], 1
        )
        slope /= np.linalg.norm(slope, axis=1, keepdims=True) + 1e-9
        return cls(
            grid=lungs.grid,
            blocks=blocks,
            zone=lungs.zones()[at],
            depth_mm=signed[at],
            inward=slope,
            clear_mm=_distance(bright | walls, spacing)[at] - half,
            vessel_mm=_distance(vessels, spacing)[at],
            aerated=lungs.hu[at] < AERATED_HU,
            site=site,
            box_mm=box_mm,
        )

    def draw(self, diameter_mm: float, rng: np.random.Generator) -> Floats | None:
        """Draw a place, take it and return its RAS in mm; None where there is none."""
        wanted = self._depth_wanted_mm(diameter_mm, rng)
        suitable = np.flatnonzero(self._suits(diameter_mm, wanted))
        order = np.argsort(self.used[1:] + rng.random(6)) + 1  # least used zone first
        for zone in order:
            candidates = rng.permutation(suitable[self.zone[suitable] == zone])
            if self._take_first(candidates, diameter_mm, wanted):
                return self.taken[-1][0]
        if self.site == "parenchyma":
            clearance = np.minimum(self.depth_mm, self.clear_mm)
            rest = np.flatnonzero(clearance >= LEAST_CLEARANCE * diameter_mm / 2)
            deepest_first = rest[np.argsort(-clearance[rest], kind="stable")]
            if self._take_first(deepest_first, diameter_mm, wanted):
                return self.taken[-1][0]
        return None

    def _depth_wanted_mm(self, diameter_mm: float, rng: np.random.Generator) -> float:
        """Draw how deep a juxta-pleural centre lies; of no meaning elsewhere."""
        return float(rng.uniform(*PLEURAL_BAND)) * diameter_mm / 2

    def _suits(self, diameter_mm: float, wanted_mm: float) -> Bools:
        """Say which blocks are at the right distance from everything."""
        reach = diameter_mm / 2 + MARGIN_MM
        suits = self.clear_mm >= reach
        if self.site == "juxta-pleural":
            near = np.abs(self.depth_mm - wanted_mm) <= 0.75 * float(self.grid.spacing_mm.max())
            return np.asarray(suits & near & self.aerated & (self.depth_mm > 0))
        suits &= self.depth_mm >= reach
        if self.site == "juxta-vascular":
            touch = max(diameter_mm / 2, float(self.grid.spacing_mm.max()))
            suits &= (self.vessel_mm <= touch) & (self.vessel_mm >= 0.3 * touch)
        return np.asarray(suits)

    def _along_axes_mm(self, ras: Floats) -> Floats:
        """Return vectors, shape (N, 3), as lengths in mm along the voxel axes (i, j, k)."""
        columns = self.grid.ijk_to_ras[:3, :3]
        return np.asarray(ras @ np.linalg.inv(columns).T * np.linalg.norm(columns, axis=0))

    def _room_mm(self, ras: Floats) -> Floats:
        """Return the distance of points from the nearest face of the volume, shape (N,)."""
        place = self._along_axes_mm(ras - self.grid.ijk_to_ras[:3, 3])
        voxel = np.linalg.norm(self.grid.ijk_to_ras[:3, :3], axis=0)
        size = np.array(self.grid.fine_shape[::-1]) * voxel
        return np.asarray(np.minimum(place + voxel / 2, size - voxel / 2 - place).min(axis=1))

    def _take_first(self, candidates: NDArray[np.intp], diameter: float, wanted: float) -> bool:
        """Take the first candidate that keeps clear of the edge and of the seeds before it."""
        for start in range(0, len(candidates), BATCH):
            batch = candidates[start : start + BATCH]
            ras = self._ras(batch, wanted)
            # Places are rounded to 0.01 mm later
            free = self._room_mm(ras) > diameter / 2 + EDGE_MM + 0.05
            for other, other_diameter, other_box in self.taken:
                apart = ras - other
                needed = 0.5 * (self.box_mm(diameter) + other_box) + BOX_GAP_MM
                free &= (np.abs(self._along_axes_mm(apart)) >= needed).any(axis=1)
                free &= np.linalg.norm(apart, axis=1) > diameter + other_diameter + MARGIN_MM
            if free.any():
                first = int(np.argmax(free))
                self.taken.append((ras[first], diameter, self.box_mm(diameter)))
                self.used[self.zone[batch[first]]] += 1
                return True
        return False

    def _ras(self, chosen: NDArray[np.intp], wanted_mm: float) -> Floats:
        """Return RAS points; a juxta-pleural one is moved to the very depth that is wanted."""
        blocks = self.blocks[chosen].astype(np.float64)
        if self.site == "juxta-pleural":
            move = (wanted_mm - self.depth_mm[chosen])[:, None] * self.inward[chosen]
            blocks += move / self.grid.spacing_mm
        return self.grid.to_ras_mm(blocks)


def _distance(mask: Bools, spacing_mm: Floats) -> Floats:
    """Return the distance in mm to the nearest voxel of a mask; far where it is empty."""
    if not mask.any():
        return np.full(mask.shape, 1e6)
    return np.asarray(ndimage.distance_transform_edt(~mask, sampling=spacing_mm))
