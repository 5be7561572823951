"""What a generator must offer to be searched, and a detector to be calibrated and scanned with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Images = NDArray[np.float32]
"""Radiographs as a generator draws them: (B, S, S) in [-1, 1], dense tissue bright."""


class ImageGenerator(Protocol):
    """Draws whole radiographs of normals."""

    @property
    def latent_size(self) -> int:
        """Length of a latent vector, whose entries are standard normal."""
        ...

    @property
    def image_size(self) -> int:
        """Rows and columns of an image."""
        ...

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images (B, 1, S, S) of latents (B, L), differentiable.

        They lie about in [-1, 1], but need not be bounded.
        """
        ...


class Reconstructor(Protocol):
    """Finds the normal image nearest to a radiograph."""

    name: str

    def reconstruct(self, images: Images, weight: Images) -> Images:
        """Return normal images (B, S, S) like those given.

        Args:
            images: Radiographs (B, S, S) in [-1, 1].
            weight: How far each pixel counts, 0 to 1, same shape.
        """
        ...
