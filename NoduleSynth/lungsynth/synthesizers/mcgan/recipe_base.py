"""What the recipes of both presets share: conditions, and weights as a file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from torch import Tensor, nn

from lungsynth.data.voi_batches import VoiBatch
from lungsynth.data.voi_recipe import VoiGanRecipe
from lungsynth.nn.weights import save_weights
from lungsynth.synthesizers.mcgan.conditions import condition_vector
from lungsynth.synthesizers.mcgan.config import MCGANConfig
from lungsynth.synthesizers.mcgan.paper import PaperConfig


class MCGANRecipeBase(VoiGanRecipe):
    """Base of the recipes; arguments as of ``VoiGanRecipe``."""

    def condition(self, real: VoiBatch) -> Tensor:
        """Return the conditions (B, 9)."""
        return condition_vector(real.diameter_mm, real.attenuation, real.mean_hu, real.box_mm)

    def save_weights(self, path: Path) -> None:
        """Write the networks to be used as safetensors."""
        write_networks(path, self.trained_networks())


def write_networks(path: Path, networks: nn.Module) -> None:
    """Write networks with the configuration that they were made from."""
    config = networks.config
    assert isinstance(config, MCGANConfig | PaperConfig)
    kind = "default" if isinstance(config, MCGANConfig) else "paper"
    save_weights(path, "mcgan", {"kind": kind, **asdict(config)}, networks.state_dict())
