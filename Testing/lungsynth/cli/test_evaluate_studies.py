"""The studies of generated nodules as commands: what they pass on, print and refuse."""

import json

import pytest

TABLE = {"title": "What came out", "columns": ["nodules", "share"], "rows": [["ball", "0.62"]]}


@pytest.fixture
def called(monkeypatch):
    """Put fakes in place of the studies, and return what they are called with."""
    calls = []

    def study(*arguments, **options):
        calls.append((arguments, options))
        options["on_progress"]("judging", 1, 4)
        return {"table": TABLE}

    for name in ("image_quality", "diversity", "tsne", "malignancy", "class_control"):
        monkeypatch.setattr(f"lungsynth.evaluation.{name}.run_{name}", study)
    monkeypatch.delenv("LUNGSYNTH_DATA", raising=False)
    return calls


@pytest.mark.parametrize("name", ["image-quality", "diversity", "tsne", "class-control"])
def test_what_all_share_is_passed_on(lungsynth, called, tmp_path, name):
    outcome = lungsynth(
        *("evaluate", name, "--data", tmp_path, "--split", "val", "--random-seed", "3"),
        *("--synthesizer", "procedural", "--json", tmp_path / "r.json"),
        *("--report", tmp_path / "r.png", "--device", "cpu", "--cache", tmp_path / "kept"),
    )

    assert outcome.status == 0, outcome.err
    ((arguments, options),) = called
    assert arguments == (tmp_path, "val", ["procedural"], None, tmp_path / "r.json")
    assert options["report_path"] == tmp_path / "r.png"
    config = options["config"]
    assert (config.random_seed, config.device, config.cache) == (3, "cpu", tmp_path / "kept")
    assert "What came out\nnodules  share\nball      0.62" in outcome.out


def test_what_each_takes_of_its_own(lungsynth, called, tmp_path):
    lungsynth("evaluate", "diversity", "--data", tmp_path, "--noises", "3", "--max-nodules", "7")
    lungsynth("evaluate", "tsne", "--data", tmp_path, "--perplexity", "12.5")
    lungsynth(
        *("evaluate", "class-control", "--data", tmp_path, "--pairs", "40"),
        *("--seeds", "2", "--steps", "9"),
    )

    diversity, tsne, classes = (options["config"] for _, options in called)
    assert (diversity.noises, diversity.max_nodules) == (3, 7)
    assert tsne.perplexity == 12.5
    assert (classes.pairs, classes.seeds, classes.classifier.steps) == (40, (0, 1), 9)
    assert called[2][0][2] == ["procedural"]  # of those that ship, it alone knows classes


def test_malignancy_passes_on_what_was_asked(lungsynth, called, tmp_path):
    outcome = lungsynth(
        *("evaluate", "malignancy", "--data", tmp_path, "--synthesizer", "procedural"),
        *("--network", "resnet18", "--network", "resnet50", "--seeds", "2", "--steps", "7"),
        *("--arm", "synthesis", "--random-seed", "4", "--cache", tmp_path / "kept"),
    )

    assert outcome.status == 0, outcome.err
    ((arguments, options),) = called
    assert arguments == (tmp_path, "procedural", None, None)
    config = options["config"]
    assert config.networks == ("resnet18", "resnet50")
    assert (config.seeds, config.classifier.steps) == ((0, 1), 7)
    assert (config.arms, config.random_seed) == (("raw", "synthesis"), 4)
    assert config.cache == tmp_path / "kept"


@pytest.mark.usefixtures("called")
def test_json_lines_end_with_the_files(lungsynth, tmp_path):
    outcome = lungsynth(
        *("evaluate", "tsne", "--data", tmp_path, "--progress", "json"),
        *("--synthesizer", "procedural", "--json", tmp_path / "r.json"),
    )

    last = json.loads(outcome.out.strip().splitlines()[-1])
    assert last["json"] == str(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("diversity", "--noises", "1"), "'1' is not allowed; give a whole number, 2 or more"),
        (("tsne", "--synthesizer", "gan"), "unknown synthesizer 'gan'; there are"),
        (("malignancy", "--network", "vgg"), "unknown network 'vgg'; there are resnet10"),
        (("malignancy", "--arm", "half"), "arms must be raw and others of raw, weighted"),
        (("image-quality", "--report", "r.html"), ".png"),
        (("class-control", "--cache", "no/such/kept"), "there is no folder"),
    ],
)
def test_what_can_be_mended_is_said_in_one_line(lungsynth, called, tmp_path, arguments, message):
    outcome = lungsynth("evaluate", *arguments, "--data", tmp_path)

    assert outcome.status == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not called
