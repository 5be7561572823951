"""How the texture generator is trained [1, III.C and IV.A]; [1] is named in the package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungsynth.core.contracts import PATCH_PIXELS
from lungsynth.data.cxr_patches import CxrPatchSampler, PatchPair
from lungsynth.losses.adversarial import (
    discriminator_least_squares_loss,
    generator_least_squares_loss,
)
from lungsynth.losses.perceptual import VggFeatures, perceptual_loss, weighted_l1
from lungsynth.nn.recipe import NetworkRecipe, update_average
from lungsynth.synthesizers.shape_texture.conditions import texture_input
from lungsynth.synthesizers.shape_texture.config import TextureConfig
from lungsynth.synthesizers.shape_texture.texture_networks import (
    TextureCritic,
    TextureGenerator,
    TextureInput,
    put_back,
    working_side,
)
from lungsynth.synthesizers.shape_texture.weights import TEXTURE, save_parts, take_over

_SAMPLES = 6
_TRIES = 50


class TextureRecipe(NetworkRecipe):
    """Reconstruction, features and LSGAN, with a second phase at lower learning rates.

    Args:
        config: Hyper-parameters.
        sampler: Where patches come from.
        fabric: A launched ``lightning_fabric.Fabric``.
        vgg: For the perceptual loss; without it the discriminator's own features are compared.
    """

    stateful = ("generator", "average", "critic", "generator_adam", "critic_adam")
    critic_chance: ClassVar[Mapping[str, float]] = {"critic": 0.25}

    def __init__(
        self,
        config: TextureConfig,
        sampler: CxrPatchSampler,
        fabric: Any,  # noqa: ANN401 - Fabric is optional
        vgg: VggFeatures | None = None,
    ) -> None:
        super().__init__(config, fabric)
        self.config: TextureConfig = config
        self.sampler = sampler
        self.vgg = vgg.to(fabric.device).eval() if vgg is not None else None
        self.generator = TextureGenerator(config).to(fabric.device)
        self.critic = TextureCritic(config).to(fabric.device)
        self.average = TextureGenerator(config).to(fabric.device).requires_grad_(False)
        self.average.load_state_dict(self.generator.state_dict())
        betas = (config.adam_beta1, 0.999)
        rate = config.generator_learning_rate
        self.generator_adam = self.adam(self.generator.parameters(), rate, betas)
        self.critic_adam = self.adam(
            self.critic.parameters(), rate * config.critic_rate_part, betas
        )
        self.kept: dict[str, nn.Module] = {}

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train discriminator and generator on one batch."""
        self._set_learning_rates()
        given, real = self.draw_batch(rng)
        with self.fabric.autocast():
            losses = self.update(given, real)
        update_average(self.average, self.generator, self.config.ema_decay, self.step_count)
        return {name: float(value.detach()) for name, value in losses.items()}

    def draw_batch(self, rng: np.random.Generator) -> tuple[TextureInput, Tensor]:
        """Draw what nodules are painted from, and the patches as they are, (B, 1, S, S).

        Now and then a batch is of whole patches, else of small ones with small nodules.
        """
        size, config = self.config.batch_size, self.config
        total, own = size * int(self.fabric.world_size), self.own_part(size)
        whole = rng.random() < 0.2 or config.small_side == PATCH_PIXELS
        pairs, seen = [], []
        for _ in range(total):
            pairs.append(self._draw_pair(rng, whole=whole))
            seen.append(bool(rng.random() < config.seen_through))
        given, real = texture_input(config, pairs[own], seen[own])
        side = PATCH_PIXELS if whole else config.small_side
        start = (PATCH_PIXELS - side) // 2
        middle = (..., slice(start, start + side), slice(start, start + side))
        return given.central(side).to(self.fabric.device), real[middle].to(self.fabric.device)

    def _draw_pair(self, rng: np.random.Generator, *, whole: bool) -> PatchPair:
        """Draw a pair whose nodule, unless the patch is whole, fits into the small one."""
        for _ in range(_TRIES):
            pair = self.sampler.make(self.sampler.draw(rng))
            if not (pair.mask > 0.5).any():
                continue
            free = torch.from_numpy(pair.free)
            if whole or working_side(self.config, free) < PATCH_PIXELS:
                return pair
        return pair

    def update(self, given: TextureInput, real: Tensor) -> dict[str, Tensor]:
        """Train on a batch and return its losses."""
        config = self.config
        coarse, last = (out.float() for out in self.generator(given))
        if not config.whole_patch:
            coarse, last = put_back(coarse, given), put_back(last, given)
        real_scores, _ = self.critic(real, given.mask)
        fake_scores, _ = self.critic(last.detach(), given.mask)
        critic = discriminator_least_squares_loss(real_scores.float(), fake_scores.float())
        self.descend(self.critic_adam, critic)

        weight = None if config.whole_patch else given.free
        self.critic.requires_grad_(False)
        scores, features = self.critic(last, given.mask)
        adversarial = generator_least_squares_loss(scores.float())
        with torch.no_grad():
            wanted = self.vgg(real) if self.vgg else self.critic(real, given.mask)[1]
        found = self.vgg(last) if self.vgg else features
        perceptual = perceptual_loss(wanted, found, weight)
        first, second = weighted_l1(real, coarse, weight), weighted_l1(real, last, weight)
        total = (
            config.coarse_weight * first * config.two_stage
            + config.refined_weight * second
            + config.perceptual_weight * perceptual
            + config.adversarial_weight * adversarial
        )
        self.descend(self.generator_adam, total)
        self.critic.requires_grad_(True)
        return {
            "critic": critic,
            "adversarial": adversarial,
            "perceptual": perceptual,
            "coarse_l1": first,
            "l1": second,
        }

    def _set_learning_rates(self) -> None:
        config = self.config
        second = self.step_count >= (1 - config.second_phase) * config.total_steps
        rate = config.generator_learning_rate * (config.low_rate_part if second else 1.0)
        for optimizer, part in (
            (self.generator_adam, 1.0),
            (self.critic_adam, config.critic_rate_part),
        ):
            for group in optimizer.param_groups:
                group["lr"] = rate * part

    def data_summary(self) -> dict[str, object]:
        """Return how many images and nodules there are, and whose features are compared."""
        sampler = self.sampler
        return {
            "radiographs": len(sampler.radiographs),
            "ct_nodules": len(sampler.nodules),
            "drrs": len(sampler.drrs),
            "drr_nodules": len(sampler.drr_nodules),
            "sha256": sampler.fingerprint(),
            "perceptual": f"VGG-16 {self.vgg.sha256}" if self.vgg else "discriminator features",
        }

    def start_from(self, found: Mapping[str, nn.Module]) -> None:
        """Start from weights that were read, and keep the other part.

        Raises:
            LungSynthError: If they are of another preset.
        """
        self.kept = take_over(self.generator, found, TEXTURE)
        self.average.load_state_dict(self.generator.state_dict())

    def save_weights(self, path: Path) -> None:
        """Write the generator, beside the shape part where that was given."""
        save_parts(path, {**self.kept, TEXTURE: self.average})

    @torch.no_grad()
    def sample_picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return patches without, as they are, and with a nodule painted, one row each."""
        pairs = [self._draw_pair(rng, whole=False) for _ in range(_SAMPLES)]
        given, real = texture_input(self.config, pairs, [False] * _SAMPLES)
        given = given.to(self.fabric.device)
        painted = self.average.paint(given).float().cpu()
        rows = [given.base.cpu(), real, painted, 2 * given.mask.cpu() - 1]
        picture = np.concatenate([np.concatenate(list(row[:, 0].numpy()), axis=1) for row in rows])
        return np.asarray(((picture + 1) * 127.5).clip(0, 255), dtype=np.uint8)
