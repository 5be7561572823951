"""How the default preset of MCGAN is trained: critics, then segmenter, then generator."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import l1_loss

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.data.voi_recipe import RealBatch
from lungsynth.losses.adversarial import (
    discriminator_relativistic_loss,
    generator_relativistic_loss,
    zero_centred_penalty,
)
from lungsynth.nn.box_geometry import through_voxels
from lungsynth.nn.centre_unet import central
from lungsynth.nn.recipe import frozen, kept_if_one, update_average
from lungsynth.synthesizers.mcgan.config import MCGANConfig
from lungsynth.synthesizers.mcgan.networks import Critics, MCGANNetworks
from lungsynth.synthesizers.mcgan.recipe_base import MCGANRecipeBase


class MCGANRecipe(MCGANRecipeBase):
    """The recipe of the default preset; arguments as of ``VoiGanRecipe``."""

    config: MCGANConfig
    stateful = (
        "networks",
        "average",
        "critics",
        "generator_adam",
        "critic_adam",
        "segmenter_adam",
    )
    critic_chance: ClassVar[Mapping[str, float]] = {
        "context_critic": log(2),
        "nodule_critic": log(2),
    }

    def __init__(self, config: MCGANConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, sampler, fabric)
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
        config, parts = self.config, batch.parts(self.accumulate)
        rates = {
            self.generator_adam: config.generator_learning_rate,
            self.critic_adam: config.critic_learning_rate,
            self.segmenter_adam: config.segmenter_learning_rate,
        }
        self.decay_rates(rates, config.decay_steps)
        fake = kept_if_one(self._draw, parts)
        losses = self.descend_over(
            self.critic_adam, parts, lambda part: self._critics_losses(part, fake(part).detach())
        )
        losses["segmenter"] = self.train_segmenter(
            self.networks.segmenter, self.segmenter_adam, parts
        )
        with frozen(self.critics, self.networks.segmenter):
            losses |= self.descend_over(
                self.generator_adam, parts, lambda part: self._generator_losses(part, fake(part))
            )
        update_average(self.average, self.networks, config.ema_decay, self.step_count)
        return losses

    def _draw(self, part: RealBatch) -> Tensor:
        """Return the cubes with a nodule drawn anew, as a volume's own voxels hold them."""
        painted = self.networks.paint(part.cube, part.condition, part.noise)
        change = self.networks.change(part.cube, painted)
        with torch.autocast(part.cube.device.type, enabled=False):
            return part.cube + through_voxels(change, part.round_trip)

    def _critics_losses(self, part: RealBatch, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        cube, condition = part.cube, part.condition
        context, nodule = (
            discriminator_relativistic_loss(real.float(), false.float())
            for real, false in zip(
                self.critics(cube, condition), self.critics(fake, condition), strict=True
            )
        )
        penalty = self._penalty(cube, fake, condition)
        named = {"context_critic": context, "nodule_critic": nodule, "penalty": penalty}
        return context + nodule + penalty, named

    def _penalty(self, cube: Tensor, fake: Tensor, condition: Tensor) -> Tensor:
        """Return the gradient penalty at real and at fake cubes, in turns, for its cost."""
        turn, every = self.step_count, self.config.penalty_every
        if turn % every:
            return torch.zeros((), device=cube.device)
        at = (fake if turn // every % 2 else cube).detach().requires_grad_()
        scores = [logits.float().mean(dim=1) for logits in self.critics(at, condition)]
        weight = every * self.config.gradient_penalty / 2
        return weight * zero_centred_penalty(scores[0] + scores[1], at)

    def _generator_losses(self, part: RealBatch, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        with torch.no_grad():
            real_logits = self.critics(part.cube, part.condition)
        context, nodule = (
            generator_relativistic_loss(real.float(), false.float())
            for real, false in zip(real_logits, self.critics(fake, part.condition), strict=True)
        )
        done = min(self.step_count / config.l1_steps, 1.0)
        l1_weight = config.l1_weight_start + done * (config.l1_weight_end - config.l1_weight_start)
        centre = central(fake, BOX_VOXELS)
        l1 = l1_loss(centre, central(part.cube, BOX_VOXELS))
        size, density = self.broken_promises(centre, part, part.mean_hu)
        total = context + nodule + l1_weight * l1
        if self.step_count >= config.promise_start:
            total = total + config.size_weight * size + config.density_weight * density
        return total, {
            "context_generator": context,
            "nodule_generator": nodule,
            "l1": l1,
            "size": size,
            "density": density,
        }
