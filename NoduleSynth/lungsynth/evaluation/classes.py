"""Benign and malignant, as studies tell real nodules apart, and generated ones of either class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Malignancy
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.records import malignancy_from_rating
from lungsynth.evaluation.pairs import quantised

MALIGNANT_FROM = 4.0
"""Rating from which a nodule is malignant; all others are benign [yang2019, 3]."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Nodules with a class.

    Args:
        hu: HU, int16, (N, 48, 48, 48), axes (z, y, x), 1 mm, quantised.
        centre: Voxel (z, y, x) of each nodule's middle, (N, 3).
        malignant: Whether each one is, (N,).
        patient: Whose each one is, (N,); generated ones are of the patient whose site they have.
        index: Which nodules of their split, (N,).
    """

    hu: NDArray[np.int16]
    centre: NDArray[np.float64]
    malignant: NDArray[np.bool_]
    patient: NDArray[np.str_]
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)


def rated(cubes: NoduleCubes, *, undecided: bool) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the usable nodules whose malignancy was rated, and which are malignant.

    Args:
        cubes: A split.
        undecided: Whether those rated above 2 and below 4 count as benign, as in [yang2019], or
            are left out.
    """
    rating = cubes.rating("malignancy")
    known = cubes.usable & np.isfinite(rating)
    if not undecided:
        known &= np.array([malignancy_from_rating(float(r)) is not None for r in rating])
    index = np.flatnonzero(known)
    return index, np.asarray(rating[index] >= MALIGNANT_FROM)


def labelled(cubes: NoduleCubes, split: str, *, undecided: bool, least: int = 2) -> Labelled:
    """Return the rated nodules of a split.

    Args:
        cubes: The split.
        split: Its name, for messages.
        undecided: As in ``rated``.
        least: How many of each class are needed.

    Raises:
        LungSynthError: If there are fewer of either class.
    """
    index, malignant = rated(cubes, undecided=undecided)
    found = int(malignant.sum())
    if min(found, len(index) - found) < least:
        msg = (
            f"{split} has {found} malignant and {len(index) - found} benign nodules with a clear "
            f"rating; {least} of each are needed at least"
        )
        raise LungSynthError(msg)
    return Labelled(
        hu=quantised(cubes.hu[index]),
        centre=np.array([cubes.centre(n) for n in index.tolist()]),
        malignant=malignant,
        patient=np.array([cubes.table[n]["patient"] for n in index.tolist()]),
        index=index,
    )


def check_apart(splits: Sequence[tuple[str, Labelled]]) -> None:
    """Refuse splits that share a patient.

    Raises:
        LungSynthError: If two do; names the patient.
    """
    seen: dict[str, str] = {}
    for name, nodules in splits:
        for patient in np.unique(nodules.patient).tolist():
            if patient in seen:
                msg = (
                    f"patient {patient} is in {seen[patient]} and in {name}; what is measured on "
                    "one after training on the other would look too good: split by patient"
                )
                raise LungSynthError(msg)
            seen[patient] = name


def labelled_splits(splits: Mapping[str, NoduleCubes], *, undecided: bool) -> dict[str, Labelled]:
    """Return the rated nodules of each split, once all that is wrong with any is known.

    Raises:
        LungSynthError: If a split lacks a class, or two share a patient; says all at once.
    """
    found: dict[str, Labelled] = {}
    problems = []
    for name, cubes in splits.items():
        try:
            found[name] = labelled(cubes, name, undecided=undecided)
        except LungSynthError as error:
            problems.append(str(error))
    try:
        check_apart(list(found.items()))
    except LungSynthError as error:
        problems.append(str(error))
    if problems:
        raise LungSynthError("; ".join(problems))
    return found


def malignancy_class(*, malignant: bool) -> Malignancy:
    """Return the class of a flag."""
    return Malignancy.MALIGNANT if malignant else Malignancy.BENIGN
