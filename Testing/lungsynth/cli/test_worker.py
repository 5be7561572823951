"""The worker, as the class in this process and as a real process behind pipes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from lungsynth.cli import worker as worker_module
from lungsynth.cli.changes import read_changes
from lungsynth.cli.protocol import parse_seed, seed_values, taken_values
from lungsynth.cli.worker import Worker
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Taken
from lungsynth.core.nodule import NoduleSpec, Seed
from lungsynth.core.volume import Volume
from lungsynth.imaging.insertion import insert, paste
from lungsynth.imaging.voi import locate_voi
from lungsynth.synthesizers import load_synthesizer

SOURCES = Path(__file__).resolve().parents[3] / "NoduleSynth"
# Boxes of 12 mm and 9 mm nodules, apart along every axis, none at a symmetric place
SEEDS = [
    Seed((-55.3, 4.1, 12.7), NoduleSpec(12.0, "part-solid", "malignant", 51), "N-1"),
    Seed((71.9, -20.4, 31.2), NoduleSpec(9.5, "solid", None, 7), "N-2"),
]


@pytest.fixture(scope="module")
def oblique(phantom):
    """The phantom under a matrix that no axis is parallel to, and that swaps two."""
    angle = 0.3
    turn = np.eye(4)
    turn[:3, :3] = [
        [np.cos(angle), -np.sin(angle), 0],
        [np.sin(angle), np.cos(angle), 0],
        [0, 0, 1],
    ]
    return Volume(phantom.voxels, turn @ phantom.ijk_to_ras)


@pytest.fixture(scope="module")
def voxels_file(oblique, tmp_path_factory):
    path = tmp_path_factory.mktemp("worker") / "voxels ž.npy"
    np.save(path, oblique.voxels)
    return path


@pytest.fixture
def events():
    return []


@pytest.fixture
def ask(events):
    """Ask a worker in this process; return the last event, which is done or error."""
    worker = Worker(events.append)

    def ask(do, number=1, **values):
        worker.answer(json.dumps({"id": number, "do": do, **values}))
        return events[-1]

    ask.worker = worker
    return ask


@pytest.fixture
def ready(ask, oblique, voxels_file):
    """A worker with the volume open and the formula synthesizer loaded."""
    opened = ask("open", volume=str(voxels_file), ijk_to_ras=oblique.ijk_to_ras.tolist())
    loaded = ask("load", synthesizer="procedural")
    assert (opened["event"], loaded["event"]) == ("done", "done")
    return ask


class Process:
    """``lungsynth worker`` behind pipes."""

    def __init__(self, tmp_path):
        environment = {**os.environ, "PYTHONPATH": str(SOURCES), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "lungsynth", "worker"]
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=tmp_path,
        )

    def say(self, line):
        self.popen.stdin.write(line + b"\n")
        self.popen.stdin.flush()

    def hear(self):
        """Return the events up to the next done or error."""
        heard = []
        while not heard or heard[-1]["event"] not in {"done", "error"}:
            line = self.popen.stdout.readline()
            assert line, self.popen.stderr.read().decode()
            assert line.isascii()
            heard.append(json.loads(line))
        return heard

    def ask(self, do, number, **values):
        self.say(json.dumps({"id": number, "do": do, **values}).encode())
        return self.hear()


@pytest.fixture
def process(tmp_path):
    process = Process(tmp_path)
    yield process
    process.popen.kill()
    process.popen.communicate()


def pasted(volume, seeds, file):
    voxels = volume.voxels.copy()
    made = [
        paste(voxels, volume, seed, attempt)
        for seed, attempt in zip(seeds, read_changes(file), strict=True)
    ]
    return voxels, made


def values_of(seeds):
    return [seed_values(seed) for seed in seeds]


def test_a_process_makes_the_same_voxels_as_the_library_does_and_then_makes_more(
    process, oblique, voxels_file, tmp_path
):
    process.ask("open", 1, volume=str(voxels_file), ijk_to_ras=oblique.ijk_to_ras.tolist())
    process.ask("load", 2, synthesizer="procedural", device="cpu")
    heard = process.ask("insert", 3, seeds=values_of(SEEDS), output=str(tmp_path / "a.npz"))
    direct = insert(oblique, SEEDS, load_synthesizer("procedural"))

    assert {event["id"] for event in heard} == {3}
    stages = [(e["stage"], e["done"], e["total"]) for e in heard if e["event"] == "progress"]
    assert stages == [("inserting", 0, 2), ("inserting", 2, 2)]
    voxels, made = pasted(oblique, SEEDS, tmp_path / "a.npz")
    np.testing.assert_array_equal(voxels, direct.volume.voxels)
    assert (voxels != oblique.voxels).sum() > 100
    for ours, theirs in zip(made, direct.insertions, strict=True):
        assert ours.measured == theirs.measured
        assert ours.box == theirs.box
        assert ours.note == theirs.note
        np.testing.assert_array_equal(ours.mask, theirs.mask)

    # A second job, beside the first: refused where it is taken, done where not
    earlier = [taken_values(Taken(i.seed, i.box)) for i in made]
    again = {"earlier": earlier, "output": str(tmp_path / "b.npz")}
    assert "overlaps" in process.ask("insert", 4, seeds=values_of(SEEDS), **again)[-1]["message"]
    assert not (tmp_path / "b.npz").exists()
    free = [Seed((60.2, 15.3, -40.1), NoduleSpec(8.0, "solid", None, 3), "N-3")]
    assert process.ask("insert", 5, seeds=values_of(free), **again)[-1]["event"] == "done"
    together = insert(oblique, [*SEEDS, *free], load_synthesizer("procedural"))
    for attempt in read_changes(tmp_path / "b.npz"):
        paste(voxels, oblique, free[0], attempt)
    np.testing.assert_array_equal(voxels, together.volume.voxels)


def test_what_is_no_request_gets_an_error_line_and_the_next_one_its_answer(process, voxels_file):
    answers = []
    for line in (
        b"{",
        b"[]",
        b'"x"',
        b"\xff\xfe",
        b"{}",
        b'{"id": 9, "do": ["open"]}',
        b"1" * 5000,
    ):
        process.say(line)
        answers += process.hear()
    assert [answer["event"] for answer in answers] == ["error"] * 7
    assert all("\n" not in answer["message"] for answer in answers)
    assert "not a JSON object" in answers[0]["message"]
    assert len(answers[6]["message"]) < 300
    assert "there are open, load, insert" in answers[5]["message"]
    assert answers[5]["id"] == 9

    matrix = np.eye(4).tolist()
    assert process.ask("open", "a", volume=str(voxels_file), ijk_to_ras=matrix)[-1]["id"] == "a"


def test_the_end_of_stdin_ends_the_process_quietly_once_its_work_is_done(process):
    process.say(json.dumps({"id": 1, "do": "load", "synthesizer": "procedural"}).encode())
    out, err = process.popen.communicate(timeout=60)

    assert [json.loads(line)["event"] for line in out.splitlines()] == ["done"]
    assert process.popen.returncode == 0
    assert err == b""


def test_quit_is_answered_and_ends_the_process(process):
    assert process.ask("quit", 7) == [{"id": 7, "event": "done"}]
    assert process.popen.wait(timeout=30) == 0


def test_nothing_but_events_goes_to_stdout_whatever_a_library_prints():
    code = (
        "import os, sys; from lungsynth.cli import worker; original = worker.Worker._load\n"
        "def noisy(self, request):\n"
        "    print('hello'); sys.stdout.flush(); os.write(1, b'from C\\n')\n"
        "    return original(self, request)\n"
        "worker.Worker._load = noisy; worker.worker()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=b'{"id": 1, "do": "load", "synthesizer": "procedural"}\n',
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        capture_output=True,
        check=True,
    )

    assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ["done"]
    assert b"hello" in done.stderr
    assert b"from C" in done.stderr


def test_the_command_is_hidden_from_the_list_of_commands(lungsynth):
    assert "worker" not in lungsynth("--help").out


def test_a_preview_is_the_nodule_of_one_round(ready, oblique, tmp_path):
    seed = Seed((-55.3, 4.1, 12.7), NoduleSpec(8.0, "solid", "malignant", 1), "rescaled")
    first = ready("preview", seed=seed_values(seed), rounds=1, output=str(tmp_path / "p.npz"))
    (attempt,) = read_changes(tmp_path / "p.npz")
    ready("preview", seed=seed_values(seed), rounds=5, output=str(tmp_path / "p.npz"))
    (whole,) = read_changes(tmp_path / "p.npz")

    assert first["seconds"] > 0
    direct = insert(oblique, [seed], load_synthesizer("procedural"))
    np.testing.assert_array_equal(whole.mask, direct.insertions[0].mask)
    assert attempt.miss(seed) > whole.miss(seed)
    assert attempt.box != whole.box


@pytest.mark.parametrize(
    ("do", "values", "said"),
    [
        ("open", {"volume": "nowhere.npy", "ijk_to_ras": np.eye(4).tolist()}, "nowhere.npy"),
        ("open", {"ijk_to_ras": np.eye(4).tolist()}, "needs 'volume'"),
        ("load", {"synthesizer": "nope"}, "nope"),
        ("load", {}, "needs 'synthesizer'"),
        ("insert", {"seeds": [], "output": "x"}, "no seed"),
        ("insert", {"output": "x"}, "needs 'seeds'"),
        ("insert", {"seeds": [{"diameter_mm": 5}], "output": "x"}, "position_ras_mm"),
        ("preview", {"output": "x"}, "needs 'seed'"),
        ("propose", {"count": -1}, "whole number"),
        ("propose", {"count": 1, "site": "moon"}, "moon"),
        ("propose", {"count": 1, "attenuation": "wooden"}, "wooden"),
        ("check", {"seeds": "all"}, "must be a list"),
    ],
)
def test_a_request_that_cannot_be_met_says_why_in_one_line(ready, do, values, said):
    answer = ready(do, number=4, **values)

    assert answer["event"] == "error"
    assert answer["id"] == 4
    assert said in answer["message"]
    assert "defect" not in answer["message"]
    assert "\n" not in answer["message"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"diameter_mm": 99}, "3 to 40"),
        ({"diameter_mm": "12"}, "must be a number; got 12"),
        ({"diameter_mm": float("nan")}, "must be a number"),
        ({"attenuation": "wooden"}, "part-solid"),
        ({"malignancy": "perhaps"}, "benign"),
        ({"latent_seed": -1}, "latent_seed"),
        ({"latent_seed": 1.5}, "whole number"),
        ({"position_ras_mm": [1, 2]}, "three finite coordinates"),
        ({"position_ras_mm": [1, 2, None]}, "three numbers"),
        ({"position_ras_mm": [1, 2, float("inf")]}, "three numbers"),
    ],
)
def test_a_seed_that_is_not_allowed_is_refused_by_name_of_the_value(wrong, said):
    with pytest.raises(LungSynthError, match=said):
        parse_seed({**seed_values(SEEDS[0]), **wrong})


def test_a_seed_survives_the_way_through_json():
    for seed in SEEDS:
        assert parse_seed(json.loads(json.dumps(seed_values(seed)))) == seed


def test_nothing_works_before_a_volume_is_open_and_a_synthesizer_loaded(ask, voxels_file):
    seed = seed_values(SEEDS[0])
    assert "no volume is open" in ask("preview", seed=seed, output="x")["message"]
    assert "no volume is open" in ask("check", seeds=[seed])["message"]
    ask("open", volume=str(voxels_file), ijk_to_ras=np.eye(4).tolist())
    assert "no synthesizer is loaded" in ask("preview", seed=seed, output="x")["message"]


def test_a_pickle_is_refused_as_volume(ask, tmp_path):
    np.save(tmp_path / "evil.npy", np.array([{"a": 1}], dtype=object))

    answer = ask("open", volume=str(tmp_path / "evil.npy"), ijk_to_ras=np.eye(4).tolist())

    assert "not a readable .npy file" in answer["message"]


def test_the_volume_is_mapped_and_cannot_be_written(ready):
    voxels = ready.worker._volume.voxels

    assert isinstance(voxels, np.memmap)
    assert not voxels.flags.writeable


def test_check_names_each_bad_seed_and_accepts_the_others(ready):
    outside = Seed((900.0, 0, 0), NoduleSpec(8.0), "far")
    twin = Seed(SEEDS[0].position_ras_mm, NoduleSpec(8.0), "twin")
    values = [*values_of([outside, SEEDS[0], twin]), {"x": 1}, seed_values(SEEDS[1])]

    problems = ready("check", seeds=values)["problems"]

    assert [problem["index"] for problem in problems] == [0, 2, 3]
    assert "seed far" in problems[0]["message"]
    assert "outside the volume" in problems[0]["message"]
    assert "overlaps an earlier nodule (seed N-1" in problems[1]["message"]


def test_check_warns_of_a_seed_in_soft_tissue(ready, oblique):
    """It can work, so it is no problem; it is told before anything is inserted."""
    i, j, k = _soft_place(oblique)
    wall = Seed(tuple(oblique.ijk_to_ras_mm((i, j, k))), NoduleSpec(6.0), "wall")
    found = ready("check", seeds=values_of([SEEDS[0], wall]))

    assert found["problems"] == []
    assert [warning["index"] for warning in found["warnings"]] == [1]
    assert "seed wall" in found["warnings"][0]["message"]
    assert "in soft tissue" in found["warnings"][0]["message"]


def _soft_place(volume):
    """Return (i, j, k) of a voxel with soft tissue all around it, and lung nowhere near."""
    soft = ndimage.uniform_filter((volume.voxels > -100).astype(np.float32), 7) > 0.999
    soft[:8] = soft[-8:] = soft[:, :8] = soft[:, -8:] = soft[..., :8] = soft[..., -8:] = False
    return np.argwhere(soft)[0][::-1]


def test_proposed_seeds_can_be_repeated_and_keep_clear_of_earlier_nodules(ready, oblique):
    asked = {"count": 3, "diameter_mm": 9, "attenuation": "ground-glass", "random_seed": 5}
    first = ready("propose", **asked)["seeds"]
    assert ready("propose", **asked)["seeds"] == first
    assert {(seed["diameter_mm"], seed["attenuation"]) for seed in first} == {(9.0, "ground-glass")}
    assert ready("check", seeds=first)["problems"] == []

    nodules = [parse_seed(seed) for seed in first]
    side = load_synthesizer("procedural").box_mm(9.0)
    boxes = [locate_voi(oblique, nodule.position_ras_mm, side).box for nodule in nodules]
    taken = [taken_values(Taken(*pair)) for pair in zip(nodules, boxes, strict=True)]
    other = ready("propose", **asked, earlier=taken)["seeds"]

    assert ready("check", seeds=other, earlier=taken)["problems"] == []
    assert {tuple(s["position_ras_mm"]) for s in other}.isdisjoint(
        tuple(s["position_ras_mm"]) for s in first
    )


def test_a_full_gpu_is_left_for_the_cpu_and_the_user_is_told(ready, events, tmp_path, monkeypatch):
    class OutOfMemoryError(RuntimeError):
        pass

    real = load_synthesizer("procedural")

    class Full:
        name, device, weights_sha256, box_mm = "procedural", "cuda:0", None, real.box_mm

        def inpaint(self, *_):
            msg = "CUDA out of memory. Tried to allocate 2 GiB"
            raise OutOfMemoryError(msg)

    loaded = []

    def load(name, device, weights):
        loaded.append((name, device, weights))
        return real

    ready.worker._synthesizer = Full()
    monkeypatch.setattr(worker_module, "_load_synthesizer", load)
    done = ready("insert", seeds=values_of(SEEDS), output=str(tmp_path / "a.npz"))

    assert (done["event"], done["device"]) == ("done", "cpu")
    assert loaded == [("procedural", "cpu", None)]
    (info,) = [event for event in events if event["event"] == "info"]
    assert info["message"] == "the GPU is out of memory: going on with the CPU, slower"
    assert len(read_changes(tmp_path / "a.npz")) == 2


def test_a_missing_package_is_named(ask, monkeypatch):
    def missing(*_, **__):
        msg = "No module named 'torch'"
        raise ModuleNotFoundError(msg, name="torch")

    monkeypatch.setattr("lungsynth.synthesizers.load_synthesizer", missing)

    message = ask("load", synthesizer="mcgan")["message"]

    assert message == "'mcgan' needs the Python package 'torch', which is not installed"


def test_a_defect_is_reported_in_one_line_and_ends_nothing(ready, monkeypatch, tmp_path):
    def broken(*_, **__):
        msg = "two\nlines"
        raise ZeroDivisionError(msg)

    with monkeypatch.context() as patched:
        patched.setattr("lungsynth.imaging.insertion.make_all", broken)
        answer = ready("insert", seeds=values_of(SEEDS), output=str(tmp_path / "a.npz"))
        assert answer["message"].endswith("please report it: ZeroDivisionError: two lines")
    answer = ready("insert", seeds=values_of(SEEDS), output=str(tmp_path / "a.npz"))
    assert answer["event"] == "done"


def test_an_output_that_cannot_be_written_is_named_and_leaves_nothing(ready, tmp_path):
    target = tmp_path / "missing" / "a.npz"

    answer = ready("insert", seeds=values_of(SEEDS), output=str(target))

    assert str(target) in answer["message"]
    assert "No such file" in answer["message"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "other", "missing"])
def test_changes_that_are_not_whole_are_refused_by_name(ready, tmp_path, damage):
    path = tmp_path / "a.npz"
    ready("insert", seeds=values_of(SEEDS), output=str(path))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    elif damage == "other":
        np.savez(path, voxels_0=np.zeros(3))
    else:
        path.unlink()

    with pytest.raises(LungSynthError, match=r"a\.npz"):
        read_changes(path)
