"""LUNA16: CTs as .mhd in subset folders and annotations.csv.

Positions are in LPS mm, diameters are means over the readers [1]. There are no masks and no
ratings; columns named as LIDC's ratings are read where they were added. Candidates are not read.

[1] Setio et al., Validation, comparison, and combination of algorithms for automatic detection of
pulmonary nodules in computed tomography images: the LUNA16 challenge, Med. Image Anal. 42 (2017).
"""

from __future__ import annotations

from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.data.records import Problem, Source, Trouble
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

FORM = "LUNA16"
_COLUMNS = ("seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
_TABLES = (
    "annotations.csv",
    "CSVFILES/annotations.csv",
    "evaluationScript/annotations/annotations.csv",
)


def is_luna16(folder: Path) -> bool:
    """Return whether a folder looks like LUNA16."""
    if not folder.is_dir():
        return False
    return _table(folder).is_file() or any(folder.glob("subset*/*.mhd"))


def list_luna16(folder: Path) -> Source:
    """List the CTs and their nodules.

    Raises:
        LungSynthError: If the table is not there or lacks columns.
    """
    images = {path.stem: path for path in sorted(folder.rglob("*.mhd"))}
    table = _table(folder)
    rows = read_table(table, _COLUMNS)
    problems: list[Problem] = []
    entries: dict[str, list[Entry]] = {}
    patients: dict[str, str] = {}
    absent: dict[str, int] = {}
    for row in rows:
        series, name = row["seriesuid"], f"{row['seriesuid']}, {table.name} line {row[ROW]}"
        if series not in images:
            absent[series] = absent.get(series, 0) + 1
            continue
        try:
            x, y, z = (number(row, column.lower()) for column in _COLUMNS[1:4])
            entry = Entry(
                name=name,
                position_ras_mm=(-x, -y, z),
                diameter_mm=number(row, "diameter_mm"),
                attenuation=attenuation_of(row),
                malignancy=malignancy_of(row),
                ratings=ratings_of(row),
                split=split_in(row),
            )
        except LungSynthError as error:
            problems.append(Problem(name, Trouble.VALUE, f"{name}: {error}"))
            continue
        entries.setdefault(series, []).append(entry)
        patients.setdefault(series, row.get("patient", "") or series)
    for series, count in absent.items():
        msg = f"{series}: annotated in {table.name}, but no .mhd has this series UID"
        problems.append(Problem(series, Trouble.NO_IMAGE, msg, count))
    cases = [
        TableCase(series, images[series], patients[series], tuple(found))
        for series, found in entries.items()
    ]
    notes = []
    without = len(images) - len(entries)
    if without:
        notes.append(f"{without} images have no annotation: they hold no nodule of 3 mm or more")
    if rows and "patient" not in rows[0]:
        notes.append(
            "the table names no patients, so each image counts as one: add a column 'patient' "
            "where a patient has several"
        )
    settled, leaks = settle_splits(cases)
    return Source(FORM, folder, settled, [*problems, *leaks], notes)


def _table(folder: Path) -> Path:
    found = [folder / name for name in _TABLES if (folder / name).is_file()]
    return found[0] if found else folder / _TABLES[0]
