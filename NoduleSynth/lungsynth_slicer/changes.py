"""What the worker found: one box of voxels for each nodule."""

from __future__ import annotations

from pathlib import Path

from lungsynth.cli.changes import read_changes, read_cxr_changes
from lungsynth.imaging.attempt import Attempt
from lungsynth.imaging.radiograph_insertion import CxrAttempt


def readChanges(
    path: str | Path, *, inRadiograph: bool = False
) -> list[Attempt] | list[CxrAttempt]:
    """Read the nodules of an insertion or a preview, in the order of its seeds.

    Args:
        path: The file.
        inRadiograph: Whether they are for a radiograph.

    Raises:
        LungSynthError: If the file is missing or not whole.
    """
    return read_cxr_changes(Path(path)) if inRadiograph else read_changes(Path(path))
