"""DICOM radiographs (CR, DX): read as stored, written back with their header and marked."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Photometric, Radiograph, image_plane_matrix
from lungsynth.io.dicom import DAMAGE
from lungsynth.io.itk import array_of, ijk_to_ras_of, quiet_stderr

RADIOGRAPH_MODALITIES = ("CR", "DX", "DR", "RG", "XR", "OT", "SC")
"""Computed and digital radiographs, older names of them, and secondary captures of one."""
CARRIED_TAGS = (
    "PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality",
    "StudyDate", "StudyDescription", "SeriesDescription", "Manufacturer", "BodyPartExamined",
    "ViewPosition", "PatientOrientation", "PhotometricInterpretation", "WindowCenter",
    "WindowWidth", "BurnedInAnnotation", "PresentationIntentType",
)  # fmt: skip
MARK = "SYNTHETIC nodules"
"""What series description, derivation description and comments of an output say."""
_SPACING_TAGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
_OWN_UID = "2.25."
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_COMMENT_CHARACTERS = 64


def read_dicom_radiograph(path: Path) -> Radiograph:
    """Read a radiograph with its values as stored.

    Raises:
        LungSynthError: If it is damaged, no radiograph, in colour, or compressed in a way for
            which there is no decoder here.
    """
    dataset = _dataset(path)
    _check_kind(path, dataset)
    pixels = _stored_pixels(path, dataset)
    bits = int(dataset.get("BitsStored") or 8 * pixels.dtype.itemsize)
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    limits = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    spacing = _spacing_mm(dataset)
    return Radiograph(
        pixels,
        _matrix(path, spacing),
        spacing,
        Photometric(str(dataset.PhotometricInterpretation)),
        {
            f"DICOM_{tag}": str(value).strip()
            for tag in CARRIED_TAGS
            if (value := dataset.get(tag)) is not None and str(value).strip()
        },
        (float(limits[0]), float(limits[1])),
    )


def _dataset(path: Path) -> Dataset:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a value out of standard is no reason to stop
            return pydicom.dcmread(path, force=True)
    except DAMAGE as error:
        msg = f"{path}: damaged DICOM: {error}"
        raise LungSynthError(msg) from error


def _check_kind(path: Path, dataset: Dataset) -> None:
    modality = str(dataset.get("Modality") or "CR")
    if modality == "CT":
        msg = f"{path}: a CT image, where a radiograph (CR, DX) is needed"
        raise LungSynthError(msg)
    if modality not in RADIOGRAPH_MODALITIES:
        msg = f"{path}: modality {modality}; a CT or a radiograph (CR, DX) is needed"
        raise LungSynthError(msg)
    if "Rows" not in dataset or "PixelData" not in dataset:
        msg = f"{path}: a DICOM file without pixels; a radiograph is needed"
        raise LungSynthError(msg)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        msg = f"{path}: {dataset.NumberOfFrames} frames; a radiograph has one"
        raise LungSynthError(msg)
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    if not photometric:
        msg = f"{path}: damaged DICOM header: no PhotometricInterpretation"
        raise LungSynthError(msg)
    if int(dataset.get("SamplesPerPixel") or 1) != 1 or photometric not in list(Photometric):
        msg = f"{path}: a colour image ({photometric}); a radiograph is MONOCHROME1 or MONOCHROME2"
        raise LungSynthError(msg)


def _stored_pixels(path: Path, dataset: Dataset) -> NDArray[np.generic]:
    """Decode the pixels, without any rescaling; pydicom knows the plain ones, GDCM most others."""
    syntax = UID(str(getattr(dataset.file_meta, "TransferSyntaxUID", ImplicitVRLittleEndian)))
    if not syntax.is_compressed:
        try:
            return _masked(np.asarray(dataset.pixel_array), dataset)
        except (*DAMAGE, RuntimeError) as error:
            msg = f"{path}: truncated or damaged DICOM pixels: {error}"
            raise LungSynthError(msg) from error
    try:
        return _by_gdcm(path)
    except (*DAMAGE, RuntimeError) as error:
        msg = (
            f"{path}: compressed as {syntax.name} ({syntax}), which cannot be decoded here: "
            "there is no decoder for it or the pixels are damaged; decompress it first "
            "(gdcmconv --raw, or dcmdjpeg)"
        )
        raise LungSynthError(msg) from error


def _by_gdcm(path: Path) -> NDArray[np.generic]:
    """Let GDCM decode a copy of the file whose header gives it nothing to apply.

    ITK's reader inverts MONOCHROME1 and applies slope and intercept, both in silence.
    """
    copy = _dataset(path)
    copy.PhotometricInterpretation = str(Photometric.MONOCHROME2)
    for tag in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"):
        if tag in copy:
            delattr(copy, tag)
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.dcm"
        copy.save_as(bare)
        with quiet_stderr():
            plane: NDArray[Any] = array_of(sitk.ReadImage(str(bare), imageIO="GDCMImageIO"))
    kind = "i" if int(copy.get("PixelRepresentation") or 0) else "u"
    dtype = f"{kind}{max(1, int(copy.BitsAllocated) // 8)}"
    return np.asarray(plane.reshape(plane.shape[-2:]), dtype=dtype)


def _masked(pixels: NDArray[Any], dataset: Dataset) -> NDArray[np.generic]:
    """Drop what lies in the bits above BitsStored, where old files keep overlays."""
    bits = int(dataset.get("BitsStored") or 16)
    if pixels.dtype.kind == "u" and bits < 8 * pixels.dtype.itemsize and pixels.max() >= 2**bits:
        return np.asarray(pixels & pixels.dtype.type(2**bits - 1))
    return np.array(pixels)  # pydicom may give a view of a buffer that cannot be written


def _spacing_mm(dataset: Dataset) -> tuple[float, float] | None:
    """Return the distance between rows and columns; that at the detector is taken as it is.

    Calibrated PixelSpacing goes before the detector's, which is divided by the magnification
    that the file estimates.
    """
    for tag in _SPACING_TAGS:
        value = dataset.get(tag)
        if value is None or np.size(value) != 2:
            continue
        row_mm, column_mm = float(value[0]), float(value[1])
        if row_mm > 0 and column_mm > 0:
            factor = float(dataset.get("EstimatedRadiographicMagnificationFactor") or 1)
            factor = factor if tag == "ImagerPixelSpacing" and factor > 0 else 1.0
            return row_mm / factor, column_mm / factor
    return None


def _matrix(path: Path, spacing: tuple[float, float] | None) -> NDArray[np.float64]:
    """Return where Slicer would put the image: as ITK's reader says."""
    reader: Any = sitk.ImageFileReader()  # type: ignore[no-untyped-call]
    reader.SetFileName(str(path))
    reader.SetImageIO("GDCMImageIO")
    try:
        with quiet_stderr():
            reader.ReadImageInformation()
    except RuntimeError:
        return image_plane_matrix(spacing)
    return ijk_to_ras_of(reader)


def write_dicom_radiograph(image: Radiograph, path: Path, source: Path) -> None:
    """Write a radiograph with the header of its source, marked as synthetic and derived.

    It is a new image of a new series of the same study, with the pixels uncompressed; window,
    spacing and all else stay as they were. Its UIDs follow from the source and the pixels.

    Raises:
        LungSynthError: If the source cannot be read any more.
    """
    dataset = _dataset(source)
    pixels = np.ascontiguousarray(image.pixels).astype(image.pixels.dtype.newbyteorder("<"))
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    was = str(dataset.get("SOPInstanceUID", ""))
    class_uid = str(dataset.get("SOPClassUID", ""))
    if was:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = class_uid, was
        dataset.SourceImageSequence = [reference]
    dataset.SOPInstanceUID = generate_uid(_OWN_UID, [was, digest, "image"])
    series = str(dataset.get("SeriesInstanceUID", ""))
    dataset.SeriesInstanceUID = generate_uid(_OWN_UID, [series, was, digest, "series"])
    kinds = [str(kind) for kind in (dataset.get("ImageType") or [])][2:]
    dataset.ImageType = ["DERIVED", "SECONDARY", *kinds]
    for tag in ("SeriesDescription", "ImageComments"):
        earlier = str(dataset.get(tag) or "")
        text = earlier if MARK in earlier else f"{MARK}; {earlier}".rstrip("; ")
        setattr(dataset, tag, text[:_COMMENT_CHARACTERS])
    dataset.DerivationDescription = f"{MARK} inserted by lungsynth {__version__}"
    for tag, value in (
        ("SmallestImagePixelValue", int(pixels.min())),
        ("LargestImagePixelValue", int(pixels.max())),
    ):
        if tag in dataset:
            setattr(dataset, tag, value)
    _set_pixels(dataset, pixels)
    dataset.save_as(path, enforce_file_format=True)


def _set_pixels(dataset: Dataset, pixels: NDArray[np.generic]) -> None:
    meta = dataset.file_meta
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if getattr(meta, "TransferSyntaxUID", None) not in _PLAIN:
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated = bits
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    element = dataset["PixelData"]
    element.VR = "OB" if bits == 8 and meta.TransferSyntaxUID != ImplicitVRLittleEndian else "OW"
    element.is_undefined_length = False
