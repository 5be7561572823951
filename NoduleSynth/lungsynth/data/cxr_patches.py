"""Patches of radiographs with a nodule whose outline is known: what textures are learnt from.

Two sources (ours; shen2022 had 2,420 outlined radiographs of its own):

 * real nodules of CT, projected along the beam at any angle and added to real radiographs without
   findings (``imaging.projection``): outline, contrast and what lay behind are known exactly;
 * simulated radiographs (DRR) of whole CTs with the shadows of their nodules: real anatomy around
   real nodules, but what lies behind them is not known, so that contrast is measured against what
   the surroundings suggest.

Patches are cut as insertion cuts them, on the same scale.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import PATCH_PIXELS, WORKING_PIXEL_MM
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.data.listed_splits import ListedSplits
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.radiograph_pixels import read_pixels
from lungsynth.data.radiographs import RadiographSet
from lungsynth.imaging.fill import filled
from lungsynth.imaging.projection import added_brightness, draw_rotation, project_nodule
from lungsynth.imaging.radiograph_insertion import freedom_around, main_piece
from lungsynth.imaging.radiograph_patch import locate_patch

DIAMETER_PX = (12.0, 90.0)
"""(ours) Of projected nodules, on the patch's grid: 5 to 36 mm."""
STRENGTH = (0.7, 3.0)
"""(ours) What is drawn to multiply the attenuation, so that contrasts of all kinds are seen."""
SIZE_RATIO = 1.6
"""(ours) How much larger or smaller than in its CT a nodule may be made."""
LEAST_DRR_PIXELS = 12
"""(ours) Shadows of fewer pixels in a simulated radiograph are left out."""
WITHIN = ((0.18, 0.72), (0.16, 0.84))
"""(ours) Where in a radiograph nodules go, in parts of its height and width: the thorax."""
_LUNG_LEVEL = (-0.95, 0.35)
_PLACE_TRIES = 12


@dataclass(frozen=True, eq=False)
class PatchPair:
    """One patch with a nodule and, where it is known, without.

    Args:
        after: With the nodule, float32 (256, 256), on the scale of the synthesizers.
        before: Without it; NaN inside of ``free`` where that is not known.
        mask: How far each pixel belongs to the nodule, 0 to 1, float32.
        free: How far each pixel may differ from ``before``: 1 in the mask, 0 beyond its rim.
        contrast: Mean over the mask of after - before, over the robust range.
        source: "projected" or "drr".
    """

    after: NDArray[np.float32]
    before: NDArray[np.float32]
    mask: NDArray[np.float32]
    free: NDArray[np.float32]
    contrast: float
    source: str


@dataclass(frozen=True)
class PatchDraw:
    """Every random choice of a pair.

    Args:
        source: "projected" or "drr".
        image: Which radiograph.
        centre: (row, column) in it.
        nodule: Which nodule, of the cubes; unused for DRRs.
        rotation: 3 x 3, row by row.
        diameter_mm: To which it is brought.
        strength: Multiplies the attenuation.
        mirrored: Left and right are exchanged.
    """

    source: str
    image: int
    centre: tuple[float, float]
    nodule: int = 0
    rotation: tuple[float, ...] = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    diameter_mm: float = 10.0
    strength: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True, eq=False)
class DrrNodule:
    """The shadow of one nodule in a simulated radiograph."""

    image: int
    centre: tuple[float, float]
    mask: NDArray[np.bool_]


class CxrPatchSampler:
    """Draws pairs of one split.

    Args:
        radiographs: Without findings, for projected nodules.
        cubes: Nodules in CT; those with sane masks are used.
        drrs: Simulated radiographs.
        drr_nodules: Shadows in them.
        drr_part: How often a DRR is drawn, where there are any.

    Raises:
        LungSynthError: If there is nothing to draw from.
    """

    def __init__(
        self,
        radiographs: Sequence[Radiograph],
        cubes: NoduleCubes | None,
        drrs: Sequence[Radiograph] = (),
        drr_nodules: Sequence[DrrNodule] = (),
        drr_part: float = 0.15,
    ) -> None:
        self.radiographs, self.cubes = radiographs, cubes
        self.drrs, self.drr_nodules = drrs, drr_nodules
        self.nodules = np.flatnonzero(cubes.usable) if cubes is not None else np.array([], int)
        projected = bool(len(radiographs) and len(self.nodules))
        if not projected and not drr_nodules:
            msg = (
                "no patches to learn from: radiographs without findings with nodules in CT, or "
                f"DRRs with masks, are needed; got {len(radiographs)} radiographs, "
                f"{len(self.nodules)} usable nodules and {len(drr_nodules)} shadows in DRRs"
            )
            raise LungSynthError(msg)
        self.drr_part = 1.0 if not projected else drr_part if drr_nodules else 0.0

    @classmethod
    def load(cls, folder: Path, split: str, *, drr_part: float = 0.15) -> CxrPatchSampler:
        """Read radiographs (folder ``cxr``), cubes (``ct_nodules``) and DRRs (``drr``).

        Raises:
            LungSynthError: If nothing in it can be used.
        """
        radiographs: list[Radiograph] = []
        cubes = None
        drrs: list[Radiograph] = []
        nodules: list[DrrNodule] = []
        if (folder / "cxr").is_dir() and (folder / "ct_nodules").is_dir():
            cubes = NoduleCubes.load(folder / "ct_nodules", split)
            found = RadiographSet.open(folder / "cxr").images(split, normal_only=True)
            radiographs = [as_radiograph(pixels) for pixels in found]
        if (folder / "drr").is_dir():
            drrs, nodules = _read_drrs(folder, split)
        try:
            return cls(radiographs, cubes, drrs, nodules, drr_part)
        except LungSynthError as error:
            msg = f"{folder}: {error} in its {split} split (folders cxr, ct_nodules and drr)"
            raise LungSynthError(msg) from None

    def draw(self, rng: np.random.Generator) -> PatchDraw:
        """Make every random choice of a pair."""
        if rng.random() < self.drr_part:
            n = int(rng.integers(len(self.drr_nodules)))
            shadow = self.drr_nodules[n]
            mirrored = bool(rng.random() < 0.5)
            return PatchDraw("drr", shadow.image, shadow.centre, n, mirrored=mirrored)
        assert self.cubes is not None
        low, high = np.log(DIAMETER_PX)
        wanted_mm = float(np.exp(rng.uniform(low, high))) * WORKING_PIXEL_MM
        known_mm = self.cubes.diameter_mm[self.nodules]
        near = np.flatnonzero(np.abs(np.log(wanted_mm / known_mm)) <= math.log(SIZE_RATIO))
        nodule = int(self.nodules[rng.choice(near) if len(near) else rng.integers(len(known_mm))])
        ratio = np.clip(wanted_mm / self.cubes.diameter_mm[nodule], 1 / SIZE_RATIO, SIZE_RATIO)
        image = int(rng.integers(len(self.radiographs)))
        return PatchDraw(
            source="projected",
            image=image,
            centre=draw_place(self.radiographs[image], rng),
            nodule=nodule,
            rotation=tuple(draw_rotation(rng).ravel().tolist()),
            diameter_mm=float(self.cubes.diameter_mm[nodule] * ratio),
            strength=float(np.exp(rng.uniform(*np.log(STRENGTH)))),
            mirrored=bool(rng.random() < 0.5),
        )

    def make(self, drawn: PatchDraw) -> PatchPair:
        """Return the pair of a draw."""
        pair = self._drr(drawn) if drawn.source == "drr" else self._projected(drawn)
        if not drawn.mirrored:
            return pair
        return replace(
            pair,
            after=mirror(pair.after),
            before=mirror(pair.before),
            mask=mirror(pair.mask),
            free=mirror(pair.free),
        )

    def _projected(self, drawn: PatchDraw) -> PatchPair:
        assert self.cubes is not None
        image, n = self.radiographs[drawn.image], drawn.nodule
        before = locate_patch(image, np.array(drawn.centre)).extract(image)
        made = project_nodule(
            self.cubes.hu[n],
            self.cubes.mask[n],
            (1.0, 1.0, 1.0),
            WORKING_PIXEL_MM,
            np.reshape(drawn.rotation, (3, 3)),
            scale=drawn.diameter_mm / float(self.cubes.diameter_mm[n]),
            even_side=True,
        )
        change = drawn.strength * added_brightness(on_patch(made.attenuation), before)
        mask = on_patch(made.mask)
        free = freedom_around(mask)
        after = before + free * change
        return PatchPair(after, before, mask, free, contrast_of(after - before, mask), "projected")

    def _drr(self, drawn: PatchDraw) -> PatchPair:
        shadow = self.drr_nodules[drawn.nodule]
        image = self.drrs[shadow.image]
        patch = locate_patch(image, np.array(shadow.centre))
        after = patch.extract(image)
        block = shadow.mask[np.ix_(*patch.reach)].astype(np.float32)
        # smoothed, for it steps from slice to slice of the CT
        soft = ndimage.gaussian_filter(patch.cut[0] @ block @ patch.cut[1].T, 1.5)
        mask = np.asarray(main_piece(soft > 0.5), np.float32)
        free = freedom_around(mask)
        before = np.where(free > 0, np.float32(np.nan), after)
        return PatchPair(
            after, before, mask, free, contrast_of(after - filled(after, free > 0), mask), "drr"
        )

    def fingerprint(self) -> str:
        """Return a sha256 of all pixels and voxels that are drawn from."""
        digest = hashlib.sha256()
        for image in (*self.radiographs, *self.drrs):
            digest.update(np.ascontiguousarray(image.pixels).tobytes())
        for n in self.nodules:
            assert self.cubes is not None
            digest.update(self.cubes.hu[n].tobytes())
        for nodule in self.drr_nodules:
            digest.update(np.packbits(nodule.mask).tobytes())
        return digest.hexdigest()


def as_radiograph(pixels: NDArray[np.generic]) -> Radiograph:
    """Return pixels whose denser tissue is brighter as a radiograph of unknown spacing."""
    return Radiograph(pixels, image_plane_matrix())


def on_patch(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a square of an even side in the middle of an empty patch, cut where it is larger."""
    margin = (PATCH_PIXELS - len(values)) // 2
    if margin < 0:
        return np.ascontiguousarray(values[-margin:margin, -margin:margin])
    return np.pad(values, margin)


def mirror(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return an image (rows, columns) with left and right exchanged."""
    return np.ascontiguousarray(image[:, ::-1])


def contrast_of(change: NDArray[np.float32], mask: NDArray[np.float32]) -> float:
    """Return the mean change where the mask is above 0.5, over the robust range; 0 if nowhere."""
    inside = mask > 0.5
    return float(change[inside].mean()) / 2 if inside.any() else 0.0


def draw_place(image: Radiograph, rng: np.random.Generator) -> tuple[float, float]:
    """Draw where in a radiograph a nodule goes: in the thorax, rather in the lungs than not."""
    rows, columns = image.pixels.shape
    low, high = image.robust_range
    size = max(2, max(rows, columns) // 64)
    place = (0.0, 0.0)
    for _ in range(_PLACE_TRIES):
        place = (rng.uniform(*WITHIN[0]) * rows, rng.uniform(*WITHIN[1]) * columns)
        r, c = int(place[0]), int(place[1])
        around = image.pixels[max(0, r - size) : r + size, max(0, c - size) : c + size]
        level = 2 * (float(around.astype(np.float32).mean()) - low) / max(high - low, 1e-6) - 1
        if _LUNG_LEVEL[0] <= level <= _LUNG_LEVEL[1]:
            break
    return place


def _read_drrs(folder: Path, split: str) -> tuple[list[Radiograph], list[DrrNodule]]:
    """Read ``*_drr.png`` and ``*_drr_mask.png`` whose patient, named first, is of the split."""
    splits = ListedSplits(folder, "patient")
    drrs: list[Radiograph] = []
    nodules: list[DrrNodule] = []
    for path in sorted((folder / "drr").glob("*_drr.png")):
        patient = path.name.split("_")[0]
        masks = path.with_name(path.name.replace("_drr.png", "_drr_mask.png"))
        if splits[patient] != split or not masks.is_file():
            continue
        labels, count = ndimage.label(read_pixels(masks) > 0, structure=np.ones((3, 3)))
        for n in range(1, count + 1):
            mask = labels == n
            if mask.sum() >= LEAST_DRR_PIXELS:
                row, column = ndimage.center_of_mass(mask)
                nodules.append(DrrNodule(len(drrs), (float(row), float(column)), mask))
        drrs.append(as_radiograph(read_pixels(path)))
    return drrs, nodules
