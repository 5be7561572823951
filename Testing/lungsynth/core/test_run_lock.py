"""Locks of training folders: held, left behind, another machine's, half written."""

import json
import os
import socket
import subprocess
import sys
import time

import pytest

from lungsynth.core import run_lock
from lungsynth.core.errors import LungSynthError
from lungsynth.core.run_lock import LOCK, is_alive, locked, who_trains
from lungsynth.core.temporary import remove_temporary


@pytest.fixture
def other():
    """A process that lives until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def write(folder, process, host=None):
    words = {"process": process, "host": host or socket.gethostname()}
    (folder / LOCK).write_text(json.dumps(words), encoding="utf-8")


def take(folder):
    with locked(folder):
        return json.loads((folder / LOCK).read_text(encoding="utf-8"))["process"]


def test_a_lock_names_its_process_and_goes_at_the_end_and_after_an_error(tmp_path):
    assert take(tmp_path) == os.getpid()
    assert list(tmp_path.iterdir()) == []

    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        _ = 1 / 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_made_for_nothing_goes_and_one_with_files_stays(tmp_path):
    take(tmp_path / "new" / "run")
    assert not (tmp_path / "new" / "run").exists()

    with locked(tmp_path / "run"):
        (tmp_path / "run" / "run.json").write_text("{}")
    assert (tmp_path / "run" / "run.json").exists()


def test_a_second_training_of_the_same_process_is_refused(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(LungSynthError, match="a training runs there already"),
        locked(tmp_path),
    ):
        pass
    assert who_trains(tmp_path) == ""


def test_the_lock_of_a_living_process_holds_until_it_ends(tmp_path, other):
    write(tmp_path, other.pid)
    with pytest.raises(LungSynthError) as refused:
        take(tmp_path)
    assert str(refused.value) == who_trains(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: a training runs there already (process {other.pid}); wait for it or stop "
        "it, name another folder, or, if there is none, remove train.lock there"
    )
    assert json.loads((tmp_path / LOCK).read_text())["process"] == other.pid
    assert who_trains(tmp_path, but=frozenset({other.pid})) == ""

    other.kill()
    other.wait()
    assert who_trains(tmp_path) == ""
    assert take(tmp_path) == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_this_process_got_again_is_no_lock_of_its_own(tmp_path):
    """As in a container that is started anew."""
    write(tmp_path, os.getpid())

    assert take(tmp_path) == os.getpid()


def test_another_machines_lock_is_never_taken_over(tmp_path):
    write(tmp_path, 2**30, "another-machine")

    with pytest.raises(LungSynthError, match=r"\(process 1073741824 on another-machine\)"):
        take(tmp_path)
    assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("words", ["", "[]", '{"process": null}'])
def test_a_lock_without_words_holds_only_while_it_is_new(tmp_path, words):
    (tmp_path / LOCK).write_text(words)
    with pytest.raises(LungSynthError, match="process unknown"):
        take(tmp_path)

    old = time.time() - run_lock.UNWRITTEN_S - 1
    os.utime(tmp_path / LOCK, (old, old))
    assert take(tmp_path) == os.getpid()


def test_of_two_that_take_over_a_lock_one_gets_it(tmp_path, monkeypatch, other):
    """The other makes its lock after this one saw that the old one was left."""
    write(tmp_path, 2**30)
    remove = run_lock._remove_left

    def late(lock):
        write(tmp_path, other.pid)
        remove(lock)

    monkeypatch.setattr(run_lock, "_remove_left", late)
    with pytest.raises(LungSynthError, match=f"process {other.pid}"):
        take(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_a_signal_that_ends_the_process_takes_the_lock_away(tmp_path):
    with locked(tmp_path):
        remove_temporary()
        assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_folder_is_said(tmp_path):
    (tmp_path / "run").write_text("")

    with pytest.raises(LungSynthError, match="cannot be made a folder"):
        take(tmp_path / "run")


def test_a_process_that_ended_is_not_alive(other):
    assert is_alive(other.pid)
    assert is_alive(os.getpid())
    other.kill()
    other.wait()
    assert not is_alive(other.pid)
