"""What a folder of training data holds, said before hours are spent on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import Attenuation
from lungsynth.data.nodule_cubes import SPLITS, NoduleCubes

NODULE_CUBES = "nodule cubes"
FEW_NODULES = 30
"""(ours) Below that many usable nodules the networks learn them by heart."""
SIZES_MM = (10.0, 20.0)
"""Where the counts of sizes are divided."""

_DISAGREE = "their readers do not agree on the attenuation"
_UNRATED = "their attenuation (texture) is not given"
_BROKEN_MASK = "their mask is empty, in pieces, cut off by the cube or off its middle"


@dataclass(frozen=True)
class TrainingData:
    """What the training split of a folder holds.

    Args:
        folder: Where it is.
        form: Which format was recognised.
        nodules: How many there are.
        usable: How many of them training takes.
        left_out: Why the others are not taken, and how many for each reason.
        attenuations: Usable nodules of each class, those of none included.
        patients: How many patients the usable nodules come from.
        diameter_mm: Smallest, median and largest of the usable nodules.
        sizes: Usable nodules below, between and from ``SIZES_MM`` on.
        other_splits: Which other splits can be read.
        notes: What the user should know before training.
    """

    folder: Path
    form: str
    nodules: int
    usable: int
    left_out: Mapping[str, int]
    attenuations: Mapping[Attenuation, int]
    patients: int
    diameter_mm: tuple[float, float, float]
    sizes: tuple[int, int, int]
    other_splits: tuple[str, ...]
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield the summary, line by line."""
        yield f"{self.form}: {self.usable} of {self.nodules} nodules can be used"
        yield f"Patients: {self.patients}"
        classes = (
            f"{count} {name.value} ({100 * count / self.usable:.0f} %)"
            for name, count in self.attenuations.items()
        )
        yield f"Attenuation: {', '.join(classes)}"
        low, middle, high = self.diameter_mm
        small, medium, large = self.sizes
        first, second = SIZES_MM
        yield (
            f"Diameter: {low:.1f} to {high:.1f} mm, median {middle:.1f}; {small} below {first:g}, "
            f"{medium} from {first:g} to {second:g}, {large} from {second:g} mm"
        )
        for reason, count in self.left_out.items():
            yield f"Left out: {count}, because {reason}"
        if self.other_splits:
            yield f"Other splits: {', '.join(self.other_splits)}"
        for note in self.notes:
            yield f"Note: {note}"


def check_training_data(folder: Path) -> TrainingData:
    """Read a folder of training data and sum it up.

    Args:
        folder: Only nodule cubes can be read, see ``data.nodule_cubes``.

    Raises:
        LungSynthError: If training could not use the folder; says what it is taken for, and all
            that is wrong with any of its splits.
    """
    _recognise(folder)
    try:
        cubes = NoduleCubes.load(folder, "train")
    except LungSynthError as error:
        raise LungSynthError("; ".join([str(error), *_other_splits(folder, {})[1]])) from None
    used = np.flatnonzero(cubes.usable)
    left_out = Counter(_why_not(cubes, n) for n in range(len(cubes)) if not cubes.usable[n])
    if not len(used):
        reasons = "; ".join(f"{count}: {reason}" for reason, count in left_out.items())
        msg = f"{folder}: none of {len(cubes)} nodules can be used ({reasons or 'it is empty'})"
        raise LungSynthError("; ".join([msg, *_other_splits(folder, {})[1]]))
    attenuations = {a: sum(cubes.attenuation[n] is a for n in used) for a in Attenuation}
    patients = {cubes.table[n]["patient"] for n in used}
    diameters = cubes.diameter_mm[used]
    others, notes = _other_splits(folder, {"train": patients})
    if len(used) < FEW_NODULES:
        notes.append(
            f"{len(used)} nodules are few (below {FEW_NODULES}): the networks may learn them by "
            "heart; start from weights and train few steps"
        )
    missing = [a.value for a, count in attenuations.items() if not count]
    if missing:
        notes.append(f"no {' and no '.join(missing)} nodule: these can get worse by training")
    low, middle, high = np.percentile(diameters, (0, 50, 100)).tolist()
    counts = np.bincount(np.digitize(diameters, SIZES_MM), minlength=3).tolist()
    return TrainingData(
        folder=folder,
        form=NODULE_CUBES,
        nodules=len(cubes),
        usable=len(used),
        left_out=dict(left_out.most_common()),
        attenuations=attenuations,
        patients=len(patients),
        diameter_mm=(low, middle, high),
        sizes=(counts[0], counts[1], counts[2]),
        other_splits=others,
        notes=tuple(notes),
    )


def _recognise(folder: Path) -> None:
    """Refuse a folder that is not one of nodule cubes, and say what it looks like."""
    if not folder.is_dir():
        msg = f"{folder}: no such folder; name one that holds train.npz and train.csv"
        raise LungSynthError(msg)
    if any((folder / f"train{suffix}").exists() for suffix in (".npz", ".csv")):
        return
    looks = "no training data that is known here"
    if any(folder.glob("subset*/*.mhd")):
        looks = "LUNA16"
    elif (folder / "LIDC-IDRI").is_dir() or any(folder.glob("LIDC-IDRI-*")):
        looks = "LIDC-IDRI without its readers' XML"
    elif any(folder.glob("*.mha")) or any(folder.glob("*.dcm")):
        looks = "whole images"
    msg = (
        f"{folder}: {looks}; nodule cubes (train.npz and train.csv), LUNA16, LIDC-IDRI with XML, "
        "NODE21 patches, a manifest or segmented CTs are known"
    )
    raise LungSynthError(msg)


def _why_not(cubes: NoduleCubes, n: int) -> str:
    """Return why nodule ``n`` is not taken."""
    if cubes.attenuation[n] is not None:
        return _BROKEN_MASK
    return _DISAGREE if cubes.table[n]["texture"] else _UNRATED


def _other_splits(folder: Path, seen: Mapping[str, set[str]]) -> tuple[tuple[str, ...], list[str]]:
    """Return which other splits can be read, and notes on those that should not be as they are.

    Args:
        folder: Where they are.
        seen: Patients of splits that were read before, by the split's name.
    """
    found, notes = [], []
    patients = dict(seen)
    for split in SPLITS:
        if split == "train" or not (folder / f"{split}.npz").exists():
            continue
        try:
            table = NoduleCubes.load(folder, split).table
        except LungSynthError as error:
            notes.append(f"{error}; training does without it, evaluate does not")
            continue
        found.append(split)
        own = {row["patient"] for row in table}
        for other, theirs in patients.items():
            if shared := own & theirs:
                notes.append(
                    f"{len(shared)} patients (such as {min(shared)}) are in {other} and in "
                    f"{split}: what is measured on {split} will look too good"
                )
        patients[split] = own
    return tuple(found), notes
