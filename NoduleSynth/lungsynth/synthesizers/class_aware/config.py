"""Hyper-parameters and presets; [1] is the paper named in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassAwareConfig:
    """Hyper-parameters of the default preset, all ours: [1] gives none of its own."""

    width: int = 24
    coarse_width: int = 16
    segmenter_width: int = 8
    critic_width: int = 24
    reader_width: int = 12
    latent_features: int = 16
    box_per_diameter: float = 1.6  # covers the extent of 95 % of real masks, with the margin
    box_margin_mm: float = 3.0
    batch_size: int = 8
    generator_learning_rate: float = 3e-4
    critic_learning_rate: float = 4e-4
    measure_learning_rate: float = 1e-3  # of segmenter and reader
    adam_beta1: float = 0.0
    gradient_penalty: float = 2.0  # gamma of R1
    penalty_every: int = 8  # steps between penalties, which count that much more
    l1_weight_start: float = 3.0  # over the sphere, of each generator
    l1_weight_end: float = 0.03
    l1_steps: int = 1200
    size_weight: float = 1.0
    density_weight: float = 1.0
    promise_start: int = 300  # by then the segmenter can measure
    class_start: int = 600  # "L_cls is added after G is well-trained" [1, 2.2]
    critic_class_weight: float = 0.5  # lambda_cls^(D) of [1, Eq. 4]
    generator_class_weight: float = 0.3  # lambda_cls^(G) of [1, Eq. 5]
    reading_weight: float = 0.5
    redrawn_part: float = 0.25  # of a batch, asked for with another malignancy
    ema_decay: float = 0.998
    total_steps: int = 6000
    decay_steps: int = 1500  # over the last of them the learning rates fall to a tenth

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box in mm for a nodule of a diameter in mm."""
        return self.box_per_diameter * diameter_mm + self.box_margin_mm


PRESETS: dict[str, ClassAwareConfig] = {
    "default": ClassAwareConfig(),
    "tiny": ClassAwareConfig(
        width=4,
        coarse_width=4,
        segmenter_width=2,
        critic_width=4,
        reader_width=2,
        batch_size=2,
        promise_start=0,
        class_start=0,
        redrawn_part=0.5,
    ),
}
