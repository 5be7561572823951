"""From an image to the latent vector that a generator would draw it from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.encoder.config import SYSTEM, EncoderConfig
from lungsynth.nn.device import choose_device
from lungsynth.nn.resnet import ResNet
from lungsynth.nn.weights import load_weights


class Encoder(nn.Module):
    """A residual network with the latent vector as its output.

    Args:
        config: With ``latent_size`` filled in.
        sha256: Of the weights file; None for a network just made.
    """

    def __init__(self, config: EncoderConfig, sha256: str | None = None) -> None:
        super().__init__()
        self.config, self.sha256 = config, sha256
        self.network = ResNet(config.shape, width=config.width, outputs=config.latent_size)

    def features(self, images: Tensor) -> Tensor:
        """Return features (B, C) learnt without any label, for a search's feature loss."""
        return self.network.features(images)

    def forward(self, images: Tensor) -> Tensor:
        """Return latent vectors (B, L) of images (B, 1, S, S) in [-1, 1]."""
        latents: Tensor = self.network(images)
        return on_sphere(latents) if self.config.spherical else latents


def on_sphere(latents: Tensor) -> Tensor:
    """Return latent vectors (B, L) of the root-mean-square length of standard normal ones."""
    length = latents.norm(dim=1, keepdim=True).clamp(min=1e-8)
    scaled: Tensor = latents * (math.sqrt(latents.shape[1]) / length)
    return scaled


def load_encoder(path: Path, generator_sha256: str, device: str = "auto") -> Encoder:
    """Read an encoder's weights.

    Args:
        path: Of ``lungsynth train anogan-encoder``.
        generator_sha256: Of the generator that it is to serve.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        LungSynthError: If the file is missing or broken, or of another generator.
    """
    stored = load_weights(path, SYSTEM)
    values: dict[str, Any] = dict(stored.config)
    try:
        encoder = Encoder(EncoderConfig(**values), stored.sha256)
        encoder.network.load_state_dict(stored.tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        msg = f"{path}: the weights do not fit the networks of this version ({reason})"
        raise LungSynthError(msg) from None
    if encoder.config.generator_sha256 != generator_sha256:
        msg = (
            f"{path}: an encoder of the generator {encoder.config.generator_sha256[:12]}, not of "
            f"{generator_sha256[:12]}; train one with 'lungsynth train {SYSTEM} --init' and the "
            "generator's weights"
        )
        raise LungSynthError(msg)
    return encoder.to(choose_device(device)).eval().requires_grad_(False)
