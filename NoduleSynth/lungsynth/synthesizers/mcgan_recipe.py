"""How the default preset of MCGAN is trained: one step, and everything a resume needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, l1_loss

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.data.voi_batches import NoduleVoiSampler, VoiBatch
from lungsynth.losses.adversarial import discriminator_hinge_loss, generator_hinge_loss
from lungsynth.nn.centre_unet import central
from lungsynth.synthesizers.mcgan import (
    Critics,
    MCGANConfig,
    MCGANNetworks,
    condition_vector,
    denormalise,
    draw_noise,
    normalise,
    soft_diameter_mm,
    through_voxels,
)


class MCGANRecipe:
    """One training step of MCGAN: critics, then segmenter, then generator.

    Args:
        config: Hyper-parameters.
        sampler: Where real VOIs come from.
        fabric: A ``lightning.fabric.Fabric`` that is already launched.
    """

    def __init__(self, config: MCGANConfig, sampler: NoduleVoiSampler, fabric: Any) -> None:  # noqa: ANN401 - Fabric is optional
        self.config, self.sampler, self.fabric = config, sampler, fabric
        self.step_count = 0
        networks = MCGANNetworks(config)
        critics = Critics(config)
        self.average = MCGANNetworks(config).to(fabric.device)
        self.average.load_state_dict(networks.state_dict())
        self.average.requires_grad_(False)
        for module in (networks, critics):
            module.to(memory_format=torch.channels_last_3d)
        betas = (config.adam_beta1, 0.999)
        self.generator_adam = torch.optim.Adam(
            networks.generator.parameters(), config.generator_learning_rate, betas
        )
        self.segmenter_adam = torch.optim.Adam(
            networks.segmenter.parameters(), config.segmenter_learning_rate
        )
        self.critic_adam = torch.optim.Adam(
            critics.parameters(), config.critic_learning_rate, betas
        )
        self.networks = networks.to(fabric.device)
        self.critics = critics.to(fabric.device)

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch and return its losses."""
        draws = [self.sampler.draw(rng) for _ in range(self.config.batch_size)]
        batch = self.sampler.batch(draws)
        seeds = rng.integers(2**31, size=len(draws)).tolist()
        with self.fabric.autocast():
            losses = self._update(batch, seeds)
        self._update_average()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _update(self, batch: VoiBatch, seeds: list[int]) -> dict[str, Tensor]:
        device, config = self.fabric.device, self.config
        cube = normalise(torch.from_numpy(batch.hu)[:, None]).to(device)
        mask = central(torch.from_numpy(batch.mask)[:, None], BOX_VOXELS).to(device)
        trip = [torch.from_numpy(matrices).to(device) for matrices in batch.round_trip]
        box_mm = torch.from_numpy(batch.box_mm).float().to(device)
        condition = condition_vector(
            batch.diameter_mm, batch.attenuation, batch.mean_hu, batch.box_mm
        ).to(device)
        noise = draw_noise(config.latent_features, seeds).to(device)
        painted = self.networks.paint(cube, condition, noise)
        change = self.networks.change(cube, painted)
        with torch.autocast(device.type, enabled=False):
            fake = cube + through_voxels(change, trip)

        real_logits = self.critics(cube, condition)
        fake_logits = self.critics(fake.detach(), condition)
        critic_losses = [
            discriminator_hinge_loss(real.float(), false.float())
            for real, false in zip(real_logits, fake_logits, strict=True)
        ]
        self._descend(self.critic_adam, critic_losses[0] + critic_losses[1])

        seen = self.networks.segmenter(central(cube, BOX_VOXELS)).float()
        overlap = 2 * (seen.sigmoid() * mask).sum() / (seen.sigmoid().sum() + mask.sum())
        segmenter_loss = binary_cross_entropy_with_logits(seen, mask) + 1 - overlap
        self._descend(self.segmenter_adam, segmenter_loss)

        self.critics.requires_grad_(False)
        self.networks.segmenter.requires_grad_(False)
        adversarial = [generator_hinge_loss(x.float()) for x in self.critics(fake, condition)]
        part = min(self.step_count / config.l1_steps, 1.0)
        l1_weight = config.l1_weight_start + part * (config.l1_weight_end - config.l1_weight_start)
        l1 = l1_loss(central(fake, BOX_VOXELS), central(cube, BOX_VOXELS))
        size, density = self._promises(central(fake, BOX_VOXELS), batch, box_mm)
        total = adversarial[0] + adversarial[1] + l1_weight * l1
        if self.step_count >= config.promise_start:
            total = total + config.size_weight * size + config.density_weight * density
        self._descend(self.generator_adam, total)
        self.critics.requires_grad_(True)
        self.networks.segmenter.requires_grad_(True)
        return {
            "context_critic": critic_losses[0],
            "nodule_critic": critic_losses[1],
            "segmenter": segmenter_loss,
            "context_generator": adversarial[0],
            "nodule_generator": adversarial[1],
            "l1": l1,
            "size": size,
            "density": density,
        }

    def _promises(self, centre: Tensor, batch: VoiBatch, box_mm: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far log diameter and mean HU (in 300 HU) are from what was asked."""
        soft = self.networks.segmenter(centre).float().sigmoid()
        asked = torch.from_numpy(batch.diameter_mm).float().to(centre.device)
        size = (soft_diameter_mm(soft, box_mm) / asked).log().abs().mean()
        hu = denormalise((soft * centre).flatten(1).sum(1) / (soft.flatten(1).sum(1) + 1))
        mean_hu = torch.from_numpy(batch.mean_hu).float().to(centre.device)
        return size, ((hu - mean_hu) / 300).abs().mean()

    def _descend(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        self.fabric.backward(loss)
        optimizer.step()

    @torch.no_grad()
    def _update_average(self) -> None:
        # A short memory at first, so that the untrained start is soon forgotten.
        decay = min(self.config.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        for mean, value in zip(
            self.average.parameters(), self.networks.parameters(), strict=True
        ):
            mean.lerp_(value, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on."""
        return {
            "step_count": self.step_count,
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "critics": self.critics.state_dict(),
            "generator_adam": self.generator_adam.state_dict(),
            "critic_adam": self.critic_adam.state_dict(),
            "segmenter_adam": self.segmenter_adam.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where ``state_dict`` was called."""
        self.step_count = int(state["step_count"])
        for name in ("networks", "average", "critics"):
            getattr(self, name).load_state_dict(state[name])
        for name in ("generator_adam", "critic_adam", "segmenter_adam"):
            getattr(self, name).load_state_dict(state[name])
