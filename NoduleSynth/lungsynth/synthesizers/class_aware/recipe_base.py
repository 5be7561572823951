"""What the recipes of both presets share: ratings, and nodules that are asked otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungsynth.data.voi_batches import NoduleVoiSampler, VoiBatch
from lungsynth.data.voi_recipe import RealBatch, VoiGanRecipe
from lungsynth.synthesizers.class_aware.conditions import (
    ATTENUATIONS,
    RATINGS,
    condition_vector,
    density_as_if,
)
from lungsynth.synthesizers.class_aware.config import ClassAwareConfig
from lungsynth.synthesizers.class_aware.kinds import KINDS
from lungsynth.synthesizers.class_aware.paper import PaperConfig


@dataclass(frozen=True, eq=False)
class ClassBatch(RealBatch):
    """Real VOIs, how readers rate their nodules, and what is asked in their place.

    Args:
        ratings: Mean ratings (B, 6) in the order of ``RATINGS``; NaN where missing.
        asked: Malignancy asked, (B,), 1 to 5.
        asked_mean_hu: (B,).
        asked_condition: (B, 7).
        kept: 1 where what is asked is the real nodule, 0 where it is another, (B, 1, 1, 1, 1).
    """

    ratings: Tensor
    asked: Tensor
    asked_mean_hu: Tensor
    asked_condition: Tensor
    kept: Tensor


class ClassAwareRecipeBase(VoiGanRecipe):
    """Base of the recipes; arguments as of ``VoiGanRecipe``."""

    kinds = KINDS
    redrawn_part = 0.0
    """(ours) Part of a batch that is asked for with another malignancy."""

    def __init__(
        self,
        config: ClassAwareConfig | PaperConfig,
        sampler: NoduleVoiSampler,
        fabric: Any,  # noqa: ANN401 - Fabric is optional
    ) -> None:
        super().__init__(config, sampler, fabric)
        self.ratings = np.stack([sampler.cubes.rating(name) for name in RATINGS], axis=1)

    def condition(self, real: VoiBatch) -> Tensor:
        """Return the conditions (B, 7) of the real nodules."""
        malignancy = self.ratings[real.index, 0]
        return condition_vector(
            real.diameter_mm, real.attenuation, real.mean_hu, real.box_mm, malignancy
        )

    def draw_batch(self, rng: np.random.Generator) -> ClassBatch:
        """Make every random choice of a step, and bring its batch to the device."""
        real = super().draw_batch(rng)
        device = self.fabric.device
        items = self.batch_size * self.accumulate
        own, total = self.own_part(items), items * self.fabric.world_size
        redrawn = evenly(total, self.redrawn_part)[own]
        asked = np.where(redrawn, rng.uniform(1, 5, total)[own], self.ratings[real.index, 0])
        mean_hu = self._asked_density(real, asked)
        condition = condition_vector(
            real.diameter_mm.double().cpu().numpy(),
            self._attenuation(real),
            mean_hu,
            real.box_mm.double().cpu().numpy(),
            asked,
        )
        return ClassBatch(
            **vars(real),
            ratings=torch.from_numpy(self.ratings[real.index]).float().to(device),
            asked=torch.from_numpy(asked).float().to(device),
            asked_mean_hu=torch.from_numpy(mean_hu).float().to(device),
            asked_condition=condition.to(device),
            kept=torch.from_numpy(~redrawn).float().view(-1, 1, 1, 1, 1).to(device),
        )

    def _attenuation(self, real: RealBatch) -> NDArray[np.int64]:
        return np.asarray(real.condition[:, :3].argmax(dim=1).cpu().numpy())

    def _asked_density(self, real: RealBatch, asked: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return mean HU (B,): of the same rank for the new malignancy as for the old."""
        densities = real.mean_hu.double().cpu().numpy()
        known = self.ratings[real.index, 0]
        for n, attenuation in enumerate(self._attenuation(real)):
            if asked[n] != known[n]:
                densities[n] = density_as_if(
                    densities[n],
                    float(real.diameter_mm[n]),
                    ATTENUATIONS[attenuation],
                    known[n],
                    asked[n],
                )
        return densities


def evenly(count: int, part: float) -> NDArray[np.bool_]:
    """Return which of ``count`` items are in a part, so spread that every process has its share."""
    before = np.ceil(np.round(np.arange(count + 1) * part, 9))
    return np.diff(before) > 0
