"""Reading a CT, whatever the file."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.io import dicom, nifti
from lungsynth.io.hounsfield import check_hounsfield
from lungsynth.io.itk import array_of, ijk_to_ras_of, quiet_stderr, reason

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".mha", ".mhd")
_ALLOWED = f"a DICOM folder or file, {', '.join(VOLUME_SUFFIXES)}"
# Set by the readers and writers themselves; carrying them on would contradict the output.
_OWN_KEY = re.compile(r"^(ITK_|NRRD_(?!content$)|Modality$|CompressedDataSize|lungsynth_)")


def volume_suffix(path: Path) -> str:
    """Return the suffix, lower case, with ".nii.gz" and ".seg.nrrd" as one; may be empty."""
    name = path.name.lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return double
    return path.suffix.lower()


def read_ct(path: Path) -> Volume:
    """Read a chest CT in HU.

    Args:
        path: DICOM folder, DICOM file with all slices, .nii, .nii.gz, .nrrd, .mha or .mhd.

    Returns:
        Voxels in HU with the dtype of the file (int16 for DICOM wherever that is exact) and
        what the file's header said.

    Raises:
        LungSynthError: If there is no such file, it is not a whole and regular 3-D image, or
            its values are not HU.
    """
    volume = read_volume(path)
    check_hounsfield(volume.voxels, str(path))
    return volume


def read_volume(path: Path) -> Volume:
    """Read a 3-D scalar image of any value range; otherwise as ``read_ct``."""
    path = Path(path)
    try:
        return _read(path)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise LungSynthError(msg) from error


def _read(path: Path) -> Volume:
    if path.is_dir():
        return dicom.read_folder(path)
    if not path.exists():
        msg = f"there is no file or folder {path}"
        raise LungSynthError(msg)
    suffix = volume_suffix(path)
    if suffix in (".nii", ".nii.gz"):
        return _read_nifti(path)
    if suffix in (".nrrd", ".seg.nrrd", ".mha", ".mhd"):
        return _read_itk(path)
    if dicom.is_dicom(path):
        return dicom.read_file(path)
    msg = f"{path}: not an image of a kind that is read here; allowed are {_ALLOWED}"
    raise LungSynthError(msg)


def read_slice(path: Path) -> Volume:
    """Read a NIfTI, NRRD or MetaImage file of one slice as a volume (1, rows, columns).

    Raises:
        LungSynthError: If there is no such file, or it is not a 2-D image of real numbers.
    """
    path = Path(path)
    read = _read_nifti if volume_suffix(path).startswith(".nii") else _read_itk
    try:
        return read(path, flat=True)
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise LungSynthError(msg) from error


def shape_of(path: Path) -> tuple[int, ...]:
    """Return the shape (i, j, k, ...) that a NIfTI, NRRD or MetaImage header states.

    Raises:
        LungSynthError: If it cannot be read.
    """
    if volume_suffix(path).startswith(".nii"):
        return nifti.read_header(path).shape
    return tuple(_header_reader(path).GetSize())


def _read_nifti(path: Path, *, flat: bool = False) -> Volume:
    header = nifti.read_header(path)
    _check_shape(path, header.shape, flat=flat)
    _check_spacing(path, header.pixdim)
    matrix = ijk_to_ras_of(_header_reader(path))
    # ITK chooses between the header's two geometries; where that is the sform, take its own
    # digits, not those that ITK rounded.
    if header.sform is not None and np.allclose(header.sform, matrix, rtol=1e-4, atol=1e-3):
        matrix = header.sform
    voxels = nifti.read_voxels(path, header)
    return Volume(voxels.reshape((-1, *voxels.shape[-2:])), matrix, header.fields)


def _read_itk(path: Path, *, flat: bool = False) -> Volume:
    _check_spacing(path, _text_spacing(path))
    reader = _header_reader(path)
    count = reader.GetNumberOfComponents()
    if count != 1:
        msg = f"{path}: {count} values a voxel (RGB or vector); one is needed"
        raise LungSynthError(msg)
    _check_shape(path, reader.GetSize(), flat=flat)
    matrix = ijk_to_ras_of(reader)
    header = {
        key: value
        for key in reader.GetMetaDataKeys()
        if not _OWN_KEY.match(key) and (value := _text(reader, key))
    }
    if reader.GetDimension() > 3:
        reader.SetExtractSize([*reader.GetSize()[:3], *[0] * (reader.GetDimension() - 3)])
    try:
        with quiet_stderr():
            image = reader.Execute()
    except RuntimeError as error:
        msg = f"{path}: truncated or damaged: {reason(error)}"
        raise LungSynthError(msg) from error
    voxels = _real_scalars(path, array_of(image))
    return Volume(voxels.reshape((-1, *voxels.shape[-2:])), matrix, header)


def _header_reader(path: Path) -> Any:  # noqa: ANN401 - SimpleITK has no types
    """Return a reader that has read the header."""
    reader: Any = sitk.ImageFileReader()  # type: ignore[no-untyped-call]
    reader.SetFileName(str(path))
    try:
        with quiet_stderr():
            reader.ReadImageInformation()
    except RuntimeError as error:
        why = reason(error)
        if "orthonormal" in why:
            why = "its axes are not at right angles (sheared); resample it first"
        elif "Unable to determine ImageIO" in why:
            why = f"it is no {path.suffix} file, whatever its name says"
        msg = f"{path}: not a readable image: {why}"
        raise LungSynthError(msg) from error
    return reader


def _text(reader: Any, key: str) -> str:  # noqa: ANN401 - as above
    value = str(reader.GetMetaData(key)).strip()
    return "" if "UNKNOWN_PRINT_CHARACTERISTICS" in value else value


def _real_scalars(path: Path, voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    if voxels.dtype.kind not in "iuf":
        msg = f"{path}: voxels are of type {voxels.dtype}; real numbers are needed"
        raise LungSynthError(msg)
    return voxels


def _check_shape(path: Path, shape: tuple[int, ...], *, flat: bool) -> None:
    size = " x ".join(map(str, shape))
    if flat:
        if len(shape) < 2 or min(shape[:2]) < 2 or any(count != 1 for count in shape[2:]):
            msg = f"{path}: {size} voxels; a radiograph has one slice, columns x rows x 1"
            raise LungSynthError(msg)
        return
    if len(shape) < 3 or min(shape[:3]) < 2:
        msg = f"{path}: a 2-D image ({size}); a CT volume is needed"
        raise LungSynthError(msg)
    if any(count != 1 for count in shape[3:]):
        msg = f"{path}: a {len(shape)}-D image ({size}); one 3-D CT volume is needed"
        raise LungSynthError(msg)


def _check_spacing(path: Path, spacing: tuple[float, ...]) -> None:
    """Refuse what ITK would mend in silence: it reads 0 as 1 and -2 as 2 with a flipped axis."""
    if any(not math.isfinite(x) or x <= 0 for x in spacing):
        numbers = ", ".join(f"{x:g}" for x in spacing)
        msg = f"{path}: voxel spacing in the header is ({numbers}) mm; it must be positive"
        raise LungSynthError(msg)


def _text_spacing(path: Path) -> tuple[float, ...]:
    """Return the spacing that an NRRD or MetaImage header states; empty where it does not."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    head = re.split(rb"\n\r?\n|\nElementDataFile", head)[0]
    stated = re.search(rb"^(?:ElementSpacing|ElementSize|spacings)\s*[=:]\s*(.*)$", head, re.M)
    try:
        return tuple(float(x) for x in stated.group(1).split()[:3]) if stated else ()
    except ValueError:
        return ()  # not a number: ITK's reader says what is wrong with it
