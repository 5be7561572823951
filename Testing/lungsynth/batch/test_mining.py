"""A study of detection from end to end: what is compared, what is kept, how it goes on."""

import json
from dataclasses import replace

import numpy as np
import pytest

from lungsynth.batch.mining import mine, study_config
from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cases import load_cases
from lungsynth.detectors.nodules import load_nodule_detector
from lungsynth.evaluation.cxr_detection import PRESETS, DetectionStudy
from lungsynth.evaluation.cxr_detection_report import study_tables
from lungsynth.evaluation.hard_examples import from_rows
from lungsynth.synthesizers.ct_projection import CtProjection

pytest.importorskip("lightning_fabric", reason="needs the extra [train]")
pytest.importorskip("matplotlib", reason="needs the extra [train]")
CONFIG = replace(PRESETS["tiny"], counts=(3,), train_steps=2, tune_steps=1, resamples=5)


@pytest.fixture(scope="module")
def mined(study_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("mined")
    report = mine(study_folder, output, CONFIG, synthesizer="ct-projection", device="cpu")
    return output, report


def test_report_figure_and_detector_are_there(mined):
    output, report = mined
    [found] = report["detectors"].values()

    assert [(row["arm"], row["synthetic"]) for row in found["rows"]] == [
        ("none", 0),
        ("random", 3),
        ("mined", 3),
    ]
    assert set(found["rows"][2]["gain_over"]) == {"none", "random"}
    assert json.loads((output / "report.json").read_text()) == json.loads(json.dumps(report))
    assert (output / "report.png").read_bytes()[:4] == b"\x89PNG"
    made = load_nodule_detector(output / "detector.safetensors", "retinanet", "cpu")
    arm = load_nodule_detector(
        output / "retinanet" / "mined-3" / "detector.safetensors", "retinanet", "cpu"
    )
    assert made.sha256 == arm.sha256
    assert made.config.learning_rate == pytest.approx(0.1 * 2e-3)
    [table] = study_tables(report)
    assert [row[0] for row in table.rows] == ["before", "none", "random", "mined"]


def test_half_of_the_known_radiographs_hold_a_nodule_of_their_split(mined):
    output, report = mined

    for split in ("train", "val", "test"):
        cases = load_cases(output / "cases" / f"{split}.npz")
        assert [case.source for case in cases] == ["projected"] * 2 + ["normal"] * 2
        assert all(case.patient.startswith(split) for case in cases)
        assert report["cases"][split]["nodules"] == 2
        for case in cases[:2]:
            [nodule] = case.nodules
            left, top, right, bottom = nodule.box
            # 160 rows are 1,024 pixels of the grid
            assert (right - left + bottom - top) / 2 * 6.4 == pytest.approx(
                nodule.diameter_px, rel=0.35
            )
            assert 20 * 0.9 < nodule.diameter_px < 75 * 1.1
            assert 0.015 < nodule.contrast < 0.11


def test_mined_nodules_are_of_the_sizes_that_were_missed(mined):
    output, _ = mined
    rows = json.loads((output / "retinanet" / "mined_from.json").read_text())["nodules"]
    missed = [nodule.diameter_px for nodule in from_rows(rows) if not nodule.found]
    assert missed  # an untrained detector misses them
    for case in load_cases(output / "retinanet" / "mined-3" / "cases.npz"):
        [nodule] = case.nodules
        assert min(abs(np.log(nodule.diameter_px / m)) for m in missed) < 0.3
        assert case.source == "mined"


def test_a_study_goes_on_where_it_stopped(mined, study_folder):
    """Only what is missing is made again, and it comes out as it was."""
    output, report = mined
    lost = output / "retinanet" / "random-3" / "detector.safetensors"
    kept = output / "retinanet" / "first" / "detector.safetensors"
    before, stamp = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    again = mine(study_folder, output, CONFIG, synthesizer="ct-projection", device="cpu")

    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == stamp
    assert json.dumps(again) == json.dumps(report)


def test_a_folder_is_not_gone_on_with_in_another_configuration(mined, study_folder):
    output, _ = mined
    with pytest.raises(LungSynthError, match="holds a study with another config"):
        mine(
            study_folder,
            output,
            replace(CONFIG, random_seed=1),
            synthesizer="ct-projection",
            device="cpu",
        )


def test_random_and_projected_nodules_are_the_same_and_mined_ones_are_not(mined, study_folder):
    output, _ = mined
    config = replace(CONFIG, arms=("none", "random", "mined"), counts=(3,))
    study = DetectionStudy(
        output,
        study_folder,
        config,
        CtProjection.load(weights=None, device="cpu", bank=study_folder / "ct_nodules"),
        CtProjection(),
        fit=lambda order: pytest.fail(f"{order.folder} was to be trained"),
    )

    random = study.requests("retinanet", "random", 3)
    assert study.requests("retinanet", "ct-projection", 3) == random
    assert study.requests("retinanet", "random", 2) == random[:2]
    assert study.requests("retinanet", "mined", 3) != random


def test_presets_are_changed_by_what_is_given_alone():
    config = study_config("small", counts=(7,), random_seed=None)

    assert config == replace(PRESETS["small"], counts=(7,))
    assert PRESETS["full"].counts == (500, 1000, 1500, 2000)
    with pytest.raises(LungSynthError, match="unknown preset 'huge'; there are full, small, tiny"):
        study_config("huge")
    with pytest.raises(LungSynthError, match="unknown arm 'gan'"):
        study_config("tiny", arms=("gan",))
