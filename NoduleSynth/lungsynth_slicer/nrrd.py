"""Volumes as .nrrd files, written and read in steps.

Slicer's own reader and writer would hold up its event loop: to unpack the four maps of one large
radiograph takes seconds.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.volumes import volumeFromNode

PIECE_BYTES = 1 << 20
TYPES = {
    **{f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float32": "float",
    "float64": "double",
}
"""NRRD's name of a type, by numpy's."""
_NUMPY = {
    **{nrrd: numpy for numpy, nrrd in TYPES.items()},
    **{"unsigned char": "uint8", "signed char": "int8", "short": "int16"},
    **{"unsigned short": "uint16", "int": "int32", "unsigned int": "uint32"},
}
_LPS = np.array([-1.0, -1.0, 1.0])


def nrrdHeader(node: slicer.vtkMRMLScalarVolumeNode, values: dict[str, str] | None = None) -> bytes:
    """Return what comes before the voxels in an .nrrd file.

    Args:
        node: The volume; its voxels follow as they lie in memory.
        values: Key/value pairs, without line ends.

    Raises:
        LungSynthError: If the node is no volume that can be used, or NRRD has no such type.
    """
    volume = volumeFromNode(node)
    voxels = volume.voxels
    if voxels.dtype.name not in TYPES:
        msg = f"volume '{node.GetName()}' holds {voxels.dtype.name}; cast it to another type"
        raise LungSynthError(msg)
    axes = [_vector(_LPS * volume.ijk_to_ras[:3, axis]) for axis in range(3)]
    lines = [
        "NRRD0004",
        f"type: {TYPES[voxels.dtype.name]}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(str(n) for n in voxels.shape[::-1])}",
        f"space directions: {' '.join(axes)}",
        "kinds: domain domain domain",
        f"endian: {sys.byteorder}",
        "encoding: raw",
        f"space origin: {_vector(_LPS * volume.ijk_to_ras[:3, 3])}",
        *(f"{key}:={value}" for key, value in (values or {}).items()),
    ]
    return ("\n".join(lines) + "\n\n").encode()


def _vector(values: NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(x)) for x in values)})"


def readingVoxels(path: Path, into: dict[str, NDArray[Any]]) -> Generator[None, None, None]:
    """Read the voxels of an .nrrd file, raw or gzipped, a piece at a time.

    Where they lie is left to the caller, who knows it.

    Args:
        path: The file.
        into: Gets them by the file's name, shape (K, J, I).

    Raises:
        LungSynthError: If it is none of ours, or not whole.
    """
    try:
        with path.open("rb") as file:
            fields = {}
            while (line := file.readline()) not in (b"\n", b""):
                key, _, value = line.decode("utf-8", "replace").partition(": ")
                fields[key] = value.strip()
            dtype = np.dtype(_NUMPY[fields["type"]])
            if fields.get("endian") == "big":
                dtype = dtype.newbyteorder(">")
            shape = tuple(int(n) for n in reversed(fields["sizes"].split()))
            voxels = np.empty(shape, dtype)
            target, at = memoryview(voxels.reshape(-1)).cast("B"), 0
            packed = fields["encoding"] in ("gzip", "gz")
            unpack = zlib.decompressobj(31).decompress if packed else bytes
            while piece := file.read(PIECE_BYTES):
                plain = unpack(piece)
                target[at : at + len(plain)] = plain
                at += len(plain)
                yield
        if at != len(target):
            raise ValueError(f"{at} of {len(target)} bytes")  # noqa: EM102
    except (OSError, KeyError, ValueError, zlib.error) as error:
        msg = f"{path}: cannot be read ({error})"
        raise LungSynthError(msg) from error
    into[path.name] = voxels
