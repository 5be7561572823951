"""Checking a source of whole CTs as a command."""

import csv
import json

import numpy as np
import pytest

from lungsynth.core.volume import Volume
from lungsynth.io.writing import write_volume

CENTRES = [(10, 12, 9), (24, 15, 21), (14, 30, 30)]
"""Voxels (i, j, k) of balls, in 1.5 mm voxels that begin at RAS (-60, 5, -140)."""


def write_rows(folder, rows):
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def source(awkward_path):
    """A manifest of one image with three nodules that are fine and a row that is not."""
    k, j, i = np.indices((40, 40, 40))
    voxels = np.full(i.shape, -850, np.int16)
    rows = []
    for at in CENTRES:
        voxels[np.linalg.norm(np.stack([i, j, k], -1) - at, axis=-1) <= 3] = -30
        place = [-60 + 1.5 * at[0], 5 + 1.5 * at[1], -140 + 1.5 * at[2]]
        row = dict(zip("xyz", place, strict=True)) | {"image": "a.nrrd", "space": "RAS"}
        rows.append(row | {"diameter_mm": 9, "attenuation": "solid", "patient": "P1"})
    matrix = np.diag([1.5, 1.5, 1.5, 1.0])
    matrix[:3, 3] = (-60, 5, -140)
    write_volume(Volume(voxels, matrix), awkward_path / "a.nrrd")
    write_rows(awkward_path, [*rows, rows[0] | {"z": 5000}])
    return awkward_path


def test_the_command_checks_any_source(lungsynth, source, tmp_path):
    outcome = lungsynth("data", "check", "--data", source, "--json", tmp_path / "report.json")

    assert outcome.status == 0, outcome.err
    assert outcome.out.splitlines()[0] == "manifest: 3 of 4 nodules can be used"
    assert "(-45.0, 23.0, 5000.0) mm is outside of the image" in outcome.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["usable"], report["form"]) == (3, "manifest")

    done = lungsynth("data", "check", "--data", source, "--progress", "json").events[-1]
    assert (done["event"], done["format"], done["usable"]) == ("done", "manifest", 3)
    assert done["attenuation"] == {"solid": 3, "part-solid": 0, "ground-glass": 0}
    assert done["summary"][0] == "manifest: 3 of 4 nodules can be used"
    assert done["patients"] == 1


def test_the_command_refuses_a_source_with_nothing_usable(lungsynth, source):
    row = {"image": "a.nrrd", "x": 900, "y": 1, "z": 1, "diameter_mm": 8}
    write_rows(source, [row])
    silent = lungsynth("data", "check", "--data", source, "--progress", "json")
    assert silent.status == 2
    assert "lacks the column space" in silent.events[-1]["message"]

    outcome = lungsynth("data", "check", "--data", source, "--space", "RAS")
    assert outcome.status == 2
    assert "no nodule can be used: a.nrrd, manifest.csv line 2" in outcome.err
    assert "is outside of the image" in outcome.err
