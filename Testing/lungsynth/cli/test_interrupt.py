"""Ctrl-C and SIGTERM end the process within two seconds and leave nothing."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lungsynth.cli.interrupt import Interrupted, interruptible

# Each writes into a temporary folder as the commands do, says so, and goes on for a minute
PYTHON_LOOP = "for _ in range(600): time.sleep(0.1)"
STUCK_IN_C = "hashlib.pbkdf2_hmac('sha256', b'', b'', 10**8)"
SCRIPT = """
import hashlib, pathlib, signal, sys, time
from lungsynth.cli.interrupt import Interrupted, interruptible
from lungsynth.cli.outputs import Outputs
try:
  with interruptible(), Outputs() as outputs:
    outputs.path(pathlib.Path(sys.argv[1]) / "out.nrrd").write_text("half")
    print("started", flush=True)
    {work}
except Interrupted as error:
    sys.exit(error.exit_status)
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("work", [PYTHON_LOOP, STUCK_IN_C], ids=["python", "stuck in C"])
def test_a_signal_ends_the_process_in_time_with_nothing_left(tmp_path, number, work):
    command = [sys.executable, "-c", SCRIPT.format(work=work), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "started\n"
        assert len(list(tmp_path.iterdir())) == 1
        start = time.monotonic()
        process.send_signal(number)
        status = process.wait(timeout=20)

    assert time.monotonic() - start < 2
    assert status == 128 + number
    assert list(tmp_path.iterdir()) == []


STUCK_WRITING = f"""
import hashlib, pathlib, sys
from lungsynth.cli.interrupt import interruptible
from lungsynth.core.temporary import replacing
from lungsynth.io.atomic import atomic_path
from lungsynth.io.itk import quiet_stderr
folder = pathlib.Path(sys.argv[1])
with (
    interruptible(as_json=True),
    atomic_path(folder / "study.json") as study,
    replacing(folder / "checkpoint.pt") as checkpoint,
    quiet_stderr(),
):
    study.write_text("half")
    checkpoint.write_text("half")
    print("started", flush=True)
    {STUCK_IN_C}
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_end_by_force_says_so_and_leaves_no_part_of_a_study_or_checkpoint(tmp_path):
    """Stuck in C while a reader's stderr is put aside, as in reading a compressed volume."""
    command = [sys.executable, "-c", STUCK_WRITING, str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "started\n"
        assert len(list(tmp_path.iterdir())) == 2
        time.sleep(0.5)  # until it is inside the call; before, it would end by itself
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)

    line = "ended by SIGTERM; no output was left half-written"
    assert process.returncode == 143
    assert err == f"lungsynth: {line}\n"
    assert json.loads(out) == {"event": "error", "message": line}
    assert list(tmp_path.iterdir()) == []


def test_handlers_are_given_back():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"), interruptible():
        signal.raise_signal(signal.SIGTERM)

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
