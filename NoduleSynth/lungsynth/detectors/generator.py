"""A generator of normal radiographs as the detectors use it, whichever system it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import torch

from lungsynth.core.registry import IMAGE_GENERATORS, resolve
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.detectors.contracts import ImageGenerator


class Generator(ImageGenerator, Protocol):
    """A generator with what goes with its weights; its parameters need no gradients."""

    @property
    def device(self) -> torch.device:
        """Where it is."""
        ...

    @property
    def scale(self) -> RadiographScale:
        """How stored values become [-1, 1], as it was trained with."""
        ...

    @property
    def weights_sha256(self) -> str:
        """Of its weights file."""
        ...


def load_generator(path: Path | None, device: str = "auto", system: str = "pggan") -> Generator:
    """Read a generator's weights.

    Args:
        path: Weights file; None takes the one that ships.
        device: "auto", "cpu", "cuda" or "cuda:N".
        system: A name in ``core.registry.IMAGE_GENERATORS``.

    Raises:
        LungSynthError: If there is no such system, or the file is missing, broken, or of another.
    """
    generator: Generator = resolve(IMAGE_GENERATORS, system, "generator")(path, device)
    return generator
