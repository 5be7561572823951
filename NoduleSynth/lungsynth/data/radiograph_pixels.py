"""Pixels of radiographs for training: read from a file, brought to one scale and one size.

[1] Kim et al., on synthesis of chest radiographs with PGGAN and anomaly detection, 2021, 1.1:
"converted into 8-bit portable network graphics (PNG) format and 99th percentile normalization was
conducted".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Photometric, Radiograph
from lungsynth.io.dicom import is_dicom
from lungsynth.io.radiograph_dicom import read_dicom_radiograph
from lungsynth.io.radiograph_reading import PICTURE_SUFFIXES, grey_of, read_picture

SUFFIXES = (*PICTURE_SUFFIXES, ".dcm", ".dicom")
MIN_SIDE, MAX_SIDE = 32, 20_000
"""(ours) No radiograph has fewer pixels along a side, and no detector gives more."""
Pixels = NDArray[np.uint8] | NDArray[np.uint16]
SCALES = ("percentile", "fixed")


def read_pixels(path: Path) -> Pixels:
    """Return a radiograph (rows, columns) as uint8 or uint16, denser tissue brighter.

    Args:
        path: PNG or JPEG of 8 or 16 bits, or a DICOM file; MONOCHROME1 is turned over.

    Raises:
        LungSynthError: If it is missing, damaged, in colour, of several frames, blank, or of a
            size that no radiograph has.
    """
    if not path.is_file():
        msg = f"{path}: no such file"
        raise LungSynthError(msg)
    if is_dicom(path):
        image = read_dicom_radiograph(path)
        pixels = _upright(image)
    else:
        pixels = grey_of(path, read_picture(path))
    _check(pixels, path)
    return _unsigned(pixels, path)


def _upright(image: Radiograph) -> NDArray[Any]:
    """Return pixels of which the denser are the brighter; MONOCHROME1 is turned over."""
    pixels: NDArray[Any] = image.pixels
    if image.photometric is Photometric.MONOCHROME2:
        return pixels
    low, high = image.limits or (pixels.min(), pixels.max())
    turned: NDArray[Any] = (low + high - pixels.astype(np.float64)).astype(pixels.dtype)
    return turned


def _check(pixels: NDArray[Any], path: Path) -> None:
    if pixels.ndim != 2:
        msg = f"{path}: an image with the axes {pixels.shape}; one radiograph is needed"
        raise LungSynthError(msg)
    if min(pixels.shape) < MIN_SIDE or max(pixels.shape) > MAX_SIDE:
        rows, columns = pixels.shape
        msg = (
            f"{path}: {columns} x {rows} pixels; a radiograph has {MIN_SIDE} to {MAX_SIDE} along "
            "each side"
        )
        raise LungSynthError(msg)
    if pixels.min() == pixels.max():
        msg = f"{path}: a blank picture; every pixel is {pixels.flat[0]}"
        raise LungSynthError(msg)


def _unsigned(pixels: NDArray[Any], path: Path) -> Pixels:
    """Return the same values as uint8 or uint16; negative ones, which DICOM allows, are lifted."""
    if pixels.dtype in (np.uint8, np.uint16):
        return pixels
    low, high = float(pixels.min()), float(pixels.max())
    if not np.isfinite([low, high]).all() or high - low > np.iinfo(np.uint16).max:
        msg = f"{path}: values from {low:g} to {high:g}; a radiograph has 8 to 16 bits"
        raise LungSynthError(msg)
    return np.rint(pixels.astype(np.float64) - min(low, 0.0)).astype(np.uint16)


@dataclass(frozen=True)
class RadiographScale:
    """How stored values become the networks' [-1, 1]; it is recorded with their weights.

    Args:
        kind: "percentile": from ``low`` to ``high`` per cent of the values of each image, as in
            [1], which names the upper end alone; "fixed": stored values, the same for each image.
        low: What becomes -1.
        high: What becomes 1; what lies beyond is cut off.
    """

    kind: str = "percentile"
    low: float = 0.0
    high: float = 99.0

    def __post_init__(self) -> None:
        if self.kind not in SCALES:
            msg = f"unknown scale '{self.kind}' of radiographs; allowed are {', '.join(SCALES)}"
            raise LungSynthError(msg)
        most = 100 if self.kind == "percentile" else np.iinfo(np.uint16).max
        if not 0 <= self.low < self.high <= most:
            msg = (
                f"a {self.kind} scale of radiographs goes up, within 0 to {most}; got "
                f"{self.low:g} to {self.high:g}"
            )
            raise LungSynthError(msg)

    def limits(self, pixels: Pixels) -> tuple[float, float]:
        """Return the stored values of an image that become -1 and 1."""
        if self.kind == "fixed":
            return self.low, self.high
        low, high = np.percentile(pixels, (self.low, self.high)).tolist()
        return low, max(high, low + 1)  # an image may be black for all but 1 % of it

    def apply(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return an image in [-1, 1]."""
        low, high = self.limits(pixels)
        unit = (pixels.astype(np.float32) - low) / (high - low)
        values: NDArray[np.float32] = (2 * unit - 1).clip(-1, 1)
        return values

    def to_dict(self) -> dict[str, str | float]:
        """Return what a weights file keeps."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RadiographScale:
        """Return what ``to_dict`` gave."""
        return cls(str(values["kind"]), float(values["low"]), float(values["high"]))


def to_square(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return an image (rows, columns) stretched or shrunk to (side, side).

    Shrinking averages, so that the same film gives the same picture at each of the resolutions
    that networks grow through. Films that are not square are stretched, as those of ChestX-ray14
    are in its pictures of 1,024 x 1,024.
    """
    rows, columns = image.shape
    values = torch.from_numpy(np.ascontiguousarray(image))[None, None]
    if rows == columns and rows % side == 0:
        values = avg_pool2d(values, rows // side)
    else:
        values = interpolate(values, (side, side), mode="bilinear", antialias=True)
    square: NDArray[np.float32] = values[0, 0].numpy()
    return square
