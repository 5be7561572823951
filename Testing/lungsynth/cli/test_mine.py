"""``lungsynth mine`` and the studies of nodules in radiographs, as commands."""

import json

import pytest

pytest.importorskip("lightning_fabric", reason="needs the extra [train]")
pytest.importorskip("matplotlib", reason="needs the extra [train]")
TINY = ("--preset", "tiny", "--device", "cpu")


def test_mining_is_one_command_and_goes_on(lungsynth, study_folder, tmp_path):
    run = tmp_path / "run"
    options = ("mine", "--data", study_folder, "--output", run, "--count", "2", *TINY)
    options += ("--synthesizer", "ct-projection", "--train-steps", "1", "--tune-steps", "1")
    outcome = lungsynth(*options, "--progress", "json")

    assert outcome.status == 0, outcome.err
    done = outcome.events[-1]
    assert done["event"] == "done"
    stages = {e["stage"] for e in outcome.events if e["event"] == "progress"}
    assert {"mined nodules", "retinanet: mined-2", "detecting"} <= stages
    for name in ("report", "figure", "weights"):
        assert (tmp_path / done[name]).is_file()
    report = json.loads((run / "report.json").read_text())
    assert report["config"]["counts"] == [2]
    assert report["config"]["attributes"] == ["size", "contrast", "location"]

    again = lungsynth(*options)
    assert again.status == 0
    assert "mined" in again.out
    assert "RetinaNet on the test split" in again.out
    other = lungsynth(*options, "--random-seed", "4")
    assert other.status == 2
    assert "another config" in other.err


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--preset", "huge", "unknown preset 'huge'; there are full, small, tiny"),
        ("--attributes", "shape", "hard examples follow size"),
        ("--synthesizer", "magic", "unknown synthesizer 'magic'"),
        ("--detector", "yolo", "'yolo' is not one of"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    lungsynth, study_folder, tmp_path, option, value, said
):
    outcome = lungsynth(
        *("mine", "--data", study_folder, "--output", tmp_path / "run", *TINY),
        *("--synthesizer", "ct-projection", option, value),
    )

    assert outcome.status == 2
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


def test_the_ablation_trains_and_compares_all_four(lungsynth, study_folder, tmp_path):
    outcome = lungsynth(
        *("evaluate", "cxr-image-quality", "--data", study_folder, *TINY),
        *("--ablation", tmp_path / "ablation", "--steps", "1", "--patches", "2"),
        *("--json", tmp_path / "quality.json"),
    )

    assert outcome.status == 0, outcome.err
    values = json.loads((tmp_path / "quality.json").read_text())
    assert list(values["models"]) == [
        "one-stage-box",
        "two-stage-box",
        "one-stage-shape",
        "two-stage-shape",
    ]
    assert "two-stage-shape (paper)" in outcome.out


def test_the_judge_compares_synthesizers(lungsynth, study_folder, tmp_path):
    outcome = lungsynth(
        *("evaluate", "cxr-judge", "--data", study_folder, *TINY, "--split", "val"),
        *("--synthesizer", "ct-projection", "--synthesizer", "procedural"),
        *("--json", tmp_path / "judge.json"),
    )

    assert outcome.status == 0, outcome.err
    values = json.loads((tmp_path / "judge.json").read_text())
    assert list(values["synthesizers"]) == ["ct-projection", "procedural"]
    for found in values["synthesizers"].values():
        low, high = found["interval_95"]
        assert 0 <= low <= found["ensemble_auc"] <= high <= 1
    refused = lungsynth("evaluate", "cxr-judge", "--data", study_folder, "--synthesizer", "mcgan")
    assert refused.status == 2
    assert "for radiographs there are" in refused.err


def test_the_judge_says_that_weights_are_missing_before_it_draws(lungsynth, tmp_path):
    """An empty folder is not even looked into: drawing on a real one takes minutes."""
    outcome = lungsynth(
        *("evaluate", "cxr-judge", "--data", tmp_path, "--synthesizer", "shape-texture"),
        *("--weights", tmp_path / "missing.safetensors"),
    )

    assert outcome.status == 2
    assert "missing.safetensors" in outcome.err


def test_copies_come_from_the_drrs_of_the_folder(lungsynth, study_folder, patches_folder, tmp_path):
    import shutil

    folder = tmp_path / "data"
    shutil.copytree(study_folder, folder)
    shutil.copytree(patches_folder / "drr", folder / "drr")
    table = folder / "ct_nodules" / "test.csv"
    table.write_text("patient,series_uid,texture,ambiguous\n")  # P0 is of the train split alone
    (folder / "ct_nodules" / "test.npz").unlink()
    outcome = lungsynth(
        *("evaluate", "cxr-judge", "--data", folder, *TINY, "--split", "val"),
        *("--synthesizer", "copy-paste", "--json", tmp_path / "judge.json"),
    )

    assert outcome.status == 0, outcome.err
    assert "copy-paste" in outcome.out
