"""A detector with all that its findings are judged by: from radiographs to scores and regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.detectors.calibration import Calibration
from lungsynth.detectors.contracts import Images, Reconstructor
from lungsynth.detectors.domain import UNLIKELY, Domain
from lungsynth.detectors.field import Mask, field_weight, usual_chest
from lungsynth.detectors.residuals import (
    Region,
    ResidualConfig,
    ResidualModel,
    difference,
    find_regions,
    peaks,
)

FALSE_POSITIVE_RATE = 0.05


@dataclass(frozen=True, eq=False)
class Scan:
    """What a scan of one radiograph found, on the model's grid.

    Args:
        image: As the detector saw it, (S, S) in [-1, 1].
        normal: The nearest normal image.
        difference: image - normal, without the difference in overall brightness.
        deviation: In standard deviations of normals, positive where denser.
        labels: Map of the regions' labels, 0 elsewhere.
        regions: The highest peak first.
        score: One number for the image.
        p_value: How likely a normal scores so high.
        conformal_p_value: The same, supposing nothing of how scores are distributed.
        threshold: Of the score, for the false-positive rate that was asked.
        region_threshold: Of the regions' peaks: so many normals have one at all.
        kind_p_value: How likely a radiograph of the known kind looks like this as a whole.
        reason: Why it is of another kind, if the header says so; else empty.
    """

    image: Images
    normal: Images
    difference: Images
    deviation: Images
    labels: NDArray[np.int32]
    regions: Sequence[Region]
    score: float
    p_value: float
    conformal_p_value: float
    threshold: float
    region_threshold: float
    kind_p_value: float
    reason: str = ""

    @property
    def abnormal(self) -> bool:
        """Return whether the score exceeds its threshold."""
        return self.score > self.threshold

    @property
    def of_known_kind(self) -> bool:
        """Return whether the image as a whole is such as those that the detector knows."""
        return not self.reason and self.kind_p_value >= UNLIKELY


@dataclass(frozen=True, eq=False)
class Looked:
    """Radiographs with their nearest normal images, all (B, S, S).

    Args:
        images: In [-1, 1].
        weight: How far each pixel counts.
        normals: The nearest normal images.
        differences: See ``residuals.difference``.
    """

    images: Images
    weight: Images
    normals: Images
    differences: Images

    def rows(self, index: NDArray[np.int64]) -> Looked:
        """Return some of them."""
        parts = (self.images, self.weight, self.normals, self.differences)
        return Looked(*(part[index] for part in parts))


def look(detector: Reconstructor, images: Images, chest: Mask | None = None) -> Looked:
    """Find the nearest normal images of radiographs (B, S, S) in [-1, 1].

    Args:
        detector: Which finds them.
        images: The radiographs.
        chest: Where to look; None looks everywhere.
    """
    weight = field_weight(images, chest)
    normals = detector.reconstruct(images, weight)
    return Looked(images, weight, normals, difference(images, normals, weight))


@dataclass(frozen=True, eq=False)
class Scanner:
    """A detector with its calibration.

    Args:
        detector: Finds the nearest normal image.
        image_size: Rows and columns of what it sees.
        scale: How stored values become what it sees.
        residuals: How much normals differ from their nearest normal image.
        scores: Of held normals.
        peaks: Largest deviations of held normals.
        domain: What normals look like as a whole.
        chest: Where it looks, (S, S).
    """

    detector: Reconstructor
    image_size: int
    scale: RadiographScale
    residuals: ResidualModel
    scores: Calibration
    peaks: Calibration
    domain: Domain
    chest: Mask

    def scan(self, images: Images, false_positive_rate: float = FALSE_POSITIVE_RATE) -> list[Scan]:
        """Scan radiographs (B, S, S) in [-1, 1].

        Raises:
            LungSynthError: If they are of another size, or the rate is no share.
        """
        self.scores.threshold(false_positive_rate)  # refused before the work is done
        return self.judge(self.look(images), false_positive_rate)

    def look(self, images: Images) -> Looked:
        """Find the nearest normal images of radiographs (B, S, S).

        Raises:
            LungSynthError: If they are of another size.
        """
        if images.shape[1:] != (self.image_size, self.image_size):
            msg = f"images of {self.image_size} pixels a side are needed; got {images.shape[1:]}"
            raise LungSynthError(msg)
        return look(self.detector, images, self.chest)

    def judge(self, looked: Looked, false_positive_rate: float = FALSE_POSITIVE_RATE) -> list[Scan]:
        """Judge what is left of radiographs beside their nearest normal images.

        Raises:
            LungSynthError: If the rate is no share.
        """
        threshold = self.scores.threshold(false_positive_rate)
        region_threshold = self.peaks.threshold(false_positive_rate)
        images = looked.images
        maps = self.residuals.maps(looked.differences, looked.weight)
        scores = self.residuals.scores(maps, looked.weight)
        p_values = self.scores.p_value(scores)
        conformal = self.scores.conformal_p_value(scores)
        kinds = self.domain.p_value(images)
        grow, found = self.residuals.config.grow, []
        for n, image in enumerate(images):
            labels, regions = find_regions(maps[n], region_threshold, grow=grow)
            scan = Scan(
                image=image,
                normal=looked.normals[n],
                difference=looked.differences[n],
                deviation=maps[n],
                labels=labels,
                regions=regions,
                score=float(scores[n]),
                p_value=float(p_values[n]),
                conformal_p_value=float(conformal[n]),
                threshold=threshold,
                region_threshold=region_threshold,
                kind_p_value=float(kinds[n]),
            )
            found.append(scan)
        return found


def fit_scanner(
    detector: Reconstructor,
    normals: Images,
    held: Images,
    scale: RadiographScale,
    config: ResidualConfig | None = None,
) -> Scanner:
    """Calibrate a detector.

    Args:
        detector: Which may have learnt from ``normals``, but not from ``held``.
        normals: (N, S, S): say how residuals are distributed and what a normal looks like.
        held: (M, S, S): other normals; their scores say what a score means.
        scale: How stored values became these images.
        config: How residuals are looked at.

    Raises:
        LungSynthError: If there are too few.
    """
    chest = usual_chest(normals)
    looked, held_looked = (look(detector, images, chest) for images in (normals, held))
    return calibrated(detector, (looked, held_looked), scale, chest, config)


def calibrated(
    detector: Reconstructor,
    looked: tuple[Looked, Looked],
    scale: RadiographScale,
    chest: Mask,
    config: ResidualConfig | None = None,
) -> Scanner:
    """Calibrate a detector that has looked at normals and held ones already, at their chests.

    See ``fit_scanner``.
    """
    normals, held = looked
    residuals = ResidualModel.fit(normals.differences, normals.weight, config)
    maps = residuals.maps(held.differences, held.weight)
    return Scanner(
        detector=detector,
        image_size=normals.images.shape[-1],
        scale=scale,
        residuals=residuals,
        scores=Calibration(residuals.scores(maps, held.weight)),
        peaks=Calibration(peaks(maps)),
        domain=Domain.fit(normals.images, held.images),
        chest=chest,
    )
