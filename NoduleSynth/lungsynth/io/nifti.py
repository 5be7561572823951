"""The NIfTI header: what ITK passes over in silence, and what it drops.

ITK reads a truncated file as zeros, takes a spacing of 0 for 1, and keeps neither description
nor orientation codes; so the header is read here, and so are the voxels: straight into the
array, with gzip's checksum.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError

HEADER_BYTES = 348
FIRST_VOXEL = 352  # in a .nii at the earliest: header and four bytes of extension flags
# NIfTI-1 datatype codes of real scalars
_DTYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8",
    256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8",
}  # fmt: skip
_TEXTS = {"descrip": (148, 80), "aux_file": (228, 24), "intent_name": (328, 16)}
_CODES = {"qform_code": 252, "sform_code": 254}
_SFORM = 280


@dataclass(frozen=True)
class NiftiHeader:
    """The part of a NIfTI-1 header that matters here.

    Args:
        shape: Number of voxels along each axis, fastest first (i, j, k, ...).
        pixdim: Voxel size along (i, j, k) as written, in the file's unit.
        dtype: Type of the stored voxels, with byte order.
        offset: Where the voxels begin, in bytes.
        slope: Factor from stored to real values.
        intercept: Added after the factor.
        sform: 4 x 4 matrix to RAS as written; None if the header has none.
        fields: Texts and codes that are carried to the output.
    """

    shape: tuple[int, ...]
    pixdim: tuple[float, float, float]
    dtype: np.dtype[np.generic]
    offset: int
    slope: float
    intercept: float
    sform: NDArray[np.float64] | None
    fields: Mapping[str, str]


def _open(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return cast("BinaryIO", gzip.open(path, "rb") if zipped else path.open("rb"))


def read_header(path: Path) -> NiftiHeader:
    """Read and check the header of a NIfTI-1 file.

    Raises:
        LungSynthError: If it is no NIfTI-1 file or its voxels are not real scalars.
    """
    try:
        with _open(path) as file:
            raw = file.read(HEADER_BYTES)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        msg = f"{path}: not a readable NIfTI image: {error}"
        raise LungSynthError(msg) from error
    order = "<" if raw[:4] == struct.pack("<i", HEADER_BYTES) else ">"
    if len(raw) < HEADER_BYTES or raw[344:347] != b"n+1":
        msg = f"{path}: not a NIfTI-1 image in one file, whatever its name says"
        raise LungSynthError(msg)
    dim = struct.unpack_from(order + "8h", raw, 40)
    code = struct.unpack_from(order + "h", raw, 70)[0]
    if code not in _DTYPES:
        msg = (
            f"{path}: voxels are vectors, colours or complex (datatype {code}); a CT has one value"
        )
        raise LungSynthError(msg)
    offset, slope, intercept = struct.unpack_from(order + "3f", raw, 108)
    if not math.isfinite(slope) or slope == 0 or not math.isfinite(intercept):
        slope, intercept = 1.0, 0.0  # NIfTI-1: a slope of 0 means no scaling
    fields = {name: str(struct.unpack_from(order + "h", raw, at)[0]) for name, at in _CODES.items()}
    for name, (at, size) in _TEXTS.items():
        text = raw[at : at + size].split(b"\0")[0].decode("utf-8", "replace").strip()
        if text:
            fields[name] = text
    return NiftiHeader(
        shape=tuple(dim[1 : 1 + max(0, min(7, dim[0]))]),
        pixdim=struct.unpack_from(order + "3f", raw, 80),
        dtype=np.dtype(order + _DTYPES[code]),
        offset=_offset(path, offset),
        slope=slope,
        intercept=intercept,
        sform=_sform(raw, order) if int(fields["sform_code"]) > 0 else None,
        fields=fields,
    )


def _offset(path: Path, stated: float) -> int:
    """Return where the voxels begin; 0 stands for the earliest place."""
    offset = stated or FIRST_VOXEL
    if not math.isfinite(offset) or offset < FIRST_VOXEL:
        msg = f"{path}: damaged: its voxels begin at byte {stated:g}, inside the header"
        raise LungSynthError(msg)
    return int(offset)


def _sform(raw: bytes, order: str) -> NDArray[np.float64]:
    rows = np.array(struct.unpack_from(order + "12f", raw, _SFORM)).reshape(3, 4)
    return np.vstack([rows, [0.0, 0.0, 0.0, 1.0]])


def read_voxels(path: Path, header: NiftiHeader) -> NDArray[np.generic]:
    """Read the voxels, shape (K, J, I), scaled as the header says.

    Raises:
        LungSynthError: If the file ends too early or its checksum is wrong.
    """
    voxels = np.empty(header.shape[:3][::-1], header.dtype)
    buffer = voxels.reshape(-1).view(np.uint8).data
    filled = 0
    try:
        with _open(path) as file:
            file.seek(header.offset)
            while filled < len(buffer):
                # in pieces, so that a signal is served between them
                count = cast("gzip.GzipFile", file).readinto(buffer[filled : filled + (1 << 22)])
                if not count:
                    break
                filled += count
            if isinstance(file, gzip.GzipFile):
                file.read(1)  # reaching the end makes gzip compare its checksum
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        msg = f"{path}: truncated or damaged: {error}"
        raise LungSynthError(msg) from error
    if filled < len(buffer):
        msg = f"{path}: truncated: {filled} of {len(buffer)} bytes of voxels are there"
        raise LungSynthError(msg)
    native = voxels.dtype.newbyteorder("=")
    if not voxels.dtype.isnative:
        voxels = voxels.byteswap(inplace=True).view(native)
    return _scaled(voxels, header.slope, header.intercept)


def _scaled(voxels: NDArray[np.generic], slope: float, intercept: float) -> NDArray[np.generic]:
    """Apply slope and intercept; the result stays int16 or int32 where that is exact."""
    if slope == 1 and intercept == 0:
        return voxels
    low, high = sorted(float(x) * slope + intercept for x in (voxels.min(), voxels.max()))
    whole = voxels.dtype.kind in "iu" and slope.is_integer() and intercept.is_integer()
    if whole and max(-low, high) < 2**31:
        kind = np.int16 if max(-low, high) < 2**15 else np.int32
        scaled = np.empty(voxels.shape, kind)
        for old, new in zip(voxels, scaled, strict=True):
            new[:] = old.astype(np.int64) * int(slope) + int(intercept)
        return scaled
    floats = voxels.astype(np.float32)
    floats *= np.float32(slope)
    floats += np.float32(intercept)
    return floats


def patch_header(
    path: Path, ijk_to_ras: NDArray[np.float64], header: Mapping[str, str], description: str
) -> None:
    """Put matrix, description and what the input's header said into an uncompressed .nii.

    ITK takes the matrix apart and puts it together again, which moves its last digits.

    Args:
        path: File that ITK has just written.
        ijk_to_ras: The matrix, 4 x 4.
        header: Fields as ``read_header`` gives them; others are passed over.
        description: What ``descrip`` is to begin with.
    """
    with path.open("r+b") as file:
        order = "<" if file.read(4) == struct.pack("<i", HEADER_BYTES) else ">"
        file.seek(_SFORM)
        file.write(struct.pack(order + "12f", *ijk_to_ras[:3].ravel()))
        texts = dict(header)
        earlier = texts.get("descrip", "")
        texts["descrip"] = (
            description if earlier in ("", description) else f"{description}; {earlier}"
        )
        for name, (at, size) in _TEXTS.items():
            # cut between characters, and leave room for the closing zero
            data = texts.get(name, "").encode()[: size - 1].decode(errors="ignore").encode()
            file.seek(at)
            file.write(data.ljust(size, b"\0"))
        codes = {name: header.get(name, "0") for name in _CODES}
        if any(code.isdigit() and 0 < int(code) < 6 for code in codes.values()):
            for name, at in _CODES.items():
                file.seek(at)
                file.write(struct.pack(order + "h", int(codes[name])))
