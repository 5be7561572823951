"""A table of one's own: image, position or mask, and what is known of each nodule.

Columns: ``image``; ``x``, ``y``, ``z`` in mm with ``space`` (LPS or RAS), or ``mask``;
``diameter_mm`` (needed without a mask); and, where known, ``attenuation``, ``malignancy``, readers'
ratings as in LIDC, ``mask_label``, ``patient``, ``split``, ``name``. Paths are relative to the
table. Without ``patient`` each image counts as a patient.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.data.records import CaseError, Point, Problem, Source, Trouble
from lungsynth.data.table_cases import Entry, TableCase, settle_splits
from lungsynth.data.tables import (
    ROW,
    attenuation_of,
    malignancy_of,
    number,
    ratings_of,
    read_table,
    split_in,
)

FORM = "manifest"
FILE_NAME = "manifest.csv"
SPACES = ("LPS", "RAS")


def is_manifest(path: Path) -> bool:
    """Return whether ``path`` is a table or a folder with one."""
    return path.suffix.lower() == ".csv" or (path / FILE_NAME).is_file()


def list_manifest(path: Path, space: str | None = None) -> Source:
    """List the images and nodules of a table.

    Args:
        path: The table, or a folder with ``manifest.csv``.
        space: "LPS" or "RAS" where the table has no such column.

    Raises:
        LungSynthError: If it cannot be read or lacks columns.
    """
    table = path / FILE_NAME if path.is_dir() else path
    rows = read_table(table, ["image"])
    columns = set(rows[0]) if rows else set()
    if rows and "mask" not in columns:
        read_table(table, ["image", "x", "y", "z", "diameter_mm"])
    if {"x", "y", "z"} <= columns and "space" not in columns and space is None:
        msg = f"{table}: lacks the column space, which says whether x, y, z are LPS or RAS"
        raise LungSynthError(msg)
    problems: list[Problem] = []
    entries: dict[Path, list[Entry]] = defaultdict(list)
    patients: dict[Path, str] = {}
    for row in rows:
        name = f"{row.get('name') or row['image']}, {table.name} line {row[ROW]}"
        image = table.parent / row["image"]
        try:
            entry = _entry(row, name, table.parent, space)
            if not row["image"] or not image.exists():
                msg = f"there is no image '{row['image']}'"
                raise CaseError(Trouble.NO_IMAGE, msg)
            patient = row.get("patient", "") or row["image"]
            if patients.setdefault(image, patient) != patient:
                msg = f"patient '{patient}', but '{patients[image]}' in another row of this image"
                raise CaseError(Trouble.VALUE, msg)
        except CaseError as error:
            problems.append(Problem(name, error.trouble, f"{name}: {error}"))
        except LungSynthError as error:
            problems.append(Problem(name, Trouble.VALUE, f"{name}: {error}"))
        else:
            entries[image].append(entry)
    cases = [
        TableCase(str(image.relative_to(table.parent)), image, patients[image], tuple(found))
        for image, found in entries.items()
    ]
    cases, leaks = settle_splits(cases)
    settings = {"space": space} if space else {}
    return Source(FORM, path, cases, [*problems, *leaks], settings=settings)


def _entry(row: dict[str, str], name: str, folder: Path, default_space: str | None) -> Entry:
    mask = folder / row["mask"] if row.get("mask") else None
    if mask is not None and not mask.is_file():
        msg = f"there is no mask '{row['mask']}'"
        raise CaseError(Trouble.EMPTY_MASK, msg)
    try:
        attenuation = attenuation_of(row)
    except LungSynthError as error:
        raise CaseError(Trouble.ATTENUATION, str(error)) from error
    return Entry(
        name=name,
        position_ras_mm=_position(row, default_space, needed=mask is None),
        diameter_mm=number(row, "diameter_mm") if mask is None or row.get("diameter_mm") else None,
        attenuation=attenuation,
        malignancy=malignancy_of(row),
        ratings=ratings_of(row),
        mask=mask,
        mask_label=int(number(row, "mask_label")) if row.get("mask_label") else None,
        split=split_in(row),
    )


def _position(row: dict[str, str], default_space: str | None, *, needed: bool) -> Point | None:
    if not needed and not any(row.get(axis) for axis in "xyz"):
        return None
    x, y, z = (number(row, axis) for axis in "xyz")
    space = (row.get("space") or default_space or "").upper()
    if space not in SPACES:
        msg = f"space is '{row.get('space', '')}'; LPS or RAS is needed"
        raise LungSynthError(msg)
    return (x, y, z) if space == "RAS" else (-x, -y, z)
