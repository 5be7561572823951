"""What is in a source of training data, and what is wrong with it: one report for all formats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import SPLITS, NoduleCubes
from lungsynth.data.records import Problem, Trouble, malignancy_from_rating
from lungsynth.data.report import DataReport, report_on
from lungsynth.data.sources import open_source
from lungsynth.data.stored_cubes import is_store
from lungsynth.data.voi_store import cut_cases

NODULE_CUBES = "nodule cubes"


def validate(
    path: Path,
    *,
    space: str | None = None,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> DataReport:
    """Look at everything that a source holds, to the last voxel, and report all that is wrong.

    Never stops at a bad case, and never raises for one: also a path of no known format gives a
    report.

    Args:
        path: A folder or table of one of the formats.
        space: "LPS" or "RAS", for a manifest without that column.
        workers: How many processes read cases at once.
        on_progress: Called with cases done and cases in all.
    """
    if is_store(path) or any((path / f"{split}.npz").is_file() for split in SPLITS):
        return _validate_cubes(path)
    try:
        source = open_source(path, space=space)
    except LungSynthError as error:
        problem = Problem(str(path), Trouble.SOURCE, str(error), 0)
        return report_on(path, "", [], [problem], [])
    rows: list[dict[str, str]] = []
    problems = list(source.problems)
    for case_rows, case_problems in cut_cases(source.cases, workers, on_progress):
        rows += case_rows
        problems += case_problems
    return report_on(path, source.form, rows, problems, source.notes)


def _validate_cubes(path: Path) -> DataReport:
    """Report on nodule cubes, whose checks are those of ``NoduleCubes``."""
    rows: list[dict[str, str]] = []
    problems: list[Problem] = []
    seen: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        present = is_store(path) or (path / f"{split}.npz").exists()
        if not present or (is_store(path) and not (path / f"{split}.csv").exists()):
            continue
        try:
            cubes = NoduleCubes.load(path, split)
        except LungSynthError as error:
            problems.append(Problem(split, Trouble.SOURCE, str(error), 0))
            continue
        for n, row in enumerate(cubes.table):
            seen[row["patient"]].add(split)
            name = f"{split} row {n + 1} (patient {row['patient']})"
            attenuation = cubes.attenuation[n]
            if not cubes.usable[n] or attenuation is None:
                problems.append(_cube_problem(cubes, n, name))
                continue
            rows.append(
                {
                    **row,
                    "split": split,
                    "attenuation": attenuation.value,
                    "malignancy_class": _malignancy_class(row),
                    "mask_equivalent_diameter_mm": f"{cubes.diameter_mm[n]:.4f}",
                }
            )
    for patient, splits in sorted(seen.items()):
        if len(splits) > 1:
            msg = (
                f"patient {patient} is in {' and in '.join(sorted(splits))}: what is measured on "
                "one of them after training on another will look too good"
            )
            problems.append(Problem(f"patient {patient}", Trouble.TWO_SPLITS, msg, 0))
    return report_on(path, NODULE_CUBES, rows, problems, [])


def _cube_problem(cubes: NoduleCubes, n: int, name: str) -> Problem:
    if cubes.attenuation[n] is not None:
        trouble = Trouble.MASK if cubes.mask[n].any() else Trouble.EMPTY_MASK
    elif cubes.table[n]["texture"]:
        trouble = Trouble.READERS_DISAGREE
    else:
        trouble = Trouble.ATTENUATION
    return Problem(name, trouble, f"{name}: {trouble.value}")


def _malignancy_class(row: Mapping[str, str]) -> str:
    try:
        found = malignancy_from_rating(float(row.get("malignancy", "")))
    except ValueError:
        return ""
    return found.value if found else ""
