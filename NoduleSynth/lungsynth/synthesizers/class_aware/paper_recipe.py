"""How the paper trains: Eqs. 1 to 5, the class loss switched on late.

[1] is the paper named in the package's docstring.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lungsynth.core.density import MALIGNANT_RATING
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.losses.adversarial import generator_wasserstein_loss, gradient_penalty
from lungsynth.losses.class_aware import (
    BENIGN,
    FAKE,
    MALIGNANT,
    adversarial_value,
    class_loss,
    critic_objective,
    generator_objective,
    reconstruction_loss,
)
from lungsynth.nn.recipe import frozen
from lungsynth.synthesizers.class_aware.paper import (
    PaperConfig,
    PaperCritic,
    PaperCritics,
    PaperFilled,
    PaperNetworks,
)
from lungsynth.synthesizers.class_aware.recipe_base import ClassAwareRecipeBase, ClassBatch


class PaperRecipe(ClassAwareRecipeBase):
    """The recipe of [1, 2]; arguments as of ``VoiGanRecipe``."""

    config: PaperConfig
    stateful = ("networks", "critics", "generator_adam", "critic_adam", "segmenter_adam")

    def __init__(self, config: PaperConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, sampler, fabric)
        self.networks: PaperNetworks = PaperNetworks(config).to(fabric.device)
        self.critics: PaperCritics = PaperCritics(config).to(fabric.device)
        betas, rate = (config.adam_beta1, config.adam_beta2), config.learning_rate
        self.generator_adam = self.adam(self.networks.generator.parameters(), rate, betas)
        self.critic_adam = self.adam(self.critics.parameters(), rate, betas)
        self.segmenter_adam = self.adam(
            self.networks.segmenter.parameters(), config.segmenter_learning_rate, (0.9, 0.999)
        )

    def prepare(self, rng: np.random.Generator) -> list[ClassBatch]:
        """Draw a batch for each step of the critics; the generators learn from the last of them."""
        return [self.draw_batch(rng) for _ in range(self.config.critic_steps)]

    def learn(self, prepared: list[ClassBatch]) -> dict[str, float]:
        """Train the critics on each batch, then the generators on the last."""
        losses: dict[str, Tensor] = {}
        with self.fabric.autocast(), self.head_start():
            for batch in prepared:
                losses |= self.train_critics(batch)
            losses |= self.update(prepared[-1])
        return {name: float(value.detach()) for name, value in losses.items()}

    def update(self, batch: ClassBatch) -> dict[str, Tensor]:  # type: ignore[override]
        """Train generators and segmenter on a batch and return their losses."""
        parts = batch.parts(self.accumulate)
        with frozen(self.critics):
            losses = self.descend_over(self.generator_adam, parts, self._generators_losses)
        losses["segmenter"] = self.train_segmenter(
            self.networks.segmenter, self.segmenter_adam, parts
        )
        return losses

    def train_critics(self, batch: ClassBatch) -> dict[str, Tensor]:
        """Train both critics on a batch [1, Eq. 4] and return their losses."""
        return self.descend_over(
            self.critic_adam, batch.parts(self.accumulate), self._critics_losses
        )

    def _critics_losses(self, part: ClassBatch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            filled = self.networks.fill(part.cube, part.asked_condition, part.noise)
        target = real_classes(part.ratings[:, 0])
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=part.cube.device)
        for name, critic, real, fake in self._views(filled):
            real_scores, real_logits = critic(real)
            fake_scores, fake_logits = critic(fake)
            penalty = gradient_penalty(lambda x, c=critic: c(x)[0].float(), real, fake, part.mix)  # type: ignore[misc]
            value = adversarial_value(
                real_scores.float(), fake_scores.float(), penalty, self.config.gradient_penalty
            )
            classes = class_loss(
                torch.cat([real_logits, fake_logits]),
                torch.cat([target, torch.full_like(target, FAKE)]),
            )
            total = total + critic_objective(value, classes, self._class_weight("critic"))
            losses |= {f"{name}_critic": -value, f"{name}_class": classes}
        return total, losses

    def _generators_losses(self, part: ClassBatch) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        filled = self.networks.fill(part.cube, part.asked_condition, part.noise)
        reconstruction = sum(
            (
                reconstruction_loss(made.float(), filled.patch, filled.mask, config.global_weight)
                for made in (filled.coarse, filled.refined)
            ),
            start=torch.zeros((), device=part.cube.device),
        )
        target = real_classes(part.asked)
        judged = [critic(fake) for _, critic, _, fake in self._views(filled)]
        adversarial = torch.stack([generator_wasserstein_loss(s.float()) for s, _ in judged]).sum()
        classes = torch.stack([class_loss(logits, target) for _, logits in judged]).sum()
        total = generator_objective(
            adversarial,
            classes,
            reconstruction,
            self._class_weight("generator"),
            config.reconstruction_weight,
        )
        return total, {
            "generator": adversarial,
            "generator_class": classes,
            "reconstruction": reconstruction,
        }

    def _views(self, filled: PaperFilled) -> list[tuple[str, PaperCritic, Tensor, Tensor]]:
        """Return name, critic, real view and fake view of both critics."""
        real, fake, mask = filled.patch, filled.whole.float(), filled.mask
        local = [PaperCritics.masked(patch, mask) for patch in (real, fake)]
        return [
            ("global", self.critics.whole, real, fake),
            ("local", self.critics.local, local[0], local[1]),
        ]

    def _class_weight(self, which: str) -> float:
        """Return lambda_cls: 0 until the generators can in-paint [1, 2.2]."""
        if self.step_count < self.config.class_start:
            return 0.0
        weight: float = getattr(self.config, f"{which}_class_weight")
        return weight


def real_classes(rating: Tensor) -> Tensor:
    """Return c' (B,) of real nodules: malignant from 4, benign below [1, 3]."""
    return torch.where(rating >= MALIGNANT_RATING, MALIGNANT, BENIGN)
