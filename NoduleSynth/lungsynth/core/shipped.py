"""Files that ship with the library: weights and their cards."""

from __future__ import annotations

from pathlib import Path


def shipped_file(file_name: str) -> Path | None:
    """Return a file that ships, if it is there; needs no torch, so that lists are quick."""
    package = Path(__file__).resolve().parents[1]
    # beside the package in Slicer's layout and in the source tree, inside it in a wheel
    for folder in (package.parent / "Resources" / "Weights", package / "weights"):
        path = folder / file_name
        if path.is_file():
            return path
    return None
