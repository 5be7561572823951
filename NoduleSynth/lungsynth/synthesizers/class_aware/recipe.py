"""How the default preset is trained: critics, then what measures, then the generators."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
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
from lungsynth.nn.box_geometry import soft_diameter_mm, through_voxels
from lungsynth.nn.centre_unet import central
from lungsynth.nn.intensities import denormalise
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

    stateful = (
        "networks",
        "average",
        "critics",
        "reader",
        "generator_adam",
        "critic_adam",
        "measure_adam",
    )

    def __init__(self, config: ClassAwareConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, sampler, fabric)
        self.config, self.redrawn_part = config, config.redrawn_part
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
        self._set_learning_rates()
        filled = self.networks.fill(batch.cube, batch.asked_condition, batch.noise)
        old = central(batch.cube, BOX_VOXELS)
        change = self.networks.weight * (filled.refined - old)
        with torch.autocast(batch.cube.device.type, enabled=False):
            fake = batch.cube + through_voxels(change, batch.round_trip)
        losses = self._train_critics(fake.detach(), batch)
        losses |= self._train_measures(batch)
        losses |= self._train_generator(filled, fake, batch)
        self._update_average()
        return losses

    @property
    def _classes_count(self) -> bool:
        return self.step_count >= self.config.class_start

    def _train_critics(self, fake: Tensor, batch: ClassBatch) -> dict[str, Tensor]:
        real_verdict = self.critics(batch.cube, batch.condition)
        fake_verdict = self.critics(fake, batch.asked_condition)
        whole, local = (
            discriminator_relativistic_loss(real.float(), false.float())
            for real, false in zip(real_verdict.scores, fake_verdict.scores, strict=True)
        )
        true_class = class_probabilities(batch.ratings[:, 0])
        no_class = torch.full((len(fake),), FAKE, device=fake.device)
        classes = torch.stack(
            [class_loss(logits, true_class) for logits in real_verdict.classes]
            + [class_loss(logits, no_class) for logits in fake_verdict.classes]
        ).mean()
        penalty = self._penalty(fake, batch)
        # The classifiers learn from the start, so that they can judge once they are to count; a
        # trunk that they shape is the critic's own affair.
        total = whole + local + penalty + self.config.critic_class_weight * classes
        self.descend(self.critic_adam, total)
        return {
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

    def _train_measures(self, batch: ClassBatch) -> dict[str, Tensor]:
        """Take one step of segmenter and reader on the real nodules."""
        centre = central(batch.cube, BOX_VOXELS)
        logits = self.networks.segmenter(centre).float()
        segmentation = segmentation_loss(logits, batch.mask)
        told = (batch.ratings - 3) / 1.5
        known = told.isfinite()
        # A little noise, for what is read shall not be single voxels.
        blurred = centre + 0.03 * torch.randn_like(centre)
        read = self.reader(blurred, (batch.diameter_mm / 8).log2()).float()
        reading = (read - told)[known].square().mean()
        self.descend(self.measure_adam, segmentation + reading)
        return {"segmenter": segmentation, "reader": reading}

    def _train_generator(
        self, filled: Filled, fake: Tensor, batch: ClassBatch
    ) -> dict[str, Tensor]:
        config = self.config
        helpers: list[nn.Module] = [self.critics, self.networks.segmenter, self.reader]
        for helper in helpers:
            helper.requires_grad_(False)
        self.reader.eval()
        with torch.no_grad():
            real_scores = self.critics(batch.cube, batch.condition).scores
        verdict = self.critics(fake, batch.asked_condition)
        whole, local = (
            generator_relativistic_loss(real.float(), false.float())
            for real, false in zip(real_scores, verdict.scores, strict=True)
        )
        asked_class = class_probabilities(batch.asked)
        classes = torch.stack([class_loss(c, asked_class) for c in verdict.classes]).mean()
        centre = central(fake, BOX_VOXELS)
        l1 = self._reconstruction(filled, centre, batch)
        size, density = self._broken_promises(centre, batch)
        read = self.reader(centre, (batch.diameter_mm / 8).log2()).float()[:, 0]
        reading = (read - (batch.asked - 3) / 1.5).abs().mean()
        part = min(self.step_count / config.l1_steps, 1.0)
        l1_weight = config.l1_weight_start + part * (config.l1_weight_end - config.l1_weight_start)
        total = whole + local + l1_weight * l1
        if self.step_count >= config.promise_start:
            total = total + config.size_weight * size + config.density_weight * density
        if self._classes_count:
            total = total + config.generator_class_weight * classes
            total = total + config.reading_weight * reading
        self.descend(self.generator_adam, total)
        self.reader.train()
        for helper in helpers:
            helper.requires_grad_(True)
        return {
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

    def _broken_promises(self, centre: Tensor, batch: ClassBatch) -> tuple[Tensor, Tensor]:
        """Return how far log diameter and mean HU (in 300 HU) are from what was asked."""
        soft = self.networks.segmenter(centre).float().sigmoid()
        size = (soft_diameter_mm(soft, batch.box_mm) / batch.diameter_mm).log().abs().mean()
        hu = denormalise((soft * centre).flatten(1).sum(1) / (soft.flatten(1).sum(1) + 1))
        return size, ((hu - batch.asked_mean_hu) / 300).abs().mean()

    def _set_learning_rates(self) -> None:
        config = self.config
        part = float(np.clip((config.total_steps - self.step_count) / config.decay_steps, 0.1, 1.0))
        for optimizer, rate in (
            (self.generator_adam, config.generator_learning_rate),
            (self.critic_adam, config.critic_learning_rate),
            (self.measure_adam, config.measure_learning_rate),
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
