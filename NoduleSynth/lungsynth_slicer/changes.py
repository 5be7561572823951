"""What the worker found: one box of voxels for each nodule."""

from __future__ import annotations

from pathlib import Path

from lungsynth.cli.changes import read_changes
from lungsynth.imaging.insertion import Attempt


def readChanges(path: str | Path) -> list[Attempt]:
    """Read the nodules of an insertion or a preview, in the order of its seeds.

    Raises:
        LungSynthError: If the file is missing or not whole.
    """
    return read_changes(Path(path))
