"""What a scan says of a radiograph, as a value and as text that a scene keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lungsynth.core.errors import LungSynthError


@dataclass(frozen=True)
class Region:
    """Where a radiograph differs.

    Args:
        label: Its value in the map of regions.
        peak: Largest deviation, in standard deviations of normals; negative where less dense.
        denser: Whether it is denser than normal.
        ras_mm: Its centre.
        areaPx: In pixels of the radiograph.
        areaMm2: None where the pixel spacing is not known.
    """

    label: int
    peak: float
    denser: bool
    ras_mm: tuple[float, float, float]
    areaPx: float
    areaMm2: float | None = None


@dataclass(frozen=True)
class Result:
    """What a scan found.

    Args:
        score: Of the radiograph.
        pValue: How likely a normal scores so high.
        threshold: Of the score, for the false-positive rate asked.
        regionThreshold: Of the deviation, in standard deviations of normals.
        abnormal: Whether the score is above its threshold.
        regions: The highest peak first.
        reference: Scores of held normals.
        note: What is to be said of an image of another kind; empty else.
        falsePositiveRate: As asked.
        seconds: What the scan took.
    """

    score: float
    pValue: float
    threshold: float
    regionThreshold: float
    abnormal: bool
    regions: tuple[Region, ...]
    reference: tuple[float, ...]
    note: str = ""
    falsePositiveRate: float = 0.05
    seconds: float = 0.0

    def asText(self) -> str:
        """Return it as text that ``resultIn`` reads."""
        return json.dumps(asdict(self))


def resultIn(text: str) -> Result | None:
    """Return the result that a text holds; None if it holds none."""
    try:
        values = json.loads(text)
        regions = tuple(
            Region(**{**region, "ras_mm": tuple(region["ras_mm"])}) for region in values["regions"]
        )
        return Result(**{**values, "regions": regions, "reference": tuple(values["reference"])})
    except (ValueError, TypeError, KeyError):
        return None


def resultOf(values: Mapping[str, Any], *, spacingKnown: bool) -> Result:
    """Return what ``scan.json`` says of its one file.

    Args:
        values: The file, read.
        spacingKnown: Whether areas in mm2 mean anything.

    Raises:
        LungSynthError: If it is not what this version writes.
    """
    try:
        one = values["files"][0]
        regions = tuple(
            Region(
                label=int(region["label"]),
                peak=float(region["peak"]),
                denser=bool(region["denser"]),
                ras_mm=tuple(float(x) for x in region["ras_mm"]),
                areaPx=float(region["area_px"]),
                areaMm2=region["area_mm2"] if spacingKnown else None,
            )
            for region in one["regions"]
        )
        return Result(
            score=float(one["score"]),
            pValue=float(one["p_value"]),
            threshold=float(one["threshold"]),
            regionThreshold=float(one["region_threshold"]),
            abnormal=bool(one["abnormal"]),
            regions=regions,
            reference=tuple(float(score) for score in values["reference_scores"]),
            note=str(one["note"]),
            falsePositiveRate=float(values["false_positive_rate"]),
            seconds=float(values["seconds"]),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        msg = f"the scan's report cannot be understood ({type(error).__name__}: {error})"
        raise LungSynthError(msg) from error
