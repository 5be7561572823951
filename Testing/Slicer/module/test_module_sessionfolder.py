"""Files of a session that crashed are removed by the next; nobody else's are touched."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

OTHER = """
    import sys, tempfile, time
    sys.path.insert(0, {tree!r})
    from lungsynth_slicer.sessionfolder import SessionFolder
    tempfile.tempdir = {parent!r}
    folder = SessionFolder()
    (folder.path / "volume-1-1.npy").write_bytes(b"voxels")
    print(folder.path, flush=True)
    time.sleep(120)
"""


@pytest.fixture
def other_session(tmp_path, slicer_app, module_tree):
    """Run another Slicer's session in a process of its own; return process and folder."""
    # Of NoduleSynthLib only what needs no Slicer is loaded
    program = textwrap.dedent(OTHER).format(tree=str(module_tree), parent=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    assert (folder / "volume-1-1.npy").is_file()
    an_hour_ago = time.time() - 3600
    os.utime(folder, (an_hour_ago, an_hour_ago))
    yield process, folder
    process.kill()
    process.wait()


@pytest.fixture
def remove_stale(open_module):
    open_module("NoduleSynth")
    from lungsynth_slicer.sessionfolder import removeStale

    return removeStale


def test_folder_of_a_crashed_session_goes_and_that_of_a_living_one_stays(
    other_session, remove_stale, tmp_path
):
    process, folder = other_session
    assert remove_stale(tmp_path) == []
    assert (folder / "volume-1-1.npy").is_file()

    process.send_signal(signal.SIGKILL)
    process.wait()
    assert remove_stale(tmp_path) == [folder]
    assert not folder.exists()


def test_next_session_cleans_up_when_it_makes_its_own_folder(
    other_session, panel, tmp_path, monkeypatch
):
    import tempfile

    process, folder = other_session
    process.kill()
    process.wait()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    panel.logic.session._folder = None

    mine = panel.logic.session.folder
    assert mine.parent == tmp_path
    assert not folder.exists()
    os.utime(mine, (1.0, 1.0))
    from lungsynth_slicer.sessionfolder import removeStale

    assert removeStale(tmp_path) == [], "one's own lives"
    panel.logic.session.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_surely_a_forgotten_folder_stays(remove_stale, tmp_path):
    young = tmp_path / "NoduleSynth-session-young"
    without = tmp_path / "NoduleSynth-session-without"
    theirs = tmp_path / "someone"
    for folder in (young, without, theirs):
        folder.mkdir()
        (folder / "file").write_text("kept")
    for folder in (young, theirs):
        (folder / "alive.lock").touch()
    os.utime(without, (1.0, 1.0))
    os.utime(theirs, (1.0, 1.0))
    (tmp_path / "NoduleSynth-session-link").symlink_to(theirs, target_is_directory=True)

    assert remove_stale(tmp_path) == []
    assert len(list(tmp_path.glob("*/file"))) == 4
