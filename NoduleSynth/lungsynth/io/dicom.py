"""DICOM CT: a folder with one series, or one file with all its slices.

Headers are read and checked with pydicom, pixels decoded and rescaled by GDCM (SimpleITK),
which knows every compression.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.io.itk import LPS_TO_RAS, array_of, quiet_stderr, reason

logger = logging.getLogger(__name__)

CARRIED_TAGS = (
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality",
    "StudyDate", "StudyDescription", "SeriesDescription", "SeriesNumber", "Manufacturer",
    "ManufacturerModelName", "ConvolutionKernel", "KVP", "SliceThickness", "PatientPosition",
)  # fmt: skip
_GEOMETRY_TAGS = (
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
    "RescaleIntercept", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "ImageType",
    "SOPClassUID", "PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence",
)  # fmt: skip
_DROPPED_UID = "1.2.840.10008.1.3.10"  # a DICOMDIR lists images and is none
DAMAGE = (
    *(InvalidDicomError, EOFError, struct.error, NotImplementedError),
    *(ValueError, TypeError, AttributeError, LookupError),
)
"""What pydicom raises for a damaged header."""
_LISTED = 5
MAX_TILT_PIXELS = 0.5
"""How far the slices may drift sideways over the whole stack."""
MAX_UNEVEN = 0.1
"""How far a slice may lie off the even grid, in units of the spacing."""


@dataclass(frozen=True, eq=False)
class _Slice:
    """One slice as its header tells: LPS mm, spacing (between rows, between columns)."""

    path: Path
    frame: int
    position: NDArray[np.float64]
    orientation: NDArray[np.float64]
    spacing: tuple[float, float]
    size: tuple[int, int]
    rescale: tuple[float, float]

    @property
    def normal(self) -> NDArray[np.float64]:
        return np.cross(self.orientation[:3], self.orientation[3:])

    def __str__(self) -> str:
        return f"{self.path.name} frame {self.frame}" if self.frame else self.path.name


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, with the 128-byte preamble or without."""
    return path.is_file() and _header(path) is not None


def modality_of(path: Path) -> str:
    """Return the modality of a DICOM file or of the first image in a folder; may be empty."""
    path = Path(path)
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for file in files:
        header = _header(file) if file.is_file() else None
        if header is not None and "Rows" in header:
            return str(header.get("Modality") or "")
    return ""


def only_file(folder: Path) -> Path:
    """Return the one DICOM image in a folder.

    Raises:
        LungSynthError: If there is none, or more than one.
    """
    headers = _headers(path for path in folder.iterdir() if path.is_file())
    if len(headers) != 1:
        names = ", ".join(path.name for path, _ in headers[:_LISTED]) or "none"
        msg = f"{folder}: {len(headers)} DICOM images ({names}); name the file of one radiograph"
        raise LungSynthError(msg)
    return headers[0][0]


def read_folder(folder: Path) -> Volume:
    """Read the one series in ``folder``; its subfolders count if it has no DICOM itself.

    Raises:
        LungSynthError: If there is no CT, more than one series, or the slices do not make up
            one regular volume.
    """
    headers = _headers(path for path in folder.iterdir() if path.is_file())
    headers = headers or _headers(path for path in folder.rglob("*") if path.is_file())
    if not headers:
        msg = f"{folder}: no DICOM images in this folder"
        raise LungSynthError(msg)
    series: dict[str, list[tuple[Path, Dataset]]] = {}
    for path, header in headers:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append((path, header))
    if len(series) > 1:
        known = [
            f"{uid} ({files[0][1].get('Modality', '?')}, "
            f"'{files[0][1].get('SeriesDescription', '')}', {len(files)} files)"
            for uid, files in sorted(series.items())
        ]
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED else ""
        msg = (
            f"{folder}: {len(series)} series in one folder; put one series into a folder of its "
            f"own: {'; '.join(known[:_LISTED])}{more}"
        )
        raise LungSynthError(msg)
    return _read_series(headers, str(folder))


def read_file(path: Path) -> Volume:
    """Read a file that holds all slices (multi-frame).

    Raises:
        LungSynthError: If it holds a single slice, or the slices make up no regular volume.
    """
    header = _header(path)
    if header is None or "Rows" not in header:
        msg = f"{path}: no DICOM image"
        raise LungSynthError(msg)
    _check_modality(header, str(path))
    if int(header.get("NumberOfFrames") or 1) < 2:
        msg = (
            f"{path}: a 2-D image (one slice); a CT volume is needed: name the folder of the series"
        )
        raise LungSynthError(msg)
    return _read_series([(path, header)], str(path))


def _header(path: Path) -> Dataset | None:
    """Return the part of the header that is needed; None if the file is not DICOM."""
    tags = [*CARRIED_TAGS, *_GEOMETRY_TAGS]
    try:
        with path.open("rb") as file:
            start = file.read(132)
        # Files from before Part 10 have no preamble and begin with group 0008.
        bare = start[:2] == b"\x08\x00" and start[3:4] == b"\x00"
        if start[128:] != b"DICM" and not bare:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a value out of standard is no reason to stop
            return pydicom.dcmread(path, stop_before_pixels=True, force=bare, specific_tags=tags)
    except DAMAGE as error:
        msg = f"{path}: damaged DICOM: {error}"
        raise LungSynthError(msg) from error


def _headers(paths: Iterable[Path]) -> list[tuple[Path, Dataset]]:
    """Return the DICOM images among ``paths``; localizers only if there is nothing else."""
    found = []
    for path in sorted(paths):
        header = _header(path)
        if header is None or "Rows" not in header or header.get("SOPClassUID") == _DROPPED_UID:
            logger.info("%s is passed over: no DICOM image", path)
            continue
        found.append((path, header))
    kept = [item for item in found if "LOCALIZER" not in (item[1].get("ImageType") or [])]
    return kept or found


def _check_modality(header: Dataset, source: str) -> None:
    modality = str(header.get("Modality") or "CT")
    if modality != "CT":
        msg = f"{source}: modality {modality}; a CT is needed"
        raise LungSynthError(msg)


def _read_series(headers: Sequence[tuple[Path, Dataset]], source: str) -> Volume:
    first = headers[0][1]
    _check_modality(first, source)
    slices = [one for path, header in headers for one in _slices(path, header)]
    if len(slices) < 2:
        msg = f"{source}: a 2-D image (one slice); a CT volume is needed"
        raise LungSynthError(msg)
    slices, matrix = _arrange(slices, source)
    carried = {
        f"DICOM_{tag}": value
        for tag in CARRIED_TAGS
        if (value := str(first.get(tag) if first.get(tag) is not None else "").strip())
    }
    return Volume(_pixels(slices, source), LPS_TO_RAS @ matrix, carried)


def _slices(path: Path, header: Dataset) -> list[_Slice]:
    """Return the slices of one file: one, or one for each frame."""
    if int(header.get("SamplesPerPixel") or 1) != 1:
        msg = f"{path}: a colour image; a CT has one value a voxel"
        raise LungSynthError(msg)
    count = int(header.get("NumberOfFrames") or 1)
    shared = _first(header, "SharedFunctionalGroupsSequence")
    frames = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [[frame, shared] for frame in frames] if count > 1 else [[header, *frames, shared]]
    if len(groups) != count:
        msg = f"{path}: {count} frames, but positions for {len(groups)} of them"
        raise LungSynthError(msg)
    try:  # pydicom reads a value when it is asked for
        return [_slice(path, header, number, group) for number, group in enumerate(groups)]
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"{path}: damaged DICOM header: {error}"
        raise LungSynthError(msg) from error


def _slice(path: Path, header: Dataset, number: int, groups: Sequence[Dataset]) -> _Slice:
    position = _find(groups, "PlanePositionSequence", "ImagePositionPatient")
    orientation = _find(groups, "PlaneOrientationSequence", "ImageOrientationPatient")
    spacing = _find(groups, "PixelMeasuresSequence", "PixelSpacing")
    for name, value, size in (
        ("ImagePositionPatient", position, 3),
        ("ImageOrientationPatient", orientation, 6),
        ("PixelSpacing", spacing, 2),
    ):
        if value is None or np.size(value) != size:
            msg = f"{path}: no {name} in the DICOM header, so its place in the patient is unknown"
            raise LungSynthError(msg)
    if min(map(float, spacing)) <= 0:
        msg = f"{path}: PixelSpacing is {list(map(float, spacing))} mm; it must be positive"
        raise LungSynthError(msg)
    slope = _find(groups, "PixelValueTransformationSequence", "RescaleSlope")
    intercept = _find(groups, "PixelValueTransformationSequence", "RescaleIntercept")
    return _Slice(
        path=path,
        frame=number,
        position=np.asarray(position, np.float64),
        orientation=np.asarray(orientation, np.float64),
        spacing=(float(spacing[0]), float(spacing[1])),
        size=(int(header.Rows), int(header.Columns)),
        rescale=(float(1 if slope is None else slope), float(intercept or 0)),
    )


def _first(dataset: Dataset, name: str) -> Dataset:
    sequence = dataset.get(name)
    return sequence[0] if sequence else Dataset()


def _find(groups: Sequence[Dataset], sequence: str, name: str) -> Any:  # noqa: ANN401 - a tag's value
    """Return a value from the first group that has it, itself or in its functional group."""
    for group in groups:
        for place in (group, _first(group, sequence)):
            if place.get(name) is not None:
                return place.get(name)
    return None


def _arrange(slices: Sequence[_Slice], source: str) -> tuple[list[_Slice], NDArray[np.float64]]:
    """Sort slices along their normal and return them with the IJK-to-LPS matrix."""
    first = slices[0]
    for other in slices[1:]:
        if np.abs(other.orientation - first.orientation).max() > 1e-3:
            msg = (
                f"{source}: slices differ in orientation ({first} and {other}); "
                "a CT volume needs one"
            )
            raise LungSynthError(msg)
        if other.size != first.size or not np.allclose(other.spacing, first.spacing, rtol=1e-3):
            msg = f"{source}: slices differ in size or pixel spacing ({first} and {other})"
            raise LungSynthError(msg)
    ordered = sorted(slices, key=lambda one: float(one.position @ first.normal))
    at_mm = np.array([one.position @ first.normal for one in ordered])
    step_mm = _check_steps(ordered, at_mm, source)
    _check_tilt(ordered, source)
    matrix = np.eye(4)
    matrix[:3, 0] = first.orientation[:3] * first.spacing[1]
    matrix[:3, 1] = first.orientation[3:] * first.spacing[0]
    matrix[:3, 2] = first.normal * step_mm
    matrix[:3, 3] = ordered[0].position
    return ordered, matrix


def _check_steps(ordered: Sequence[_Slice], at_mm: NDArray[np.float64], source: str) -> float:
    """Return the distance between slices in mm, which must be the same all through."""
    steps = np.diff(at_mm)
    same = [n for n, step in enumerate(steps) if step < 1e-3]
    if same:
        pairs = [f"{ordered[n]} and {ordered[n + 1]}" for n in same[:_LISTED]]
        msg = f"{source}: duplicate slices ({len(same)}) at the same place: {'; '.join(pairs)}"
        raise LungSynthError(msg)
    usual = float(np.median(steps))
    gaps = [n for n, step in enumerate(steps) if step > 1.5 * usual]
    if gaps:
        places = [
            f"between {ordered[n]} at {at_mm[n]:.2f} mm "
            f"and {ordered[n + 1]} at {at_mm[n + 1]:.2f} mm"
            for n in gaps[:_LISTED]
        ]
        msg = f"{source}: missing slice: {'; '.join(places)} (spacing elsewhere {usual:.2f} mm)"
        raise LungSynthError(msg)
    mean = float((at_mm[-1] - at_mm[0]) / (len(at_mm) - 1))
    off = np.abs(at_mm - at_mm[0] - mean * np.arange(len(at_mm)))
    if off.max() > MAX_UNEVEN * mean:
        msg = (
            f"{source}: slices are unevenly spaced, {steps.min():.2f} to {steps.max():.2f} mm "
            f"(at {ordered[int(off.argmax())]}); a CT volume needs one spacing"
        )
        raise LungSynthError(msg)
    return mean


def _check_tilt(ordered: Sequence[_Slice], source: str) -> None:
    first = ordered[0]
    along = ordered[-1].position - first.position
    sideways = along - (along @ first.normal) * first.normal
    if np.linalg.norm(sideways) > MAX_TILT_PIXELS * min(first.spacing):
        angle = np.degrees(np.arctan2(np.linalg.norm(sideways), abs(along @ first.normal)))
        msg = (
            f"{source}: the gantry is tilted by {angle:.1f} degrees (each slice is shifted "
            "sideways); resample the series to a regular volume first"
        )
        raise LungSynthError(msg)


def _pixels(slices: Sequence[_Slice], source: str) -> NDArray[np.generic]:
    """Decode the slices into one array: int16 where HU are whole numbers, else float32."""
    whole = all(float(x).is_integer() for one in slices for x in one.rescale)
    voxels = np.empty((len(slices), *slices[0].size), np.int16 if whole else np.float32)
    frames: NDArray[np.generic] | None = None
    for number, one in enumerate(slices):
        if frames is None or one.path != slices[number - 1].path:
            frames = _decode(one.path)
        plane = frames[one.frame]
        if whole and (plane.min() < -(2**15) or plane.max() >= 2**15):
            msg = (
                f"{source}: {one} has values from {plane.min():g} to {plane.max():g}; "
                "a CT in HU lies within -10000 to 32767"
            )
            raise LungSynthError(msg)
        voxels[number] = plane
    return voxels


def _decode(path: Path) -> NDArray[np.generic]:
    """Return the frames of a file in HU, shape (frames, rows, columns)."""
    try:
        with quiet_stderr():
            frames = array_of(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    except RuntimeError as error:
        msg = f"{path}: truncated or damaged DICOM pixels: {reason(error)}"
        raise LungSynthError(msg) from error
    return frames if frames.ndim == 3 else frames[None]
