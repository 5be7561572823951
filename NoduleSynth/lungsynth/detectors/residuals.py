"""What is left of a radiograph beside its nearest normal image: maps, a score, regions.

All of it is (ours): kim2021 shows the difference map and leaves the judgement to a reader.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.contracts import Images


@dataclass(frozen=True)
class ResidualConfig:
    """How residuals are looked at.

    Args:
        blur: Standard deviation of the blur of the difference before it is judged, in parts of the
            image's side: edges that do not quite meet are no finding.
        floor: Least standard deviation of a pixel, in parts of the median one.
        top_share: The score is the mean over this share of the field's pixels, the largest.
        grow: A region reaches as far as this part of the threshold that its peak exceeds.
    """

    blur: float = 0.012
    floor: float = 0.5
    top_share: float = 0.1
    grow: float = 0.7

    def __post_init__(self) -> None:
        if not 0 < self.top_share <= 1:
            msg = f"top_share must be above 0 and at most 1; got {self.top_share}"
            raise ValueError(msg)


def difference(images: Images, normals: Images, weight: Images) -> Images:
    """Return images - normals without the difference in overall brightness, 0 outside the field.

    Args:
        images: Radiographs (B, S, S).
        normals: The nearest normal image of each.
        weight: How far each pixel counts, 0 to 1.
    """
    raw = images - normals
    total = np.maximum(weight.sum(axis=(1, 2), keepdims=True), 1e-6)
    return np.asarray((raw - (weight * raw).sum(axis=(1, 2), keepdims=True) / total) * weight)


@dataclass(frozen=True, eq=False)
class ResidualModel:
    """How large the differences of normals are, pixel by pixel.

    Args:
        mean: Of the blurred differences (S, S).
        deviation: Their standard deviation (S, S).
        config: How they are looked at.
    """

    mean: Images
    deviation: Images
    config: ResidualConfig

    @classmethod
    def fit(
        cls, differences: Images, weight: Images, config: ResidualConfig | None = None
    ) -> ResidualModel:
        """Learn from the differences of normals (N, S, S); a pixel outside a field does not count.

        Raises:
            LungSynthError: If there are fewer than three.
        """
        config = config or ResidualConfig()
        if len(differences) < 3:
            msg = f"residual statistics need three normal radiographs; got {len(differences)}"
            raise LungSynthError(msg)
        blurred = blur(differences, weight, config.blur).astype(np.float64)
        seen = np.maximum(weight.sum(axis=0), 1e-6)
        mean = (weight * blurred).sum(axis=0) / seen
        variance = (weight * (blurred - mean) ** 2).sum(axis=0) / np.maximum(seen - 1, 1)
        deviation = np.sqrt(variance)
        known = seen > 2
        usual = float(np.median(deviation[known])) if known.any() else float(np.median(deviation))
        deviation = np.maximum(np.where(known, deviation, usual), config.floor * usual)
        return cls(mean.astype(np.float32), deviation.astype(np.float32), config)

    def maps(self, differences: Images, weight: Images) -> Images:
        """Return in standard deviations of normals how each pixel differs, (B, S, S), signed.

        Positive is denser than the nearest normal image, negative less dense; 0 outside the field.
        """
        blurred = blur(differences, weight, self.config.blur)
        return np.asarray((blurred - self.mean) / self.deviation * (weight > 0.5))

    def scores(self, maps: Images, weight: Images) -> NDArray[np.float64]:
        """Return one number for each image (B,): the mean of its largest deviations."""
        found = []
        for one, w in zip(maps, weight, strict=True):
            inside = np.sort(np.abs(one[w > 0.5]))
            count = max(1, round(self.config.top_share * len(inside)))
            found.append(float(inside[-count:].mean()) if len(inside) else 0.0)
        return np.array(found)


def peaks(maps: Images) -> NDArray[np.float64]:
    """Return the largest deviation of each image (B,)."""
    return np.asarray(np.abs(maps).max(axis=(1, 2)), dtype=np.float64)


def blur(differences: Images, weight: Images, part: float) -> Images:
    """Return differences blurred within the field: what lies outside neither counts nor dilutes."""
    sigma = part * differences.shape[-1]
    axes = (0, sigma, sigma)
    above = ndimage.gaussian_filter(differences * weight, axes)
    below = ndimage.gaussian_filter(weight.astype(np.float32), axes)
    return np.asarray(above / np.maximum(below, 1e-3) * (weight > 0))


@dataclass(frozen=True)
class Region:
    """A part of an image that differs from normal.

    Args:
        label: Its number in the map of regions, from 1, the highest peak first.
        pixels: How many pixels of the map it has.
        peak: Its largest deviation, in standard deviations of normals; negative where less dense.
        peak_at: Where that is, (row, column) of the map.
        centre: Centre of mass, (row, column) of the map.
        box: First and last row, first and last column of the map.
    """

    label: int
    pixels: int
    peak: float
    peak_at: tuple[int, int]
    centre: tuple[float, float]
    box: tuple[int, int, int, int]

    @property
    def denser(self) -> bool:
        """Return whether it is denser than normal, not less dense."""
        return self.peak > 0


def find_regions(
    deviation: Images, threshold: float, *, grow: float = 0.7, least_pixels: int = 4
) -> tuple[NDArray[np.int32], list[Region]]:
    """Return connected parts whose peak exceeds a threshold, denser and less dense apart.

    Args:
        deviation: A map of ``ResidualModel.maps``, (S, S).
        threshold: For the peak.
        grow: A region reaches as far as the deviation exceeds this part of the threshold.
        least_pixels: Smaller ones are left out.

    Returns:
        Map of the regions' labels (S, S), and the regions, the highest peak first.
    """
    kept = []
    for sign in (1, -1):
        signed = sign * deviation
        names, count = ndimage.label(signed > grow * threshold)
        for n, where in enumerate(ndimage.find_objects(names, count), start=1):
            inside = names[where] == n
            values = np.where(inside, signed[where], -np.inf)
            if inside.sum() >= least_pixels and values.max() > threshold:
                kept.append((float(values.max()), sign, where, inside, values))
    kept.sort(key=lambda one: -one[0])
    labels, regions = np.zeros(deviation.shape, np.int32), []
    for label, (peak, sign, where, inside, values) in enumerate(kept, start=1):
        rows, columns = where
        labels[where][inside] = label
        at = np.unravel_index(int(values.argmax()), values.shape)
        centre = np.argwhere(inside).mean(axis=0) + np.array([rows.start, columns.start])
        regions.append(
            Region(
                label=label,
                pixels=int(inside.sum()),
                peak=sign * peak,
                peak_at=(rows.start + int(at[0]), columns.start + int(at[1])),
                centre=(float(centre[0]), float(centre[1])),
                box=(rows.start, rows.stop - 1, columns.start, columns.stop - 1),
            )
        )
    return labels, regions
