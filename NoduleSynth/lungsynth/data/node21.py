"""NODE21's CT patches: ``nodule_patches/<series>_dcm_<n>.mha`` with ``_seg_<n>.mha`` beside it.

The patches were cut out of LUNA16 by the challenge's organisers, each with the mask of its nodule.
``ct_nodules.csv`` (``img_name``, ``diameter``) is read for what is added to it: LIDC's ratings,
``patient``, ``split``. Its diameters are those of a box, so the mask's are taken.
"""

from __future__ import annotations

import re
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.data.records import Problem, Source, Trouble
from lungsynth.data.table_cases import Entry, TableCase, settle_splits
from lungsynth.data.tables import (
    attenuation_of,
    malignancy_of,
    ratings_of,
    read_table,
    split_in,
)

FORM = "NODE21 CT patches"
_PATCH = re.compile(r"^(?P<series>.+)_dcm_(?P<number>\d+)$")
_TABLE = "ct_nodules.csv"


def is_node21(folder: Path) -> bool:
    """Return whether a folder holds patches."""
    return any(True for _ in _patches(folder)) if folder.is_dir() else False


def list_node21(folder: Path) -> Source:
    """List the patches.

    Raises:
        LungSynthError: If the table is there but cannot be read.
    """
    table = folder / _TABLE
    rows = {}
    if table.is_file():
        rows = {row["img_name"]: row for row in read_table(table, ["img_name"])}
    cases, problems = [], []
    for path in _patches(folder):
        found = _PATCH.match(path.stem)
        assert found is not None  # _patches lists no others
        row, name = rows.get(path.name, {}), path.name
        mask = path.with_name(f"{found['series']}_seg_{found['number']}.mha")
        try:
            if not mask.is_file():
                msg = f"{name}: there is no mask {mask.name} beside it"
                problems.append(Problem(name, Trouble.EMPTY_MASK, msg))
                continue
            entry = Entry(
                name=name,
                position_ras_mm=None,
                diameter_mm=None,
                attenuation=attenuation_of(row),
                malignancy=malignancy_of(row),
                ratings=ratings_of(row),
                mask=mask,
                split=split_in(row),
            )
        except LungSynthError as error:
            problems.append(Problem(name, Trouble.VALUE, f"{name}: {error}"))
            continue
        patient = row.get("patient", "") or found["series"]
        cases.append(TableCase(name, path, patient, (entry,)))
    settled, leaks = settle_splits(cases)
    return Source(FORM, folder, settled, [*problems, *leaks])


def _patches(folder: Path) -> list[Path]:
    for place in (folder / "nodule_patches", folder):
        found = sorted(path for path in place.glob("*_dcm_*.mha") if _PATCH.match(path.stem))
        if found:
            return found
    return []
