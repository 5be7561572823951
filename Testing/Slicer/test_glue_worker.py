"""The panel's end of the worker: a real process, and processes that behave badly."""

import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from lungsynth.core.nodule import NoduleSpec, Seed

SEEDS = [
    Seed((-55.3, 4.1, 12.7), NoduleSpec(12.0, "part-solid", "malignant", 51), "N-1"),
    Seed((71.9, -20.4, 31.2), NoduleSpec(9.5, "solid", None, 7), "N-2"),
]


class Answers:
    """Callbacks that remember."""

    def __init__(self):
        self.done, self.failed, self.progress, self.infos = [], [], [], []

    def __len__(self):
        return len(self.done) + len(self.failed)

    @property
    def callbacks(self):
        return {
            "onDone": self.done.append,
            "onError": self.failed.append,
            "onProgress": lambda *said: self.progress.append(said),
            "onInfo": self.infos.append,
        }


@pytest.fixture
def answers():
    return Answers()


@pytest.fixture
def worker_of(slicer_app, slot_errors):
    """Make workers: ``worker_of(code)`` runs Python code, ``worker_of()`` the real one."""
    from lungsynth_slicer.worker import Worker

    made = []

    def make(code=None, **options):
        command = None if code is None else [sys.executable, "-u", "-c", code]
        made.append(Worker(command, **options))
        return made[-1]

    yield make
    for worker in made:
        worker.shutdown()
    assert not slot_errors


def alive(pid):
    """Return whether a process runs; one that waits to be taken away does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def phantom():
    from lungsynth.imaging.phantom import SMALL, thorax_phantom

    return thorax_phantom(**SMALL)


def test_a_job_through_the_process_gives_the_library_s_own_voxels(
    worker_of, answers, wait_until, loop_watch, phantom, tmp_path
):
    from lungsynth.cli.protocol import seed_values
    from lungsynth.imaging.insertion import insert, paste
    from lungsynth.synthesizers import load_synthesizer
    from lungsynth_slicer.changes import readChanges

    np.save(tmp_path / "voxels.npy", phantom.voxels)
    file = tmp_path / "changes.npz"
    worker = worker_of()
    matrix = phantom.ijk_to_ras.tolist()
    with loop_watch() as watch:
        values = {"volume": str(tmp_path / "voxels.npy"), "ijk_to_ras": matrix}
        worker.request("open", **answers.callbacks, **values)
        worker.request("load", **answers.callbacks, synthesizer="procedural", device="cpu")
        seeds = [seed_values(seed) for seed in SEEDS]
        worker.request("insert", **answers.callbacks, seeds=seeds, output=str(file))
        assert worker.busy
        wait_until(lambda: len(answers) == 3, 120)

    assert not answers.failed
    assert not worker.busy
    assert answers.done[1]["device_name"] == "CPU"
    assert answers.done[2]["file"] == str(file)
    assert answers.progress == [(0, 2, "inserting"), (2, 2, "inserting")]
    voxels = phantom.voxels.copy()
    for seed, attempt in zip(SEEDS, readChanges(file), strict=True):
        paste(voxels, phantom, seed, attempt)
    direct = insert(phantom, SEEDS, load_synthesizer("procedural"))
    np.testing.assert_array_equal(voxels, direct.volume.voxels)
    assert watch.longest_gap_s < 0.2


def test_a_refused_request_is_followed_by_one_that_is_done(worker_of, answers, wait_until):
    worker = worker_of()
    worker.request("load", **answers.callbacks, synthesizer="nope")
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    wait_until(lambda: len(answers) == 2, 60)

    assert "nope" in answers.failed[0]
    assert answers.done[0]["device"] == "cpu"


def test_a_cancelled_request_is_told_once_and_the_next_starts_a_new_process(
    worker_of, answers, wait_until
):
    import lungsynth_slicer.worker as module

    worker = worker_of()
    told = []
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    worker.request(
        "load",
        onDone=answers.done.append,
        onError=answers.failed.append,
        onCancelled=lambda: told.append("cancelled"),
        synthesizer="procedural",
    )
    pid, generation = worker.processId, worker.generation
    worker.cancel()

    assert (answers.failed, told) == (["cancelled"], ["cancelled"])
    assert not worker.busy
    assert not worker.running
    wait_until(lambda: not alive(pid) and not module._dying)
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    wait_until(lambda: answers.done, 60)
    assert worker.generation == generation + 1
    assert len(answers) == 2


def test_a_process_killed_from_outside_is_one_clear_line_and_can_be_replaced(
    worker_of, answers, wait_until
):
    import lungsynth_slicer.worker as module

    ended = []
    worker = worker_of(onExit=ended.append)
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    wait_until(lambda: answers.done, 60)
    os.kill(worker.processId, signal.SIGKILL)
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    wait_until(lambda: answers.failed and ended)

    assert answers.failed == ended
    assert "was killed, perhaps because memory ran out" in ended[0]
    assert "started again when it is next needed" in ended[0]
    assert "\n" not in ended[0]
    assert not worker.running
    wait_until(lambda: not module._dying)
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    wait_until(lambda: len(answers.done) == 2, 60)


def test_the_last_words_of_a_process_that_ends_are_in_the_line(worker_of, answers, wait_until):
    worker = worker_of("import sys; sys.stderr.write('first\\nValueError: why\\n\\n'); sys.exit(3)")
    worker.request("load", **answers.callbacks)
    wait_until(lambda: answers.failed)

    assert answers.failed[0].startswith(
        "the worker process ended with status 3: ValueError: why; it will be started again"
    )


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("typer", "the Python package 'typer' is not installed; press 'Install packages'"),
        ("torch", "PyTorch is not installed; press 'Install packages', or use the PyTorch Utils"),
    ],
)
def test_a_missing_package_says_what_to_do(worker_of, answers, wait_until, missing, said):
    at_start = f"raise ModuleNotFoundError(\"No module named '{missing}'\")"
    worker_of(at_start).request("load", **answers.callbacks)
    wait_until(lambda: answers.failed)
    event = {
        "id": 1,
        "event": "error",
        "message": f"'mcgan' needs the Python package '{missing}', which is not installed",
    }
    worker_of(f"input(); print({json.dumps(event)!r}); input()").request(
        "load", **answers.callbacks
    )
    wait_until(lambda: len(answers) == 2)

    assert all(message.startswith(said) for message in answers.failed)
    assert not any("started again" in message for message in answers.failed)


def test_a_program_that_is_not_there_is_named(slicer_app, answers, wait_until):
    from lungsynth_slicer.worker import Worker

    worker = Worker(["/nowhere/PythonSlicer", "-m", "lungsynth"])
    worker.request("load", **answers.callbacks)
    wait_until(lambda: answers.failed)

    assert "cannot be started (/nowhere/PythonSlicer)" in answers.failed[0]
    assert not worker.running
    worker.request("load", **answers.callbacks)  # and again, should it be there now
    wait_until(lambda: len(answers.failed) == 2)


def test_lines_in_pieces_and_several_at_once_are_read_whole(worker_of, answers, wait_until):
    worker = worker_of(
        "import sys, time\n"
        "for line in sys.stdin:\n"
        '    out = \'{"id": 1, "event": "progress", "stage": "x", "done": 1, "total": 4}\\n\'\n'
        '    out += out + \'no json\\n\\n[1]\\n{"id": 99, "event": "done"}\\n\'\n'
        '    out += \'{"id": 1, "event": "done", "file": "a"}\\n\'\n'
        "    for start in range(0, len(out), 7):\n"
        "        sys.stdout.write(out[start:start + 7]); sys.stdout.flush(); time.sleep(0.002)\n"
    )
    worker.request("load", **answers.callbacks)
    wait_until(lambda: answers.done)

    assert answers.done == [{"file": "a"}]
    assert answers.progress == [(1, 4, "x")] * 2
    assert not answers.failed


def test_a_flood_on_stderr_neither_blocks_the_process_nor_the_panel(
    worker_of, answers, wait_until, loop_watch
):
    worker = worker_of(
        "import sys\n"
        "input()\n"
        "for n in range(20000): sys.stderr.write('x' * 1000 + '\\n')\n"
        'print(\'{"id": 1, "event": "done"}\'); input()'
    )
    with loop_watch() as watch:
        worker.request("load", **answers.callbacks)
        wait_until(lambda: answers.done, 60)

    assert watch.longest_gap_s < 0.2
    assert len(worker._stderr) <= 20_000


def test_a_line_without_an_end_is_given_up(worker_of, answers, wait_until, monkeypatch):
    import lungsynth_slicer.worker as module

    monkeypatch.setattr(module, "MOST_IN_A_LINE", 100_000)
    worker = worker_of("import sys\ninput()\nwhile True: sys.stdout.write('x' * 10000)")
    worker.request("load", **answers.callbacks)
    wait_until(lambda: answers.failed)

    assert "writes what is no answer" in answers.failed[0]


def test_shutdown_kills_without_a_word_and_without_waiting(worker_of, answers, wait_until):
    worker = worker_of("import time\nwhile True: time.sleep(1)")
    worker.request("load", **answers.callbacks)
    wait_until(lambda: worker.processId)
    pid = worker.processId
    started = time.perf_counter()
    worker.shutdown()

    assert time.perf_counter() - started < 0.1
    wait_until(lambda: not alive(pid))
    assert len(answers) == 0
    worker.shutdown()


def test_a_callback_may_cancel_while_more_lines_are_waiting(worker_of, wait_until):
    line = '{"id": 1, "event": "progress", "stage": "x", "done": 1, "total": 2}'
    worker = worker_of(f"input()\nprint({line!r} + chr(10) + {line!r})\ninput()")
    told = []

    def stop(*_):
        told.append("progress")
        worker.cancel()

    worker.request("x", onDone=told.append, onError=told.append, onProgress=stop)
    wait_until(lambda: len(told) == 2)

    assert told == ["progress", "cancelled"]


def test_no_process_outlives_slicer(tmp_path):
    """An application that ends, and one that is killed, leave no worker behind."""
    import subprocess

    standins = os.path.join(os.path.dirname(__file__), "standins")  # noqa: PTH118, PTH120
    code = (
        "import sys, time\n"
        f"sys.path.insert(0, {standins!r})\n"
        "import qt\n"
        "app = qt.QApplication([])\n"
        "from lungsynth_slicer.worker import Worker\n"
        "worker = Worker()\n"
        "def ready(_):\n"
        "    print(worker.processId, flush=True)\n"
        "    if sys.argv[1] == 'quit': app.quit()\n"
        "worker.request('load', onDone=ready, onError=print, synthesizer='procedural')\n"
        "app.exec()\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    environment["PYTHONPATH"] = os.pathsep.join([p for p in sys.path if "NoduleSynth" in p])
    for how in ("quit", "killed"):
        with subprocess.Popen(
            [sys.executable, "-c", code, how],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
        ) as process:
            pid = int(process.stdout.readline())
            if how == "killed":
                assert alive(pid)
                process.kill()
            _, err = process.communicate(timeout=60)
        deadline = time.monotonic() + 10
        while alive(pid):
            assert time.monotonic() < deadline, how
            time.sleep(0.05)
        assert b"Destroyed while process" not in err


def test_the_process_runs_this_python_and_leaves_slicer_a_core(slicer_app, monkeypatch):
    from lungsynth_slicer.worker import workerCommand, workerEnvironment

    monkeypatch.setattr("shutil.which", lambda _: None)
    assert workerCommand() == [sys.executable, "-m", "lungsynth", "worker"]
    monkeypatch.delenv("PYTHONHOME", raising=False)
    assert "PYTHONHOME" not in workerEnvironment()
    launcher = {"PythonSlicer": "/opt/Slicer/bin/PythonSlicer"}
    monkeypatch.setattr("shutil.which", launcher.get)
    assert workerCommand()[0] == "/opt/Slicer/bin/PythonSlicer"
    # Slicer's own Python, without the launcher that a kill would end in its place
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/Slicer/bin/{name}")
    assert workerCommand()[0] == "/opt/Slicer/bin/python-real"
    assert workerEnvironment()["PYTHONHOME"] == sys.base_prefix
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert workerEnvironment()["OMP_NUM_THREADS"] == "7"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert "OMP_NUM_THREADS" not in workerEnvironment()


@pytest.mark.usefixtures("slicer_app")
class TestPackages:
    """What is asked, and what is said when it does not work."""

    @pytest.fixture
    def packaging(self, monkeypatch):
        from slicer import packaging

        monkeypatch.setattr(packaging, "pip_check", lambda _: False)
        monkeypatch.setattr(packaging, "failure", None, raising=False)
        packaging.installed.clear()
        return packaging

    @pytest.fixture
    def torch_utils(self, monkeypatch):
        import PyTorchUtils

        monkeypatch.setattr(PyTorchUtils, "failure", None)
        PyTorchUtils.requested.clear()
        return PyTorchUtils

    def test_nothing_is_asked_where_all_is_there(self, dialogs):
        from lungsynth_slicer import dependencies

        dependencies.ensure(training=True)

        assert dialogs.shown == []

    def test_one_question_names_size_and_reason_of_all(self, packaging, torch_utils, dialogs):
        import qt

        from lungsynth_slicer import dependencies

        dialogs.answer(qt.QMessageBox.Ok)
        dependencies.ensure()

        ((_, text),) = dialogs.shown
        assert "torch>=2.4: runs the networks; 0.2 GB" in text
        assert "safetensors>=0.4.3: reads weights; 1 MB" in text
        assert torch_utils.requested == [(None, ">=2.4", None)]
        assert "safetensors>=0.4.3" in packaging.installed
        assert not any("torch" in name for name in packaging.installed)

    def test_no_means_no(self, packaging, torch_utils, dialogs):
        import qt

        from lungsynth_slicer import dependencies

        dialogs.answer(qt.QMessageBox.Cancel)
        with pytest.raises(dependencies.Declined, match=r"nothing was installed.*torch>=2\.4"):
            dependencies.ensure()

        assert packaging.installed == torch_utils.requested == []

    def test_a_machine_without_network_gets_one_line(
        self, packaging, torch_utils, dialogs, monkeypatch
    ):
        from subprocess import CalledProcessError

        import qt

        from lungsynth.core.errors import LungSynthError
        from lungsynth_slicer import dependencies

        dialogs.answer(qt.QMessageBox.Ok)
        monkeypatch.setattr(packaging, "failure", CalledProcessError(1, "pip"))
        with pytest.raises(LungSynthError, match=r"could not be installed.*HTTPS_PROXY") as caught:
            dependencies.ensureRequirements()
        assert "\n" not in str(caught.value)

        dialogs.answer(qt.QMessageBox.Ok)
        monkeypatch.setattr(packaging, "failure", None)
        monkeypatch.setattr(torch_utils, "failure", ValueError("no\nnetwork"))
        with pytest.raises(
            LungSynthError, match=r"torch>=2\.4 could not be installed \(no network"
        ):
            dependencies.ensureTorch()

    @pytest.mark.usefixtures("packaging")
    def test_without_the_pytorch_extension_it_says_where_to_get_it(self, dialogs, monkeypatch):
        import qt

        from lungsynth.core.errors import LungSynthError
        from lungsynth_slicer import dependencies

        dialogs.answer(qt.QMessageBox.Ok)
        monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
        with pytest.raises(LungSynthError, match="install 'PyTorch' in View > Extensions Manager"):
            dependencies.ensure()


LAUNCHER = (
    "import subprocess, sys\n"
    "child = subprocess.Popen([sys.executable, *sys.argv[1:]])\n"
    "print('pid', child.pid, file=sys.stderr, flush=True)\n"
    "sys.exit(child.wait())\n"
)


def child_of(client):
    """Return the number of the process that the launcher has started, once it has said so."""
    found = [line for line in client._stderr.splitlines() if line.startswith(b"pid ")]
    return int(found[0].split()[1]) if found else 0


def test_a_worker_behind_a_launcher_ends_in_the_middle_of_its_work(
    worker_of, answers, wait_until, phantom, tmp_path
):
    """PythonSlicer is one: to kill it leaves the Python that does the work."""
    from lungsynth.cli.protocol import seed_values

    np.save(tmp_path / "volume.npy", phantom.voxels)
    worker = worker_of()
    worker.command = [sys.executable, "-c", LAUNCHER, "-m", "lungsynth", "worker"]
    matrix = phantom.ijk_to_ras.tolist()
    path = str(tmp_path / "volume.npy")
    worker.request("open", **answers.callbacks, volume=path, ijk_to_ras=matrix)
    worker.request("load", **answers.callbacks, synthesizer="procedural")
    wait_until(lambda: len(answers) == 2 and child_of(worker), 60)
    assert answers.failed == []
    pid = child_of(worker)
    many = [seed_values(SEEDS[0])] * 4000  # refused at last, after seconds of checking
    worker.request("check", **answers.callbacks, seeds=many)
    worker.cancel()

    assert alive(pid)
    wait_until(lambda: not alive(pid), 5)


def test_a_training_behind_a_launcher_ends_with_it(slicer_app, wait_until, monkeypatch):
    import lungsynth_slicer.process as processes

    monkeypatch.setattr(processes, "workerCommand", lambda: [sys.executable])
    code = (
        "import sys, time; sys.argv = ['lungsynth', '--version']\n"
        "from lungsynth.cli.stdin_watch import end_with_stdin, is_wanted\n"
        "assert is_wanted(); end_with_stdin(); time.sleep(600)\n"
    )
    failed = []
    process = processes.PythonProcess(
        ["-c", LAUNCHER, "-c", code], onDone=failed.append, onError=failed.append
    )
    wait_until(lambda: child_of(process), 30)
    pid = child_of(process)
    assert alive(pid)
    process.stop()
    wait_until(lambda: not alive(pid), 10)
    assert failed == []
