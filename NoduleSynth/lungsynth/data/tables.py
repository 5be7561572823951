"""Tables in CSV, and the values of the columns that the readers share."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.data.nodule_cubes import SPLITS, attenuation_from_texture
from lungsynth.data.records import malignancy_from_rating

RATINGS = (
    "texture", "malignancy", "subtlety", "spiculation", "lobulation", "margin", "sphericity",
    "calcification", "internal_structure",
)  # fmt: skip
"""Readers' ratings as the tables of nodules name them."""
ROW = "row number"
"""Key under which ``read_table`` puts the line of a row, the header being line 1."""
_ATTENUATIONS = {
    "ggn": Attenuation.GROUND_GLASS,
    "ggo": Attenuation.GROUND_GLASS,
    "non-solid": Attenuation.GROUND_GLASS,
    "semi-solid": Attenuation.PART_SOLID,
} | {str(kind): kind for kind in Attenuation}
_ATTENUATIONS |= {key.replace("-", ""): kind for key, kind in _ATTENUATIONS.items()}


def read_table(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """Read a table; columns go by their names in lower case, values are stripped.

    Raises:
        LungSynthError: If it cannot be read or lacks columns; all that are missing are named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, restval="")
            columns = [(name or "").strip().lower() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [
                {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
                | {ROW: str(reader.line_num)}
                for row in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        msg = f"{path}: not a readable table in UTF-8 ({reason})"
        raise LungSynthError(msg) from None
    missing = [name for name in needed if name.lower() not in columns]
    if missing:
        msg = f"{path}: lacks the columns {', '.join(missing)}; needed are {', '.join(needed)}"
        raise LungSynthError(msg)
    return rows


def number(row: Mapping[str, str], column: str) -> float:
    """Return a finite number.

    Raises:
        LungSynthError: If there is none.
    """
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        msg = f"{column} is '{row[column]}'; a number is needed"
        raise LungSynthError(msg)
    return value


def ratings_of(row: Mapping[str, str]) -> dict[str, float]:
    """Return the ratings (1 to 5 or 6) that a row has; words for classes are passed over."""
    found = {}
    for name in RATINGS:
        text = row.get(name, "")
        try:
            value = float(text)
        except ValueError:
            continue
        if math.isfinite(value):
            found[name] = value
    return found


def attenuation_of(row: Mapping[str, str]) -> Attenuation | None:
    """Return the class that a row gives, by name or by texture; None where it is empty.

    Raises:
        LungSynthError: If it is no class that is known.
    """
    text = row.get("attenuation", "")
    if not text:
        return attenuation_from_texture(number(row, "texture")) if row.get("texture") else None
    kind = _ATTENUATIONS.get(text.lower().replace(" ", "-").replace("_", "-"))
    if kind is None:
        msg = f"unknown attenuation '{text}'; allowed are {', '.join(Attenuation)}, or nothing"
        raise LungSynthError(msg)
    return kind


def malignancy_of(row: Mapping[str, str]) -> Malignancy | None:
    """Return the class that a row gives, by name or as a rating from 1 to 5.

    Raises:
        LungSynthError: If it is neither.
    """
    text = row.get("malignancy", "").lower()
    if text in ("", *Malignancy):
        return Malignancy(text) if text else None
    try:
        rating = float(text)
    except ValueError:
        rating = math.nan
    if not 1 <= rating <= 5:
        msg = (
            f"malignancy is '{text}'; allowed are {', '.join(Malignancy)}, a rating from 1 to 5, "
            "or nothing"
        )
        raise LungSynthError(msg)
    return malignancy_from_rating(rating)


def split_in(row: Mapping[str, str]) -> str | None:
    """Return the split that a row states.

    Raises:
        LungSynthError: If there is no such split.
    """
    text = row.get("split", "").lower()
    if text and text not in SPLITS:
        msg = f"unknown split '{text}'; allowed are {', '.join(SPLITS)}, or nothing"
        raise LungSynthError(msg)
    return text or None
