"""What the recipes share that train a GAN on VOIs: batches as tensors, optimizers, state.

It stands with the data because the papers, which never import each other, all begin here: with
real VOIs on a device.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungsynth.core.contracts import BOX_VOXELS
from lungsynth.core.errors import LungSynthError
from lungsynth.data.fine_tuning import FINE_TUNING, chosen, fine_tuned, freeze
from lungsynth.data.voi_batches import NoduleVoiSampler, VoiBatch
from lungsynth.losses.segmentation import segmentation_loss
from lungsynth.nn.box_geometry import soft_diameter_mm, through_voxels
from lungsynth.nn.centre_unet import central
from lungsynth.nn.intensities import denormalise, normalise
from lungsynth.nn.network_kinds import NetworkKinds
from lungsynth.nn.noise import Noise, draw_noise
from lungsynth.nn.recipe import NetworkRecipe, frozen


@dataclass(frozen=True, eq=False)
class RealBatch:
    """Real VOIs on the device, with the noise of the nodules to be put in their place.

    Args:
        cube: Normalised, (B, 1, 64, 64, 64).
        mask: Of the centre, (B, 1, 32, 32, 32), 0 to 1.
        round_trip: For each axis (B, 64, 32), see ``imaging.voi.Voi.round_trip``.
        condition: What the generator is told (B, F).
        noise: Of each item.
        diameter_mm: (B,).
        box_mm: (B,).
        mean_hu: (B,).
        index: Which of the cubes each item is of, (B,).
        mix: Uniform numbers for a gradient penalty between real and fake, (B,).
    """

    cube: Tensor
    mask: Tensor
    round_trip: tuple[Tensor, Tensor, Tensor]
    condition: Tensor
    noise: Noise
    diameter_mm: Tensor
    box_mm: Tensor
    mean_hu: Tensor
    index: NDArray[np.int64]
    mix: Tensor

    def parts(self, count: int) -> list[Self]:
        """Return the batch as ``count`` batches of as many items each."""
        if count == 1:
            return [self]
        length = len(self.cube) // count
        return [self[n * length : (n + 1) * length] for n in range(count)]

    def __getitem__(self, items: slice) -> Self:
        fields: dict[str, Any] = {
            name: tuple(part[items] for part in value) if isinstance(value, tuple) else value[items]
            for name, value in vars(self).items()
        }
        return type(self)(**fields)


class VoiGanConfig(Protocol):
    """What any configuration of such a recipe holds."""

    @property
    def batch_size(self) -> int:
        """Items in a step of one process."""
        ...

    @property
    def latent_features(self) -> int:
        """Length of the latent vector."""
        ...


class VoiGanRecipe(NetworkRecipe):
    """Base of the recipes; a subclass makes networks and optimizers and says what a step does.

    Args:
        config: Hyper-parameters.
        sampler: Where real VOIs come from.
        fabric: A launched ``lightning_fabric.Fabric``.
    """

    learns_in_parts = True
    networks: Any  # of either preset
    generator_adam: Any
    generator_start = 0
    """Steps before which the generator stands still."""
    kinds: ClassVar[NetworkKinds[Any]]

    def __init__(
        self,
        config: VoiGanConfig,
        sampler: NoduleVoiSampler,
        fabric: Any,  # noqa: ANN401 - Fabric is optional
    ) -> None:
        super().__init__(config, fabric)
        self.sampler = sampler
        self.batch_size, self.latent_features = config.batch_size, config.latent_features

    def step(self, rng: np.random.Generator) -> dict[str, float]:
        """Train on one batch and return its losses."""
        return self.learn(self.prepare(rng))

    def prepare(self, rng: np.random.Generator) -> Any:  # noqa: ANN401 - a subclass may want several batches
        """Make every random choice of a step, and bring its batch to the device."""
        return self.draw_batch(rng)

    def learn(self, prepared: Any) -> dict[str, float]:  # noqa: ANN401 - see ``prepare``
        """Train on what ``prepare`` returned and return the losses."""
        with self.fabric.autocast(), self.head_start():
            losses = self.update(prepared)
        return {name: float(value.detach()) for name, value in losses.items()}

    def fine_tune(self, wanted: str, steps: int | None = None) -> str:
        """Go on from weights as a plan says, before the first step.

        Args:
            wanted: A name in ``FINE_TUNING``, or "auto": as the number of nodules asks.
            steps: In all, where they are not those of the plan; of few the critics' head start
                is a quarter.

        Returns:
            The name of the plan.
        """
        name = chosen(wanted, len(self.sampler.indices))
        plan = FINE_TUNING[name]
        self.config = fine_tuned(self.config, plan)
        freeze(self.networks, plan)
        self.generator_start = min(plan.head_start, (steps or plan.steps) // 4)
        rate = getattr(self.config, "learning_rate", None)
        for group in self.generator_adam.param_groups if rate is not None else ():
            group["lr"] = rate
        return name

    def head_start(self) -> AbstractContextManager[None]:
        """Keep the generator as it is inside the block, if its critics are to learn first."""
        waits = self.step_count < self.generator_start
        return frozen(self.networks.generator) if waits else nullcontext()

    @abstractmethod
    def update(self, batch: RealBatch) -> dict[str, Tensor]:
        """Train on a batch and return its losses."""

    @abstractmethod
    def condition(self, real: VoiBatch) -> Tensor:
        """Return what the generator is told of the nodules (B, F)."""

    def draw_batch(self, rng: np.random.Generator) -> RealBatch:
        """Make every random choice of a step, and bring its batch to the device.

        Of several processes each draws the choices of all and takes its own part.
        """
        device, items = self.fabric.device, self.batch_size * self.accumulate
        own, total = self.own_part(items), items * self.fabric.world_size
        real = self.sampler.batch([self.sampler.draw(rng) for _ in range(total)][own])
        seeds = rng.integers(2**31, size=total)[own].tolist()
        mix = rng.random(total, dtype=np.float32)[own]
        z, y, x = (torch.from_numpy(matrices).to(device) for matrices in real.round_trip)
        return RealBatch(
            cube=normalise(torch.from_numpy(real.hu)[:, None]).to(device),
            mask=central(torch.from_numpy(real.mask)[:, None], BOX_VOXELS).to(device),
            round_trip=(z, y, x),
            condition=self.condition(real).to(device),
            noise=draw_noise(self.latent_features, seeds).to(device),
            diameter_mm=torch.from_numpy(real.diameter_mm).float().to(device),
            box_mm=torch.from_numpy(real.box_mm).float().to(device),
            mean_hu=torch.from_numpy(real.mean_hu).float().to(device),
            index=real.index,
            mix=torch.from_numpy(mix).to(device),
        )

    def train_segmenter(
        self,
        segmenter: nn.Module,
        optimizer: Any,  # noqa: ANN401 - see ``adam``
        parts: Sequence[RealBatch],
    ) -> Tensor:
        """Take one step of the segmenter on the real nodules."""

        def losses_of(part: RealBatch) -> tuple[Tensor, dict[str, Tensor]]:
            logits = segmenter(central(part.cube, BOX_VOXELS)).float()
            loss = segmentation_loss(logits, part.mask)
            return loss, {"segmenter": loss}

        return self.descend_over(optimizer, parts, losses_of)["segmenter"]

    def broken_promises(
        self, centre: Tensor, batch: RealBatch, mean_hu: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return how far log diameter and mean HU (in 300 HU) are from what was asked.

        Args:
            centre: What was drawn, (B, 1, 32, 32, 32); the segmenter measures it.
            batch: Of whose diameters the drawn ones should be.
            mean_hu: Asked, (B,).
        """
        soft = self.networks.segmenter(centre).float().sigmoid()
        size = (soft_diameter_mm(soft, batch.box_mm) / batch.diameter_mm).log().abs().mean()
        hu = denormalise((soft * centre).flatten(1).sum(1) / (soft.flatten(1).sum(1) + 1))
        return size, ((hu - mean_hu) / 300).abs().mean()

    def data_summary(self) -> dict[str, object]:
        """Return what it is trained on: how many nodules, of which patients, and a fingerprint."""
        cubes, used = self.sampler.cubes, self.sampler.indices
        patients = sorted({cubes.table[n]["patient"] for n in used})
        digest = hashlib.sha256()
        for n in used:  # one by one: a store may be larger than the memory
            digest.update(cubes.hu[n].tobytes())
        return {"nodules": len(used), "patients": patients, "sha256": digest.hexdigest()}

    def draw_samples(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return real VOIs and the same with the nodule drawn anew, HU, (count, 64, 64, 64).

        The next training step is the same, whether this was called or not.
        """
        real = self.sampler.batch([self.sampler.draw(rng) for _ in range(count)])
        seeds = rng.integers(2**31, size=count).tolist()
        return real.hu, self._filled(real, seeds)

    def draw_variants(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return nodules drawn anew in one place with other noise each time, and real ones.

        Both HU, (count, 32, 32, 32); the real ones are of any places. The next training step is
        the same, whether this was called or not.
        """
        real = self.sampler.batch([self.sampler.draw(rng) for _ in range(count)])
        seeds = rng.integers(2**31, size=count).tolist()
        one = self.sampler.batch([self.sampler.draw(rng)] * count)
        inner = (slice(None), *(slice(16, 48),) * 3)
        return self._filled(one, seeds)[inner], real.hu[inner]

    @torch.no_grad()
    def _filled(self, real: VoiBatch, seeds: list[int]) -> NDArray[np.float32]:
        """Return VOIs with the nodule drawn anew, HU, (B, 64, 64, 64)."""
        device, networks = self.fabric.device, self.trained_networks()
        training = networks.training
        networks.eval()
        cube = normalise(torch.from_numpy(real.hu)[:, None]).to(device)
        noise = draw_noise(self.latent_features, seeds).to(device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(0)  # for the dropout of the paper's preset
            painted = networks.paint(cube, self.condition(real).to(device), noise)
        networks.train(training)
        trip = [torch.from_numpy(matrices).to(device) for matrices in real.round_trip]
        change = through_voxels(networks.change(cube, painted), trip)
        filled: NDArray[np.float32] = denormalise(cube + change)[:, 0].float().cpu().numpy()
        return filled

    def trained_networks(self) -> Any:  # noqa: ANN401 - networks of either preset
        """Return the networks to be used: their moving average, where there is one."""
        return getattr(self, "average", self.networks)

    def save_weights(self, path: Path) -> None:
        """Write the networks to be used as safetensors."""
        self.kinds.write(path, self.trained_networks())

    def load_weights(self, networks: nn.Module) -> None:
        """Start from networks that were trained before.

        Raises:
            LungSynthError: If they are of another size or preset.
        """
        for name in ("networks", "average"):
            if name in self.stateful:
                try:
                    getattr(self, name).load_state_dict(networks.state_dict())
                except RuntimeError:
                    msg = "the weights to start from are of another preset than the one to train"
                    raise LungSynthError(msg) from None
