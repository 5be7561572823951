"""A trained generator of whole radiographs, ready to draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.nn.device import choose_device
from lungsynth.nn.weights import shipped_weights
from lungsynth.synthesizers.pggan.build import load_networks, scale_of
from lungsynth.synthesizers.pggan.networks import Generator

WEIGHTS = "pggan.safetensors"


class RadiographGenerator:
    """Latent vectors to radiographs, see ``detectors.contracts.ImageGenerator``.

    Args:
        generator: Trained networks.
        scale: How stored values became what the networks saw.
        weights_sha256: Of the file that they came from.
    """

    def __init__(self, generator: Generator, scale: RadiographScale, weights_sha256: str) -> None:
        self.generator = generator.eval().requires_grad_(False)
        self.scale, self.weights_sha256 = scale, weights_sha256

    @property
    def latent_size(self) -> int:
        """Length of a latent vector; its entries are N(0, 1), and only its direction counts."""
        return self.generator.config.latent_features

    @property
    def image_size(self) -> int:
        """Rows and columns of an image."""
        return self.generator.side

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.generator.parameters()).device

    def __call__(self, latents: Tensor) -> Tensor:
        """Return images (B, 1, S, S) of latents (B, L), differentiable.

        They lie about in [-1, 1]; no activation bounds them, so that a search for latents is
        told by how much black is too dark.
        """
        images: Tensor = self.generator(latents)
        return images

    def draw(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return images (B, S, S) in [-1, 1]: the same latent, the same image, whatever batch.

        Args:
            latents: (B, L).
        """
        with torch.no_grad():  # one by one, since a batch's size changes how sums are rounded
            drawn = [
                self(torch.from_numpy(one[None]).to(self.device)).clamp(-1, 1).cpu()
                for one in np.asarray(latents, np.float32)
            ]
        images: NDArray[np.float32] = torch.cat(drawn)[:, 0].numpy()
        return images


def load_pggan(weights: Path | None = None, device: str = "auto") -> RadiographGenerator:
    """Return the generator of a weights file.

    Args:
        weights: None takes those that ship.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If the file cannot be used, or the device is not there.
    """
    chosen = choose_device(str(device))
    path = weights or shipped_weights(WEIGHTS)
    generator, stored = load_networks(path, "pggan", Generator)
    return RadiographGenerator(generator.to(chosen), scale_of(generator.config), stored.sha256)


def draw_latents(seeds: Sequence[int], latent_size: int) -> NDArray[np.float32]:
    """Draw latents (B, L) from N(0, 1), each from its own seed."""
    return np.stack(
        [np.random.default_rng(seed).standard_normal(latent_size, np.float32) for seed in seeds]
    )


def interpolate(
    latents: NDArray[np.float32], frames: int, *, closed: bool = True
) -> NDArray[np.float32]:
    """Return latents (F, L) on the way from one to the next, at even steps of the angle.

    Only a latent's direction counts, so the way is along great circles.

    Args:
        latents: To pass through, (N, L), N >= 2.
        frames: For each way from one to the next.
        closed: Whether to end where it began (the last frame is then the one before that).
    """
    ends = [*latents[1:], latents[0]] if closed else [*latents[1:]]
    way = []
    for start, end in zip(latents, ends, strict=False):
        first, last = start / np.linalg.norm(start), end / np.linalg.norm(end)
        angle = np.arccos(np.clip(first @ last, -1, 1))
        for part in np.arange(frames) / frames:
            weights = (np.sin((1 - part) * angle), np.sin(part * angle))
            point = weights[0] * first + weights[1] * last if angle > 1e-6 else first
            way.append(point / np.linalg.norm(point) * np.sqrt(latents.shape[1]))
    if not closed:
        way.append(latents[-1] / np.linalg.norm(latents[-1]) * np.sqrt(latents.shape[1]))
    return np.stack(way).astype(np.float32)
