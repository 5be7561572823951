"""Which CT series a tree of DICOM folders holds."""

from __future__ import annotations

import re
import struct
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

from lungsynth.data.records import Problem, Trouble

DICOM_ERRORS = (
    *(OSError, EOFError, struct.error, InvalidDicomError, RuntimeError, NotImplementedError),
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
)
"""What pydicom raises for files that are no DICOM, malformed or cut off."""
_LIDC_PATIENT = re.compile(r"LIDC-IDRI-\d{4}")


@dataclass(frozen=True)
class DicomSeries:
    """A folder with one CT series."""

    uid: str
    patient: str
    folder: Path


def dicom_tags(path: Path, tags: list[str]) -> Any:  # noqa: ANN401 - a Dataset or None
    """Return some tags of a file; None if it is no readable DICOM."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a value out of standard is no reason to stop
            return pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except DICOM_ERRORS:
        return None


def find_series(root: Path) -> tuple[dict[str, DicomSeries], list[Problem]]:
    """Return the CT series below a folder by UID, and folders in which no file can be read."""
    found: dict[str, DicomSeries] = {}
    problems = []
    files: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*.dcm")):
        files.setdefault(path.parent, []).append(path)
    tags = ["SeriesInstanceUID", "Modality", "PatientID"]
    for folder, paths in files.items():
        header = next((h for path in paths if (h := dicom_tags(path, tags)) is not None), None)
        if header is None:
            name = str(folder.relative_to(root))
            msg = f"{name}: none of its {len(paths)} files is readable DICOM"
            problems.append(Problem(name, Trouble.IMAGE, msg, 0))
        elif str(header.get("Modality", "CT")) == "CT":
            uid = str(header.get("SeriesInstanceUID", ""))
            named = _LIDC_PATIENT.search(str(folder))
            patient = str(header.get("PatientID", "") or (named.group() if named else ""))
            if uid in found:
                msg = f"{folder}: the same series as {found[uid].folder}"
                problems.append(Problem(str(folder), Trouble.DUPLICATE, msg, 0))
                continue
            found[uid] = DicomSeries(uid, patient, folder)
    return found, problems
