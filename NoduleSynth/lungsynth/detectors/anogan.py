"""AnoGAN on a generator of normal radiographs: the nearest normal image by search.

[1] Kim, Image synthesis and anomaly detection on chest radiographs using generative adversarial
networks, University of Ulsan, 2021, section 4.

Departures from [1]: an encoder may say where the search starts (ours, see ``detectors.encoder``);
pixels outside the field do not count (ours).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.contracts import ImageGenerator, Images
from lungsynth.detectors.inversion import (
    FAST,
    PLAIN,
    Inversion,
    InversionConfig,
    draw_starts,
    invert,
)


class AnoGAN:
    """Finds the normal image that is nearest to a radiograph.

    Args:
        generator: Of normal images.
        encoder: From images (B, 1, S, S) to latents (B, L), where the search then starts; None
            starts anywhere.
        config: How it is searched; None takes ``FAST`` with an encoder and ``PLAIN`` without.
        device: Where generator and encoder are.
        batch_size: Images that are searched at once.
        seed: Starts without an encoder follow from it.
        on_image: Called with images done and images in all, after each batch and step of it.
    """

    name = "anogan"

    def __init__(
        self,
        generator: ImageGenerator,
        *,
        encoder: nn.Module | None = None,
        config: InversionConfig | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = 8,
        seed: int = 0,
        on_image: Callable[[float, int], None] | None = None,
    ) -> None:
        if encoder is None and config is not None and config.feature_weight:
            msg = "the feature loss is taken from an encoder's features; name one"
            raise LungSynthError(msg)
        self.generator, self.encoder = generator, encoder
        self.config = config or (PLAIN if encoder is None else FAST)
        self.device, self.batch_size, self.seed = torch.device(device), batch_size, seed
        self.on_image = on_image

    def reconstruct(self, images: Images, weight: Images) -> Images:
        """Return the nearest normal images (B, S, S)."""
        return self.search(images, weight)[1]

    def search(self, images: Images, weight: Images) -> tuple[np.ndarray, Images]:
        """Return latents (B, L) and the nearest normal images (B, S, S), both float32."""
        found = []
        for first in range(0, len(images), self.batch_size):
            rows = slice(first, first + self.batch_size)
            done = self._told(first, len(images), len(images[rows]))
            found.append(self.search_batch(images[rows], weight[rows], on_step=done))
        latents = np.concatenate([one.latents.cpu().numpy() for one in found])
        normals = [one.images[:, 0].clamp(-1, 1).cpu().numpy() for one in found]
        return latents, np.concatenate(normals)

    def search_batch(
        self,
        images: Images,
        weight: Images,
        *,
        on_step: Callable[[int], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Inversion:
        """Search all images at once and return all that was found; see ``inversion.invert``."""
        x = torch.from_numpy(np.ascontiguousarray(images))[:, None].to(self.device)
        w = torch.from_numpy(np.ascontiguousarray(weight))[:, None].to(self.device)
        return invert(
            self.generator,
            x,
            w,
            self.starts(x),
            self.config,
            features=getattr(self.encoder, "features", None),
            on_step=on_step,
            stop=stop,
        )

    def starts(self, images: Tensor) -> Tensor:
        """Return where the searches of images (B, 1, S, S) start, (R, B, L)."""
        if self.encoder is not None:
            with torch.no_grad():
                told: Tensor = self.encoder(images)[None]
            more = self.config.restarts - 1
        else:
            told, more = torch.zeros(0, len(images), self.generator.latent_size), 0
            more = self.config.restarts
        seeds = [self.seed] * len(images)  # one image gives one result, wherever it lies
        drawn = draw_starts(self.generator.latent_size, more, seeds) if more else told[:0]
        return torch.cat([told.to(self.device), drawn.to(self.device)])

    def _told(self, first: int, total: int, size: int) -> Callable[[int], None] | None:
        if self.on_image is None:
            return None
        tell = self.on_image
        return lambda step: tell(first + size * step / self.config.steps, total)
