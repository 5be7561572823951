"""All outputs or none."""

import errno
import os
from pathlib import Path

import pytest

from lungsynth.cli.outputs import Outputs, check_distinct, check_output, made_folder
from lungsynth.core.errors import LungSynthError


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_outputs_appear_together_at_the_end(awkward_path):
    with Outputs() as outputs:
        outputs.path(awkward_path / "a.txt").write_text("1")
        outputs.path(awkward_path / "b.txt").write_text("2")
        assert not (awkward_path / "a.txt").exists()

    assert contents(awkward_path) == {"a.txt": "1", "b.txt": "2"}


def test_outputs_may_lie_in_different_folders(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with Outputs() as outputs:
        outputs.path(tmp_path / "one" / "a.txt").write_text("1")
        outputs.path(tmp_path / "two" / "a.txt").write_text("2")

    assert contents(tmp_path / "one") == {"a.txt": "1"}
    assert contents(tmp_path / "two") == {"a.txt": "2"}


def test_a_side_file_moves_with_its_main_file(tmp_path):
    """A .mhd names its .raw, which nobody asked for by name."""
    with Outputs() as outputs:
        path = outputs.path(tmp_path / "ct.mhd")
        path.write_text("ElementDataFile = ct.raw")
        path.with_suffix(".raw").write_text("voxels")

    assert contents(tmp_path) == {"ct.mhd": "ElementDataFile = ct.raw", "ct.raw": "voxels"}


def test_a_full_disk_leaves_nothing_and_keeps_the_older_output(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with (
        pytest.raises(LungSynthError, match=r"can't write .*b\.txt: the disk is full"),
        Outputs() as out,
    ):
        out.path(tmp_path / "a.txt").write_text("new")
        out.path(tmp_path / "b.txt")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert contents(tmp_path) == {"a.txt": "old"}


def test_an_error_while_moving_puts_back_what_was_there(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("old")
    moves = []
    real = type(tmp_path).rename

    def rename(self, target):
        moves.append(target.name)
        if target.name == "b.txt":
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        return real(self, target)

    monkeypatch.setattr(type(tmp_path), "rename", rename)
    with pytest.raises(LungSynthError, match="Permission denied"), Outputs() as outputs:
        outputs.path(tmp_path / "a.txt").write_text("new")
        outputs.path(tmp_path / "b.txt").write_text("new")

    assert "b.txt" in moves
    assert contents(tmp_path) == {"a.txt": "old"}


def test_an_interruption_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), Outputs() as outputs:
        outputs.path(tmp_path / "a.txt").write_text("new")
        raise KeyboardInterrupt

    assert contents(tmp_path) == {}


def test_a_defect_stays_a_defect(tmp_path):
    with pytest.raises(ZeroDivisionError), Outputs() as outputs:
        outputs.path(tmp_path / "a.txt")
        raise ZeroDivisionError

    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.jpg", r"--output .*out\.jpg: the name must end in \.nii\.gz, \.nrrd"),
        ("nowhere/out.nrrd", "there is no folder .*nowhere"),
        ("folder.nrrd", "is a folder"),
        ("input.nrrd", "is the input"),
        ("link.nrrd", "is the input"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_the_work(tmp_path, name, message):
    source = tmp_path / "input.nrrd"
    source.write_text("ct")
    (tmp_path / "folder.nrrd").mkdir()
    (tmp_path / "link.nrrd").symlink_to(source)

    with pytest.raises(LungSynthError, match=message):
        check_output("--output", tmp_path / name, (".nii.gz", ".nrrd"), source)


def test_an_output_among_the_slices_of_the_input_is_refused(tmp_path):
    """It would be read as part of the series the next time."""
    with pytest.raises(LungSynthError, match="inside the input folder"):
        check_output("--output", tmp_path / "out.nrrd", (".nrrd",), tmp_path)


def test_a_folder_that_was_made_for_nothing_is_taken_away(tmp_path):
    (tmp_path / "old").mkdir()
    for folder in (tmp_path / "old", tmp_path / "new" / "demo"):
        with pytest.raises(KeyboardInterrupt), made_folder("--output", folder):
            assert folder.is_dir()
            raise KeyboardInterrupt

    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_a_folder_with_something_in_it_stays(tmp_path):
    with pytest.raises(ZeroDivisionError), made_folder("--output", tmp_path / "new" / "demo"):
        (tmp_path / "new" / "mine.txt").write_text("1")
        raise ZeroDivisionError

    assert contents(tmp_path / "new") == {"mine.txt": "1"}


def test_a_device_is_refused():
    with pytest.raises(LungSynthError, match="device or pipe"):
        check_output("--output", Path("/dev/full"), ("",), None)


def test_one_file_for_two_options_is_refused(tmp_path):
    named = {"--output": tmp_path / "a.nrrd", "--mask": tmp_path / "x" / ".." / "a.nrrd"}

    with pytest.raises(LungSynthError, match=r"--mask .* is the same file as --output"):
        check_distinct(named)
