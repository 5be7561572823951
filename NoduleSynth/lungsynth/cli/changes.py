"""Nodules on their way from the worker to whoever asked: one .npz file for each answer.

A box of voxels and a mask for each nodule, and the rest as JSON; never a pickle.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Measurement
from lungsynth.core.temporary import replacing
from lungsynth.imaging.insertion import Attempt

FORMAT = "lungsynth-changes-1"


def write_changes(path: Path, attempts: Sequence[Attempt]) -> None:
    """Write nodules; the file is whole or not there.

    Raises:
        LungSynthError: If it can't be written.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    nodules = []
    for number, attempt in enumerate(attempts):
        arrays[f"voxels_{number}"] = attempt.voxels
        arrays[f"mask_{number}"] = attempt.mask
        nodules.append(
            {"box": attempt.box, "measured": asdict(attempt.measured), "details": attempt.details}
        )
    text = json.dumps({"format": FORMAT, "nodules": nodules})
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
    try:
        with np.load(path, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            if about["format"] != FORMAT:
                msg = f"{path}: format '{about['format']}'; this version reads '{FORMAT}'"
                raise LungSynthError(msg)
            return [
                Attempt(
                    box=(tuple(nodule["box"][0]), tuple(nodule["box"][1])),
                    voxels=stored[f"voxels_{number}"],
                    mask=stored[f"mask_{number}"],
                    measured=Measurement(**nodule["measured"]),
                    details=nodule["details"],
                )
                for number, nodule in enumerate(about["nodules"])
            ]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        msg = f"{path}: no nodules can be read from it ({type(error).__name__}: {error})"
        raise LungSynthError(msg) from None
