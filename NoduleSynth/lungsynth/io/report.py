"""The record of what was asked and what came out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lungsynth import __version__
from lungsynth.core.contracts import CtSynthesizer, CxrSynthesizer
from lungsynth.core.insertion import Insertion
from lungsynth.core.radiograph_insertion import CxrInsertion
from lungsynth.io.atomic import atomic_path

Json = dict[str, Any]
"""What ``json`` writes: its values are of any JSON type."""


def insertion_report(
    *,
    insertions: Sequence[Insertion | CxrInsertion],
    synthesizer: CtSynthesizer | CxrSynthesizer,
    input_path: Path | str,
    output_path: Path | str,
    seconds: Mapping[str, float],
) -> Json:
    """Return the report of one run.

    Positions are in RAS mm; ``box_ijk`` is ``[[k0, j0, i0], [k1, j1, i1]]``, half-open and in
    the order of the array's axes, so that ``voxels[k0:k1, j0:j1, i0:i1]`` is all that may
    differ from the input. A number that could not be measured is null.

    Args:
        insertions: What was done.
        synthesizer: What did it.
        input_path: The volume that was read.
        output_path: The volume that was written.
        seconds: How long each stage took.
    """
    return {
        "version": __version__,
        "synthetic": True,
        "synthesizer": synthesizer.name,
        "weights_sha256": synthesizer.weights_sha256,
        "device": synthesizer.device,
        "input": str(input_path),
        "output": str(output_path),
        "insertions": [_entry(insertion) for insertion in insertions],
        "seconds": {stage: _rounded(time, 3) for stage, time in seconds.items()},
    }


def _entry(insertion: Insertion | CxrInsertion) -> Json:
    asked, measured = (
        _of_radiograph(insertion) if isinstance(insertion, CxrInsertion) else _of_ct(insertion)
    )
    return {
        "name": insertion.seed.name,
        # 0.1 micrometre: the same box and the same voxels when it is replayed
        "seed_ras_mm": [_rounded(x, 4) for x in insertion.seed.position_ras_mm],
        "asked": asked,
        "measured": measured,
        "box_ijk": [[int(x) for x in corner] for corner in insertion.box],
        "latent_seed": int(insertion.spec.latent_seed),
        "within_tolerance": bool(insertion.within_tolerance),
        "note": insertion.note,
        "details": {str(key): str(value) for key, value in insertion.details.items()},
    }


def _of_ct(insertion: Insertion) -> tuple[Json, Json]:
    """Return what was asked of a nodule in CT and what was measured."""
    spec, measured = insertion.spec, insertion.measured
    asked = {
        "diameter_mm": float(spec.diameter_mm),
        "attenuation": str(spec.attenuation),
        "malignancy": None if spec.malignancy is None else str(spec.malignancy),
    }
    return asked, {
        "diameter_mm": _rounded(measured.diameter_mm, 2),
        "mean_hu": _rounded(measured.mean_hu, 1),
        "volume_mm3": _rounded(measured.volume_mm3, 1),
    }


def _of_radiograph(insertion: CxrInsertion) -> tuple[Json, Json]:
    """Return what was asked of a nodule in a radiograph and what was measured."""
    spec, measured = insertion.spec, insertion.measured
    asked = {
        "diameter_mm": spec.diameter_mm,
        "diameter_px": spec.diameter_px,
        "contrast": spec.contrast,
    }
    return asked, {
        "diameter_mm": _rounded(measured.diameter_mm, 2),
        "diameter_px": _rounded(measured.diameter_px, 2),
        "contrast": _rounded(measured.contrast, 4),
        "area_px": measured.area_px,
    }


def _rounded(value: float | None, digits: int) -> float | None:
    """Round; JSON knows no NaN."""
    return None if value is None or not math.isfinite(value) else round(float(value), digits)


def write_report(report: Json, path: Path) -> None:
    """Write a report as UTF-8 JSON, whole or not at all.

    Raises:
        LungSynthError: If the file cannot be written.
    """
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
