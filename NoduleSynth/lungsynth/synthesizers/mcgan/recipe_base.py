"""What the recipes of both presets share: conditions, and the kinds of networks."""

from __future__ import annotations

from torch import Tensor

from lungsynth.data.voi_batches import VoiBatch
from lungsynth.data.voi_recipe import VoiGanRecipe
from lungsynth.synthesizers.mcgan.conditions import condition_vector
from lungsynth.synthesizers.mcgan.kinds import KINDS


class MCGANRecipeBase(VoiGanRecipe):
    """Base of the recipes; arguments as of ``VoiGanRecipe``."""

    kinds = KINDS

    def condition(self, real: VoiBatch) -> Tensor:
        """Return the conditions (B, 9)."""
        return condition_vector(real.diameter_mm, real.attenuation, real.mean_hu, real.box_mm)
