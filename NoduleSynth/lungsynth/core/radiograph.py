"""A chest radiograph, and a nodule that is asked for in it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.nodule import check_seed_position, seed_title
from lungsynth.core.volume import Volume

ROBUST_PERCENTILES = (1.0, 99.0)
CXR_DIAMETER_RANGE_MM = (3.0, 80.0)
CXR_DIAMETER_RANGE_PX = (3.0, 2048.0)
CONTRAST_RANGE = (0.005, 0.6)
"""What may be asked: mean brightening inside the mask over the robust range of the image."""
_SAMPLED_PIXELS = 1 << 18


class Kind(StrEnum):
    """What an input is taken for."""

    CT = "CT"
    RADIOGRAPH = "radiograph"


class Photometric(StrEnum):
    """Whether a larger value is darker (MONOCHROME1) or brighter (MONOCHROME2)."""

    MONOCHROME1 = "MONOCHROME1"
    MONOCHROME2 = "MONOCHROME2"


@dataclass(frozen=True, eq=False)
class Radiograph:
    """A 2-D chest image: pixels as stored, and where they lie.

    Args:
        pixels: Values as stored, shape (rows, columns), any integer or float dtype. The array is
            kept, never copied.
        ijk_to_ras: 4 x 4 matrix from (column, row, 0, 1) to RAS mm, as Slicer would load the
            file. Where the file has no geometry a pixel counts as 1 mm, as in Slicer.
        pixel_spacing_mm: Distance between rows and between columns, in mm; None where unknown,
            whatever ``ijk_to_ras`` says.
        photometric: Whether dense tissue has the larger (MONOCHROME2) or smaller values.
        header: What the file said beside that, carried from reading to writing.
        limits: Least and largest value that the file can hold (0 and 4095 where 12 bits are
            stored); None where the dtype says it.

    Raises:
        LungSynthError: If ``pixels`` is not 2-D or empty, or holds no real numbers, the matrix
            cannot be used, or a spacing is not positive.
    """

    pixels: NDArray[np.generic]
    ijk_to_ras: NDArray[np.float64]
    pixel_spacing_mm: tuple[float, float] | None = None
    photometric: Photometric = Photometric.MONOCHROME2
    header: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    limits: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or 0 in self.pixels.shape:
            msg = f"a radiograph must be 2-D (rows, columns); got shape {self.pixels.shape}"
            raise LungSynthError(msg)
        if self.pixels.dtype.kind not in "iuf":
            msg = f"a radiograph's pixels must be integers or floats; got {self.pixels.dtype}"
            raise LungSynthError(msg)
        volume = Volume(self.pixels[None], self.ijk_to_ras)  # which checks the matrix
        object.__setattr__(self, "ijk_to_ras", volume.ijk_to_ras)
        spacing = self.pixel_spacing_mm
        if spacing is not None and not all(math.isfinite(s) and s > 0 for s in spacing):
            msg = f"pixel spacing must be positive, (rows, columns) in mm; got {spacing}"
            raise LungSynthError(msg)
        try:
            object.__setattr__(self, "photometric", Photometric(self.photometric))
        except ValueError:
            msg = f"photometric must be {' or '.join(Photometric)}; got '{self.photometric}'"
            raise LungSynthError(msg) from None

    @cached_property
    def robust_range(self) -> tuple[float, float]:
        """1st and 99th percentile of the pixels, as stored (of a regular sample where many)."""
        step = max(1, math.isqrt(self.pixels.size // _SAMPLED_PIXELS))
        sample: NDArray[Any] = self.pixels[::step, ::step]
        low, high = np.percentile(sample, ROBUST_PERCENTILES)
        return float(low), float(high)

    @property
    def sign(self) -> float:
        """1 where denser tissue has larger values, -1 where it has smaller ones."""
        return 1.0 if self.photometric is Photometric.MONOCHROME2 else -1.0

    def normalised(self, values: NDArray[np.generic]) -> NDArray[np.float32]:
        """Return pixel values on the scale that synthesizers see.

        The robust range of the whole image becomes [-1, 1], dense tissue bright whatever the
        photometric interpretation; values beyond it are clipped (not softly).
        """
        low, high = self.robust_range
        scaled = (values.astype(np.float32) - low) * (2 / max(high - low, 1e-6)) - 1
        return np.asarray(np.clip(self.sign * scaled, -1, 1), dtype=np.float32)

    def denormalised_difference(self, difference: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a difference of normalised values as one of stored values."""
        low, high = self.robust_range
        return np.asarray(self.sign * difference * ((high - low) / 2), dtype=np.float32)

    def ras_to_pixel(self, ras_mm: ArrayLike) -> NDArray[np.float64]:
        """Return continuous (row, column), shape (..., 2), of RAS points, seen along the beam."""
        return self.as_volume().ras_to_ijk(ras_mm)[..., 1::-1]

    def pixel_to_ras_mm(self, pixel: ArrayLike) -> NDArray[np.float64]:
        """Return RAS points in mm, shape (..., 3), of (row, column)."""
        row_column = np.asarray(pixel, dtype=np.float64)
        ijk = np.concatenate([row_column[..., ::-1], np.zeros((*row_column.shape[:-1], 1))], -1)
        return self.as_volume().ijk_to_ras_mm(ijk)

    def as_volume(self) -> Volume:
        """Return it as a volume of one slice, (1, rows, columns), that shares its pixels."""
        return Volume(self.pixels[None], self.ijk_to_ras, self.header)

    def with_pixels(self, pixels: NDArray[np.generic]) -> Radiograph:
        """Return the same radiograph with other pixels."""
        return replace(self, pixels=pixels)


def image_plane_matrix(spacing_mm: tuple[float, float] | None = None) -> NDArray[np.float64]:
    """Return the ``ijk_to_ras`` that Slicer gives an image whose file does not place it.

    Columns run to L and rows to P, from the origin; 1 mm where the spacing is unknown.

    Args:
        spacing_mm: Distance between rows and between columns.
    """
    row_mm, column_mm = spacing_mm or (1.0, 1.0)
    return np.diag([-column_mm, -row_mm, 1.0, 1.0])


@dataclass(frozen=True)
class CxrNoduleSpec:
    """One nodule in a radiograph: the same spec in the same place gives the same pixels.

    The diameter is the mean of the major and minor axes of the ellipse with the second moments
    of the nodule's mask [shen2022], in mm or in pixels of the image (one of the two).

    Args:
        diameter_mm: Diameter in mm, where the pixel spacing is known.
        diameter_px: Diameter in pixels of the image (the geometric mean of the two where they
            are not square).
        contrast: Mean over the mask of after - before, brighter where denser, over the robust
            range of the image; None leaves it to the synthesizer.
        latent_seed: Seed of everything random in the nodule.

    Raises:
        LungSynthError: If not exactly one diameter is given, or a value is not allowed.
    """

    diameter_mm: float | None = None
    diameter_px: float | None = None
    contrast: float | None = None
    latent_seed: int = 0

    def __post_init__(self) -> None:
        if (self.diameter_mm is None) == (self.diameter_px is None):
            msg = "give the diameter either in mm or in pixels: diameter_mm or diameter_px"
            raise LungSynthError(msg)
        for name, value, (low, high) in (
            ("diameter_mm", self.diameter_mm, CXR_DIAMETER_RANGE_MM),
            ("diameter_px", self.diameter_px, CXR_DIAMETER_RANGE_PX),
            ("contrast", self.contrast, CONTRAST_RANGE),
        ):
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                allowed = f"must be from {low:g} to {high:g}"
                msg = f"{name} of a nodule in a radiograph {allowed}; got {value:g}"
                raise LungSynthError(msg)
        if not 0 <= self.latent_seed < 2**63:
            msg = f"latent_seed must be from 0 to 2**63 - 1; got {self.latent_seed}"
            raise LungSynthError(msg)

    @property
    def size(self) -> str:
        """The diameter with its unit, for messages."""
        if self.diameter_mm is not None:
            return f"{self.diameter_mm:g} mm"
        return f"{self.diameter_px:g} px"

    def diameter_in_pixels(self, image: Radiograph) -> float:
        """Return the diameter in pixels of an image.

        Raises:
            LungSynthError: If it is in mm and the image's pixel spacing is not known.
        """
        if self.diameter_px is not None:
            return self.diameter_px
        if image.pixel_spacing_mm is None or self.diameter_mm is None:
            msg = (
                f"a diameter of {self.size} was asked, but the pixel spacing of this radiograph is "
                "not known; give --pixel-spacing-mm, or the diameter in pixels (--diameter-px)"
            )
            raise LungSynthError(msg)
        return self.diameter_mm / math.sqrt(math.prod(image.pixel_spacing_mm))


@dataclass(frozen=True)
class CxrSeed:
    """Where a nodule goes in a radiograph and what it is to be.

    Args:
        position_ras_mm: Centre of the nodule, RAS mm of ``Radiograph.ijk_to_ras``; how far it
            lies before or behind the image plane does not matter.
        spec: The nodule.
        name: How messages call the seed; empty means by its position.

    Raises:
        LungSynthError: If the position is not three finite numbers.
    """

    position_ras_mm: tuple[float, float, float]
    spec: CxrNoduleSpec
    name: str = ""

    def __post_init__(self) -> None:
        check_seed_position(self.position_ras_mm)

    def __str__(self) -> str:
        return seed_title(self.name, self.position_ras_mm)
