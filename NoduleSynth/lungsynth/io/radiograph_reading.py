"""Reading a chest radiograph, whatever the file, and telling one from a CT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Kind, Photometric, Radiograph, image_plane_matrix
from lungsynth.io import dicom
from lungsynth.io.itk import array_of, quiet_stderr, reason
from lungsynth.io.plausible_radiograph import LARGEST_SIDE_MM, check_image
from lungsynth.io.radiograph_dicom import RADIOGRAPH_MODALITIES, read_dicom_radiograph
from lungsynth.io.reading import VOLUME_SUFFIXES, read_slice, shape_of, volume_suffix

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
_JPEG_START, _JPEG_END, _JPEG_TAIL = b"\xff\xd8", b"\xff\xd9", 4096


def kind_of(path: Path) -> Kind:
    """Tell from name and header whether an input is a CT or a radiograph.

    What cannot be told counts as CT, whose reader says what is wrong with it.
    """
    path = Path(path)
    suffix = volume_suffix(path)
    if suffix in PICTURE_SUFFIXES:
        return Kind.RADIOGRAPH
    if not path.exists():
        return Kind.CT
    if suffix in VOLUME_SUFFIXES:
        try:
            shape = shape_of(path)
        except (LungSynthError, OSError):
            return Kind.CT
        flat = len(shape) >= 2 and all(count == 1 for count in shape[2:])
        return Kind.RADIOGRAPH if flat else Kind.CT
    modality = dicom.modality_of(path)
    return Kind.RADIOGRAPH if modality in RADIOGRAPH_MODALITIES else Kind.CT


def read_radiograph(path: Path) -> Radiograph:
    """Read a frontal chest radiograph.

    Args:
        path: DICOM file (CR, DX), folder with one such file, .png, .jpg, or .nii, .nii.gz, .nrrd,
            .mha or .mhd with one slice.

    Returns:
        Pixels as stored; the pixel spacing if the file knows it (pictures do not).

    Raises:
        LungSynthError: If there is no such file, or it is no radiograph.
    """
    path = Path(path)
    if not path.exists():
        msg = f"there is no file or folder {path}"
        raise LungSynthError(msg)
    try:
        image = _read(path)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise LungSynthError(msg) from error
    check_image(str(path), image)
    return image


def _read(path: Path) -> Radiograph:
    suffix = volume_suffix(path)
    if path.is_dir():
        return read_dicom_radiograph(dicom.only_file(path))
    if suffix in PICTURE_SUFFIXES:
        return Radiograph(grey_of(path, read_picture(path)), image_plane_matrix())
    if suffix in VOLUME_SUFFIXES:
        return _from_slice(path)
    if dicom.is_dicom(path):
        return read_dicom_radiograph(path)
    allowed = ", ".join((*PICTURE_SUFFIXES, *VOLUME_SUFFIXES))
    msg = f"{path}: not an image of a kind that is read here; allowed are DICOM, {allowed}"
    raise LungSynthError(msg)


def read_picture(path: Path) -> NDArray[np.generic]:
    """Return the pixels of a PNG or JPEG, (rows, columns) or (rows, columns, channels).

    Raises:
        LungSynthError: If it is damaged or not whole.
    """
    with path.open("rb") as file:
        jpeg = file.read(2) == _JPEG_START
        file.seek(max(0, path.stat().st_size - _JPEG_TAIL))
        if jpeg and _JPEG_END not in file.read():  # which its reader fills with grey
            msg = f"{path}: truncated: the end of the JPEG is missing"
            raise LungSynthError(msg)
    try:
        with quiet_stderr():
            return array_of(sitk.ReadImage(str(path)))
    except RuntimeError as error:
        why = reason(error)
        if "Unable to determine ImageIO" in why:
            why = f"it is no {path.suffix} file, whatever its name says"
        elif "Unknown PixelType" in why:
            why = "it has grey and opacity; save it as plain grey"
        msg = f"{path}: not a readable picture: {why}"
        raise LungSynthError(msg) from error


def grey_of(path: Path, pixels: NDArray[Any]) -> NDArray[np.generic]:
    """Return the grey values of a picture whose colours are all grey.

    Raises:
        LungSynthError: If it is in colour.
    """
    if pixels.ndim == 2:
        return pixels
    colours = pixels[..., :3]  # a fourth channel is opacity
    if any((colours[..., 0] != colours[..., n]).any() for n in (1, 2)):
        msg = f"{path}: a colour picture; a radiograph is grey (one value a pixel)"
        raise LungSynthError(msg)
    return np.ascontiguousarray(colours[..., 0])


def _from_slice(path: Path) -> Radiograph:
    volume = read_slice(path)
    column_mm, row_mm = (float(x) for x in volume.spacing_mm[:2])
    rows, columns = volume.voxels.shape[1:]
    known = max(rows * row_mm, columns * column_mm) <= LARGEST_SIDE_MM
    photometric = volume.header.get("DICOM_PhotometricInterpretation", "")
    return Radiograph(
        volume.voxels[0],
        volume.ijk_to_ras,
        (row_mm, column_mm) if known else None,
        Photometric.MONOCHROME1
        if photometric == Photometric.MONOCHROME1
        else Photometric.MONOCHROME2,
        volume.header,
    )


def lateral_view(image: Radiograph) -> str:
    """Return what in the header says that a radiograph is lateral; empty if nothing does."""
    view = image.header.get("DICOM_ViewPosition", "").upper()
    if view in ("LL", "RL", "LATERAL", "LAT", "LLD", "RLD"):
        return f"ViewPosition {view}"
    orientation = image.header.get("DICOM_PatientOrientation", "").upper()
    first = orientation.strip("[]'\" ").split(",")[0].split("\\")[0].strip("'\" ")
    if first in ("A", "P"):
        return f"PatientOrientation {orientation}"
    for tag in ("SeriesDescription", "StudyDescription"):
        words = image.header.get(f"DICOM_{tag}", "").lower().replace("_", " ").split()
        both = {"pa", "ap", "frontal"} & set(words)
        if {"lat", "lateral"} & set(words) and not both:
            return f"{tag} '{image.header[f'DICOM_{tag}']}'"
    return ""
