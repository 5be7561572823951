"""Real radiographs, where they are at hand: found lungs, nodules in them, nothing else changed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "cxr"


@pytest.fixture(scope="module")
def radiographs():
    table = DATA / "labels.csv"
    if not table.is_file():
        pytest.skip(f"no radiographs at {DATA}")
    with table.open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    normal = [DATA / "png512" / row["image"] for row in rows if row["labels"] == "No Finding"]
    return normal[:4]


@pytest.mark.parametrize("behind", [False, True])
def test_auto_puts_nodules_into_found_lungs_and_changes_nothing_else(
    lungsynth, radiographs, tmp_path, behind
):
    for path in radiographs:
        outcome = lungsynth(
            *("insert", "--input", path, "--output", tmp_path / "o.png", "--auto", "3"),
            *("--report", tmp_path / "r.json", "--synthesizer", "procedural"),
            *(["--behind-heart"] if behind else []),
        )

        assert outcome.status == 0, outcome.err
        old, new = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(p))) for p in (path, tmp_path / "o.png")
        )
        assert new.shape == old.shape
        changed = new != old
        insertions = json.loads((tmp_path / "r.json").read_text())["insertions"]
        assert len(insertions) == 3
        for one in insertions:
            (_, j0, i0), (_, j1, i1) = one["box_ijk"]
            assert changed[j0:j1, i0:i1].any()
            changed[j0:j1, i0:i1] = False
            asked, measured = one["asked"]["diameter_px"], one["measured"]["diameter_px"]
            assert measured == pytest.approx(asked, abs=max(1, 0.05 * asked))
            assert one["note"] == ""
        assert not np.any(changed)
