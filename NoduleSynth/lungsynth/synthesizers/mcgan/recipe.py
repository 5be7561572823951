"""How the default preset of MCGAN is trained: critics, then segmenter, then generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.data.voi_recipe import RealBatch
from lungsynth.losses.adversarial import (
    discriminator_relativistic_loss,
    generator_relativistic_loss,
    zero_centred_penalty,
)
from lungsynth.nn.box_geometry import soft_diameter_mm, through_voxels
from lungsynth.nn.centre_unet import central
from lungsynth.nn.intensities import denormalise
from lungsynth.synthesizers.mcgan.config import MCGANConfig
from lungsynth.synthesizers.mcgan.networks import Critics, MCGANNetworks
from lungsynth.synthesizers.mcgan.recipe_base import MCGANRecipeBase


class MCGANRecipe(MCGANRecipeBase):
    """The recipe of the default preset; arguments as of ``VoiGanRecipe``."""

    stateful = (
        "networks",
        "average",
        "critics",
        "generator_adam",
        "critic_adam",
        "segmenter_adam",
    )

    def __init__(self, config: MCGANConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, sampler, fabric)
        self.config = config
        layout = {"device": fabric.device, "memory_format": torch.channels_last_3d}
        self.networks: MCGANNetworks = MCGANNetworks(config).to(**layout)
        self.critics: Critics = Critics(config).to(**layout)
        self.average = MCGANNetworks(config).to(fabric.device).requires_grad_(False)
        self.average.load_state_dict(self.networks.state_dict())
        betas = (config.adam_beta1, 0.999)
        generator, segmenter = self.networks.generator, self.networks.segmenter
        self.generator_adam = self.adam(
            generator.parameters(), config.generator_learning_rate, betas
        )
        self.critic_adam = self.adam(self.critics.parameters(), config.critic_learning_rate, betas)
        self.segmenter_adam = self.adam(
            segmenter.parameters(), config.segmenter_learning_rate, (0.9, 0.999)
        )

    def update(self, batch: RealBatch) -> dict[str, Tensor]:
        """Train on a batch and return its losses."""
        self._set_learning_rates()
        cube = batch.cube
        painted = self.networks.paint(cube, batch.condition, batch.noise)
        change = self.networks.change(cube, painted)
        with torch.autocast(cube.device.type, enabled=False):
            fake = cube + through_voxels(change, batch.round_trip)
        losses = self._train_critics(cube, fake.detach(), batch.condition)
        losses["segmenter"] = self.train_segmenter(
            self.networks.segmenter, self.segmenter_adam, batch
        )
        losses |= self._train_generator(fake, batch)
        self._update_average()
        return losses

    def _train_critics(self, cube: Tensor, fake: Tensor, condition: Tensor) -> dict[str, Tensor]:
        context, nodule = (
            discriminator_relativistic_loss(real.float(), false.float())
            for real, false in zip(
                self.critics(cube, condition), self.critics(fake, condition), strict=True
            )
        )
        penalty = self._penalty(cube, fake, condition)
        self.descend(self.critic_adam, context + nodule + penalty)
        return {"context_critic": context, "nodule_critic": nodule, "penalty": penalty}

    def _penalty(self, cube: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """Return the gradient penalty at real and at fake cubes, in turns, for its cost."""
        turn, every = self.step_count, self.config.penalty_every
        if turn % every:
            return torch.zeros((), device=cube.device)
        at = (fake if turn // every % 2 else cube).detach().requires_grad_()
        scores = [logits.float().mean(dim=1) for logits in self.critics(at, condition)]
        weight = every * self.config.gradient_penalty / 2
        return weight * zero_centred_penalty(scores[0] + scores[1], at)

    def _train_generator(self, fake: Tensor, batch: RealBatch) -> dict[str, Tensor]:
        config = self.config
        self.critics.requires_grad_(False)
        self.networks.segmenter.requires_grad_(False)
        with torch.no_grad():
            real_logits = self.critics(batch.cube, batch.condition)
        context, nodule = (
            generator_relativistic_loss(real.float(), false.float())
            for real, false in zip(real_logits, self.critics(fake, batch.condition), strict=True)
        )
        part = min(self.step_count / config.l1_steps, 1.0)
        l1_weight = config.l1_weight_start + part * (config.l1_weight_end - config.l1_weight_start)
        l1 = l1_loss(central(fake, BOX_VOXELS), central(batch.cube, BOX_VOXELS))
        size, density = self._broken_promises(central(fake, BOX_VOXELS), batch)
        total = context + nodule + l1_weight * l1
        if self.step_count >= config.promise_start:
            total = total + config.size_weight * size + config.density_weight * density
        self.descend(self.generator_adam, total)
        self.critics.requires_grad_(True)
        self.networks.segmenter.requires_grad_(True)
        return {
            "context_generator": context,
            "nodule_generator": nodule,
            "l1": l1,
            "size": size,
            "density": density,
        }

    def _broken_promises(self, centre: Tensor, batch: RealBatch) -> tuple[Tensor, Tensor]:
        """Return how far log diameter and mean HU (in 300 HU) are from what was asked."""
        soft = self.networks.segmenter(centre).float().sigmoid()
        size = (soft_diameter_mm(soft, batch.box_mm) / batch.diameter_mm).log().abs().mean()
        hu = denormalise((soft * centre).flatten(1).sum(1) / (soft.flatten(1).sum(1) + 1))
        return size, ((hu - batch.mean_hu) / 300).abs().mean()

    def _set_learning_rates(self) -> None:
        config = self.config
        part = float(np.clip((config.total_steps - self.step_count) / config.decay_steps, 0.1, 1.0))
        for optimizer, rate in (
            (self.generator_adam, config.generator_learning_rate),
            (self.critic_adam, config.critic_learning_rate),
            (self.segmenter_adam, config.segmenter_learning_rate),
        ):
            for group in optimizer.param_groups:
                group["lr"] = part * rate

    @torch.no_grad()
    def _update_average(self) -> None:
        # A short memory at first, so that the untrained start is soon forgotten.
        decay = min(self.config.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        pairs = zip(self.average.parameters(), self.networks.parameters(), strict=True)
        for mean, value in pairs:
            mean.lerp_(value, 1 - decay)

    def trained_networks(self) -> nn.Module:
        """Return the moving average of the networks."""
        return self.average
