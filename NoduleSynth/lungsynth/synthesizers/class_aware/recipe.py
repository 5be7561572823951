"""How the default preset is trained: critics, then what measures, then the generators."""

from __future__ import annotations

from collections.abc import Mapping
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.losses.adversarial import (
    discriminator_relativistic_loss,
    generator_relativistic_loss,
    zero_centred_penalty,
)
from lungsynth.losses.class_aware import FAKE, class_loss, reconstruction_loss
from lungsynth.losses.segmentation import segmentation_loss
from lungsynth.nn.box_geometry import through_voxels
from lungsynth.nn.centre_unet import central
from lungsynth.nn.recipe import frozen, kept_if_one, update_average
from lungsynth.synthesizers.class_aware.conditions import class_probabilities
from lungsynth.synthesizers.class_aware.config import ClassAwareConfig
from lungsynth.synthesizers.class_aware.networks import (
    ClassAwareNetworks,
    Critics,
    Filled,
    Reader,
)
from lungsynth.synthesizers.class_aware.recipe_base import ClassAwareRecipeBase, ClassBatch


class ClassAwareRecipe(ClassAwareRecipeBase):
    """The recipe of the default preset; arguments as of ``VoiGanRecipe``."""

    config: ClassAwareConfig
    stateful = (
        "networks",
        "average",
        "critics",
        "reader",
        "generator_adam",
        "critic_adam",
        "measure_adam",
    )
    critic_chance: ClassVar[Mapping[str, float]] = {"global_critic": log(2), "local_critic": log(2)}

    def __init__(self, config: ClassAwareConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, sampler, fabric)
        self.redrawn_part = config.redrawn_part
        layout = {"device": fabric.device, "memory_format": torch.channels_last_3d}
        self.networks: ClassAwareNetworks = ClassAwareNetworks(config).to(**layout)
        self.critics: Critics = Critics(config).to(**layout)
        self.reader: Reader = Reader(config.reader_width).to(**layout)
        self.average = ClassAwareNetworks(config).to(fabric.device).requires_grad_(False)
        self.average.load_state_dict(self.networks.state_dict())
        betas = (config.adam_beta1, 0.999)
        generator = self.networks.generator.parameters()
        self.generator_adam = self.adam(generator, config.generator_learning_rate, betas)
        self.critic_adam = self.adam(self.critics.parameters(), config.critic_learning_rate, betas)
        measures = [*self.networks.segmenter.parameters(), *self.reader.parameters()]
        self.measure_adam = self.adam(measures, config.measure_learning_rate, (0.9, 0.999))

    def update(self, batch: ClassBatch) -> dict[str, Tensor]:  # type: ignore[override]
        """Train on a batch and return its losses."""
        config, parts = self.config, batch.parts(self.accumulate)
        rates = {
            self.generator_adam: config.generator_learning_rate,
            self.critic_adam: config.critic_learning_rate,
            self.measure_adam: config.measure_learning_rate,
        }
        self.decay_rates(rates, config.decay_steps)
        drawn = kept_if_one(self._draw, parts)
        losses = self.descend_over(
            self.critic_adam, parts, lambda part: self._critics_losses(part, drawn(part)[1])
        )
        losses |= self.descend_over(self.measure_adam, parts, self._measures_losses)
        self.reader.eval()
        with frozen(self.critics, self.networks.segmenter, self.reader):
            losses |= self.descend_over(
                self.generator_adam, parts, lambda part: self._generator_losses(part, *drawn(part))
            )
        self.reader.train()
        update_average(self.average, self.networks, config.ema_decay, self.step_count)
        return losses

    def _draw(self, part: ClassBatch) -> tuple[Filled, Tensor]:
        """Return what the generators draw, and the cubes as a volume's own voxels hold it."""
        filled = self.networks.fill(part.cube, part.asked_condition, part.noise)
        change = self.networks.weight * (filled.refined - central(part.cube, BOX_VOXELS))
        with torch.autocast(part.cube.device.type, enabled=False):
            return filled, part.cube + through_voxels(change, part.round_trip)

    @property
    def _classes_count(self) -> bool:
        return self.step_count >= self.config.class_start

    def _critics_losses(self, part: ClassBatch, drawn: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        fake = drawn.detach()
        real_verdict = self.critics(part.cube, part.condition)
        fake_verdict = self.critics(fake, part.asked_condition)
        whole, local = (
            discriminator_relativistic_loss(real.float(), false.float())
            for real, false in zip(real_verdict.scores, fake_verdict.scores, strict=True)
        )
        true_class = class_probabilities(part.ratings[:, 0])
        no_class = torch.full((len(fake),), FAKE, device=fake.device)
        classes = torch.stack(
            [class_loss(logits, true_class) for logits in real_verdict.classes]
            + [class_loss(logits, no_class) for logits in fake_verdict.classes]
        ).mean()
        penalty = self._penalty(fake, part)
        # The classifiers learn from the start, so that they can judge once they are to count; a
        # trunk that they shape is the critic's own affair.
        total = whole + local + penalty + self.config.critic_class_weight * classes
        return total, {
            "global_critic": whole,
            "local_critic": local,
            "critic_class": classes,
            "penalty": penalty,
        }

    def _penalty(self, fake: Tensor, batch: ClassBatch) -> Tensor:
        """Return the gradient penalty at real and at fake cubes, in turns, for its cost."""
        turn, every = self.step_count, self.config.penalty_every
        if turn % every:
            return torch.zeros((), device=fake.device)
        at_fake = bool(turn // every % 2)
        at = (fake if at_fake else batch.cube).detach().requires_grad_()
        verdict = self.critics(at, batch.asked_condition if at_fake else batch.condition)
        scores = [logits.float().mean(dim=1) for logits in verdict.scores]
        weight = every * self.config.gradient_penalty / 2
        return weight * zero_centred_penalty(scores[0] + scores[1], at)

    def _measures_losses(self, part: ClassBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the losses of segmenter and reader on the real nodules."""
        centre = central(part.cube, BOX_VOXELS)
        logits = self.networks.segmenter(centre).float()
        segmentation = segmentation_loss(logits, part.mask)
        told = (part.ratings - 3) / 1.5
        known = told.isfinite()
        # A little noise, for what is read shall not be single voxels.
        blurred = centre + 0.03 * torch.randn_like(centre)
        read = self.reader(blurred, (part.diameter_mm / 8).log2()).float()
        reading = (read - told)[known].square().mean()
        return segmentation + reading, {"segmenter": segmentation, "reader": reading}

    def _generator_losses(
        self, part: ClassBatch, filled: Filled, fake: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        with torch.no_grad():
            real_scores = self.critics(part.cube, part.condition).scores
        verdict = self.critics(fake, part.asked_condition)
        whole, local = (
            generator_relativistic_loss(real.float(), false.float())
            for real, false in zip(real_scores, verdict.scores, strict=True)
        )
        asked_class = class_probabilities(part.asked)
        classes = torch.stack([class_loss(c, asked_class) for c in verdict.classes]).mean()
        centre = central(fake, BOX_VOXELS)
        l1 = self._reconstruction(filled, centre, part)
        size, density = self.broken_promises(centre, part, part.asked_mean_hu)
        read = self.reader(centre, (part.diameter_mm / 8).log2()).float()[:, 0]
        reading = (read - (part.asked - 3) / 1.5).abs().mean()
        done = min(self.step_count / config.l1_steps, 1.0)
        l1_weight = config.l1_weight_start + done * (config.l1_weight_end - config.l1_weight_start)
        total = whole + local + l1_weight * l1
        if self.step_count >= config.promise_start:
            total = total + config.size_weight * size + config.density_weight * density
        if self._classes_count:
            total = total + config.generator_class_weight * classes
            total = total + config.reading_weight * reading
        return total, {
            "global_generator": whole,
            "local_generator": local,
            "generator_class": classes,
            "l1": l1,
            "size": size,
            "density": density,
            "reading": reading,
        }

    def _reconstruction(self, filled: Filled, centre: Tensor, batch: ClassBatch) -> Tensor:
        """Return [1, Eq. 1] of both generators, for nodules asked for as they are."""
        real = central(batch.cube, BOX_VOXELS)
        mask = self.networks.weight * batch.kept
        refined = reconstruction_loss(centre, real, mask, global_weight=0.0)
        coarse = reconstruction_loss(
            filled.coarse, avg_pool3d(real, 2), avg_pool3d(mask, 2), global_weight=0.0
        )
        return refined + coarse
