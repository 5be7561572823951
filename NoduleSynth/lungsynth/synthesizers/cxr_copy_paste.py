"""A real nodule from radiographs of the user's own, scaled and pasted in: the second baseline.

The pixels of the source replace those of the target inside the nodule, shifted so that the
surroundings of both agree; unlike an added shadow, ribs and vessels do not show through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.contracts import PATCH_PIXELS, Painting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.io.radiograph_reading import grey_of, read_picture, read_radiograph

MASK_ENDING = "_mask"
"""The mask of ``NAME.png`` is ``NAME_mask.png``: not 0 in the nodules."""
LEAST_DIAMETER_PX = 5.0
CANDIDATES = 8
"""Among how many nodules nearest in size the latent seed chooses."""
_FIELD = 1.5
"""Half side of the crop that is kept of a nodule, over its diameter."""
_RING = (1.1, 1.6)
"""Where surroundings are compared: between these distances from the centre, over the radius."""


@dataclass(frozen=True, eq=False)
class PastedNodule:
    """One nodule of the bank.

    Args:
        values: A crop around it on the synthesizers' scale, float32, square.
        mask: Where the nodule is, bool, same shape.
        diameter_px: Its diameter in pixels of the crop.
        source: Where it comes from.
    """

    values: NDArray[np.float32]
    mask: NDArray[np.bool_]
    diameter_px: float
    source: str


class CxrCopyPaste:
    """Pastes real nodules from a folder of radiographs with masks.

    Args:
        bank: The nodules, at least one.
    """

    name = "copy-paste"
    weights_sha256: str | None = None
    device = "cpu"

    def __init__(self, bank: Sequence[PastedNodule]) -> None:
        self.bank = list(bank)
        self._diameters = np.array([nodule.diameter_px for nodule in self.bank])

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> CxrCopyPaste:  # noqa: ARG003 - one signature for all
        """Read the bank: each ``NAME.png`` that has a ``NAME_mask.png`` beside it.

        Raises:
            LungSynthError: If weights are given, or no bank, or it holds no nodule.
        """
        if weights is not None:
            msg = f"{weights}: the copy-paste synthesizer takes a bank of nodules, not weights"
            raise LungSynthError(msg)
        if bank is None:
            msg = (
                "copy-paste needs a bank of real nodules: --bank FOLDER with radiographs NAME.png "
                f"and masks NAME{MASK_ENDING}.png (none ships)"
            )
            raise LungSynthError(msg)
        return cls(read_bank(bank))

    def draw_source(self, spec: CxrNoduleSpec, diameter_px: float) -> tuple[int, bool]:
        """Choose a nodule near the diameter, and whether it is mirrored, from the latent seed."""
        rng = np.random.default_rng(spec.latent_seed)
        ratio = np.abs(np.log(self._diameters / diameter_px))
        # by a random order among the nearest, so that a slightly other diameter rarely changes it
        nearest = np.sort(np.argsort(ratio, kind="stable")[:CANDIDATES])
        order = rng.permutation(len(self.bank))
        return int(min(nearest, key=lambda n: order[n])), bool(rng.integers(2))

    def paint(
        self,
        context: NDArray[np.float32],
        specs: Sequence[CxrNoduleSpec],
        diameter_px: Sequence[float],
    ) -> Painting:
        """Paint one nodule into each patch; see ``CxrSynthesizer.paint``."""
        values, masks, details = [], [], []
        for old, spec, diameter in zip(context, specs, diameter_px, strict=True):
            number, mirrored = self.draw_source(spec, diameter)
            nodule = self.bank[number]
            new, mask = _resampled(nodule, diameter, mirrored=mirrored)
            line = np.arange(PATCH_PIXELS) - (PATCH_PIXELS - 1) / 2
            away = np.hypot(line[:, None], line[None, :]) / (diameter / 2)
            ring = (away > _RING[0]) & (away < _RING[1])
            shift = float(np.median(old[ring]) - np.median(new[ring])) if ring.any() else 0.0
            values.append(new + np.float32(shift))
            masks.append(mask)
            details.append({"source": nodule.source})
        return Painting(values=np.stack(values), mask=np.stack(masks), details=details)


def _resampled(
    nodule: PastedNodule, diameter_px: float, *, mirrored: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a nodule and its soft mask in the middle of a patch, scaled to a diameter."""
    centre = (len(nodule.values) - 1) / 2
    steps = (np.arange(PATCH_PIXELS) - (PATCH_PIXELS - 1) / 2) * nodule.diameter_px / diameter_px
    columns = -steps if mirrored else steps
    at = np.meshgrid(centre + steps, centre + columns, indexing="ij")
    smooth = max(0.0, 0.4 * (nodule.diameter_px / diameter_px - 1))
    values = ndimage.gaussian_filter(nodule.values, smooth)
    soft = ndimage.gaussian_filter(nodule.mask.astype(np.float32), max(smooth, 0.5))
    return (
        ndimage.map_coordinates(values, at, order=1, mode="nearest"),
        ndimage.map_coordinates(soft, at, order=1, mode="constant"),
    )


def read_bank(folder: Path) -> list[PastedNodule]:
    """Read every nodule of a folder of radiographs and masks, in the order of their names.

    Raises:
        LungSynthError: If there is no such folder, no pair in it, or a mask of the wrong size.
    """
    if not folder.is_dir():
        msg = f"{folder}: there is no such folder of nodules"
        raise LungSynthError(msg)
    found: list[PastedNodule] = []
    for mask_path in sorted(folder.glob(f"*{MASK_ENDING}.png")):
        path = mask_path.with_name(mask_path.name.replace(f"{MASK_ENDING}.png", ".png"))
        if path.is_file():
            found += _nodules_of(path, mask_path)
    if not found:
        msg = (
            f"{folder}: no nodule bank for radiographs there; it holds NAME.png and "
            f"NAME{MASK_ENDING}.png"
        )
        raise LungSynthError(msg)
    return found


def _nodules_of(path: Path, mask_path: Path) -> list[PastedNodule]:
    image = read_radiograph(path)
    grey: NDArray[Any] = grey_of(mask_path, read_picture(mask_path))
    mask: NDArray[np.bool_] = np.asarray(grey != 0)
    if mask.shape != image.pixels.shape:
        msg = f"{mask_path}: {mask.shape} pixels, where {path.name} has {image.pixels.shape}"
        raise LungSynthError(msg)
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    found = []
    for number in range(1, count + 1):
        one = labels == number
        diameter = ellipse_diameter(one)
        if diameter < LEAST_DIAMETER_PX:
            continue
        row, column = (int(np.rint(x)) for x in ndimage.center_of_mass(one))
        half = int(np.ceil(_FIELD * diameter)) + 2
        index = np.arange(-half, half + 1)
        at = np.ix_(
            np.clip(row + index, 0, mask.shape[0] - 1),
            np.clip(column + index, 0, mask.shape[1] - 1),
        )
        source = f"{path.parent.name}/{path.name} nodule {number}"
        found.append(PastedNodule(image.normalised(image.pixels[at]), one[at], diameter, source))
    return found
