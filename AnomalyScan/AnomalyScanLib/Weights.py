"""Which files a scan works with: those that ship, or the user's own."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from slicer.i18n import tr as _

from lungsynth.core.shipped import shipped_file

CALIBRATION = "anomaly-scan.safetensors"
OPTIONS = {"calibration": "--calibration", "generator": "--weights", "encoder": "--encoder"}
"""The command's option for each file."""


class Files(Protocol):
    """Paths; empty for what ships. The parameter node is one."""

    calibration: str
    generator: str
    encoder: str


def weightsProblem(files: Files) -> str:
    """Return what keeps a scan from having its weights, as a sentence; empty if nothing does."""
    for name in OPTIONS:
        path = getattr(files, name)
        if path and not Path(path).is_file():
            said = _("There is no file '{path}'; choose the {name} under Advanced.")
            return said.format(path=path, name=name)
    if not files.calibration and shipped_file(CALIBRATION) is None:
        return _(
            "No weights for scanning ship with this version: choose your own calibration, "
            "generator and encoder under Advanced."
        )
    return ""


def weightsArguments(files: Files) -> list[str]:
    """Return the options that name the files; none for what ships."""
    return [
        word
        for name, option in OPTIONS.items()
        if getattr(files, name)
        for word in (option, getattr(files, name))
    ]
