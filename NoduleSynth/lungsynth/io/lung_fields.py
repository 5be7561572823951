"""Lung fields of a radiograph from a file of the user's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph
from lungsynth.io.radiograph_reading import PICTURE_SUFFIXES, read_picture
from lungsynth.io.reading import VOLUME_SUFFIXES, read_slice, volume_suffix


def read_lung_fields(path: Path, image: Radiograph) -> NDArray[np.float32]:
    """Read a mask of the lungs: what is above half of its largest value is lung.

    A label map with several values works as well as a mask: then every value but 0 is lung.

    Args:
        path: .png, .nii, .nii.gz, .nrrd, .seg.nrrd, .mha or .mhd with as many rows and columns as
            the image.
        image: The radiograph.

    Returns:
        1 in the lung on the left and on the right of the picture, else 0, (2, rows, columns).

    Raises:
        LungSynthError: If it cannot be read, has another size, holds no lung, or nothing but lung.
    """
    suffix = volume_suffix(path)
    if not path.exists():
        msg = f"there is no file {path}"
        raise LungSynthError(msg)
    if suffix in PICTURE_SUFFIXES:
        values: NDArray[Any] = read_picture(path)
        values = values if values.ndim == 2 else values[..., :3].max(axis=-1)
    elif suffix in (*VOLUME_SUFFIXES, ".seg.nrrd"):
        values = read_slice(path).voxels[0]
    else:
        allowed = ", ".join((*PICTURE_SUFFIXES, *VOLUME_SUFFIXES))
        msg = f"{path}: lung fields come as {allowed}"
        raise LungSynthError(msg)
    if values.shape != image.pixels.shape:
        rows, columns = image.pixels.shape
        msg = (
            f"{path}: {values.shape[1]} x {values.shape[0]} pixels, where the radiograph has "
            f"{columns} x {rows}"
        )
        raise LungSynthError(msg)
    # a lossy or smoothed picture has a fringe of small values; a label map has few values
    few = len(np.unique(values)) <= 16
    lungs = values > (0 if few else values.max() / 2)
    columns_of_lung = np.nonzero(lungs.any(axis=0))[0]
    if not len(columns_of_lung):
        msg = f"{path}: no lung in it (every pixel is 0)"
        raise LungSynthError(msg)
    if lungs.all():
        msg = f"{path}: no mask of lungs: every pixel would be lung"
        raise LungSynthError(msg)
    middle = (columns_of_lung[0] + columns_of_lung[-1] + 1) // 2
    sides = np.zeros((2, *lungs.shape), np.float32)
    sides[0, :, :middle] = lungs[:, :middle]
    sides[1, :, middle:] = lungs[:, middle:]
    return sides
