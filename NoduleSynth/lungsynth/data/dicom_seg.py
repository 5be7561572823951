"""DICOM segmentations (SEG), put onto the voxels of the CT that they were drawn on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from lungsynth.core.volume import Volume
from lungsynth.data.dicom_series import DICOM_ERRORS, dicom_tags
from lungsynth.data.records import CaseError, Trouble
from lungsynth.io.itk import LPS_TO_RAS

SEG_CLASS = "1.2.840.10008.5.1.4.1.1.66.4"
"""SOP class UID of Segmentation Storage."""
_OFF_GRID = 0.1
"""How far, in voxels, a frame may lie off the image's grid."""


def is_segmentation(path: Path) -> bool:
    """Return whether a file is a DICOM segmentation."""
    header = _tags(path, ["SOPClassUID"])
    return header is not None and header.get("SOPClassUID") == SEG_CLASS


def referenced_series(path: Path) -> str:
    """Return the SeriesInstanceUID of the CT that a segmentation was drawn on; may be empty."""
    header = _tags(path, ["ReferencedSeriesSequence"])
    series = header.get("ReferencedSeriesSequence") if header is not None else None
    return str(series[0].get("SeriesInstanceUID", "")) if series else ""


def read_segmentation(path: Path, volume: Volume) -> NDArray[np.uint16]:
    """Return the segments as a label map on the volume's voxels, (K, J, I).

    Raises:
        CaseError: If the file is damaged, or its frames do not lie on the volume's voxels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a value out of standard is no reason to stop
            dataset = pydicom.dcmread(path)
            frames = np.asarray(dataset.pixel_array)
            frames = frames if frames.ndim == 3 else frames[None]
            if dataset.get("SegmentationType") == "FRACTIONAL":
                frames = frames * 2 >= int(dataset.get("MaximumFractionalValue") or 255)
            labels = np.zeros(volume.voxels.shape, np.uint16)
            shared = dataset.SharedFunctionalGroupsSequence[0]
            groups = dataset.PerFrameFunctionalGroupsSequence
            for frame, own in zip(frames, groups, strict=True):
                _place(labels, frame > 0, (own, shared), volume, path)
    except CaseError:
        raise
    except DICOM_ERRORS as error:
        msg = f"{path}: damaged or incomplete DICOM segmentation: {error}"
        raise CaseError(Trouble.MASK, msg) from error
    return labels


def _place(
    labels: NDArray[np.uint16],
    frame: NDArray[np.bool_],
    groups: tuple[Any, Any],  # Any: pydicom has no types
    volume: Volume,
    path: Path,
) -> None:
    """Put one frame into the label map; ``groups`` are its own values and the shared ones."""
    own, shared = groups
    number = int(own.SegmentIdentificationSequence[0].ReferencedSegmentNumber)

    def value(sequence: str, name: str) -> NDArray[np.float64]:
        place = own if sequence in own else shared
        return np.asarray(getattr(getattr(place, sequence)[0], name), np.float64)

    position = value("PlanePositionSequence", "ImagePositionPatient")
    direction = value("PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = value("PixelMeasuresSequence", "PixelSpacing")  # between rows, between columns
    rows, columns = frame.shape
    corners = np.array([(0, 0), (columns - 1, 0), (0, rows - 1)], np.float64)
    lps = (
        position
        + corners[:, :1] * direction[:3] * spacing[1]
        + corners[:, 1:] * direction[3:] * spacing[0]
    )
    ijk = volume.ras_to_ijk(lps @ LPS_TO_RAS[:3, :3])
    first = np.rint(ijk[0]).astype(int)
    expected = first + np.column_stack([corners, np.zeros(3)])
    size = np.array(volume.voxels.shape[::-1])
    if (
        np.abs(ijk - expected).max() > _OFF_GRID
        or (first < 0).any()
        or (first + np.array([columns, rows, 1]) > size).any()
    ):
        msg = f"{path}: of another geometry than its image: a frame lies off the image's voxels"
        raise CaseError(Trouble.MASK_GEOMETRY, msg)
    i, j, k = first
    part = labels[k, j : j + rows, i : i + columns]
    part[frame & (part == 0)] = number


def _tags(path: Path, tags: list[str]) -> Any:  # noqa: ANN401 - a Dataset or None
    """Return some tags of a DICOM file; None if it is none, which a look at its start tells."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(132)[128:] != b"DICM":
            return None
    return dicom_tags(path, tags)
