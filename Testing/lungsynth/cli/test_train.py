"""Training as a command: what it passes on, prints and refuses."""

import pytest


@pytest.fixture
def called(monkeypatch, tmp_path):
    """Put a fake in place of training, and return what it is called with."""
    calls = []

    def fake(*arguments, **_progress):
        calls.append(arguments)
        arguments[4](1, 2, {"l1": 0.123456789})
        return tmp_path / "run" / "mcgan.safetensors"

    monkeypatch.setattr("lungsynth.training.run.train", fake)
    return calls


def test_train_passes_on_what_was_asked(lungsynth, called, tmp_path):
    outcome = lungsynth(
        *("train", "mcgan", "--data", tmp_path, "--output", tmp_path / "run", "--steps", "2"),
        *("--resume", "--init", tmp_path / "w.safetensors", "--preset", "tiny", "--devices", "2"),
        *("--nodes", "3", "--precision", "bf16-mixed", "--device", "cpu", "--random-seed", "4"),
        *("--accumulate", "5", "--guard", "lower-rate", "--fine-tune", "medium"),
    )

    assert outcome.status == 0, outcome.err
    ((name, data, output, options, _),) = called
    assert (name, data, output) == ("mcgan", tmp_path, tmp_path / "run")
    assert (options.steps, options.resume, options.preset) == (2, True, "tiny")
    assert (options.devices, options.nodes, options.seed) == (2, 3, 4)
    assert (options.precision, options.accelerator) == ("bf16-mixed", "cpu")
    assert options.init == tmp_path / "w.safetensors"
    assert (options.accumulate, options.guard, options.fine_tune) == (5, "lower-rate", "medium")
    assert "mcgan.safetensors" in outcome.out


def test_losses_go_out_as_json(lungsynth, called, tmp_path):
    outcome = lungsynth(
        *("train", "mcgan", "--data", tmp_path, "--output", tmp_path / "run"),
        *("--progress", "json"),
    )

    step = {"event": "progress", "stage": "training", "done": 1, "total": 2}
    assert {**step, "losses": {"l1": 0.12346}} in outcome.events
    assert outcome.events[-1]["weights"].endswith("mcgan.safetensors")
    assert outcome.events[-1]["steps"] == 1
    assert len(called) == 1


def test_a_paused_run_says_so(lungsynth, monkeypatch, tmp_path):
    def paused(*arguments, **_progress):
        arguments[4](3, 9, {"l1": 0.5})

    monkeypatch.setattr("lungsynth.training.run.train", paused)
    train = ("train", "mcgan", "--data", tmp_path, "--output", tmp_path / "run")

    assert lungsynth(*train).out == "paused after step 3; go on with --resume\n"
    done = lungsynth(*train, "--progress", "json").events[-1]
    assert done == {"event": "done", "paused": True, "steps": 3}


def test_of_torchruns_processes_only_the_first_speaks(lungsynth, called, monkeypatch, tmp_path):
    monkeypatch.setenv("RANK", "1")
    train = ("train", "mcgan", "--data", tmp_path, "--output", tmp_path / "run")
    outcome = lungsynth(*train, "--progress", "json")

    assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
    assert len(called) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["magic"], "magic"),
        (["procedural"], "procedural"),
        (["mcgan"], "train.npz"),
        (["mcgan", "--resume"], "no run there to resume"),
        (["mcgan", "--preset", "huge"], "huge"),
        (["mcgan", "--steps", "0"], "--steps"),
        (["mcgan", "--steps", "many"], "'many'"),
        (["mcgan", "--precision", "8-bit"], "--precision"),
        (["mcgan", "--devices", "-1"], "--devices"),
        (["mcgan", "--accumulate", "0"], "--accumulate"),
        (["mcgan", "--guard", "pray"], "--guard"),
        (["mcgan", "--fine-tune", "huge"], "--fine-tune"),
    ],
)
def test_what_cannot_be_is_named(lungsynth, tmp_path, options, message):
    data, output = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    outcome = lungsynth("train", *options, "--data", data, "--output", output, "--device", "cpu")

    assert outcome.status == 2, outcome
    assert outcome.err.startswith("lungsynth: ")
    assert outcome.err.count("\n") == 1
    assert message in outcome.err
    assert not output.exists()


def test_trained_weights_can_be_used(lungsynth, cubes_folder, phantom_file, tmp_path):
    run = tmp_path / "run"
    train = ("train", "mcgan", "--data", cubes_folder, "--output", run)
    first = lungsynth(*train, "--preset", "tiny", "--steps", "2", "--device", "cpu")
    assert first.status == 0, first.err
    again = lungsynth(*train, "--preset", "tiny", "--steps", "3", "--device", "cpu")
    assert (again.status, "--resume" in again.err) == (2, True)
    on = lungsynth(*train, "--preset", "tiny", "--steps", "3", "--device", "cpu", "--resume")
    assert on.status == 0, on.err

    outcome = lungsynth(
        *("insert", "--input", phantom_file, "--output", tmp_path / "ct.nrrd"),
        *("--seed-ras=75,20,-20", "--weights", run / "mcgan.safetensors", "--device", "cpu"),
    )

    assert outcome.status == 0, outcome.err
