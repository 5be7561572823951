"""Training data of any format as a folder that ``NoduleCubes.load`` reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungsynth.core.errors import LungSynthError
from lungsynth.data.check import check_training_data
from lungsynth.data.nodule_cubes import SPLITS
from lungsynth.data.sources import open_source, recognise
from lungsynth.data.stored_cubes import is_store
from lungsynth.data.voi_store import build_store

RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
"""Where launchers of several processes say which of them this is."""


def has_cubes(data: Path) -> bool:
    """Return whether a folder holds cubes already: archives or a store."""
    return is_store(data) or any(
        (data / f"{split}{suffix}").exists() for split in SPLITS for suffix in (".npz", ".csv")
    )


def cubes_folder(
    data: Path,
    cache: Path,
    *,
    workers: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
    on_report: Callable[[Sequence[str]], None] | None = None,
) -> Path:
    """Return the folder to train on, with the cubes cut into ``cache`` where that is needed.

    Args:
        data: Nodule cubes, a store, or a source of any format.
        cache: Where the cubes of a source go, or are already.
        workers: How many processes read cases at once.
        on_progress: Called with cases done and cases in all.
        on_report: Called with the lines of the report on the data, before anything else is done.

    Raises:
        LungSynthError: If the source cannot be read, or holds no nodule to train on; cubes are
            refused with all that is wrong with any split.
    """
    if has_cubes(data):
        if _is_first_process():
            lines = list(check_training_data(data).lines())  # it refuses what can't be used
            if on_report is not None:
                on_report(lines)
        return data
    if recognise(data) is None:
        return data  # loading it says what is missing
    if not _is_first_process():
        return cache  # the first one builds it, and the others wait for that
    card = build_store(open_source(data), cache, workers=workers, on_progress=on_progress)
    if on_report is not None:
        on_report(card["report"]["summary"])
    if not card["report"]["splits"]["train"]["nodules"]:
        msg = f"{data}: no nodule to train on ({_reasons(card)})"
        raise LungSynthError(msg)
    return cache


def _is_first_process() -> bool:
    rank = next((os.environ[name] for name in RANKS if name in os.environ), "0")
    return rank == "0"


def _reasons(card: Mapping[str, Any]) -> str:
    """Say in short why nothing is left."""
    report = card["report"]
    if report["usable"]:
        return f"all {report['usable']} that can be used are of patients in val and test"
    found = [f"{count}: {reason}" for reason, count in report["left_out"].items()]
    first = [problem["message"] for problem in report["problems"][:1]]
    return "; ".join([*found, *first]) or "it holds none"
