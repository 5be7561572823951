"""Writing a radiograph: the same kind of file, geometry and header, marked synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.mark import SYNTHETIC
from lungsynth.core.radiograph import Photometric, Radiograph
from lungsynth.io import png
from lungsynth.io.atomic import atomic_path, shown
from lungsynth.io.itk import quiet_stderr, reason
from lungsynth.io.radiograph_dicom import write_dicom_radiograph
from lungsynth.io.radiograph_reading import PICTURE_SUFFIXES, read_picture
from lungsynth.io.reading import VOLUME_SUFFIXES, volume_suffix
from lungsynth.io.writing import write_volume


def output_suffixes(source: Path | None) -> tuple[str, ...]:
    """Return the endings that an output may have, the kind of the source first.

    A JPEG becomes a PNG: compressing it again would change every pixel.
    """
    suffix = volume_suffix(Path(source)) if source is not None else ".png"
    if suffix in PICTURE_SUFFIXES:
        return (".png", *VOLUME_SUFFIXES)
    if suffix in VOLUME_SUFFIXES:
        return VOLUME_SUFFIXES
    return (".dcm", *VOLUME_SUFFIXES)


def write_radiograph(image: Radiograph, path: Path, source: Path | None = None) -> None:
    """Write a radiograph.

    Args:
        image: What to write.
        path: .dcm where the source is DICOM; .png where the pixels are 8 or 16 bits, without a
            sign; .nii, .nii.gz, .nrrd, .mha or .mhd (one slice).
        source: The file that was read: a DICOM header, and the texts, channels and other chunks
            of a PNG, come from there.

    Raises:
        LungSynthError: If the format cannot hold the image, or the file cannot be written.
    """
    path = Path(path)
    suffix = volume_suffix(path)
    if suffix == ".dcm":
        if source is None:
            msg = f"cannot write {shown(path)}: only a DICOM radiograph can be written as DICOM"
            raise LungSynthError(msg)
        with atomic_path(path) as temporary:
            write_dicom_radiograph(image, temporary, source)
    elif suffix == ".png":
        with atomic_path(path) as temporary:
            _write_png(image, temporary, source)
    else:
        header = dict(image.header)
        if image.photometric is Photometric.MONOCHROME1:
            header["DICOM_PhotometricInterpretation"] = str(image.photometric)
        volume = image.as_volume()
        write_volume(type(volume)(volume.voxels, volume.ijk_to_ras, header), path)


def _write_png(image: Radiograph, path: Path, source: Path | None) -> None:
    if image.pixels.dtype not in (np.uint8, np.uint16) or image.photometric.endswith("1"):
        msg = (
            f"cannot write {shown(path)}: a PNG holds 8 or 16 bits, bright where dense; "
            f"these are {image.pixels.dtype}, {image.photometric}"
        )
        raise LungSynthError(msg)
    pixels = image.pixels
    carried = []
    if source is not None and source.suffix.lower() in PICTURE_SUFFIXES:
        was = read_picture(source)
        carried = png.ancillary(source)
        if was.ndim == 3 and source.suffix.lower() == ".png":
            pixels = was.copy()  # the same grey in three channels; a fourth is opacity
            pixels[..., :3] = image.pixels[..., None]
    try:
        with quiet_stderr():
            picture = sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3)
            sitk.WriteImage(picture, str(path), useCompression=True)
    except RuntimeError as error:
        msg = f"cannot write {shown(path)}: {reason(error)}"
        raise LungSynthError(msg) from error
    png.add_chunks(path, carried, SYNTHETIC)
