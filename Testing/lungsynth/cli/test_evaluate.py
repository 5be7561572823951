"""The studies as commands: what they pass on, print and refuse."""

import json
from pathlib import Path

import pytest

REALISM = {
    "synthesizers": {
        "mcgan": {
            "nodules": 115,
            "auc": {"mean": 0.62, "ensemble_interval_95": [0.55, 0.69]},
            "frechet": {"mean": 3.25},
            "seam": {"pooled_ratio": 1.004},
        }
    }
}
SHARES = {"asked": 8, "inserted": 7, "size_kept": 1.0, "density_kept": 6 / 7}
NOTHING = {"asked": 2, "inserted": 0, "size_kept": None, "density_kept": None}
CONTROL = {
    "synthesizers": {
        "procedural": {"all": SHARES, "by_attenuation": {"solid": SHARES, "part-solid": NOTHING}}
    }
}


@pytest.fixture
def called(monkeypatch):
    """Put fakes in place of the studies, and return what they are called with."""
    calls = []

    def fake(values):
        def study(*arguments, **options):
            calls.append((arguments, options))
            options["on_progress"]("judging", 1, 4)
            return values

        return study

    monkeypatch.setattr("lungsynth.evaluation.realism.run_realism", fake(REALISM))
    monkeypatch.setattr("lungsynth.evaluation.control.run_control", fake(CONTROL))
    monkeypatch.delenv("LUNGSYNTH_DATA", raising=False)
    return calls


def test_realism_passes_on_what_was_asked(lungsynth, called, tmp_path):
    outcome = lungsynth(
        *("evaluate", "realism", "--data", tmp_path, "--split", "val", "--random-seed", "3"),
        *("--synthesizer", "procedural", "--synthesizer", "mcgan", "--synthesizer", "mcgan"),
        *("--json", tmp_path / "r.json", "--report", tmp_path / "r.html", "--device", "cpu"),
        *("--cache", tmp_path / "kept", "--max-nodules", "12"),
    )

    assert outcome.status == 0, outcome.err
    ((arguments, options),) = called
    assert arguments == (tmp_path, "val", ["procedural", "mcgan"], None, tmp_path / "r.json")
    assert options["report_path"] == tmp_path / "r.html"
    assert (options["config"].random_seed, options["config"].device) == (3, "cpu")
    assert (options["config"].cache, options["max_nodules"]) == (tmp_path / "kept", 12)
    assert "0.620 [0.550, 0.690]" in outcome.out
    assert "3.250" in outcome.out


def test_control_passes_on_what_was_asked(lungsynth, called, tmp_path):
    outcome = lungsynth(
        *("evaluate", "control", "--ct", tmp_path / "a.nrrd", "--ct", tmp_path / "b"),
        *("--synthesizer", "procedural", "--report", tmp_path / "r.png"),
    )

    assert outcome.status == 0, outcome.err
    ((arguments, options),) = called
    assert arguments == (None, "test", ["procedural"], None, None)
    assert options["ct"] == [tmp_path / "a.nrrd", tmp_path / "b"]
    rows = [line.split() for line in outcome.out.splitlines()]
    assert rows[1] == ["procedural", "solid", "7/8", "100.0%", "85.7%"]
    assert rows[2] == ["procedural", "part-solid", "0/2", "-", "-"]


def test_copy_paste_takes_part_only_where_it_has_nodules(lungsynth, called, tmp_path, monkeypatch):
    """And a trained synthesizer only where its weights are installed."""
    monkeypatch.setattr(
        "lungsynth.cli.evaluate.options.shipped_file",
        lambda name: Path(name) if name == "mcgan.safetensors" else None,
    )
    lungsynth("evaluate", "control", "--ct", tmp_path)
    lungsynth("evaluate", "control", "--data", tmp_path)

    assert called[0][0][2] == ["mcgan", "procedural"]
    assert called[1][0][2] == ["copy-paste", "mcgan", "procedural"]


def test_the_data_may_be_named_by_the_environment(lungsynth, called, tmp_path, monkeypatch):
    monkeypatch.setenv("LUNGSYNTH_DATA", str(tmp_path))
    lungsynth("evaluate", "realism")

    assert called[0][0][0] == tmp_path


def test_progress_goes_out_as_json(lungsynth, called, tmp_path):
    outcome = lungsynth(
        *("evaluate", "realism", "--data", tmp_path, "--json", tmp_path / "r.json"),
        *("--progress", "json"),
    )

    assert {"event": "progress", "stage": "judging", "done": 1, "total": 4} in outcome.events
    assert outcome.events[-1] == {"event": "done", "json": str(tmp_path / "r.json")}
    assert len(called) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["realism"], "--data"),
        (["control"], "--data"),
        (["control", "--data", "no-such-folder"], "no-such-folder"),
        (["realism", "--data", "no-such-folder"], "no-such-folder"),
        (["realism", "--data", ".", "--synthesizer", "magic"], "unknown synthesizer 'magic'"),
        (["realism", "--data", ".", "--split", "all"], "--split"),
        (["realism", "--data", ".", "--json", "r.txt"], "--json r.txt: the name must end in .json"),
        (["control", "--ct", ".", "--report", "r.html"], "--report r.html: the name must end in"),
        (["control", "--ct", "no.nrrd", "--synthesizer", "procedural"], "no.nrrd"),
        (["realism", "--data", ".", "--max-nodules", "0"], "--max-nodules"),
        (["realism", "--data", ".", "--cache", "no/kept"], "--cache no/kept: there is no folder"),
        (["realism", "--data", ".", "--cache", "/dev/null"], "--cache /dev/null: is a file"),
        (["beauty"], "beauty"),
    ],
)
def test_what_cannot_be_is_named(lungsynth, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUNGSYNTH_DATA", raising=False)
    outcome = lungsynth("evaluate", *arguments)

    assert outcome.status == 2, outcome
    assert outcome.err.startswith("lungsynth: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_control_of_the_baseline_on_real_nodules(lungsynth, shared_data, tmp_path):
    path = tmp_path / "control.json"
    outcome = lungsynth(
        *("evaluate", "control", "--data", shared_data, "--split", "test"),
        *("--synthesizer", "procedural", "--json", path, "--report", tmp_path / "control.png"),
    )

    assert outcome.status == 0, outcome.err
    found = json.loads(path.read_text(encoding="utf-8"))["synthesizers"]["procedural"]
    assert found["all"]["inserted"] > 100
    assert found["every_miss_says_so"]
