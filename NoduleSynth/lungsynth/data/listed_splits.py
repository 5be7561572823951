"""Which split a table of nodule cubes puts a patient or a series into."""

from __future__ import annotations

import csv
from pathlib import Path

from lungsynth.data.nodule_cubes import SPLITS
from lungsynth.data.patient_split import split_of


class ListedSplits:
    """Splits by the tables ``train.csv``, ``val.csv`` and ``test.csv`` anywhere below a folder.

    What other data say of the same patients then stays in the same split.

    Args:
        folder: Nothing is listed where it does not exist.
        column: "patient" or "series_uid".
    """

    def __init__(self, folder: Path, column: str) -> None:
        self._listed: dict[str, str] = {}
        for split in SPLITS:
            for table in sorted(folder.rglob(f"{split}.csv")):
                with table.open(newline="", encoding="utf-8") as file:
                    for row in csv.DictReader(file):
                        self._listed[row.get(column) or ""] = split

    def __getitem__(self, name: str) -> str:
        """Return the split of a patient or series; by the name alone where no table lists it."""
        return self._listed.get(name) or split_of(name)
