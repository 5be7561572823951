"""How the shape generator is trained [1, III.A]; [1] is the paper named in the package."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungsynth.data.outlines import NoduleOutlines, draw_shapes
from lungsynth.losses.adversarial import (
    discriminator_least_squares_loss,
    generator_least_squares_loss,
)
from lungsynth.nn.recipe import NetworkRecipe, update_average
from lungsynth.synthesizers.shape_texture.config import ShapeConfig
from lungsynth.synthesizers.shape_texture.shape_networks import (
    ShapeCritic,
    ShapeGenerator,
    draw_latent,
)
from lungsynth.synthesizers.shape_texture.weights import SHAPE, save_parts, take_over

_GRID = (4, 8)


class ShapeRecipe(NetworkRecipe):
    """LSGAN on outlines of real nodules, all of one diameter.

    Args:
        config: Hyper-parameters.
        outlines: Of the training split.
        fabric: A launched ``lightning_fabric.Fabric``.
    """

    stateful = ("generator", "average", "critic", "generator_adam", "critic_adam")
    critic_chance: ClassVar[Mapping[str, float]] = {"critic": 0.25}

    def __init__(self, config: ShapeConfig, outlines: NoduleOutlines, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, fabric)
        self.config: ShapeConfig = config
        self.outlines = outlines
        self.generator = ShapeGenerator(config).to(fabric.device)
        self.critic = ShapeCritic(config).to(fabric.device)
        self.average = ShapeGenerator(config).to(fabric.device).requires_grad_(False)
        self.average.load_state_dict(self.generator.state_dict())
        betas = (config.adam_beta1, 0.999)
        self.generator_adam = self.adam(
            self.generator.parameters(), config.generator_learning_rate, betas
        )
        self.critic_adam = self.adam(self.critic.parameters(), config.critic_learning_rate, betas)
        self.kept: dict[str, nn.Module] = {}

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train discriminator and generator on one batch."""
        real, latent = self.draw_batch(rng)
        with self.fabric.autocast():
            fake = self.generator(latent)
            critic = discriminator_least_squares_loss(
                self.critic(real).float(), self.critic(fake.detach()).float()
            )
            self.descend(self.critic_adam, critic)
            self.critic.requires_grad_(False)
            generator = generator_least_squares_loss(self.critic(fake).float())
            lacking = lacking_variety(fake.float(), real)
            self.descend(self.generator_adam, generator + self.config.variety_weight * lacking)
            self.critic.requires_grad_(True)
        update_average(self.average, self.generator, self.config.ema_decay, self.step_count)
        with torch.no_grad():  # the average has batch statistics of its own
            self.average(latent)
        return {
            "critic": float(critic.detach()),
            "generator": float(generator.detach()),
            "lacking_variety": float(lacking.detach()),
        }

    def draw_batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw real shapes (B, 1, 128, 128) and latent vectors (B, 100)."""
        size = self.config.batch_size
        total, own = size * int(self.fabric.world_size), self.own_part(size)
        real = torch.from_numpy(draw_shapes(self.outlines, total, rng)[own])[:, None]
        latent = draw_latent(self.config.latent_features, rng, total)[own]
        return real.to(self.fabric.device), latent.to(self.fabric.device)

    def data_summary(self) -> dict[str, object]:
        """Return how many outlines, of how many series, and a fingerprint."""
        return {
            "outlines": len(self.outlines),
            "series": len(np.unique(self.outlines.series)),
            "sha256": hashlib.sha256(self.outlines.shapes.tobytes()).hexdigest(),
        }

    def start_from(self, found: Mapping[str, nn.Module]) -> None:
        """Start from weights that were read, and keep the other part.

        Raises:
            LungSynthError: If they are of another preset.
        """
        self.kept = take_over(self.generator, found, SHAPE)
        self.average.load_state_dict(self.generator.state_dict())

    def save_weights(self, path: Path) -> None:
        """Write the generator, beside the texture part where that was given."""
        save_parts(path, {SHAPE: self.average, **self.kept})

    @torch.no_grad()
    def draw_variants(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return generated shapes and real ones, (count, 128, 128), for the watch over variety."""
        real = draw_shapes(self.outlines, count, rng)
        latent = draw_latent(self.config.latent_features, rng, count)
        training = self.average.training
        self.average.eval()
        drawn = self.average(latent.to(self.fabric.device))[:, 0].float().cpu().numpy()
        self.average.train(training)
        return drawn, real

    @torch.no_grad()
    def sample_picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return real shapes above generated ones."""
        rows, columns = _GRID
        drawn, real = self.draw_variants(rng, rows * columns)
        shapes = np.concatenate([real[:columns], drawn])
        shapes = shapes.reshape(rows + 1, columns, *real.shape[1:])
        picture = shapes.transpose(0, 2, 1, 3).reshape((rows + 1) * real.shape[1], -1)
        return np.asarray((picture * 255).clip(0, 255), dtype=np.uint8)


def lacking_variety(fake: Tensor, real: Tensor) -> Tensor:
    """Return which part of the real batch's variety the fake one lacks; 0 where it lacks none.

    (ours) Variety is the standard deviation of a pixel over the batch, averaged over pixels.

    Args:
        fake: (B, 1, 128, 128), B at least 2.
        real: Same shape.
    """
    fake_varies, real_varies = (
        (batch.var(dim=0, unbiased=False) + 1e-8).sqrt().mean() for batch in (fake, real)
    )
    return torch.relu(1 - fake_varies / real_varies)
