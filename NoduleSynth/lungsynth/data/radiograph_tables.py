"""The tables that come with radiographs: ChestX-ray14's own, and one with a split for each row.

Two forms are known, both with one row for each image:

- ``labels.csv``: ``image``, ``labels`` (findings, "|" between them, or "No Finding"), ``patient``;
  and if there are: ``split``, ``view``, ``age``, ``sex`` and ``bbox`` ("Finding:x,y,w,h", ";"
  between them).
- ``Data_Entry_2017.csv`` as ChestX-ray14 has it, with ``BBox_List_2017.csv``,
  ``train_val_list.txt`` and ``test_list.txt`` where they lie beside it.

Images are searched for by name in the folder and in those below it. Boxes are in pixels of a
picture of 1,024 x 1,024, whatever the size of the images at hand.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import SPLITS
from lungsynth.data.patient_split import split_of
from lungsynth.data.radiograph_pixels import SUFFIXES
from lungsynth.data.radiographs import (
    NO_FINDING,
    FindingBox,
    RadiographRecord,
    RadiographSet,
    check_patients,
    refuse,
)
from lungsynth.data.tables import ROW, number, read_table, split_in

BOX_SIDE = 1024
"""Side of the pictures that ChestX-ray14's boxes are drawn on."""
LABELS, ENTRIES, BOXES = "labels.csv", "Data_Entry_2017*.csv", "BBox_List_2017*.csv"
TRAIN_LIST, TEST_LIST = "train_val_list.txt", "test_list.txt"
_ENTRY_COLUMNS = {
    "image index": "image",
    "finding labels": "labels",
    "patient id": "patient",
    "patient age": "age",
    "patient gender": "sex",
    "view position": "view",
}
_ORIGINAL = (
    "originalimage[width", "height]", "originalimagepixelspacing[x", "y]",
)  # fmt: skip
"""Columns of ChestX-ray14; the header does not quote the comma in two of the names."""


def read_set(path: Path) -> RadiographSet:
    """List a folder of radiographs, or the folder around a table.

    Raises:
        LungSynthError: If there is no table of a known form, or rows of it cannot be used; all
            problems are told together.
    """
    table, form = _find_table(path)
    folder = table.parent
    rows = read_table(table, ("image", "labels", "patient")) if form == LABELS else _entries(table)
    files = _image_files(folder)
    boxes = {} if form == LABELS else _listed_boxes(folder)
    lists = {} if form == LABELS else _listed_splits(folder)
    records, problems, absent = [], [], 0
    for row in rows:
        name = row["image"]
        if name not in files:
            absent += 1
            continue
        try:
            records.append(_record(row, files[name], boxes.get(name, ()), lists))
        except LungSynthError as error:
            problems.append(f"line {row[ROW]}: {error}")
    problems += _twice([record.image.name for record in records])
    refuse(problems + check_patients(records), f"{table}: rows that cannot be used")
    if not records:
        msg = f"{table}: none of the {len(rows)} images that it names lies in {folder} or below"
        raise LungSynthError(msg)
    notes = [f"{absent} of {len(rows)} images of the table are not there"] if absent else []
    return RadiographSet(folder, form, records, notes)


def _find_table(path: Path) -> tuple[Path, str]:
    if path.is_file() and path.suffix.lower() == ".csv":
        header = path.open(encoding="utf-8-sig", errors="replace").readline().lower()
        return path, "Data_Entry" if "image index" in header else LABELS
    if not path.is_dir():
        msg = f"{path}: no such folder of radiographs"
        raise LungSynthError(msg)
    if (path / LABELS).is_file():
        return path / LABELS, LABELS
    entries = sorted(path.glob(ENTRIES))
    if entries:
        return entries[-1], "Data_Entry"
    msg = (
        f"{path}: no table of radiographs there; needed is {LABELS} with the columns image, "
        "labels, patient, or ChestX-ray14's Data_Entry_2017.csv"
    )
    raise LungSynthError(msg)


def _entries(table: Path) -> list[dict[str, str]]:
    """Read ChestX-ray14's own table, under the names of columns that ``labels.csv`` has."""
    rows = read_table(table, ("Image Index", "Finding Labels", "Patient ID"))
    for row in rows:
        for theirs, ours in _ENTRY_COLUMNS.items():
            row[ours] = row.get(theirs, "")
    return rows


def _image_files(folder: Path) -> dict[str, Path]:
    """Return the images below a folder by name; the first of a name in order of paths counts."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES:
            found.setdefault(path.name, path)
            found.setdefault(path.relative_to(folder).as_posix(), path)
    return found


def _record(
    row: Mapping[str, str], image: Path, boxes: Sequence[FindingBox], lists: Mapping[str, str]
) -> RadiographRecord:
    patient = row["patient"]
    if not patient:
        msg = f"{row['image']} has no patient; splits go by patients"
        raise LungSynthError(msg)
    findings = tuple(word.strip() for word in row["labels"].split("|") if word.strip())
    if not findings:
        msg = f"{row['image']} has no labels; a normal one is '{NO_FINDING}'"
        raise LungSynthError(msg)
    return RadiographRecord(
        image=image,
        patient=patient,
        split=split_in(row) or _split(row["image"], patient, lists),
        findings=tuple(word for word in findings if word != NO_FINDING),
        view=row.get("view", "").upper(),
        boxes=(*boxes, *_boxes_in(row.get("bbox", ""))),
        age=_age(row.get("age", "")),
        sex=row.get("sex", "").upper(),
        size_mm=_size_mm(row),
    )


def _age(text: str) -> int | None:
    """Return years; ChestX-ray14's first table writes 058Y for 58, others 58 or 58.0."""
    try:
        return int(float(text.upper().removesuffix("Y")))
    except (ValueError, OverflowError):
        return None


def _size_mm(row: Mapping[str, str]) -> tuple[float, float] | None:
    """Return (height, width) of the original, which the image still covers, however scaled."""
    if any(not row.get(name) for name in _ORIGINAL):
        return None
    width, height, across, down = (number(row, name) for name in _ORIGINAL)
    return height * down, width * across


def _split(image: str, patient: str, lists: Mapping[str, str]) -> str:
    """Return the split: by ChestX-ray14's lists, which know no validation, or by the patient."""
    listed = lists.get(image)
    own = split_of(patient)
    if listed is None:
        return own
    if listed == "test":
        return "test"
    return "val" if own == "val" else "train"


def _boxes_in(text: str) -> list[FindingBox]:
    """Return the boxes of "Finding:x,y,w,h;Finding:x,y,w,h"."""
    found = []
    for part in filter(None, (word.strip() for word in text.split(";"))):
        name, _, numbers = part.rpartition(":")
        found.append(_box(name, numbers.split(","), part))
    return found


def _box(name: str, numbers: Sequence[str], text: str) -> FindingBox:
    try:
        left, top, width, height = (float(word) / BOX_SIDE for word in numbers)
    except ValueError:
        left, top, width, height = 0.0, 0.0, 0.0, 0.0
    if not name or min(left, top) < 0 or not 0 < width <= 1 or not 0 < height <= 1:
        msg = (
            f"box '{text}' is not of the form Finding:x,y,w,h in pixels of a picture of "
            f"{BOX_SIDE} x {BOX_SIDE}"
        )
        raise LungSynthError(msg)
    return FindingBox(name, left, top, width, height)


def _listed_boxes(folder: Path) -> dict[str, list[FindingBox]]:
    """Read ChestX-ray14's table of boxes: image, finding, x, y, w, h and empty columns."""
    boxes: dict[str, list[FindingBox]] = defaultdict(list)
    for table in sorted(folder.glob(BOXES))[-1:]:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            for row in list(csv.reader(lines))[1:]:
                if len(row) >= 6:
                    boxes[row[0]].append(_box(row[1], row[2:6], f"{row[1]}:{','.join(row[2:6])}"))
    return boxes


def _listed_splits(folder: Path) -> dict[str, str]:
    """Return "train" or "test" for the images that ChestX-ray14's lists name."""
    listed = {}
    for name, split in ((TRAIN_LIST, SPLITS[0]), (TEST_LIST, SPLITS[2])):
        if (folder / name).is_file():
            listed.update(dict.fromkeys((folder / name).read_text().split(), split))
    return listed


def _twice(names: Sequence[str]) -> list[str]:
    return [f"{name} is there twice" for name, count in Counter(names).items() if count > 1]
