"""What the worker does with latent axes: a generator's image from anywhere along them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lungsynth.cli.protocol import Request
from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.generator import load_generator
from lungsynth.detectors.latent_axes import draw_latents, moved_latents
from lungsynth.evaluation.axes_study import drawing, load_axes
from lungsynth.io.atomic import atomic_path


class LatentDesk:
    """Holds a generator and axes of its latent space.

    Args:
        request: Names the file of ``axes``, the generator's ``weights`` (empty for those that
            ship) and the ``device``.

    Raises:
        LungSynthError: If a file is missing or broken, or the axes are another generator's.
    """

    def __init__(self, request: Request) -> None:
        weights = request.text("weights", "")
        device = request.text("device", "auto")
        self.generator = load_generator(Path(weights) if weights else None, device)
        axes = Path(request.text("axes"))
        self.names, self.directions = load_axes(axes, self.generator.weights_sha256)
        self._draw = drawing(self.generator)

    def draw(self, request: Request) -> dict[str, object]:
        """Write an image as PNG to ``output``.

        The request says how far it lies along each axis (``amounts``, in quarters of the usual
        length of latents) from the image of ``latent_seed``.

        Raises:
            LungSynthError: If there are not as many amounts as axes.
        """
        amounts = request.numbers("amounts", len(self.names))
        if amounts is None:
            msg = f"an amount is needed for each axis: {', '.join(self.names)}"
            raise LungSynthError(msg)
        size = self.generator.latent_size
        start = draw_latents(request.whole("latent_seed", 0), 1, size)[0]
        direction = np.asarray(amounts) @ self.directions.astype(np.float64)
        image = self._draw(moved_latents(start, direction, np.ones(1)))[0]
        pixels = ((image + 1) * 127.5).round().astype(np.uint8)
        path = Path(request.text("output"))
        with atomic_path(path) as temporary:
            sitk.WriteImage(sitk.GetImageFromArray(pixels), str(temporary))
        return {"output": str(path), "size": list(pixels.shape)}
