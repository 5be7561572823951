"""Seeds from a table or from Slicer's point lists."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation, Malignancy, NoduleSpec, Seed
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed

_Kind = TypeVar("_Kind", Attenuation, Malignancy)
_AnySeed = TypeVar("_AnySeed", Seed, CxrSeed)
_Place = tuple[float, float, float]
POINT_TYPES = ("Fiducial", "PointList")
_COLUMNS = ("r", "a", "s", "ras", "diameter_mm", "attenuation", "malignancy", "latent_seed", "name")
_CXR_COLUMNS = (
    *("r", "a", "s", "ras"),
    *("diameter_mm", "diameter_px", "contrast", "latent_seed", "name"),
)


def read_seeds(path: Path, default: NoduleSpec) -> list[Seed]:
    """Read seeds.

    A .csv has a header with the columns ``r``, ``a`` and ``s`` in mm (or one column ``ras``
    with three numbers) and, if wanted, diameter_mm, attenuation, malignancy, latent_seed and
    name; an empty cell takes the default. A Slicer .mrk.json gives one seed for each point
    that is placed, in LPS or RAS as the file says, called by its label.

    Args:
        path: .csv or .mrk.json (.json).
        default: The nodule where the file says nothing; its latent_seed too, so that whoever
            draws latent seeds can tell which seeds still need one.

    Raises:
        LungSynthError: If the file cannot be read or holds no seed, or a row is wrong; the
            message names the line.
    """
    return _read_any(
        path,
        _COLUMNS,
        lambda row: _seed_of_row(row, default),
        lambda position, label: Seed(position, default, label),
    )


def read_cxr_seeds(path: Path, default: CxrNoduleSpec) -> list[CxrSeed]:
    """Read seeds in a radiograph, as ``read_seeds`` does those in a CT.

    The columns of a .csv are r, a, s (or ras), diameter_mm or diameter_px, contrast, latent_seed
    and name. Positions are those of the image as Slicer loads it: where the file has no geometry,
    the pixel in column c and row r lies at (-c, -r, 0).

    Raises:
        LungSynthError: As in ``read_seeds``.
    """
    return _read_any(
        path,
        _CXR_COLUMNS,
        lambda row: _cxr_seed_of_row(row, default),
        lambda position, label: CxrSeed(position, default, label),
    )


def _read_any(
    path: Path,
    columns: Sequence[str],
    of_row: Callable[[Mapping[str, str]], _AnySeed],
    of_point: Callable[[_Place, str], _AnySeed],
) -> list[_AnySeed]:
    """Read seeds of either kind."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        msg = f"cannot read seeds from {path}: {error.strerror or error}"
        raise LungSynthError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{path}: not a text file in UTF-8; seeds come as .csv or .mrk.json"
        raise LungSynthError(msg) from error
    if path.suffix.lower() == ".csv":
        seeds = _from_csv(text, path, columns, of_row)
    elif path.suffix.lower() == ".json":
        seeds = _from_markups(text, path, of_point)
    else:
        msg = f"{path}: seeds come as .csv or .mrk.json"
        raise LungSynthError(msg)
    if not seeds:
        msg = f"{path}: no seeds in it"
        raise LungSynthError(msg)
    return seeds


def _from_csv(
    text: str,
    path: Path,
    columns: Sequence[str],
    of_row: Callable[[Mapping[str, str]], _AnySeed],
) -> list[_AnySeed]:
    first = text.splitlines()[0] if text.strip() else ""
    separator = ";" if ";" in first else "\t" if "\t" in first else ","
    reader = csv.reader(text.splitlines(), delimiter=separator, skipinitialspace=True)
    names = [name.strip().lower() for name in next(reader, [])]
    _check_columns(names, path, columns)
    seeds: list[_AnySeed] = []
    for cells in reader:
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        where = f"{path}, line {reader.line_num}"
        if len(cells) > len(names):
            msg = f"{where}: {len(cells)} cells under {len(names)} columns"
            raise LungSynthError(msg)
        row = {name: cell.strip() for name, cell in zip(names, cells, strict=False)}
        try:
            seeds.append(of_row(row))
        except LungSynthError as error:
            msg = f"{where}: {error}"
            raise LungSynthError(msg) from None
    return seeds


def _check_columns(names: list[str], path: Path, columns: Sequence[str]) -> None:
    unknown = [name for name in names if name not in columns]
    repeated = len(set(names)) < len(names)
    placed = {"r", "a", "s"} <= set(names) or "ras" in names
    if unknown or repeated or not placed:
        said = f"'{', '.join(names)}'" if names else "nothing"
        msg = (
            f"{path}, line 1: the header is {said}; it needs r, a, s (or ras) and may have "
            f"{', '.join(columns[4:])}"
        )
        raise LungSynthError(msg)


def _place_of_row(row: Mapping[str, str]) -> _Place:
    if row.get("ras"):
        position = tuple(row["ras"].replace(",", " ").replace(";", " ").split())
    else:
        position = tuple(row.get(axis, "") for axis in "ras")
    if len(position) != 3:
        msg = f"ras needs three numbers; got '{row['ras']}'"
        raise LungSynthError(msg)
    r, a, s = (_number(text, axis) for text, axis in zip(position, "ras", strict=True))
    return (r, a, s)


def _cxr_seed_of_row(row: Mapping[str, str], default: CxrNoduleSpec) -> CxrSeed:
    given = {
        name: _number(text, name)
        for name in ("diameter_mm", "diameter_px", "contrast")
        if (text := row.get(name, ""))
    }
    own_size = "diameter_mm" in given or "diameter_px" in given
    spec = CxrNoduleSpec(
        diameter_mm=given.get("diameter_mm") if own_size else default.diameter_mm,
        diameter_px=given.get("diameter_px") if own_size else default.diameter_px,
        contrast=given.get("contrast", default.contrast),
        latent_seed=_whole(row["latent_seed"]) if row.get("latent_seed") else default.latent_seed,
    )
    return CxrSeed(_place_of_row(row), spec, row.get("name", ""))


def _seed_of_row(row: Mapping[str, str], default: NoduleSpec) -> Seed:
    malignancy = row.get("malignancy", "").lower()
    latent_seed = row.get("latent_seed", "")
    spec = NoduleSpec(
        diameter_mm=_number(row.get("diameter_mm") or str(default.diameter_mm), "diameter_mm"),
        attenuation=_one_of(row.get("attenuation", "").lower() or default.attenuation, Attenuation),
        malignancy=_one_of(malignancy, Malignancy) if malignancy else default.malignancy,
        latent_seed=_whole(latent_seed) if latent_seed else default.latent_seed,
    )
    return Seed(_place_of_row(row), spec, row.get("name", ""))


def _number(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        msg = f"{column} must be a number; got '{text}'"
        raise LungSynthError(msg)
    return value


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        msg = f"latent_seed must be a whole number; got '{text}'"
        raise LungSynthError(msg) from None


def _one_of(text: str, kinds: type[_Kind]) -> _Kind:
    try:
        return kinds(text)
    except ValueError:
        msg = f"{kinds.__name__.lower()} must be one of {', '.join(kinds)}; got '{text}'"
        raise LungSynthError(msg) from None


def _from_markups(
    text: str, path: Path, of_point: Callable[[_Place, str], _AnySeed]
) -> list[_AnySeed]:
    try:
        lists = json.loads(text)["markups"]
        return [of_point(position, label) for position, label in _points(lists, path)]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        msg = f"{path}: not a Slicer markups file: {type(error).__name__}: {error}"
        raise LungSynthError(msg) from None


def _points(
    lists: list[dict[str, Any]], path: Path
) -> Iterator[tuple[tuple[float, float, float], str]]:
    """Yield the placed points of all point lists as (RAS mm, label)."""
    found = [markup for markup in lists if markup.get("type") in POINT_TYPES]
    if not found:
        kinds = ", ".join(str(markup.get("type")) for markup in lists) or "nothing"
        msg = f"{path}: holds {kinds}; a point list (type {POINT_TYPES[0]}) is needed"
        raise LungSynthError(msg)
    for markup in found:
        # Slicer writes LPS and takes it where nothing is said; 0 and 1 are its old numbers.
        system = str(markup.get("coordinateSystem", "LPS")).upper()
        system = {"0": "RAS", "1": "LPS"}.get(system, system)
        units = markup.get("coordinateUnits", "mm")  # a word, or a coded entry with the word
        if system not in ("LPS", "RAS") or "mm" not in (
            units if isinstance(units, list) else [units]
        ):
            msg = f"{path}: coordinates in {system}, {units}; LPS or RAS in mm are read"
            raise LungSynthError(msg)
        sign = -1.0 if system == "LPS" else 1.0
        for point in markup.get("controlPoints") or []:
            if point.get("positionStatus", "defined") != "defined":
                continue  # still being placed, or skipped on purpose
            x, y, z = (float(value) for value in point["position"])
            yield (sign * x, sign * y, z), str(point.get("label", ""))
