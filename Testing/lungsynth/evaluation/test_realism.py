"""The realism study from files to files, with made-up nodules and small networks."""

import json

import numpy as np
import pytest

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation import realism
from lungsynth.evaluation.frechet import FeatureConfig
from lungsynth.evaluation.judge import JudgeConfig
from lungsynth.evaluation.pairs import make_pairs
from lungsynth.evaluation.realism import StudyConfig, run_realism
from lungsynth.evaluation.realism_report import example_rows
from lungsynth.evaluation.splits import load_splits, nodule_folder

QUICK = StudyConfig(
    judge=JudgeConfig(epochs=1, batch_pairs=8, width=4, seeds=(0, 1), resamples=20),
    features=FeatureConfig(epochs=1, batch_size=4, width=4, features=2, seeds=(0,)),
    device="cpu",
)


@pytest.fixture
def two_balls(monkeypatch, ball):
    """Two synthesizers to load, "ball" and "other"."""

    def load(name, **_):
        made = ball()
        made.name = name
        return made

    monkeypatch.setattr(realism, "load_synthesizer", load)
    return ["ball", "other"]


def test_numbers_and_report_are_written(nodule_data, two_balls):
    json_path, html_path = nodule_data / "realism.json", nodule_data / "realism.html"
    stages = []

    values = run_realism(
        nodule_data,
        "test",
        two_balls,
        json_path=json_path,
        report_path=html_path,
        on_progress=lambda stage, done, total: stages.append((stage, done, total)),
        config=QUICK,
    )

    written = json.loads(json_path.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(values))
    assert list(written["synthesizers"]) == two_balls
    for found in written["synthesizers"].values():
        assert found["nodules"] == found["patients"] == 6
        assert found["judge_trained_on_nodules"] == 15
        assert len(found["auc"]["seeds"]) == 2
        assert found["auc"]["mean"] == pytest.approx(np.mean(found["auc"]["seeds"]))
        assert 0 <= found["auc"]["ensemble_interval_95"][0] <= found["auc"]["ensemble"] <= 1
        assert found["frechet"]["mean"] > 0
        assert found["seam"]["pooled_ratio"] == pytest.approx(1, abs=0.05)
        assert found["weights_sha256"] == "b" * 64
    assert set(written["frechet_floor"]) == {"halves_of_real_test", "real_test_to_real_train"}
    page = html_path.read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert "<td>other</td>" in page
    assert ("judging other", 2, 2) in stages
    names = sorted(p.name for p in nodule_data.iterdir())
    assert names == ["ct_nodules", "realism.html", "realism.json"]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_no_patient_trains_and_is_judged(nodule_data, ball, split):
    splits = load_splits(nodule_folder(nodule_data), split)

    fit, held = realism._fit_and_held(splits, split, ball(), QUICK, lambda *_: None)

    assert len(fit) > 0 < len(held)
    assert not set(fit.patient.tolist()) & set(held.patient.tolist())


def test_a_png_report_alone(nodule_data, two_balls):
    picture = nodule_data / "realism.png"

    run_realism(nodule_data, "val", two_balls[:1], report_path=picture, max_nodules=3, config=QUICK)

    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_examples_are_chosen_by_size_alone(nine_cubes, ball):
    pairs = make_pairs(nine_cubes, "test", ball())

    rows = example_rows(pairs, 3)

    order = np.argsort(pairs.asked_mm)
    assert rows.tolist() == [order[0], order[4], order[8]]
    assert len(example_rows(pairs, 50)) == 9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": "holdout"}, "unknown split 'holdout'"),
        ({"data": "nowhere"}, "no nodule cubes there"),
        ({"report_path": "realism.doc"}, "must end in .html or .png"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(nodule_data, two_balls, changes, message):
    arguments = {"data": nodule_data, "split": "test", "synthesizers": two_balls, **changes}
    for name in ("data", "report_path"):
        if isinstance(arguments.get(name), str):
            arguments[name] = nodule_data / arguments[name]

    with pytest.raises(LungSynthError, match=message):
        run_realism(**arguments, json_path=nodule_data / "realism.json", config=QUICK)

    assert [p.name for p in nodule_data.iterdir()] == ["ct_nodules"]
