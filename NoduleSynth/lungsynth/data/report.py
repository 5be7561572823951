"""One report for all sources of training data: what can be used, and what is wrong."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.nodule import Attenuation, Malignancy
from lungsynth.data.nodule_cubes import SPLITS
from lungsynth.data.records import Problem, Trouble

SIZE_EDGES_MM = (0, 5, 8, 10, 15, 20, 30)
"""Lower edges of the bars of the histogram of diameters."""
EXAMPLES = 10
"""How many problems of each kind are printed; the JSON has all."""
FEW_NODULES = 30
"""(ours) Below that many the networks learn them by heart."""


@dataclass(frozen=True)
class DataReport:
    """What a source holds.

    Args:
        path: Where it is.
        form: Which format was recognised; empty where none was.
        nodules: How many nodules are known of.
        usable: How many of them can be used.
        attenuations: Usable nodules of each class.
        malignancies: Usable nodules of each class, and of none ("unknown").
        patients: Patients with usable nodules.
        splits: For each split, usable nodules and patients.
        diameter_mm: Smallest, median and largest of the usable; None where there are none.
        sizes: Usable nodules by diameter, from the smallest.
        derived_masks: How many masks were grown from a diameter.
        derived_attenuations: How many attenuations were guessed from the density.
        problems: Why something is not used, each with its case.
        notes: What else the user should know.
    """

    path: Path
    form: str
    nodules: int
    usable: int
    attenuations: Mapping[str, int]
    malignancies: Mapping[str, int]
    patients: int
    splits: Mapping[str, tuple[int, int]]
    diameter_mm: tuple[float, float, float] | None
    sizes: Mapping[str, int]
    derived_masks: int
    derived_attenuations: int
    problems: Sequence[Problem]
    notes: Sequence[str]

    @property
    def left_out(self) -> dict[str, int]:
        """How many nodules are not used for each kind of problem, the most frequent first."""
        counts: Counter[str] = Counter()
        for problem in self.problems:
            counts[problem.trouble.value] += problem.nodules
        return {trouble: count for trouble, count in counts.most_common() if count}

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        known = self.form or "no known format"
        yield f"{known}: {self.usable} of {self.nodules} nodules can be used"
        if self.usable:
            yield from self._usable_lines()
        by_kind: dict[Trouble, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            by_kind[problem.trouble].append(problem)
        for trouble, found in sorted(by_kind.items(), key=lambda item: -len(item[1])):
            lost = sum(problem.nodules for problem in found)
            often = "once" if len(found) == 1 else f"{len(found)} times"
            yield f"Problem, {often} ({lost} nodules left out): {trouble.value}"
            for problem in found[:EXAMPLES]:
                yield f"  {problem.message}"
            if len(found) > EXAMPLES:
                yield f"  and {len(found) - EXAMPLES} more"
        for note in self.notes:
            yield f"Note: {note}"

    def _usable_lines(self) -> Iterator[str]:
        splits = ", ".join(f"{s} {n} ({_patients(p)})" for s, (n, p) in self.splits.items())
        yield f"Patients: {self.patients}; nodules: {splits}"
        for title, counts in (
            ("Attenuation", self.attenuations),
            ("Malignancy", self.malignancies),
        ):
            shares = (f"{n} {kind} ({100 * n / self.usable:.0f} %)" for kind, n in counts.items())
            yield f"{title}: {', '.join(shares)}"
        if self.diameter_mm is not None:
            low, middle, high = self.diameter_mm
            bars = ", ".join(f"{count} of {size} mm" for size, count in self.sizes.items())
            yield f"Diameter: {low:.1f} to {high:.1f} mm, median {middle:.1f}; {bars}"
        if self.derived_masks:
            yield f"Masks grown from the annotated diameter: {self.derived_masks}"
        if self.derived_attenuations:
            yield f"Attenuations guessed from the density: {self.derived_attenuations}"

    def to_json(self) -> dict[str, Any]:
        """Return the whole report as values that JSON can hold."""
        values = asdict(self)
        values |= {
            "path": str(self.path),
            "left_out": self.left_out,
            "splits": {s: {"nodules": n, "patients": p} for s, (n, p) in self.splits.items()},
            "problems": [
                {"case": p.case, "kind": p.trouble.name.lower(), "message": p.message}
                | {"nodules": p.nodules}
                for p in self.problems
            ],
            "summary": list(self.lines()),
        }
        return values


def _patients(count: int) -> str:
    return f"{count} patient" if count == 1 else f"{count} patients"


def report_on(
    path: Path,
    form: str,
    rows: Sequence[Mapping[str, str]],
    problems: Sequence[Problem],
    notes: Sequence[str],
) -> DataReport:
    """Return the report on usable nodules, given as rows of a store, and on what is wrong."""
    diameters = np.array([float(row["mask_equivalent_diameter_mm"]) for row in rows])
    attenuations = Counter(row["attenuation"] for row in rows)
    malignancies = Counter(row["malignancy_class"] or "unknown" for row in rows)
    train = [row for row in rows if row["split"] == "train"]
    said = [*notes]
    if rows and len(train) < FEW_NODULES:
        said.append(
            f"{len(train)} nodules to train on are few (below {FEW_NODULES}): the networks may "
            "learn them by heart; start from weights and train few steps"
        )
    missing = [kind.value for kind in Attenuation if rows and not attenuations[kind.value]]
    if missing:
        said.append(f"no {' and no '.join(missing)} nodule: these can get worse by training")
    splits = {}
    for split in SPLITS:
        own = [row["patient"] for row in rows if row["split"] == split]
        splits[split] = (len(own), len(set(own)))
    return DataReport(
        path=path,
        form=form,
        nodules=len(rows) + sum(problem.nodules for problem in problems),
        usable=len(rows),
        attenuations={kind.value: attenuations[kind.value] for kind in Attenuation},
        malignancies={k: malignancies[k] for k in (*(m.value for m in Malignancy), "unknown")},
        patients=len({row["patient"] for row in rows}),
        splits=splits,
        diameter_mm=_spread(diameters),
        sizes=_histogram(diameters),
        derived_masks=sum(row.get("mask_from") == "derived" for row in rows),
        derived_attenuations=sum(row.get("attenuation_from") == "derived" for row in rows),
        problems=tuple(problems),
        notes=tuple(said),
    )


def _spread(diameters: NDArray[np.float64]) -> tuple[float, float, float] | None:
    if not len(diameters):
        return None
    low, middle, high = np.percentile(diameters, (0, 50, 100)).round(3).tolist()
    return low, middle, high


def _histogram(diameters: NDArray[np.float64]) -> dict[str, int]:
    names = [f"{a}-{b}" for a, b in pairwise(SIZE_EDGES_MM)]
    names.append(f"{SIZE_EDGES_MM[-1]}+")
    bins = np.digitize(diameters, SIZE_EDGES_MM) - 1
    counts = (
        np.bincount(bins, minlength=len(names)).tolist() if len(diameters) else [0] * len(names)
    )
    return dict(zip(names, counts, strict=True))
