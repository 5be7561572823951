"""Writing volumes and masks: the same geometry and dtype, marked synthetic, whole or not at all."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lungsynth import __version__
from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion
from lungsynth.core.mark import SYNTHETIC
from lungsynth.core.radiograph_insertion import CxrInsertion
from lungsynth.core.volume import Volume
from lungsynth.io import nifti
from lungsynth.io.atomic import atomic_path, check_side_file, shown
from lungsynth.io.itk import place_image, quiet_stderr, reason
from lungsynth.io.reading import VOLUME_SUFFIXES, volume_suffix
from lungsynth.io.segments import label_map, segment_header

MASK_SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd")
_GZIP_LEVEL = 4  # CT noise hardly compresses: 9 takes four times as long for 2 % less
_PIECE = 1 << 22
_PLAIN_KEY = re.compile(r"^[A-Za-z_][\w.|-]*$")


def write_volume(volume: Volume, path: Path) -> None:
    """Write a volume with its geometry, dtype and header, marked as synthetic.

    The mark is the key ``lungsynth_synthetic`` in NRRD and MetaImage, and the description in
    NIfTI, which has no keys. NRRD and .nii.gz are compressed.

    Args:
        volume: What to write.
        path: .nii, .nii.gz, .nrrd, .mha or .mhd.

    Raises:
        LungSynthError: If the suffix is none of these, the format cannot hold the dtype or
            the geometry, the .raw of a .mhd would overwrite another's, or the file cannot be
            written; then nothing is left behind.
    """
    suffix = volume_suffix(Path(path))
    if suffix not in VOLUME_SUFFIXES:
        msg = f"cannot write {shown(path)}: the suffix must be one of {', '.join(VOLUME_SUFFIXES)}"
        raise LungSynthError(msg)
    check_side_file(Path(path))
    _write(volume.voxels, volume.ijk_to_ras, {**volume.header, **SYNTHETIC}, Path(path))


def write_mask(insertions: Sequence[Insertion | CxrInsertion], like: Volume, path: Path) -> None:
    """Write the nodules as a label map on the grid of ``like``: nodule n has the value n, from 1.

    Args:
        insertions: Nodules; where two share a voxel the earlier keeps it.
        like: The volume that they are in; of a radiograph its ``as_volume``.
        path: .seg.nrrd (with Slicer's segment names, colours and terminology), or a bare label
            map as .nii.gz, .nii or .nrrd.

    Raises:
        LungSynthError: If the suffix is none of these or the file cannot be written.
    """
    suffix = volume_suffix(Path(path))
    if suffix not in MASK_SUFFIXES:
        msg = f"cannot write {shown(path)}: the suffix must be one of {', '.join(MASK_SUFFIXES)}"
        raise LungSynthError(msg)
    labels = label_map(insertions, like.voxels.shape)
    header = dict(SYNTHETIC)
    if suffix.startswith(".nii"):
        codes = ("qform_code", "sform_code")
        header |= {code: like.header[code] for code in codes if code in like.header}
    if suffix == ".seg.nrrd":
        header |= segment_header(insertions, labels.shape)
    _write(labels, like.ijk_to_ras, header, Path(path))


def _write(
    voxels: NDArray[np.generic],
    ijk_to_ras: NDArray[np.float64],
    header: Mapping[str, str],
    path: Path,
) -> None:
    suffix = volume_suffix(path)
    image: Any = _image(voxels, path)
    place_image(image, ijk_to_ras)
    if not suffix.startswith(".nii"):
        for key, value in header.items():
            if _PLAIN_KEY.match(key) and (plain := " ".join(value.split())):
                image.SetMetaData(key, plain)
    with atomic_path(path) as temporary:
        # ITK writes without compression, which takes a moment; compressing happens here, in
        # pieces, so that an interruption is served within one.
        plain_path = temporary
        if suffix == ".nii.gz":
            plain_path = temporary.with_name("plain.nii")
        elif suffix.endswith(".nrrd"):
            plain_path = temporary.with_name("plain.nrrd")
        _write_plain(image, plain_path, path)
        del image
        if suffix.startswith(".nii"):
            description = f"SYNTHETIC (lungsynth {__version__})"
            nifti.patch_header(plain_path, ijk_to_ras, header, description)
        if suffix == ".nii.gz":
            _gzip(plain_path, temporary, header_end=0)
        elif suffix.endswith(".nrrd"):
            _gzip_nrrd(plain_path, temporary)


def _image(voxels: NDArray[np.generic], path: Path) -> sitk.Image:
    """Copy the array into an image."""
    if voxels.dtype == np.float16 or voxels.dtype.kind not in "iuf":
        msg = f"cannot write {shown(path)}: voxels of type {voxels.dtype}, not integers or floats"
        raise LungSynthError(msg)
    return sitk.GetImageFromArray(voxels.astype(voxels.dtype.newbyteorder("="), copy=False))


def _write_plain(image: Any, file: Path, path: Path) -> None:  # noqa: ANN401 - untyped
    try:
        with quiet_stderr():
            sitk.WriteImage(image, str(file), useCompression=False)
    except RuntimeError as error:
        raise _failure(path, reason(error)) from error
    # ITK does not always notice a full disk.
    expected = image.GetNumberOfPixels() * image.GetSizeOfPixelComponent()
    if sum(one.stat().st_size for one in file.parent.iterdir()) < expected:
        raise _failure(path, "the file came out short")


def _failure(path: Path, why: str) -> LungSynthError:
    free = shutil.disk_usage(path.parent).free
    if free < _PIECE:
        why = f"no space left on the device ({free // 1024} KiB free)"
    return LungSynthError(f"cannot write {shown(path)}: {why}")


def _gzip(source: Path, target: Path, *, header_end: int) -> None:
    """Append what follows ``header_end`` in ``source`` to ``target``, gzipped; drop ``source``."""
    with source.open("rb") as plain, target.open("ab") as file:
        plain.seek(header_end)
        # no name and no time inside, so that the same volume gives the same bytes
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            while piece := plain.read(_PIECE):
                packed.write(piece)
    source.unlink()


def _gzip_nrrd(source: Path, target: Path) -> None:
    """Turn an NRRD file with raw voxels into one with gzipped voxels."""
    with source.open("rb") as plain:
        lines = []
        while (line := plain.readline()) not in (b"\n", b""):
            lines.append(b"encoding: gzip\n" if line == b"encoding: raw\n" else line)
        end = plain.tell()
    target.write_bytes(b"".join(lines) + b"\n")
    _gzip(source, target, header_end=end)
