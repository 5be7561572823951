"""How the encoder is trained on a generator's drawings and on real normals."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiographs import RadiographSet, read_squares
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.encoder.config import PRESETS, SYSTEM, EncoderConfig
from lungsynth.detectors.encoder.network import Encoder, on_sphere
from lungsynth.detectors.generator import Generator, load_generator
from lungsynth.detectors.inversion import residual_loss
from lungsynth.imaging.exposed_field import exposed_field
from lungsynth.nn.recipe import NetworkRecipe
from lungsynth.nn.weights import save_weights


class EncoderRecipe(NetworkRecipe):
    """Trains an encoder for a generator that stays as it is.

    Args:
        config: With all that is filled in filled in.
        generator: Whose images it is to invert.
        images: Real normals (N, S, S) in [-1, 1].
        weight: How far each of their pixels counts, same shape.
        fabric: A launched Fabric.
    """

    stateful = ("encoder", "optimizer")

    def __init__(
        self,
        config: EncoderConfig,
        generator: Generator,
        images: Images,
        weight: Images,
        fabric: Any,  # noqa: ANN401 - Fabric is optional
    ) -> None:
        super().__init__(config, fabric)
        self.generator, self.images, self.weight = generator, images, weight
        self.encoder = Encoder(config).to(fabric.device)
        self.optimizer = self.adam(self.encoder.parameters(), config.learning_rate, (0.9, 0.999))

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on drawn and real images and return the losses."""
        config, device = self.config, self.fabric.device
        part = 0.5 * (1 + math.cos(math.pi * min(1.0, self.step_count / config.total_steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * max(part, 0.01)
        latents, noise = (t.to(device) for t in self.draw_drawings(rng))
        real, weight = (t.to(device) for t in self.draw_real(rng))
        with torch.no_grad():
            drawn = self.generator(latents)
        self.encoder.train()
        both = torch.cat([(drawn + config.noise * noise).clamp(-1, 1), real])
        with self.fabric.autocast():
            found = self.encoder(both).float()
        again = self.generator(found)
        count = len(drawn)
        wanted = on_sphere(latents) if config.spherical else latents
        latent = (found[:count] - wanted).square().mean()
        image = residual_loss(again[:count], drawn, torch.ones_like(drawn)).mean()
        on_real = residual_loss(again[count:], real, weight).mean()
        total = (
            config.latent_weight * latent
            + config.image_weight * image
            + config.real_weight * on_real
        )
        self.descend(self.optimizer, total)
        named = {"latent": latent, "drawn": image, "real": on_real}
        return {name: float(value.detach()) for name, value in named.items()}

    def draw_drawings(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw this process's latent vectors (B, L) and noise (B, 1, S, S)."""
        own, side = self.own_part(self.config.batch_size), self.generator.image_size
        total = self.config.batch_size * self.fabric.world_size
        latents = rng.standard_normal((total, self.generator.latent_size), dtype=np.float32)
        noise = rng.standard_normal((total, 1, side, side), dtype=np.float32)
        return torch.from_numpy(latents[own]), torch.from_numpy(noise[own])

    def draw_real(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Draw this process's real images and weights (B, 1, S, S), moved a little."""
        own = self.own_part(self.config.batch_size)
        total = self.config.batch_size * self.fabric.world_size
        rows = rng.integers(len(self.images), size=total)[own]
        most = round(self.config.shift * self.generator.image_size)
        moves = rng.integers(-most, most + 1, size=(total, 2))[own]
        images = [moved(self.images[n], m) for n, m in zip(rows, moves, strict=True)]
        weight = [moved(self.weight[n], m) for n, m in zip(rows, moves, strict=True)]
        one, two = (torch.from_numpy(np.stack(a)[:, None]) for a in (images, weight))
        return one, two

    def data_summary(self) -> dict[str, object]:
        """Return how many images, of which generator, and a fingerprint."""
        return {
            "images": len(self.images),
            "generator_sha256": self.config.generator_sha256,
            "sha256": hashlib.sha256(self.images.tobytes()).hexdigest(),
        }

    def save_weights(self, path: Path) -> None:
        """Write the encoder as safetensors."""
        save_weights(path, SYSTEM, asdict(self.config), self.encoder.network.state_dict())

    @torch.no_grad()
    def sample_picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a grid: real normals above, what the generator makes of the answers below."""
        rows = rng.permutation(len(self.images))[:8]
        real = torch.from_numpy(self.images[rows])[:, None].to(self.fabric.device)
        training = self.encoder.training
        self.encoder.eval()
        again = self.generator(self.encoder(real))
        self.encoder.train(training)
        grid = torch.cat([torch.cat(list(line[:, 0]), dim=1) for line in (real, again)])
        return ((grid.clamp(-1, 1) + 1) * 127.5).round().byte().cpu().numpy()


def moved(image: NDArray[np.float32], move: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return an image moved by (rows, columns); what comes in repeats the edge."""
    down, right = int(move[0]), int(move[1])
    rows = np.clip(np.arange(image.shape[0]) - down, 0, image.shape[0] - 1)
    columns = np.clip(np.arange(image.shape[1]) - right, 0, image.shape[1] - 1)
    return image[rows][:, columns]


def build_recipe(
    data: Path,
    preset: str,
    fabric: Any,  # noqa: ANN401 - Fabric is optional
    init: Path | None,
) -> EncoderRecipe:
    """Return a recipe for a generator and the normals of a folder of radiographs.

    Args:
        data: In ChestX-ray14's format, see ``data.radiographs``; its training normals are used.
        preset: A name in ``PRESETS``.
        fabric: A launched Fabric.
        init: The generator's weights; None takes those that ship.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    if preset not in PRESETS:
        msg = f"unknown preset '{preset}'; {SYSTEM} has {', '.join(PRESETS)}"
        raise LungSynthError(msg)
    generator = load_generator(init, str(fabric.device))
    config = dataclasses.replace(
        PRESETS[preset],
        latent_size=generator.latent_size,
        generator_sha256=generator.weights_sha256,
    )
    records = RadiographSet.open(data).select("train", normal_only=True)
    images = read_squares(records, generator.image_size, generator.scale)
    weight = np.stack([exposed_field(image) for image in images]).astype(np.float32)
    return EncoderRecipe(config, generator, images, weight, fabric)
