"""Nodules on their way from the worker to whoever asked: one .npz file for each answer.

A box of voxels and a mask for each nodule, and the rest as JSON; never a pickle.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Box, Measurement
from lungsynth.core.radiograph_insertion import CxrMeasurement
from lungsynth.core.temporary import replacing
from lungsynth.imaging.attempt import Attempt
from lungsynth.imaging.radiograph_insertion import CxrAttempt

FORMAT = "lungsynth-changes-1"
CXR_FORMAT = "lungsynth-cxr-changes-1"
Measured = TypeVar("Measured")


def write_changes(path: Path, attempts: Sequence[Attempt]) -> None:
    """Write nodules of a CT; the file is whole or not there.

    Raises:
        LungSynthError: If it can't be written.
    """
    _write(path, FORMAT, attempts, [attempt.voxels for attempt in attempts])


def write_cxr_changes(path: Path, attempts: Sequence[CxrAttempt]) -> None:
    """Write nodules of a radiograph; the file is whole or not there.

    Raises:
        LungSynthError: If it can't be written.
    """
    _write(path, CXR_FORMAT, attempts, [attempt.pixels for attempt in attempts])


def _write(
    path: Path,
    form: str,
    attempts: Sequence[Attempt | CxrAttempt],
    values: Sequence[NDArray[np.generic]],
) -> None:
    arrays: dict[str, NDArray[np.generic]] = {}
    nodules = []
    for number, (attempt, new) in enumerate(zip(attempts, values, strict=True)):
        arrays[f"voxels_{number}"] = new
        arrays[f"mask_{number}"] = attempt.mask
        nodules.append(
            {"box": attempt.box, "measured": asdict(attempt.measured), "details": attempt.details}
        )
    text = json.dumps({"format": form, "nodules": nodules})
    arrays["about"] = np.frombuffer(text.encode(), np.uint8)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise LungSynthError(msg) from None


def read_changes(path: Path) -> list[Attempt]:
    """Read what ``write_changes`` wrote.

    Raises:
        LungSynthError: If the file is missing, not whole, or something else.
    """
    return [
        Attempt(box, new, mask, measured, details)
        for box, new, mask, measured, details in _read(path, FORMAT, Measurement)
    ]


def read_cxr_changes(path: Path) -> list[CxrAttempt]:
    """Read what ``write_cxr_changes`` wrote.

    Raises:
        LungSynthError: If the file is missing, not whole, or something else.
    """
    return [
        CxrAttempt(box, new, mask, measured, details)
        for box, new, mask, measured, details in _read(path, CXR_FORMAT, CxrMeasurement)
    ]


def _read(
    path: Path, form: str, measurement: Callable[..., Measured]
) -> list[tuple[Box, NDArray[np.generic], NDArray[np.bool_], Measured, dict[str, str]]]:
    """Return for each nodule its box, new values, mask, measurement and details."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            if about["format"] != form:
                msg = f"{path}: format '{about['format']}'; this version reads '{form}'"
                raise LungSynthError(msg)
            return [
                (
                    (tuple(nodule["box"][0]), tuple(nodule["box"][1])),
                    stored[f"voxels_{number}"],
                    stored[f"mask_{number}"],
                    measurement(**nodule["measured"]),
                    nodule["details"],
                )
                for number, nodule in enumerate(about["nodules"])
            ]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path}: no nodules can be read from it ({type(error).__name__}: {error})"
        raise LungSynthError(msg) from None
