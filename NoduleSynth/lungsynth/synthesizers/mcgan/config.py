"""Hyper-parameters and presets of MCGAN; [1] is the paper named in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MCGANConfig:
    """Hyper-parameters of the default preset; those of [1, 6.2.1] are marked with it."""

    width: int = 24
    segmenter_width: int = 8
    critic_width: int = 24
    latent_features: int = 16
    taper_voxels: int = 4
    box_per_diameter: float = 1.6  # covers the extent of 95 % of real masks, with the margin
    box_margin_mm: float = 3.0
    batch_size: int = 8
    generator_learning_rate: float = 3e-4
    critic_learning_rate: float = 4e-4
    segmenter_learning_rate: float = 1e-3
    adam_beta1: float = 0.0
    gradient_penalty: float = 2.0  # gamma of R1 and R2
    penalty_every: int = 8  # steps between penalties, which count that much more
    l1_weight_start: float = 8.0
    l1_weight_end: float = 0.05
    l1_steps: int = 1200
    size_weight: float = 1.0
    density_weight: float = 1.0
    promise_start: int = 300  # by then the segmenter can measure
    ema_decay: float = 0.998
    total_steps: int = 12_400
    decay_steps: int = 2000  # over the last of them the learning rates fall to a tenth

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm for a nodule of a diameter in mm."""
        return self.box_per_diameter * diameter_mm + self.box_margin_mm


PRESETS: dict[str, MCGANConfig] = {
    "default": MCGANConfig(),
    "tiny": MCGANConfig(width=4, segmenter_width=2, critic_width=4, batch_size=2, promise_start=0),
}
