"""Hyper-parameters and presets of the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.data.radiographs import RadiographRecord
from lungsynth.nn.resnet import SHAPES

SYSTEM = "cxr-classifier"
ANY_FINDING = "Any finding"


@dataclass(frozen=True)
class ClassifierConfig:
    """How the classifier is built and trained; (ours) where [1] is silent, which is nearly all.

    Args:
        shape: A name in ``nn.resnet.SHAPES``.
        width: Channels of its first stage.
        image_size: Rows and columns of the images that it is given.
        labels: Its outputs, joined by "|"; empty takes ``ANY_FINDING`` and each finding that
            ``least_positives`` training images have.
        least_positives: See ``labels``.
        batch_size: Images in a step of one process.
        learning_rate: Of AdamW; rises over the first tenth of the steps, then falls by a cosine.
        weight_decay: Of AdamW.
        total_steps: Steps of a whole training.
        turn_degrees: Images are turned by up to so much, either way, ...
        shift: ... moved by this part of their side, ...
        zoom: ... enlarged or shrunk by this part, ...
        contrast: ... and made steeper or flatter by this part, while training.
        scale_kind: How pixels are scaled, see ``data.radiograph_pixels.RadiographScale``.
        scale_low: Of the same.
        scale_high: Of the same.
    """

    shape: str = "resnet18"
    width: int = 24
    image_size: int = 128
    labels: str = ""
    least_positives: int = 8
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    total_steps: int = 1200
    turn_degrees: float = 8.0
    shift: float = 0.06
    zoom: float = 0.1
    contrast: float = 0.2
    scale_kind: str = "percentile"
    scale_low: float = 0.0
    scale_high: float = 99.0

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            msg = f"shape must be one of {', '.join(SHAPES)}; got '{self.shape}'"
            raise ValueError(msg)
        if self.image_size < 32:
            msg = f"image_size must be at least 32 (five halvings); got {self.image_size}"
            raise ValueError(msg)

    @property
    def names(self) -> tuple[str, ...]:
        """The outputs."""
        return tuple(self.labels.split("|")) if self.labels else ()


PRESETS = {
    "default": ClassifierConfig(),
    "paper": ClassifierConfig(
        shape="resnet50", width=64, image_size=512, learning_rate=3e-4, total_steps=20_000
    ),
    "tiny": ClassifierConfig(
        shape="resnet10", width=4, image_size=32, batch_size=8, total_steps=20, least_positives=2
    ),
}


def frequent_labels(records: Sequence[RadiographRecord], least: int) -> str:
    """Return ``ANY_FINDING`` and what at least so many images show, the most frequent first."""
    counts: dict[str, int] = {}
    for record in records:
        for finding in set(record.findings):
            counts[finding] = counts.get(finding, 0) + 1
    often = sorted((f for f, n in counts.items() if n >= least), key=lambda f: (-counts[f], f))
    return "|".join([ANY_FINDING, *often])


def targets(records: Sequence[RadiographRecord], names: Sequence[str]) -> NDArray[np.float32]:
    """Return 0 or 1 for each image and output, (N, F)."""
    rows = [
        [float(bool(r.findings) if name == ANY_FINDING else name in r.findings) for name in names]
        for r in records
    ]
    return np.array(rows, dtype=np.float32).reshape(len(records), len(names))
