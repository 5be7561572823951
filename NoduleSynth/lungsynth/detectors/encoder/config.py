"""Hyper-parameters and presets of the encoder; all (ours)."""

from __future__ import annotations

from dataclasses import dataclass

from lungsynth.nn.resnet import SHAPES

SYSTEM = "anogan-encoder"


@dataclass(frozen=True)
class EncoderConfig:
    """How the encoder is built and trained.

    Args:
        shape: A name in ``nn.resnet.SHAPES``.
        width: Channels of its first stage.
        spherical: Whether only the direction of a latent vector counts, as in PGGAN, which
            normalises it: the answer then has the length that latent vectors have on average.
        batch_size: Drawn images in a step of one process, and as many real ones.
        learning_rate: Of Adam; falls by a cosine.
        total_steps: Steps of a whole training.
        latent_weight: Of the squared error of the latent vectors of drawn images.
        image_weight: Of the residual loss of drawn images.
        real_weight: Of the residual loss of real ones.
        noise: Standard deviation of what is added to drawn images: real ones are never so clean.
        shift: Real images are moved by up to this part of their side.
        latent_size: Of the generator; filled in when training begins.
        generator_sha256: Of its weights; filled in. An encoder is of no use to another.
    """

    shape: str = "resnet10"
    width: int = 32
    spherical: bool = True
    batch_size: int = 8
    learning_rate: float = 1e-3
    total_steps: int = 5000
    latent_weight: float = 0.3
    image_weight: float = 1.0
    real_weight: float = 2.0
    noise: float = 0.03
    shift: float = 0.03
    latent_size: int = 0
    generator_sha256: str = ""

    def __post_init__(self) -> None:
        if self.shape not in SHAPES:
            msg = f"shape must be one of {', '.join(SHAPES)}; got '{self.shape}'"
            raise ValueError(msg)


PRESETS = {
    "default": EncoderConfig(),
    "large": EncoderConfig(shape="resnet50", width=64, batch_size=32, total_steps=50_000),
    "tiny": EncoderConfig(shape="resnet10", width=4, batch_size=4, total_steps=10),
}
