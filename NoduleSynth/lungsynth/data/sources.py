"""Which format a path is of, and what lies in it."""

from __future__ import annotations

from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.data import lidc, luna16, manifest, node21, segmentations
from lungsynth.data.records import Source

FORMS = (manifest.FORM, luna16.FORM, lidc.FORM, node21.FORM, segmentations.FORM)


def recognise(path: Path) -> str | None:
    """Return the format of a path, or None; only names and a few headers are looked at."""
    checks = (
        (manifest.FORM, manifest.is_manifest),
        (luna16.FORM, luna16.is_luna16),
        (node21.FORM, node21.is_node21),
        (lidc.FORM, lidc.is_lidc),
        (segmentations.FORM, segmentations.is_segmentations),
    )
    if not path.exists():
        return None
    return next((form for form, fits in checks if fits(path)), None)


def open_source(
    path: Path, *, space: str | None = None, min_readers: int = lidc.MIN_READERS
) -> Source:
    """List what a path holds, whatever its format.

    Args:
        path: A table or a folder.
        space: "LPS" or "RAS", for a manifest without that column.
        min_readers: How many of LIDC's readers must have outlined a nodule.

    Raises:
        LungSynthError: If the format is not known, or the source as a whole cannot be read.
    """
    form = recognise(path)
    if form == manifest.FORM:
        return manifest.list_manifest(path, space)
    if form == luna16.FORM:
        return luna16.list_luna16(path)
    if form == lidc.FORM:
        return lidc.list_lidc(path, min_readers)
    if form == node21.FORM:
        return node21.list_node21(path)
    if form == segmentations.FORM:
        return segmentations.list_segmentations(path)
    what = "no training data that is known here" if path.exists() else "no such file or folder"
    msg = f"{path}: {what}; allowed are nodule cubes (train.npz), {', '.join(FORMS)}"
    raise LungSynthError(msg)
