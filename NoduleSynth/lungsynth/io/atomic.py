"""Outputs appear whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
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
        for file in written:
            file.replace(path.parent / file.name)
    except OSError as error:
        msg = f"cannot write {shown(path)}: {error.strerror or error}"
        raise LungSynthError(msg) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        forget_temporary(folder)


def check_output(path: Path, *inputs: Path | None) -> None:
    """Refuse an output that would overwrite an input, before any work is done.

    Args:
        path: Where an output is to go.
        inputs: Files and folders that are read; None is passed over.

    Raises:
        LungSynthError: If ``path`` is one of ``inputs`` or lies directly in an input folder, is a
            folder itself, or lies in a folder that is missing or cannot be written.
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
