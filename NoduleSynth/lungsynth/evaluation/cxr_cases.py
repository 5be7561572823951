"""Radiographs with known nodules for studies of detection, and synthetic ones beside them.

No folder here holds enough boxed radiographs. What is known: nodules of CT projected onto real
radiographs without findings (patients of both of one split), simulated radiographs (DRR) of whole
CTs with the shadows of their nodules, and what radiographs are boxed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungsynth.core.contracts import CxrSynthesizer
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import (
    CONTRAST_RANGE,
    CXR_DIAMETER_RANGE_PX,
    CxrNoduleSpec,
    CxrSeed,
    Radiograph,
)
from lungsynth.data.cxr_patches import CxrPatchSampler, as_radiograph, draw_place
from lungsynth.data.nodule_cases import (
    KnownNodule,
    NoduleCase,
    grid_factor,
    mask_box,
    read_marked,
)
from lungsynth.data.radiographs import RadiographSet
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.imaging.lung_fields import find_lung_fields
from lungsynth.imaging.radiograph_insertion import insert_into_radiograph
from lungsynth.synthesizers.ct_projection import CtProjection

NODULE_PART = 0.5
"""(ours) Of the radiographs without findings, how many get a projected nodule."""
EDGE_PART = 0.06
"""Nodules keep so far from the border, as a part of the side."""
LARGEST_BOX_PX = 200.0
"""Boxes of findings beyond this (80 mm) mark a region rather than a nodule, and are left out."""
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class NodulePopulation:
    """From what nodules are drawn where nothing else is known, (ours).

    Args:
        diameter_px: Lowest and highest, evenly by their logarithm, on the grid on which the
            longer side is 1,024: 8 to 30 mm of a usual film. Smaller ones are hardly seen.
        contrast: Likewise, over the robust range.
    """

    diameter_px: tuple[float, float] = (20.0, 75.0)
    contrast: tuple[float, float] = (0.02, 0.10)


@dataclass(frozen=True)
class NoduleRequest:
    """One nodule that is to be put into a radiograph, fully decided.

    Args:
        diameter_px: On the grid.
        contrast: Over the robust range; None leaves it to the synthesizer.
        place: Middle, as parts of height and width, moved to the nearest point of the lungs where
            they are found; None draws it in the lungs.
        latent_seed: Of the nodule, and of its place and radiograph.
    """

    diameter_px: float
    contrast: float | None
    place: tuple[float, float] | None
    latent_seed: int


def draw_request(population: NodulePopulation, rng: np.random.Generator) -> NoduleRequest:
    """Draw a nodule of a population, its place left open."""
    diameter, contrast = (
        float(np.exp(rng.uniform(*np.log(bounds))))
        for bounds in (population.diameter_px, population.contrast)
    )
    return NoduleRequest(diameter, contrast, None, int(rng.integers(2**31)))


def known_cases(
    data: Path,
    split: str,
    rng: np.random.Generator,
    *,
    most: int | None = None,
    population: NodulePopulation | None = None,
    on_progress: OnProgress | None = None,
) -> list[NoduleCase]:
    """Return radiographs of one split whose nodules are known.

    Args:
        data: Folder with ``cxr``, ``ct_nodules`` and, where there are any, ``drr``.
        split: "train", "val" or "test"; radiographs and CT nodules are both of it.
        rng: Draws which radiographs get a nodule, and the nodules.
        most: At most so many radiographs, and a quarter as many DRRs.
        population: Of projected nodules.
        on_progress: Called with radiographs done and in all.

    Raises:
        LungSynthError: If there is nothing of that split.
    """
    sampler = CxrPatchSampler.load(data, split)
    if sampler.cubes is None:
        msg = f"{data}: folders cxr and ct_nodules with a {split} split are needed"
        raise LungSynthError(msg)
    records = RadiographSet.open(data / "cxr").select(split, normal_only=True)
    normals = [
        NoduleCase(image.pixels, (), record.patient, "normal")
        for image, record in zip(sampler.radiographs, records, strict=True)
    ]
    chosen = [normals[n] for n in rng.permutation(len(normals))[:most]]
    projector = CtProjection(sampler.cubes, f"ct_nodules/{split}")
    count = round(NODULE_PART * len(chosen))
    requests = [draw_request(population or NodulePopulation(), rng) for _ in range(count)]
    filled = synthesise(chosen[:count], requests, projector, "projected", on_progress=on_progress)
    return [*filled, *chosen[count:], *_drr_cases(sampler, most), *_boxed(data, split)]


def bank_for(name: str, data: Path) -> Path:
    """Return where a synthesizer finds nodules in a folder of studies: patches, or cubes of CT."""
    return data / ("drr" if name == "copy-paste" else "ct_nodules")


def normal_cases(cases: Sequence[NoduleCase]) -> list[NoduleCase]:
    """Return those that have no nodule."""
    return [case for case in cases if not case.nodules]


def synthesise(
    normals: Sequence[NoduleCase],
    requests: Sequence[NoduleRequest],
    synthesizer: CxrSynthesizer,
    source: str,
    *,
    on_progress: OnProgress | None = None,
) -> list[NoduleCase]:
    """Put one nodule into a radiograph for each request, in turn.

    Args:
        normals: Radiographs without nodules; used again from the first where there are fewer.
        requests: What is asked.
        synthesizer: Who makes them.
        source: How the cases are called.
        on_progress: Called with radiographs done and in all.
    """
    made = []
    for n, request in enumerate(requests):
        made.append(_with_nodule(normals[n % len(normals)], request, synthesizer, source))
        if on_progress is not None:
            on_progress(n + 1, len(requests))
    return made


def _with_nodule(
    case: NoduleCase, request: NoduleRequest, synthesizer: CxrSynthesizer, source: str
) -> NoduleCase:
    image = as_radiograph(case.pixels)
    factor = grid_factor(case.pixels.shape)
    spec = CxrNoduleSpec(
        diameter_px=float(np.clip(request.diameter_px / factor, *CXR_DIAMETER_RANGE_PX)),
        contrast=None
        if request.contrast is None
        else float(np.clip(request.contrast, *CONTRAST_RANGE)),
        latent_seed=request.latent_seed,
    )
    pixel = place_in(image, request.place, np.random.default_rng([request.latent_seed, 1]))
    position = image.pixel_to_ras_mm(pixel)
    seed = CxrSeed((float(position[0]), float(position[1]), float(position[2])), spec)
    result = insert_into_radiograph(image, [seed], synthesizer)
    [done] = result.insertions
    (_, row, column), _ = done.box
    left, top, right, bottom = mask_box(done.mask[0], (row, column))
    nodule = KnownNodule(
        (left, top, right, bottom), done.measured.diameter_px * factor, done.measured.contrast
    )
    return NoduleCase(result.image.pixels, (*case.nodules, nodule), case.patient, source)


def place_in(
    image: Radiograph, wanted: tuple[float, float] | None, rng: np.random.Generator
) -> tuple[float, float]:
    """Return (row, column) of a nodule: in the lungs, as they are seen or behind the heart.

    Args:
        image: Where it goes. Where no lungs are found in it, the thorax as a whole is taken.
        wanted: Parts of height and width, of another radiograph perhaps; None draws the place.
        rng: Draws it.
    """
    rows, columns = image.pixels.shape
    low, high = EDGE_PART, 1 - EDGE_PART
    try:
        lungs = find_lung_fields(image).mask(image.pixels.shape, behind=True)
    except LungSynthError:
        lungs = np.zeros(image.pixels.shape, bool)
    top, left = math.ceil(low * rows), math.ceil(low * columns)
    inside = np.argwhere(lungs[top : int(high * rows), left : int(high * columns)])
    inside += np.array([top, left])
    if not len(inside):
        if wanted is None:
            return draw_place(image, rng)
        row, column = np.clip(wanted, low, high) * (rows, columns)
        return float(row), float(column)
    if wanted is None:
        row, column = inside[int(rng.integers(len(inside)))]
    else:
        away = np.square(inside - np.array([wanted[0] * rows, wanted[1] * columns])).sum(axis=1)
        row, column = inside[int(np.argmin(away))]
    return float(row), float(column)


def _drr_cases(sampler: CxrPatchSampler, most: int | None) -> list[NoduleCase]:
    cases = []
    for n, image in enumerate(sampler.drrs[: None if most is None else max(1, most // 4)]):
        nodules = []
        for shadow in sampler.drr_nodules:
            if shadow.image != n:
                continue
            left, top, right, bottom = mask_box(shadow.mask)
            diameter = ellipse_diameter(shadow.mask) * grid_factor(image.pixels.shape)
            nodules.append(KnownNodule((left, top, right, bottom), diameter))
        cases.append(NoduleCase(image.pixels, tuple(nodules), f"drr-{n}", "drr"))
    return cases


def _boxed(data: Path, split: str) -> list[NoduleCase]:
    try:
        cases = read_marked(data / "cxr", split, normal_too=False)
    except LungSynthError:
        return []  # few folders have boxes
    return [c for c in cases if max(n.diameter_px for n in c.nodules) <= LARGEST_BOX_PX]
