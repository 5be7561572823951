"""Training runs in their folders: exact resume, guards, and what they leave."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.weights import load_weights
from lungsynth.synthesizers.mcgan.recipe import MCGANRecipe
from lungsynth.training import run as training
from lungsynth.training.checkpoint import load_checkpoint
from lungsynth.training.losses_log import read_losses
from lungsynth.training.run import TrainOptions, train

SOURCES = Path(training.__file__).resolve().parents[2]


def tiny(steps=4, **changes):
    return TrainOptions(
        **{"preset": "tiny", "steps": steps, "accelerator": "cpu", "checkpoint_every": 2, **changes}
    )


@pytest.fixture(scope="module")
def whole(cubes_folder, tmp_path_factory):
    """Four steps at one go."""
    output = tmp_path_factory.mktemp("whole")
    told = []
    weights = train("mcgan", cubes_folder, output, tiny(4), lambda *t: told.append(t))
    return output, weights, told


def assert_same_run(one, two):
    first, second = (load_checkpoint(o / "checkpoint.pt", "mcgan") for o in (one, two))
    assert same(first, second)
    stored, again = (load_weights(o / "mcgan.safetensors", "mcgan") for o in (one, two))
    assert stored.sha256 == again.sha256
    assert read_losses(one / "losses.jsonl") == read_losses(two / "losses.jsonl")


def same(one, two):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return one == two


def pause_after(step, output):
    """Return what asks a run for a pause after a step."""
    return lambda done, _total, _losses: (output / "pause").touch() if done == step else None


def test_a_run_leaves_weights_losses_curves_and_a_card(whole):
    output, weights, told = whole

    assert weights == output / "mcgan.safetensors"
    assert {p.name for p in output.iterdir()} == {
        *("checkpoint.pt", "losses.jsonl", "losses.png", "mcgan.safetensors", "run.json"),
        *("samples.png", "samples", "report.html", "health.jsonl", "tensorboard"),
    }
    kept = sorted(path.name for path in (output / "samples").iterdir())
    assert kept == ["00000002.png", "00000004.png"]
    assert (output / "losses.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [(step, total) for step, total, _ in told] == [(n, 4) for n in (1, 2, 3, 4)]
    assert [row["step"] for row in read_losses(output / "losses.jsonl")] == [1, 2, 3, 4]
    card = json.loads((output / "run.json").read_text(encoding="utf-8"))
    assert (card["system"], card["preset"], card["total_steps"]) == ("mcgan", "tiny", 4)
    assert card["data"]["nodules"] == 9
    assert card["last_session_steps"] == 4
    assert 0 < card["loader_share"] < 1
    assert load_checkpoint(output / "checkpoint.pt", "mcgan")["step_count"] == 4


def test_a_resumed_run_equals_the_uninterrupted_one(whole, cubes_folder, tmp_path):
    train("mcgan", cubes_folder, tmp_path, tiny(2))
    train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True))

    assert_same_run(whole[0], tmp_path)


def test_a_run_goes_on_exactly_from_every_checkpoint(whole, cubes_folder, tmp_path):
    """One after each step; each is put into a folder as a stop right after it leaves it."""
    kept = tmp_path / "kept"
    kept.mkdir()

    def keep(step, _total, _losses):
        shutil.copy(tmp_path / "run" / "checkpoint.pt", kept / f"{step}.pt")

    train("mcgan", cubes_folder, tmp_path / "run", tiny(4, checkpoint_every=1), keep)
    for step in (1, 2, 3):
        again = tmp_path / f"from-{step}"
        again.mkdir()
        shutil.copy(kept / f"{step}.pt", again / "checkpoint.pt")
        for name in ("run.json", "losses.jsonl"):  # which has later steps too
            shutil.copy(tmp_path / "run" / name, again)
        told = []
        train(
            "mcgan", cubes_folder, again, tiny(4, resume=True), lambda *t, told=told: told.append(t)
        )

        assert [n for n, _, _ in told] == list(range(step + 1, 5))
        assert_same_run(whole[0], again)


def test_weights_go_on_by_a_plan_that_a_resume_keeps(whole, cubes_folder, tmp_path):
    """Nine nodules: small. The plan is in the card, so --init need not be given again."""
    train("mcgan", cubes_folder, tmp_path, tiny(8, init=whole[1]), pause_after(2, tmp_path))
    card = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert (card["fine_tune"], card["config"]["total_steps"]) == ("small", 400)
    start = load_weights(whole[1], "mcgan").tensors
    state = load_checkpoint(tmp_path / "checkpoint.pt", "mcgan")
    assert state["step_count"] == 2  # a quarter of eight: the head start of the critics
    assert same(start, {**state["average"]})
    train("mcgan", cubes_folder, tmp_path, tiny(3, resume=True))

    after = load_checkpoint(tmp_path / "checkpoint.pt", "mcgan")["networks"]
    moved = {name for name, value in start.items() if not torch.equal(value, after[name])}
    assert any(".up." in name for name in moved)
    assert not [name for name in moved if ".down." in name or name.startswith("segmenter.")]


def test_a_run_of_an_earlier_version_goes_on_as_it_was(whole, cubes_folder, tmp_path):
    """Its card knows no plans and its checkpoint nothing of the run, with --init or without."""
    train("mcgan", cubes_folder, tmp_path, tiny(2))
    card = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    del card["fine_tune"], card["batches_a_step"]
    (tmp_path / "run.json").write_text(json.dumps(card), encoding="utf-8")
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert set(checkpoint) == {"format", "system", "state", "session"}
    del checkpoint["session"]
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True, init=whole[1]))

    assert_same_run(whole[0], tmp_path)


def test_a_batch_of_another_size_is_another_run(whole, cubes_folder):
    with pytest.raises(LungSynthError, match=r"was begun with another batches a step; resume it"):
        train("mcgan", cubes_folder, whole[0], tiny(6, resume=True, accumulate=2))


def test_a_paused_run_ends_after_its_step_and_goes_on_to_the_same_weights(
    whole, cubes_folder, tmp_path
):
    """Step 3 has no checkpoint of its own here: one is written because of the pause."""

    def ask(step, _total, _losses):
        if step == 3:
            (tmp_path / "pause").touch()

    assert train("mcgan", cubes_folder, tmp_path, tiny(4), ask) is None
    assert not (tmp_path / "pause").exists()
    assert not (tmp_path / "mcgan.safetensors").exists()
    assert load_checkpoint(tmp_path / "checkpoint.pt", "mcgan")["step_count"] == 3
    (tmp_path / "pause").touch()  # asked too late: not meant for the run that is begun now
    train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True))

    assert_same_run(whole[0], tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="limits on the size of files are POSIX")
@pytest.mark.parametrize("room", [20_000, 300_000])
def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint_whole(
    whole, cubes_folder, tmp_path, room
):
    """Too little for a checkpoint, at the first and then at a later one."""
    import resource

    train("mcgan", cubes_folder, tmp_path, tiny(2))
    kept = (tmp_path / "checkpoint.pt").read_bytes()
    assert len(kept) > 300_000
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
    try:
        with pytest.raises(LungSynthError, match=r"cannot be written \(.*\); the last checkpoint"):
            train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert (tmp_path / "checkpoint.pt").read_bytes() == kept
    assert not (tmp_path / "checkpoint.pt.part").exists()
    train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True))

    assert_same_run(whole[0], tmp_path)


def test_another_seed_gives_other_weights(whole, cubes_folder, tmp_path):
    train("mcgan", cubes_folder, tmp_path, tiny(1, seed=1))

    first = read_losses(whole[0] / "losses.jsonl")[0]
    assert read_losses(tmp_path / "losses.jsonl")[0]["l1"] != first["l1"]


def test_nan_stops_the_run_and_the_last_good_checkpoint_stays(
    whole, cubes_folder, tmp_path, monkeypatch
):
    """The step that broke may have spoilt the networks: what is stored is from before it."""
    learn = MCGANRecipe.learn

    def breaks(self, batch):
        losses = learn(self, batch)
        if self.step_count == 2:
            with torch.no_grad():
                self.networks.generator.out.weight.fill_(torch.nan)
            losses["l1"] = float("nan")
        return losses

    with monkeypatch.context() as patched:
        patched.setattr(MCGANRecipe, "learn", breaks)
        with pytest.raises(LungSynthError, match=r"stopped at step 3: l1 is not a finite number"):
            train("mcgan", cubes_folder, tmp_path, tiny(4))
    assert not (tmp_path / "mcgan.safetensors").exists()
    assert load_checkpoint(tmp_path / "checkpoint.pt", "mcgan")["step_count"] == 2
    train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True))

    assert_same_run(whole[0], tmp_path)


def test_a_folder_with_a_run_is_refused_without_resume(whole, cubes_folder):
    before = (whole[0] / "checkpoint.pt").read_bytes()
    with pytest.raises(LungSynthError, match=r"holds a run already; go on with --resume"):
        train("mcgan", cubes_folder, whole[0], tiny(6))

    assert (whole[0] / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "named"), [({"preset": "paper-tiny"}, "preset, config"), ({"seed": 3}, "seed")]
)
def test_a_run_is_resumed_as_it_was_begun(whole, cubes_folder, changes, named):
    with pytest.raises(LungSynthError, match=rf"was begun with another {named}; resume it"):
        train("mcgan", cubes_folder, whole[0], tiny(6, resume=True, **changes))


def test_other_data_are_not_the_same_run(whole, write_cubes, tmp_path):
    mask = np.zeros((48, 48, 48), bool)
    mask[20:28, 20:28, 20:28] = True
    rows = [{"patient": "Q", "series_uid": "1", "texture": "5", "ambiguous": "0"}]
    write_cubes(tmp_path, "train", [np.zeros(mask.shape)], [mask], rows)
    with pytest.raises(LungSynthError, match=r"was begun with another data"):
        train("mcgan", tmp_path, whole[0], tiny(6, resume=True))


def test_a_folder_that_another_process_trains_into_is_left_alone(cubes_folder, tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        words = json.dumps({"process": other.pid, "host": socket.gethostname()})
        (tmp_path / "train.lock").write_text(words, encoding="utf-8")
        with pytest.raises(LungSynthError, match=f"runs there already .process {other.pid}"):
            train("mcgan", cubes_folder, tmp_path, tiny(1))
        assert [path.name for path in tmp_path.iterdir()] == ["train.lock"]
        other.kill()

    train("mcgan", cubes_folder, tmp_path, tiny(1))
    assert not (tmp_path / "train.lock").exists()


def test_the_folder_is_locked_during_a_run_and_free_after_an_error(cubes_folder, tmp_path):
    def stop(_step, _total, _losses):
        with pytest.raises(LungSynthError, match="a training runs there already"):
            train("mcgan", cubes_folder, tmp_path, tiny(1, resume=True))
        msg = "stopped on purpose"
        raise LungSynthError(msg)

    with pytest.raises(LungSynthError, match="on purpose"):
        train("mcgan", cubes_folder, tmp_path, tiny(2), stop)
    assert not (tmp_path / "train.lock").exists()


def test_the_processes_that_a_run_starts_ask_for_no_lock_of_their_own(
    cubes_folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("LOCAL_RANK", "1")
    asked = []
    monkeypatch.setattr(training, "locked", asked.append)
    monkeypatch.setattr(training, "_train", lambda *_: "trained")

    assert train("mcgan", cubes_folder, tmp_path, tiny(1)) == "trained"
    assert asked == []


def test_there_must_be_a_run_to_resume(cubes_folder, tmp_path):
    with pytest.raises(LungSynthError, match=r"no run there to resume"):
        train("mcgan", cubes_folder, tmp_path / "new", tiny(2, resume=True))
    assert not (tmp_path / "new").exists()


def test_a_run_can_start_from_weights_and_keep_snapshots(whole, cubes_folder, tmp_path):
    start = load_weights(whole[1], "mcgan").tensors
    options = tiny(1, init=whole[1], fine_tune="none", snapshot_every=1, seed=5)
    train("mcgan", cubes_folder, tmp_path, options)

    after = load_weights(tmp_path / "mcgan-000001.safetensors", "mcgan").tensors
    change = max((after[k] - start[k]).abs().max() for k in start if start[k].is_floating_point())
    assert 0 < change < 0.01  # one step of Adam away, not drawn anew


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"devices": 0}, "devices must be at least 1"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1"),
        ({"precision": "8-bit"}, "unknown precision '8-bit'; allowed are 32-true"),
        ({"guard": "pray"}, "unknown guard 'pray'; allowed are warn, stop, lower-rate, off"),
        ({"fine_tune": "tiny"}, "unknown fine_tune 'tiny'; allowed are auto, small"),
        ({"accumulate": 0}, "accumulate must be at least 1; got 0"),
    ],
)
def test_options_are_checked(changes, message):
    with pytest.raises(LungSynthError, match=message):
        TrainOptions(**changes)


def test_a_gpu_that_is_not_there_is_refused(cubes_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LungSynthError, match=r"no usable GPU: torch .* finds none"):
        train("mcgan", cubes_folder, tmp_path / "new", tiny(2, accelerator="cuda"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("accelerator", ["auto", "cuda"])
def test_more_gpus_than_there_are_are_refused(cubes_folder, tmp_path, monkeypatch, accelerator):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(LungSynthError, match=r"--devices 3: torch finds 2 usable GPUs"):
        train("mcgan", cubes_folder, tmp_path / "new", tiny(accelerator=accelerator, devices=3))
    assert not (tmp_path / "new").exists()


def test_a_foreign_checkpoint_stops_a_resume(whole, cubes_folder, tmp_path):
    (tmp_path / "run.json").write_bytes((whole[0] / "run.json").read_bytes())
    (tmp_path / "checkpoint.pt").write_bytes(b"\x80\x04not a checkpoint")
    with pytest.raises(LungSynthError, match=r"checkpoint.pt: not a readable checkpoint"):
        train("mcgan", cubes_folder, tmp_path, tiny(4, resume=True))


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_weights(cubes_folder, tmp_path):
    """SIGKILL between two checkpoints, twice; then --resume on the command line to the end."""
    program = (
        "import sys; from pathlib import Path; from lungsynth.training.run import *; "
        "train('mcgan', Path(sys.argv[1]), Path(sys.argv[2]), TrainOptions('tiny', 200, "
        "resume=sys.argv[3] == 'resume', accelerator='cpu', checkpoint_every=2))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    killed, whole_run = tmp_path / "killed", tmp_path / "whole"
    for until, how in ((3, "anew"), (6, "resume")):
        command = [sys.executable, "-c", program, str(cubes_folder), str(killed), how]
        with subprocess.Popen(command, env=environment) as process:
            while len(read_losses(killed / "losses.jsonl")) < until:
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
    assert load_checkpoint(killed / "checkpoint.pt", "mcgan")["step_count"] < 12
    options = ["--preset", "tiny", "--steps", "12", "--device", "cpu"]
    for output, more in ((killed, ["--resume"]), (whole_run, [])):
        subprocess.run(
            [
                *(sys.executable, "-m", "lungsynth", "train", "mcgan"),
                *("--data", str(cubes_folder), "--output", str(output), *options, *more),
            ],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    assert_same_run(killed, whole_run)
