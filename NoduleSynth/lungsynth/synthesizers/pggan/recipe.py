"""How PGGAN is trained; [1] is named in the package's docstring."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lungsynth.data.radiograph_batches import RadiographSampler
from lungsynth.losses.adversarial import (
    critic_wasserstein_loss,
    generator_wasserstein_loss,
    gradient_penalty,
    zero_centred_penalty,
)
from lungsynth.losses.progressive import (
    discriminator_logistic_loss,
    drift_penalty,
    generator_logistic_loss,
)
from lungsynth.nn.critic_augmentation import Changes, change, draw_changes, next_probability
from lungsynth.nn.recipe import NetworkRecipe, update_average
from lungsynth.nn.weights import save_weights
from lungsynth.synthesizers.pggan.config import PGGANConfig
from lungsynth.synthesizers.pggan.networks import Critic, Generator, downsample, upsample
from lungsynth.synthesizers.pggan.pictures import grid_picture
from lungsynth.synthesizers.pggan.schedule import Schedule, Stage

PICTURE_ROWS, PICTURE_COLUMNS = 4, 6


@dataclass(frozen=True, eq=False)
class Batch:
    """Real radiographs and all that is random in a step, each of first axis B.

    Args:
        real: At the side of the stage, faded as the networks are, (B, 1, S, S).
        latent: Of the images that the critic sees, (B, L).
        generator_latent: Of those that the generator learns from, (B, L).
        mix: U[0, 1], (B,), of the penalty of WGAN-GP.
        changes: What is changed of real ones, of drawn ones, and of those of the generator.
    """

    real: Tensor
    latent: Tensor
    generator_latent: Tensor
    mix: Tensor
    changes: tuple[Changes, ...]

    def part(self, own: slice) -> Batch:
        """Return some of its items."""
        return Batch(
            self.real[own],
            self.latent[own],
            self.generator_latent[own],
            self.mix[own],
            tuple(one.part(own) for one in self.changes),
        )


class PGGANRecipe(NetworkRecipe):
    """The recipe.

    Args:
        config: Hyper-parameters.
        sampler: Of real radiographs at the last side.
        fabric: A launched Fabric.
    """

    stateful = ("generator", "average", "critic", "generator_adam", "critic_adam")
    critic_chance: ClassVar[Mapping[str, float]] = {"critic": 2 * math.log(2)}

    def __init__(self, config: PGGANConfig, sampler: RadiographSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        super().__init__(config, fabric)
        self.sampler, self.schedule = sampler, Schedule(config)
        layout = {"device": fabric.device, "memory_format": torch.channels_last}
        self.generator: Generator = Generator(config).to(**layout)
        self.critic: Critic = Critic(config).to(**layout)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        rate, betas = config.learning_rate, (config.adam_beta1, config.adam_beta2)
        self.generator_adam = self.adam(self.generator.parameters(), rate, betas)
        self.critic_adam = self.adam(self.critic.parameters(), rate, betas)
        self.augmentation = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on; the stage follows from its number."""
        return {**super().state_dict(), "augmentation": self.augmentation}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was called."""
        super().load_state_dict(state)
        self.augmentation = float(state["augmentation"])

    def data_summary(self) -> dict[str, object]:
        """Return what it is trained on: how many radiographs, of which patients."""
        return self.sampler.summary()

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train both networks on one batch and return the losses, and where the training is."""
        stage = self.schedule.at(self.step_count)
        self._grow(stage)
        batch = self.draw_batch(stage, rng)
        starts = range(0, stage.batch * self.accumulate, stage.batch)
        parts = [batch.part(slice(start, start + stage.batch)) for start in starts]
        self.critic.requires_grad_(True)
        losses = self.descend_over(self.critic_adam, parts, self._critic_loss)
        self.critic.requires_grad_(False)
        losses |= self.descend_over(self.generator_adam, parts, self._generator_loss)
        update_average(self.average, self.generator, self.config.ema_decay, self.step_count)
        self._set_augmentation(stage, losses)
        logged = {name: float(value) for name, value in losses.items()}
        return logged | {
            "side": float(stage.side),
            "alpha": stage.alpha,
            "augmentation": self.augmentation,
        }

    @property
    def _reached(self) -> Stage:
        """The stage of the last step that was done."""
        return self.schedule.at(max(self.step_count - 1, 0))

    @property
    def _processes(self) -> int:
        return int(self.fabric.world_size)

    def _grow(self, stage: Stage) -> None:
        """Bring the networks to a stage."""
        for networks in (self.generator, self.average, self.critic):
            networks.side, networks.alpha = stage.side, stage.alpha
        if stage.begins:  # as the authors' code does: the old moments are of other gradients
            for adam in (self.generator_adam, self.critic_adam):
                adam.state.clear()

    def draw_batch(self, stage: Stage, rng: np.random.Generator) -> Batch:
        """Make every random choice of a step, and bring its batch to the device.

        Of several processes each draws the choices of all and takes its own part.
        """
        items = stage.batch * self.accumulate
        device, own, total = self.fabric.device, self.own_part(items), items * self._processes
        draws = [self.sampler.draw(rng) for _ in range(total)][own]
        latent, other = (
            torch.from_numpy(
                rng.standard_normal((total, self.config.latent_features), np.float32)[own]
            ).to(device)
            for _ in range(2)
        )
        mix = torch.from_numpy(rng.random(total, dtype=np.float32)[own]).to(device)
        real = fade(self.sampler.batch(draws, device), stage)
        changes = [draw_changes(total, stage.side, self.augmentation, rng) for _ in range(3)]
        return Batch(real, latent, other, mix, tuple(one.part(own) for one in changes))

    def _critic_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad(), self.fabric.autocast():
            fake = self.generator(batch.latent).float()
        real = change(batch.real, batch.changes[0])
        fake = change(fake, batch.changes[1])
        due = self.step_count % self.config.penalty_every == 0
        if due and self.config.loss == "logistic":
            real.requires_grad_()
        with self.fabric.autocast():
            real_scores, fake_scores = self.critic(real).float(), self.critic(fake).float()
        penalty = (
            self._penalty(real, fake, real_scores, batch) if due else real_scores.new_zeros(())
        )
        if self.config.loss == "logistic":
            value = discriminator_logistic_loss(real_scores, fake_scores)
            total = value + penalty * (self.config.penalty_every / 2 * self.config.penalty_weight)
        else:
            value = critic_wasserstein_loss(real_scores, fake_scores)
            total = value + self.config.drift_weight * drift_penalty(real_scores)
            total = total + penalty * (self.config.penalty_every * self.config.penalty_weight)
        name = "critic" if self.config.loss == "logistic" else "critic_gap"
        logged = {name: value, "sign": real_scores.detach().sign().mean()}
        return total, logged | {"penalty": penalty}  # nothing between the steps that have one

    def _penalty(self, real: Tensor, fake: Tensor, real_scores: Tensor, batch: Batch) -> Tensor:
        """Return R1, or the penalty of WGAN-GP, without weights."""
        if self.config.loss == "logistic":
            return zero_centred_penalty(real_scores, real)

        def scores(images: Tensor) -> Tensor:
            with self.fabric.autocast():
                found: Tensor = self.critic(images).float()
            return found

        return gradient_penalty(scores, real, fake, batch.mix)

    def _generator_loss(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with self.fabric.autocast():
            fake = change(self.generator(batch.generator_latent).float(), batch.changes[2])
            scores = self.critic(fake).float()
        loss = generator_logistic_loss if self.config.loss == "logistic" else None
        value = loss(scores) if loss else generator_wasserstein_loss(scores)
        return value, {"generator": value}

    def _set_augmentation(self, stage: Stage, losses: dict[str, Tensor]) -> None:
        """Let the critic's overfitting decide how often the next batch is changed."""
        if self.config.augment_target < 1:
            sign = float(self.fabric.all_reduce(losses["sign"], reduce_op="mean"))
            images = stage.batch * self.accumulate * self._processes
            step = images / self.config.augment_images
            self.augmentation = next_probability(
                self.augmentation, sign, self.config.augment_target, step
            )

    def sample_picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return a grid: real radiographs above, those that the averaged generator draws below."""
        stage = self._reached
        count = PICTURE_COLUMNS * (PICTURE_ROWS - 1)
        latent = rng.standard_normal((count, self.config.latent_features), np.float32)
        device = self.fabric.device
        with torch.no_grad():
            drawn = self.average(torch.from_numpy(latent).to(device), stage.side, stage.alpha)
            chosen = [self.sampler.draw(rng) for _ in range(PICTURE_COLUMNS)]
            real = fade(self.sampler.batch(chosen, device), stage)
        both = torch.cat([real, drawn.float()])[:, 0]
        return grid_picture(both.cpu().numpy(), PICTURE_COLUMNS)

    def draw_variants(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return images (count, S, S) of other noise each, and real ones."""
        stage = self._reached
        latent = rng.standard_normal((count, self.config.latent_features), np.float32)
        device = self.fabric.device
        with torch.no_grad():
            drawn = self.average(torch.from_numpy(latent).to(device), stage.side, stage.alpha)
            real = fade(self.sampler.batch([self.sampler.draw(rng) for _ in latent], device), stage)
        return drawn[:, 0].float().cpu().numpy(), real[:, 0].cpu().numpy()

    def save_weights(self, path: Path) -> None:
        """Write the averaged generator as far as it has grown, and the critic beside it."""
        stage = self._reached
        described = {**asdict(self.config), "grown_side": stage.side, "alpha": stage.alpha}
        described["images_shown"] = stage.images_shown * self.accumulate * self._processes
        save_weights(path, "pggan", described, self.average.state_dict())
        critic = path.with_name(f"{path.stem}-critic{path.suffix}")
        save_weights(critic, "pggan-critic", described, self.critic.state_dict())


def fade(images: Tensor, stage: Stage) -> Tensor:
    """Return real images (B, 1, S, S) at the side of a stage, blurred as a fade blurs drawn ones.

    While layers are faded in, real images too go from those of half the side, each pixel four
    times, to those of the side [1, Fig. 2].
    """
    images = avg_pool2d(images, images.shape[-1] // stage.side)
    if stage.alpha < 1:
        images = torch.lerp(upsample(downsample(images)), images, stage.alpha)
    return images
