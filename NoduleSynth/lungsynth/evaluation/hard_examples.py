"""Which nodules a detector misses, and drawing more of those [shen2022, III.D].

The paper draws diameters uniformly from those of the missed nodules, which follows their
histogram. (ours) Contrast and place can be drawn along: each synthetic nodule then takes them from
one missed nodule together, a little moved, so that combinations stay as they occur.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cases import NoduleCase
from lungsynth.evaluation.cxr_cases import NodulePopulation, NoduleRequest, draw_request
from lungsynth.evaluation.froc import JudgedCase, operating_threshold

ATTRIBUTES = ("size", "contrast", "location")
SIZE_EDGES_PX = (0.0, 20.0, 30.0, 40.0, 50.0, 65.0, 80.0, 120.0, math.inf)
"""Of the histogram, on the grid on which a radiograph's longer side is 1,024."""
CONTRAST_EDGES = (0.0, 0.02, 0.03, 0.045, 0.065, 0.1, math.inf)
PLACES = tuple(f"{v} {h}" for v in ("upper", "middle", "lower") for h in ("left", "right"))
"""Thirds of the height, halves of the width, as the picture is looked at."""
MOVED = {"size": 0.05, "contrast": 0.1, "location": 0.03}
"""(ours) Standard deviation by which size and contrast (as logarithms) and place are moved."""


@dataclass(frozen=True)
class JudgedNodule:
    """One nodule and whether it was found.

    Args:
        diameter_px: On the grid.
        contrast: Over the robust range; NaN where not known.
        place: Middle, as parts of height and width.
        found: Whether a box hits it at the operating point.
        score: Of the best box that hits it; 0 if none does.
    """

    diameter_px: float
    contrast: float
    place: tuple[float, float]
    found: bool
    score: float


def judge_nodules(
    cases: Sequence[NoduleCase], judged: Sequence[JudgedCase], threshold: float | None = None
) -> list[JudgedNodule]:
    """Return every nodule with whether it was found.

    Args:
        cases: What there is.
        judged: What was detected there.
        threshold: Score from which a box counts; None takes the one with 0.25 false boxes a
            radiograph of these.
    """
    least = operating_threshold(judged) if threshold is None else threshold
    return [
        JudgedNodule(
            nodule.diameter_px,
            nodule.contrast,
            nodule.position(case.pixels.shape),
            found=bool(np.isfinite(score) and score >= least),
            score=float(score) if np.isfinite(score) else 0.0,
        )
        for case, found in zip(cases, judged, strict=True)
        for nodule, score in zip(case.nodules, found.hits, strict=True)
    ]


def draw_hard_examples(
    nodules: Sequence[JudgedNodule],
    count: int,
    rng: np.random.Generator,
    *,
    attributes: Sequence[str] = ATTRIBUTES,
    population: NodulePopulation | None = None,
) -> list[NoduleRequest]:
    """Draw requests after the missed nodules.

    Args:
        nodules: Found and missed ones.
        count: How many are drawn.
        rng: Draws them.
        attributes: Which follow the missed nodules, "size" among them; the others are drawn from
            the population.
        population: What the others, and contrasts that are not known, are drawn from.

    Raises:
        LungSynthError: If none was missed, or an attribute is unknown.
    """
    check_attributes(attributes)
    missed = [nodule for nodule in nodules if not nodule.found]
    if not missed:
        msg = (
            f"the detector missed none of {len(nodules)} nodules: there is nothing to mine; give "
            "harder cases"
        )
        raise LungSynthError(msg)
    drawn = []
    for _ in range(count):
        usual = draw_request(population or NodulePopulation(), rng)
        model = missed[int(rng.integers(len(missed)))]
        move = rng.standard_normal(4)
        diameter = model.diameter_px * math.exp(MOVED["size"] * move[0])
        contrast, place = usual.contrast, usual.place
        if "contrast" in attributes and math.isfinite(model.contrast) and model.contrast > 0:
            contrast = model.contrast * math.exp(MOVED["contrast"] * move[1])
        if "location" in attributes:
            row, column = np.clip(np.array(model.place) + MOVED["location"] * move[2:], 0, 1)
            place = (float(row), float(column))
        drawn.append(NoduleRequest(diameter, contrast, place, usual.latent_seed))
    return drawn


def check_attributes(attributes: Sequence[str]) -> None:
    """Refuse attributes that are unknown, or without size.

    Raises:
        LungSynthError: If so.
    """
    unknown = [name for name in attributes if name not in ATTRIBUTES]
    if unknown or "size" not in attributes:
        msg = f"hard examples follow size and any of {', '.join(ATTRIBUTES[1:])}; got "
        msg += ", ".join(attributes) or "none"
        raise LungSynthError(msg)


def place_name(place: tuple[float, float]) -> str:
    """Return in which sixth of the picture a place is."""
    row = min(int(place[0] * 3), 2)
    return PLACES[2 * row + (place[1] >= 0.5)]


def histograms(nodules: Sequence[JudgedNodule]) -> dict[str, Any]:
    """Return found and missed nodules by size, contrast and place, as JSON can hold them."""

    def table(names: Sequence[str], index: Sequence[int]) -> dict[str, dict[str, int]]:
        return {
            name: {
                "found": sum(i == n and nod.found for i, nod in zip(index, nodules, strict=True)),
                "missed": sum(
                    i == n and not nod.found for i, nod in zip(index, nodules, strict=True)
                ),
            }
            for n, name in enumerate(names)
        }

    sizes = np.array([nodule.diameter_px for nodule in nodules])
    contrasts = np.array([nodule.contrast for nodule in nodules])
    return {
        "size": table(bin_names(SIZE_EDGES_PX), binned(sizes, SIZE_EDGES_PX)),
        "contrast": table(bin_names(CONTRAST_EDGES), binned(contrasts, CONTRAST_EDGES)),
        "location": table(PLACES, [PLACES.index(place_name(n.place)) for n in nodules]),
    }


def binned(values: NDArray[np.floating[Any]], edges: Sequence[float]) -> list[int]:
    """Return the bin of each value; -1 where it is not known."""
    index = np.digitize(values, edges) - 1
    return [int(i) if np.isfinite(v) else -1 for i, v in zip(index, values, strict=True)]


def bin_names(edges: Sequence[float]) -> list[str]:
    """Return names of bins, such as "20-30" and "120 +"."""
    return [
        f"{low:g}-{high:g}" if math.isfinite(high) else f"{low:g} +"
        for low, high in itertools.pairwise(edges)
    ]


def to_rows(nodules: Sequence[JudgedNodule]) -> list[dict[str, Any]]:
    """Return one mapping for each nodule, as JSON can hold it (null for NaN)."""
    rows = []
    for nodule in nodules:
        row = asdict(nodule)
        row["place"] = list(nodule.place)
        row["contrast"] = nodule.contrast if math.isfinite(nodule.contrast) else None
        rows.append(row)
    return rows


def from_rows(rows: Sequence[dict[str, Any]]) -> list[JudgedNodule]:
    """Return what ``to_rows`` was given."""
    return [
        JudgedNodule(
            float(row["diameter_px"]),
            math.nan if row["contrast"] is None else float(row["contrast"]),
            (float(row["place"][0]), float(row["place"][1])),
            bool(row["found"]),
            float(row["score"]),
        )
        for row in rows
    ]
