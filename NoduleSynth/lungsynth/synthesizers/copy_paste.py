"""A real nodule from the user's own bank, turned, scaled and blended in: the second baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS, Inpainting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import NoduleSpec
from lungsynth.data.nodule_cubes import SPLITS, NoduleCubes
from lungsynth.imaging.voi import locate_voi

BLEND_MM = 1.0
"""How far around its mask a nodule is blended into the tissue."""
CANDIDATES = 8
"""Among how many nodules nearest in size the latent seed chooses."""
_CENTRE = slice((GRID_VOXELS - BOX_VOXELS) // 2, (GRID_VOXELS + BOX_VOXELS) // 2)


class CopyPaste:
    """Pastes real nodules from a bank of nodule cubes (see ``data.nodule_cubes``).

    Args:
        bank: The nodules.
        origin: How the report calls the bank.
    """

    name = "copy-paste"
    weights_sha256: str | None = None
    device = "cpu"

    def __init__(self, bank: NoduleCubes, origin: str = "bank") -> None:
        self.bank, self.origin = bank, origin
        self._by_class = {
            kind: np.array([n for n in np.flatnonzero(bank.usable) if bank.attenuation[n] is kind])
            for kind in {a for a in bank.attenuation if a is not None}
        }

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> CopyPaste:  # noqa: ARG003 - one signature for all
        """Read the bank: the training split if the folder has one, else its first split.

        Raises:
            LungSynthError: If weights are given, or no bank, or the folder is none.
        """
        if weights is not None:
            msg = f"{weights}: the copy-paste synthesizer takes a bank of nodules, not weights"
            raise LungSynthError(msg)
        if bank is None:
            msg = "copy-paste needs a bank of real nodules: --bank FOLDER (none ships)"
            raise LungSynthError(msg)
        split = next((s for s in SPLITS if (bank / f"{s}.npz").is_file()), None)
        if split is None:
            msg = f"{bank}: no nodule bank there; it holds train.npz and train.csv (or val, test)"
            raise LungSynthError(msg)
        return cls(NoduleCubes.load(bank, split), f"{bank.name}/{split}")

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm."""
        return 1.6 * diameter_mm + 3.0

    def draw_source(self, spec: NoduleSpec) -> tuple[int, int, tuple[int, ...]]:
        """Choose nodule, quarter turns and flipped axes from the latent seed.

        Raises:
            LungSynthError: If the bank has no nodule of the kind.
        """
        candidates = self._by_class.get(spec.attenuation, np.array([], dtype=int))
        if not len(candidates):
            msg = f"bank {self.origin} has no usable {spec.attenuation} nodule"
            raise LungSynthError(msg)
        rng = np.random.default_rng(spec.latent_seed)
        ratio = np.abs(np.log(self.bank.diameter_mm[candidates] / spec.diameter_mm))
        nearest = candidates[np.argsort(ratio, kind="stable")[:CANDIDATES]]
        flips = tuple(axis for axis in range(3) if rng.integers(2))
        return int(rng.choice(nearest)), int(rng.integers(4)), flips

    def inpaint(
        self,
        context_hu: NDArray[np.float32],
        specs: Sequence[NoduleSpec],
        box_mm: Sequence[float],
    ) -> Inpainting:
        """Fill the centres; see ``CtSynthesizer.inpaint``."""
        old = context_hu[:, _CENTRE, _CENTRE, _CENTRE]
        hu, masks, details = [], [], []
        for n, (spec, side) in enumerate(zip(specs, box_mm, strict=True)):
            source, turns, flips = self.draw_source(spec)
            nodule, mask = self._resampled(source, spec.diameter_mm, side)
            nodule = np.flip(np.rot90(nodule, turns, axes=(1, 2)), axis=flips)
            mask = np.flip(np.rot90(mask, turns, axes=(1, 2)), axis=flips)
            outside_mm = ndimage.distance_transform_edt(mask < 0.5) * side / BOX_VOXELS
            weight = np.clip(1 - outside_mm / BLEND_MM, 0, 1)
            hu.append((old[n] + weight * (nodule - old[n])).astype(np.float32))
            masks.append(np.ascontiguousarray(mask))
            row = self.bank.table[source]
            details.append(
                {
                    "source": f"{self.origin} row {source}",
                    "source_patient": row["patient"],
                    "source_series_uid": row["series_uid"],
                }
            )
        return Inpainting(hu=np.stack(hu), mask=np.stack(masks), details=details)

    def _resampled(
        self, source: int, diameter_mm: float, box_mm: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return HU and mask of a bank nodule on the box grid, scaled to the diameter."""
        volume = self.bank.cube_volume(source)
        z, y, x = self.bank.centre(source)
        centre_ras_mm = volume.ijk_to_ras_mm((x, y, z))
        # The asked diameter belongs to the box it asks for: a rescaled box rescales the nodule.
        scale = self.bank.diameter_mm[source] / diameter_mm * self.box_mm(diameter_mm) / box_mm
        voi = locate_voi(volume, tuple(centre_ras_mm.tolist()), box_mm * float(scale))
        centre = (_CENTRE, _CENTRE, _CENTRE)
        mask = voi.extract(self.bank.mask[source])[centre]
        return voi.extract(volume.voxels)[centre], mask
