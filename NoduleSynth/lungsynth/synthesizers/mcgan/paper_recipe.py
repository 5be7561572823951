"""How the paper trains: LSGAN in context, WGAN-GP on the nodule, labels flipped 1 in 3.

[1] is the paper named in the package's docstring; its objectives are Eq. 1 and, with the L1 term,
Eq. 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.nn.functional import l1_loss, pad

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.data.voi_recipe import RealBatch
from lungsynth.losses.adversarial import (
    critic_wasserstein_loss,
    discriminator_least_squares_loss,
    generator_least_squares_loss,
    generator_wasserstein_loss,
    gradient_penalty,
)
from lungsynth.nn.centre_unet import central
from lungsynth.nn.intensities import to_unit
from lungsynth.nn.recipe import frozen, kept_if_one
from lungsynth.synthesizers.mcgan.paper import PaperConfig, PaperCritics, PaperNetworks
from lungsynth.synthesizers.mcgan.recipe_base import MCGANRecipeBase

_MARGIN = (GRID_VOXELS - BOX_VOXELS) // 2


class PaperRecipe(MCGANRecipeBase):
    """The recipe of [1, 6.2.1]; arguments as of ``VoiGanRecipe``."""

    config: PaperConfig
    stateful = ("networks", "critics", "generator_adam", "critic_adam", "segmenter_adam")
    critic_chance: ClassVar[Mapping[str, float]] = {"context_critic": 0.25}

    def __init__(self, config: PaperConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, sampler, fabric)
        self.networks: PaperNetworks = PaperNetworks(config).to(fabric.device)
        self.critics: PaperCritics = PaperCritics(config).to(fabric.device)
        betas = (config.adam_beta1, 0.999)
        rate = config.learning_rate
        self.generator_adam = self.adam(self.networks.generator.parameters(), rate, betas)
        self.critic_adam = self.adam(self.critics.parameters(), rate, betas)
        self.segmenter_adam = self.adam(
            self.networks.segmenter.parameters(), config.segmenter_learning_rate, (0.9, 0.999)
        )

    def update(self, batch: RealBatch) -> dict[str, Tensor]:
        """Train on a batch and return its losses."""
        parts = batch.parts(self.accumulate)
        views = kept_if_one(self._views, parts)
        losses = self.descend_over(
            self.critic_adam, parts, lambda part: self._critics_losses(part, *views(part))
        )
        with frozen(self.critics):
            losses |= self.descend_over(
                self.generator_adam, parts, lambda part: self._generator_losses(part, *views(part))
            )
        losses["segmenter"] = self.train_segmenter(
            self.networks.segmenter, self.segmenter_adam, parts
        )
        return losses

    def _views(self, part: RealBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the generator sees, the real cubes and the filled ones, on its scale."""
        hidden = self.networks.hidden(part.cube, part.noise)
        centre = to_unit(self.networks.paint(part.cube, part.condition, part.noise))
        fake = hidden + pad(centre - part.noise.box, [_MARGIN] * 6)
        return hidden, to_unit(part.cube), fake

    def _critics_losses(
        self, part: RealBatch, hidden: Tensor, real: Tensor, drawn: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        condition, fake = part.condition, drawn.detach()
        real_scores = self.critics.judge_context(hidden, real).float()
        fake_scores = self.critics.judge_context(hidden, fake).float()
        # "flip real/synthetic labels once in three times" [1]; (ours) for the context critic
        # alone: a Wasserstein critic has no labels, and to swap its sides undoes its training.
        if self.step_count % self.config.label_flip_every == self.config.label_flip_every - 1:
            real_scores, fake_scores = fake_scores, real_scores
        context = discriminator_least_squares_loss(real_scores, fake_scores)
        real_centre, fake_centre = central(real, BOX_VOXELS), central(fake, BOX_VOXELS)
        wasserstein = critic_wasserstein_loss(
            self.critics.judge_nodule(real_centre, condition).float(),
            self.critics.judge_nodule(fake_centre, condition).float(),
        )
        penalty = gradient_penalty(
            lambda centre: self.critics.judge_nodule(centre, condition).float(),
            real_centre,
            fake_centre,
            part.mix,
        )
        total = context + wasserstein + self.config.gradient_penalty * penalty
        named = {"context_critic": context, "nodule_critic": wasserstein, "penalty": penalty}
        return total, named

    def _generator_losses(
        self, part: RealBatch, hidden: Tensor, real: Tensor, fake: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        context = generator_least_squares_loss(self.critics.judge_context(hidden, fake).float())
        nodule = generator_wasserstein_loss(
            self.critics.judge_nodule(central(fake, BOX_VOXELS), part.condition).float()
        )
        l1 = l1_loss(central(fake, BOX_VOXELS), central(real, BOX_VOXELS))
        total = context + nodule + self.config.l1_weight * l1
        return total, {"context_generator": context, "nodule_generator": nodule, "l1": l1}
