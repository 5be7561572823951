"""Training by several processes on a CPU: as one with a larger batch, and when one is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lungsynth.training import launch
from lungsynth.training.checkpoint import load_checkpoint
from lungsynth.training.loop import rng_for_step
from lungsynth.training.losses_log import read_losses
from lungsynth.training.options import TrainOptions
from lungsynth.training.processes import lost_line

SOURCES = Path(launch.__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("several_processes_program.py")
SETTINGS = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCES)}
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="its signals are POSIX"),
]


def command(output, *arguments):
    return [sys.executable, str(PROGRAM), str(output), *map(str, arguments)]


def environment():
    return {**os.environ, **SETTINGS}


def trained(output, *arguments):
    subprocess.run(command(output, *arguments), env=environment(), check=True, timeout=500)
    return load_checkpoint(output / "checkpoint.pt", "line")


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_the_batch(tmp_path):
    """The recipe's loss is a mean over items, so the two agree to rounding."""
    two = trained(tmp_path / "two", "--devices", 2, "--batch", 3, "--steps", 4)
    one = trained(tmp_path / "one", "--devices", 1, "--batch", 6, "--steps", 4)
    parts = trained(tmp_path / "parts", "--batch", 3, "--accumulate", 2, "--steps", 4)

    for other in (two, parts):
        for name, weight in one["networks"].items():
            torch.testing.assert_close(other["networks"][name], weight, rtol=1e-5, atol=1e-7)
    rows = [read_losses(tmp_path / run / "losses.jsonl") for run in ("one", "two")]
    for first, second in zip(*rows, strict=True):
        assert second["miss"] == pytest.approx(first["miss"], rel=1e-5)
        # torch's own generator is another in each process: the log has the mean of both
        assert second["drawn"] == pytest.approx(expected_draw(second["step"] - 1, 2))
        assert first["drawn"] == pytest.approx(expected_draw(first["step"] - 1, 1))
    card = json.loads((tmp_path / "two" / "run.json").read_text())
    assert card["batches_a_step"] == 2


def expected_draw(step, ranks):
    draws = []
    for rank in range(ranks):
        rng_for_step(0, step, rank)
        draws.append(float(torch.rand(())))
    return np.mean(draws)


@pytest.mark.slow
def test_two_processes_under_torchrun_and_a_resume_are_the_same_run(tmp_path):
    whole = trained(tmp_path / "whole", "--devices", 2, "--steps", 4)
    for steps, more in ((2, []), (4, ["--resume"])):
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        run = command(tmp_path / "parts", "--steps", steps, *more)
        subprocess.run([run[0], *launcher, *run[1:]], env=environment(), check=True, timeout=500)
    parts = load_checkpoint(tmp_path / "parts" / "checkpoint.pt", "line")

    assert torch.equal(parts["networks"]["weight"], whole["networks"]["weight"])
    logs = [(tmp_path / run / "losses.jsonl").read_text() for run in ("whole", "parts")]
    assert logs[0] == logs[1]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_in_a_line_and_it_goes_on(tmp_path, rank):
    """SIGKILL to either; the other notices at the next exchange."""
    run = tmp_path / "run"
    options = ("--devices", 2, "--steps", 10**6, "--slowly", 0.05)
    with subprocess.Popen(
        command(run, *options), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        while len(read_losses(run / "losses.jsonl")) < 4:
            assert process.poll() is None
            time.sleep(0.05)
        others = [int(line) for line in (run / "processes").read_text().split()]
        killed = process.pid if rank == 0 else next(p for p in others if p != process.pid)
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        said = process.communicate(timeout=120)[1]
        took = time.monotonic() - began
    for other in others:  # none is left behind
        wait_for_end(other)

    assert took < 60
    if rank == 1:
        assert process.returncode == 2
        assert said == "lungsynth: " + lost_line("process 2 of 2 ended by SIGKILL") + "\n"
    done = load_checkpoint(run / "checkpoint.pt", "line")["step_count"]
    resumed = trained(run, "--devices", 2, "--steps", done + 3, "--resume")
    whole = trained(tmp_path / "whole", "--devices", 2, "--steps", done + 3)
    assert torch.equal(resumed["networks"]["weight"], whole["networks"]["weight"])


def wait_for_end(process):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    pytest.fail(f"process {process} is still there")


@pytest.mark.slow
def test_a_defect_in_another_process_is_told_by_the_first(tmp_path):
    ended = subprocess.run(
        command(tmp_path / "run", "--devices", 2, "--steps", 9, "--breaks", 1),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        timeout=300,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "process 2 of 2 ended with status 1 (ZeroDivisionError: only here)" in ended.stderr


@pytest.mark.slow
def test_a_stalled_process_is_waited_for_no_longer_than_the_limit(tmp_path):
    """SIGSTOP: its connection stays open, so nothing but time tells."""
    run = tmp_path / "run"
    options = ("--devices", 2, "--steps", 10**6, "--slowly", 0.05, "--timeout", 20)
    with subprocess.Popen(
        command(run, *options), env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        while len(read_losses(run / "losses.jsonl")) < 2:
            assert process.poll() is None
            time.sleep(0.05)
        others = [int(line) for line in (run / "processes").read_text().split()]
        stalled = next(p for p in others if p != process.pid)
        os.kill(stalled, signal.SIGSTOP)
        said = process.communicate(timeout=120)[1]

    assert process.returncode == 2
    assert "the run has lost a process" in said
    wait_for_end(stalled)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": 3}, "--devices 3, but torchrun has started 2; leave --devices away"),
        ({"nodes": 3}, "--nodes 3, but torchrun has started 2; leave --nodes away"),
    ],
)
def test_torchrun_says_how_many_there_are(monkeypatch, options, message):
    for name, value in (
        ("TORCHELASTIC_RUN_ID", "x"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("WORLD_SIZE", "4"),
    ):
        monkeypatch.setenv(name, value)
    assert launch.processes_asked(TrainOptions()) == (2, 2)
    assert launch.processes_asked(TrainOptions(devices=2)) == (2, 2)
    with pytest.raises(launch.LungSynthError, match=message):
        launch.processes_asked(TrainOptions(**options))


def test_several_machines_need_to_know_the_first(monkeypatch):
    for name in ("MASTER_ADDR", "MASTER_PORT", "SLURM_PROCID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")  # each would take a port of its own
    with pytest.raises(launch.LungSynthError, match=r"--nodes 2: start the command by torchrun"):
        launch.processes_asked(TrainOptions(nodes=2))
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert launch.processes_asked(TrainOptions(nodes=2, devices=4)) == (4, 2)
