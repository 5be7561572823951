"""Which nodules a study looks at, and which it may learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import SPLITS, NoduleCubes
from lungsynth.data.stored_cubes import is_store

LEARNT_FROM: dict[str, tuple[str, ...]] = {
    "test": ("train", "val"),
    "val": ("train",),
    "train": ("val",),
}
"""For each split that is judged, the others that its judge is trained on.

For ``train`` half of its own patients are added, and only the other half is judged.
"""


def nodule_folder(data: Path) -> Path:
    """Return the folder with the cubes: ``data`` itself or its ``ct_nodules``.

    Raises:
        LungSynthError: If neither holds any.
    """
    for folder in (data, data / "ct_nodules"):
        if is_store(folder) or any((folder / f"{split}.npz").is_file() for split in SPLITS):
            return folder
    msg = f"{data}: no nodule cubes there; it needs train.npz, val.npz, test.npz and their .csv"
    raise LungSynthError(msg)


def check_split(split: str) -> None:
    """Refuse an unknown split.

    Raises:
        LungSynthError: If there is no such split.
    """
    if split not in SPLITS:
        msg = f"unknown split '{split}'; there are {', '.join(SPLITS)}"
        raise LungSynthError(msg)


def load_splits(folder: Path, split: str) -> dict[str, NoduleCubes]:
    """Return the split that is judged, those that are learnt from, and the training nodules."""
    check_split(split)
    return {name: NoduleCubes.load(folder, name) for name in {split, "train", *LEARNT_FROM[split]}}


def first_half(patient: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Return which rows belong to every second patient, by name."""
    names = np.unique(patient)
    return np.asarray(np.isin(patient, names[::2]))
