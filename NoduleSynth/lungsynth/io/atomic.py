"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.core.temporary import forget_temporary, remember_temporary

_PREFIX = ".lungsynth-"


def shown(path: Path) -> Path:
    """Return ``path`` as the user knows it: without a temporary folder that it lies in."""
    return path.parent.parent / path.name if path.parent.name.startswith(_PREFIX) else path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path; what was written there becomes ``path`` at the end.

    The temporary path lies in a fresh folder beside ``path`` and has the same file name, so
    that writers that go by the suffix, or that write a second file and store its name
    (.mhd + .raw), do as they would for ``path``. On any failure everything is removed and an
    earlier file at ``path`` stays as it was.

    Args:
        path: Where the output goes; its folder must exist.

    Raises:
        LungSynthError: If the folder is missing or cannot be written, or the disk is full.
    """
    path = Path(path)
    if path.is_dir():
        msg = f"cannot write {shown(path)}: it is a folder; a file name is needed"
        raise LungSynthError(msg)
    if not path.parent.is_dir():
        msg = f"cannot write {shown(path)}: there is no folder {path.parent}"
        raise LungSynthError(msg)
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=path.parent))
        remember_temporary(folder)
    except OSError as error:
        msg = f"cannot write {shown(path)}: {error.strerror or error}"
        raise LungSynthError(msg) from error
    try:
        yield folder / path.name
        # Side files first: once the named file is there, all that it refers to is there.
        written = sorted(folder.iterdir(), key=lambda file: file.name == path.name)
        if not written or written[-1].name != path.name:
            msg = f"cannot write {shown(path)}: nothing was written"
            raise LungSynthError(msg)
        _move(written, path.parent)
    except OSError as error:
        msg = f"cannot write {shown(path)}: {error.strerror or error}"
        raise LungSynthError(msg) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        forget_temporary(folder)


def _move(files: Sequence[Path], folder: Path) -> None:
    """Move files to a folder in their order; on an error put back what was there."""
    moved: list[tuple[Path, Path, Path]] = []
    try:
        for file in files[:-1]:
            target, backup = folder / file.name, file.with_name(f".replaced-{file.name}")
            moved.append((file, target, backup))
            if target.exists():
                target.rename(backup)
            file.rename(target)
        files[-1].replace(folder / files[-1].name)
    except BaseException:
        for file, target, backup in reversed(moved):
            if not file.exists():
                target.unlink(missing_ok=True)
            if backup.exists():
                backup.rename(target)
        raise


def check_side_file(path: Path) -> None:
    """Refuse to write a .mhd whose voxels would overwrite a file that is not its own.

    Args:
        path: Where an output is to go; nothing is checked unless it ends in .mhd.

    Raises:
        LungSynthError: If the .raw of that name is there already, and ``path`` is not a header
            that names it.
    """
    path = shown(Path(path))
    voxels = path.with_suffix(".raw")
    if path.suffix.lower() != ".mhd" or not os.path.lexists(voxels):
        return
    if _data_file(path) != voxels.name:
        msg = (
            f"output {path}: its voxels would overwrite {voxels.name}, which is there already "
            "and not its own; choose another name"
        )
        raise LungSynthError(msg)
    others = [other for other in path.parent.glob("*.[mM][hH][dD]") if other.name != path.name]
    users = sorted(other.name for other in others if _data_file(other) == voxels.name)
    if users:
        msg = (
            f"output {path}: its voxels would overwrite {voxels.name}, which {users[0]} uses too; "
            "choose another name"
        )
        raise LungSynthError(msg)


def _data_file(header: Path) -> str:
    """Return the file that a MetaImage header names for its voxels; empty if it names none."""
    try:
        with header.open("rb") as file:
            found = re.search(rb"^ElementDataFile\s*=\s*(.+?)\s*$", file.read(1 << 16), re.M)
    except OSError:
        return ""
    return os.fsdecode(found.group(1)) if found else ""


def check_output(path: Path, *inputs: Path | None) -> None:
    """Refuse an output that would overwrite an input, before any work is done.

    Args:
        path: Where an output is to go.
        inputs: Files and folders that are read; None is passed over.

    Raises:
        LungSynthError: If ``path`` is one of ``inputs`` or lies directly in an input folder, is a
            folder itself, lies in a folder that is missing or cannot be written, or is a .mhd
            whose .raw is another's.
    """
    path = Path(path)
    target = path.resolve()
    for source in inputs:
        if source is None:
            continue
        origin = Path(source).resolve()
        if target == origin or (target.exists() and origin.exists() and target.samefile(origin)):
            msg = f"output {path} is the input itself; the input is never overwritten"
            raise LungSynthError(msg)
        if origin.is_dir() and origin == target.parent:
            msg = f"output {path} lies inside the input folder {source}; choose another folder"
            raise LungSynthError(msg)
    if path.is_dir():
        msg = f"output {path} is a folder; a file name is needed"
        raise LungSynthError(msg)
    if not path.parent.is_dir():
        msg = f"output {path}: there is no folder {path.parent}"
        raise LungSynthError(msg)
    if not os.access(path.parent, os.W_OK | os.X_OK):
        msg = f"output {path}: the folder {path.parent} is not writable"
        raise LungSynthError(msg)
    check_side_file(path)
