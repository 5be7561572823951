"""Findings planted into normal radiographs, so that it is known where they are.

Nodules are real CT nodules, projected [1]; pleural effusion and pneumothorax are shapes (ours)
after how they are described [2]: fluid whitens the base of a lung below a line that rises to the
outside (the meniscus), air between the pleurae leaves a dark rim without vessels at the apex and
the outside, bordered by a thin bright line.

[1] Litjens et al., MICCAI 2010, p. 396; see ``imaging.projection``.
[2] Hansell et al., Fleischner Society: glossary of terms for thoracic imaging, Radiology 246:697
(2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.field import Mask
from lungsynth.imaging.lung_fields import find_lung_fields
from lungsynth.imaging.projection import RANGE_ATTENUATION, draw_rotation, project_nodule

KINDS = ("nodule", "effusion", "pneumothorax")
CHEST_SIDE_MM = 400.0
"""(ours) Side of a radiograph whose pixel spacing is unknown."""
NODULE_MM = (10.0, 30.0)


@dataclass(frozen=True, eq=False)
class PlantedFinding:
    """A radiograph with a finding in it.

    Args:
        kind: One of ``KINDS``.
        image: (S, S) in [-1, 1].
        mask: Where the finding is.
    """

    kind: str
    image: Images
    mask: Mask


@dataclass(frozen=True, eq=False)
class CtNodule:
    """A nodule in a cube of CT of 1 mm.

    Args:
        hu: (z, y, x).
        mask: Same shape.
        diameter_mm: Of the sphere of its volume.
    """

    hu: NDArray[np.int16]
    mask: Mask
    diameter_mm: float


def lungs_of(image: Images, usual: Mask) -> Mask:
    """Return the lungs of an image (S, S), (2, S, S); the usual ones where none are found."""
    side = image.shape[0]
    try:
        fields = find_lung_fields(Radiograph(image, image_plane_matrix()))
    except LungSynthError:
        return usual
    mask = fields.mask(image.shape)
    left = np.arange(side)[None, :] < side / 2
    both = np.stack([mask & left, mask & ~left])
    return both if both.any(axis=(1, 2)).all() else usual


def draw_nodule_finding(
    image: Images, lungs: Mask, nodules: Sequence[CtNodule], rng: np.random.Generator
) -> PlantedFinding:
    """Plant a projected CT nodule of 10 to 30 mm, anywhere in the lungs.

    Args:
        image: (S, S).
        lungs: (2, S, S).
        nodules: To choose from.
        rng: Draws which, how large, how turned and where.
    """
    pixel_mm = CHEST_SIDE_MM / image.shape[0]
    nodule = nodules[int(rng.integers(len(nodules)))]
    asked_mm = float(rng.uniform(*NODULE_MM))
    made = project_nodule(
        nodule.hu,
        nodule.mask,
        (1.0, 1.0, 1.0),
        pixel_mm,
        draw_rotation(rng),
        scale=asked_mm / nodule.diameter_mm,
    )
    inside = ndimage.binary_erosion(lungs.any(axis=0), iterations=2)
    places = np.argwhere(inside if inside.any() else lungs.any(axis=0))
    row, column = places[int(rng.integers(len(places)))]
    change, mask = np.zeros_like(image), np.zeros(image.shape, np.float32)
    _add(change, made.attenuation * np.float32(2 / RANGE_ATTENUATION), row, column)
    _add(mask, made.mask, row, column)
    if not (mask >= 0.5).any():  # smaller than a pixel
        mask[row, column] = 1
    return PlantedFinding("nodule", np.clip(image + change, -1, 1), mask >= 0.5)


def _add(to: Images, patch: NDArray[np.float32], row: int, column: int) -> None:
    """Add a patch with its middle at a place; what lies beyond the border is left out."""
    half, side = patch.shape[0] // 2, to.shape[0]
    top, left = row - half, column - half
    rows = slice(max(top, 0), min(top + patch.shape[0], side))
    columns = slice(max(left, 0), min(left + patch.shape[1], side))
    to[rows, columns] += patch[
        rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
    ]


def draw_effusion(image: Images, lungs: Mask, rng: np.random.Generator) -> PlantedFinding:
    """Plant an effusion-like opacity: the lowest 15 to 45 % of a lung, whitened."""
    part, height = int(rng.integers(2)), float(rng.uniform(0.15, 0.45))
    strength = float(rng.uniform(0.6, 0.95))
    lung = lungs[part]
    rows, columns = np.nonzero(lung)
    top, bottom = rows.min(), rows.max()
    left, right = columns.min(), columns.max()
    across = (np.arange(image.shape[1]) - left) / max(right - left, 1)
    outward = np.clip(1 - across if part == 0 else across, 0, 1)
    level = bottom - height * (bottom - top) * (0.7 + 0.6 * outward**2)
    below = np.arange(image.shape[0])[:, None] >= level[None, :]
    mask = lung & below
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.012 * image.shape[0]) * strength
    white = float(np.quantile(image, 0.85))
    return PlantedFinding(
        "effusion", np.asarray(image + soft * np.maximum(white - image, 0), np.float32), mask
    )


def draw_pneumothorax(image: Images, lungs: Mask, rng: np.random.Generator) -> PlantedFinding:
    """Plant a pneumothorax-like rim: dark, without vessels, at apex and outside of a lung."""
    part, width = int(rng.integers(2)), float(rng.uniform(0.12, 0.3))
    strength = float(rng.uniform(0.25, 0.5))
    lung = lungs[part]
    columns = np.nonzero(lung)[1]
    depth = width * (columns.max() - columns.min())
    # the collapsed lung: drawn down and towards the middle
    inward = round(depth) * (1 if part == 0 else -1)
    collapsed = np.roll(np.roll(lung, round(0.7 * depth), axis=0), inward, axis=1) & lung
    collapsed[lung.nonzero()[0].max() - 2 :] |= lung[lung.nonzero()[0].max() - 2 :]
    mask = lung & ~collapsed
    soft = ndimage.gaussian_filter(mask.astype(np.float32), 0.006 * image.shape[0])
    smooth = ndimage.gaussian_filter(image, 0.03 * image.shape[0])
    line = ndimage.binary_dilation(mask) & collapsed
    changed = image + soft * (smooth - strength - image)
    return PlantedFinding(
        "pneumothorax",
        np.clip(changed + 0.12 * line, -1, 1).astype(np.float32),
        mask,
    )


def plant(
    kind: str,
    images: Images,
    usual: Mask,
    nodules: Sequence[CtNodule],
    rng: np.random.Generator,
) -> list[PlantedFinding]:
    """Plant a finding of one kind into each image (N, S, S).

    Args:
        kind: One of ``KINDS``.
        images: Normals.
        usual: Their lungs, where none are found in an image, (2, S, S).
        nodules: To choose from.
        rng: Draws everything.

    Raises:
        LungSynthError: If there is no such kind, or no nodule to plant.
    """
    if kind not in KINDS:
        msg = f"unknown finding '{kind}'; planted are {', '.join(KINDS)}"
        raise LungSynthError(msg)
    if kind == "nodule":
        if not nodules:
            msg = "no CT nodules to plant; name a folder of nodule cubes"
            raise LungSynthError(msg)
        return [draw_nodule_finding(x, lungs_of(x, usual), nodules, rng) for x in images]
    draw = draw_effusion if kind == "effusion" else draw_pneumothorax
    return [draw(image, lungs_of(image, usual), rng) for image in images]
