"""The main job, from file to files."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk

from lungsynth.cli.insert import draw_latent_seed, parse_ras
from lungsynth.core.errors import LungSynthError

RIGHT, LEFT = "75,20,-20", "-80,-5,20"  # places deep in the phantom's two lungs


@pytest.fixture
def insert(lungsynth, phantom_file):
    """Insert into the phantom with the synthesizer that needs no weights."""

    def command(*options, source=phantom_file):
        return lungsynth("insert", "--input", source, "--synthesizer", "procedural", *options)

    return command


def asked(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    return [insertion["asked"] for insertion in report["insertions"]]


def test_insert_writes_every_output_and_changes_only_the_boxes(
    insert, phantom_file, awkward_path, fingerprint
):
    before = fingerprint(phantom_file)
    paths = [awkward_path / name for name in ("ct.nii.gz", "mask.seg.nrrd", "r.json", "p.png")]
    outcome = insert(
        *("--output", paths[0], "--mask", paths[1], "--report", paths[2], "--preview", paths[3]),
        *("--seed-ras", LEFT, "--seed-ras", RIGHT),
        *("--diameter-mm", "12", "--attenuation", "part-solid", "--malignancy", "benign"),
    )

    assert outcome.status == 0, outcome.err
    assert sorted(awkward_path.iterdir()) == sorted(paths)
    assert all(str(path) in outcome.out for path in paths)
    assert fingerprint(phantom_file) == before
    old, new = sitk.ReadImage(str(phantom_file)), sitk.ReadImage(str(paths[0]))
    assert (new.GetSize(), new.GetPixelID()) == (old.GetSize(), old.GetPixelID())
    for read in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(new, read)(), getattr(old, read)(), atol=1e-4)
    report = json.loads(paths[2].read_text(encoding="utf-8"))
    changed = sitk.GetArrayFromImage(old) != sitk.GetArrayFromImage(new)
    for insertion in report["insertions"]:
        (k0, j0, i0), (k1, j1, i1) = insertion["box_ijk"]
        assert changed[k0:k1, j0:j1, i0:i1].any()
        changed[k0:k1, j0:j1, i0:i1] = False
    assert not changed.any()
    assert [i["seed_ras_mm"] for i in report["insertions"]] == [[-80, -5, 20], [75, 20, -20]]
    assert report["output"].endswith("ct.nii.gz")
    assert ".lungsynth-" not in json.dumps(report)
    for nodule in asked(paths[2]):
        assert nodule["diameter_mm"] == 12
        assert (nodule["attenuation"], nodule["malignancy"]) == ("part-solid", "benign")
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_the_mask_lies_where_the_seeds_are(insert, phantom, tmp_path):
    mask = tmp_path / "mask.nii.gz"
    assert (
        insert(
            *("--output", tmp_path / "ct.mha", "--mask", mask),
            *("--seed-ras", LEFT, "--seed-ras", RIGHT, "--diameter-mm", "14"),
        ).status
        == 0
    )

    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))
    for label, place in ((1, LEFT), (2, RIGHT)):
        kji = np.argwhere(labels == label).mean(axis=0)
        centre = phantom.ijk_to_ras_mm(kji[::-1])
        assert np.linalg.norm(centre - parse_ras(place)) < 4


def test_the_random_seed_decides_the_voxels(insert, tmp_path):
    def voxels(name, random_seed):
        path = tmp_path / name
        assert (
            insert("--output", path, f"--seed-ras={LEFT}", "--random-seed", random_seed).status == 0
        )
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))

    first = voxels("a.nrrd", 4)

    np.testing.assert_array_equal(first, voxels("b.nrrd", 4))
    assert (first != voxels("c.nrrd", 5)).any()


def test_each_seed_gets_a_latent_seed_of_its_own():
    drawn = {draw_latent_seed(seed, index) for seed in range(20) for index in range(20)}

    assert len(drawn) == 400
    assert draw_latent_seed(3, 1) == draw_latent_seed(3, 1)


def test_automatic_nodules_are_drawn(insert, tmp_path):
    report = tmp_path / "r.json"
    outcome = insert("--output", tmp_path / "ct.nrrd", "--report", report, "--auto", "4")

    assert outcome.status == 0, outcome.err
    nodules = asked(report)
    assert len(nodules) == 4
    assert all(5 <= nodule["diameter_mm"] <= 25 for nodule in nodules)
    assert len({nodule["diameter_mm"] for nodule in nodules}) > 1


def test_automatic_nodules_keep_what_is_fixed(insert, tmp_path):
    report = tmp_path / "r.json"
    outcome = insert(
        *("--output", tmp_path / "ct.nrrd", "--report", report, "--auto", "3"),
        *("--diameter-mm", "6.25", "--site", "juxta-pleural"),
    )

    assert outcome.status == 0, outcome.err
    assert [nodule["diameter_mm"] for nodule in asked(report)] == [6.25, 6.25, 6.25]


def test_seeds_come_from_a_table(insert, tmp_path):
    table, report = tmp_path / "seeds.csv", tmp_path / "r.json"
    table.write_text(
        "r,a,s,diameter_mm,attenuation,latent_seed\n-80,-5,20,9,solid,\n75,20,-20,15,ground-glass,77\n"
    )
    outcome = insert("--output", tmp_path / "ct.nrrd", "--report", report, "--seeds", table)

    assert outcome.status == 0, outcome.err
    nodules = asked(report)
    assert [(n["diameter_mm"], n["attenuation"]) for n in nodules] == [
        (9, "solid"),
        (15, "ground-glass"),
    ]
    seeds = [i["latent_seed"] for i in json.loads(report.read_text())["insertions"]]
    assert seeds == [draw_latent_seed(0, 0), 77]


def test_progress_goes_out_as_json(insert, tmp_path):
    output = tmp_path / "ct.nrrd"
    outcome = insert("--output", output, f"--seed-ras={LEFT}", "--progress", "json")

    assert (outcome.status, outcome.err) == (0, "")
    stages = [event["stage"] for event in outcome.events if event["event"] == "progress"]
    assert list(dict.fromkeys(stages)) == ["reading", "loading procedural", "inserting", "writing"]
    last = outcome.events[-1]
    assert (last["event"], last["volume"], last["insertions"]) == ("done", str(output), 1)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("mcgan", ["malignancy is not used: mcgan draws benign and malignant nodules alike"]),
        ("procedural", []),
    ],
)
def test_a_malignancy_that_changes_nothing_is_said_so(
    lungsynth, phantom_file, tmp_path, name, note
):
    outcome = lungsynth(
        *("insert", "--input", str(phantom_file), "--output", str(tmp_path / "o.nrrd")),
        *("--auto", "1", "--malignancy", "benign", "--synthesizer", name),
        *("--device", "cpu", "--progress", "json"),
    )

    assert outcome.status == 0
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [event["message"] for event in events if event["event"] == "info"] == note


def test_an_error_goes_out_as_json_too(insert, tmp_path):
    outcome = insert("--output", tmp_path / "ct.png", f"--seed-ras={LEFT}", "--progress=json")

    assert outcome.status == 2
    assert outcome.err == f"lungsynth: {outcome.events[-1]['message']}\n"


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("stage", ["reading", "inserting"])
def test_sigterm_ends_it_in_time_and_leaves_nothing(phantom_file, tmp_path, stage):
    command = [
        *(sys.executable, "-m", "lungsynth", "insert", "--input", phantom_file),
        *("--output", tmp_path / "ct.nrrd", "--report", tmp_path / "r.json"),
        *("--synthesizer", "procedural", "--auto", "40", "--diameter-mm", "5"),
        *("--progress", "json"),
    ]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if json.loads(line).get("stage") == stage:
                break
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        status = process.wait(timeout=30)

    assert time.monotonic() - start < 2
    assert status == 143
    assert list(tmp_path.iterdir()) == []


def test_a_defect_is_called_one(insert, tmp_path, monkeypatch):
    def broken(*_args, **_kwargs):
        return 1 / 0

    monkeypatch.delenv("LUNGSYNTH_DEBUG", raising=False)
    monkeypatch.setattr("lungsynth.io.reading.read_ct", broken)
    outcome = insert("--output", tmp_path / "ct.nrrd", f"--seed-ras={LEFT}")

    assert outcome.status == 1
    assert re.fullmatch(
        r"lungsynth: a defect .*ZeroDivisionError: division by zero.*\n", outcome.err
    )

    monkeypatch.setenv("LUNGSYNTH_DEBUG", "1")
    assert "Traceback" in insert("--output", tmp_path / "ct.nrrd", f"--seed-ras={LEFT}").err


def test_too_little_memory_can_be_mended(insert, tmp_path, monkeypatch):
    def greedy(*_args, **_kwargs):
        raise MemoryError

    monkeypatch.setattr("lungsynth.io.reading.read_ct", greedy)
    outcome = insert("--output", tmp_path / "ct.nrrd", f"--seed-ras={LEFT}")

    assert (outcome.status, outcome.err[:24]) == (2, "lungsynth: out of memory")


@pytest.mark.parametrize("text", ["1.5,-2,3e1", " 1.5 , -2 , 30 "])
def test_coordinates_are_read(text):
    assert parse_ras(text) == (1.5, -2.0, 30.0)


@pytest.mark.parametrize("place", ["-62 18 -140", "62 18 140", "-62, 18, -140"])
def test_coordinates_without_commas_are_told_how_to_be_written(insert, tmp_path, place):
    outcome = insert("--output", tmp_path / "ct.nrrd", "--seed-ras", *place.split())

    assert outcome.status == 2
    meant = "62,18,140" if place == "62 18 140" else "-62,18,-140"
    assert outcome.err.strip().endswith(f"with commas: --seed-ras {meant}")


def test_a_coordinate_in_quotes_is_told_how_to_be_written():
    with pytest.raises(LungSynthError, match=r"such as -62,18,-140$"):
        parse_ras("-62 18 -140")


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "1;2;3", "a,b,c"])
def test_other_than_three_coordinates_are_refused(text):
    with pytest.raises(LungSynthError, match="three numbers in mm"):
        parse_ras(text)
