"""Hyper-parameters and presets; [1] is the paper named in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class ShapeConfig:
    """Of the shape generator; defaults are those of [1, III.A and IV.A] unless marked (ours)."""

    latent_features: int = 100
    width: int = 512  # of the 4 x 4 feature map
    least_width: int = 32  # (ours) channels are halved at each doubling, no further than this
    smoothing: bool = False  # (ours) a fixed blur of the logits: outlines are smooth, noise is not
    spread: bool = False  # (ours) the discriminator sees how much a batch varies, as in PGGAN
    variety_weight: float = 0.0  # (ours) of what a batch lacks of the variety of real ones
    generator_learning_rate: float = 1e-4
    critic_learning_rate: float = 1e-5
    adam_beta1: float = 0.5
    batch_size: int = 6
    ema_decay: float = 0.0  # (ours) of the average of weights that is used; 0 is the last ones
    total_steps: int = 403_000  # 1,000 epochs of 2,420 shapes


SHAPE_PRESETS: dict[str, ShapeConfig] = {
    "default": ShapeConfig(
        width=128,
        least_width=16,
        smoothing=True,
        spread=True,
        variety_weight=1.0,
        generator_learning_rate=5e-4,
        critic_learning_rate=1e-4,
        batch_size=16,
        ema_decay=0.998,
        total_steps=12_000,
    ),
    "paper": ShapeConfig(),
    "tiny": ShapeConfig(
        width=16,
        least_width=4,
        smoothing=True,
        spread=True,
        batch_size=2,
        ema_decay=0.9,
        total_steps=20,
    ),
}


@dataclass(frozen=True)
class TextureConfig:
    """Of the texture generator; defaults are those of [1, III.C and IV.A] unless marked (ours).

    Args:
        width: Channels at full resolution, doubled at each halving (ours).
        halvings: Of the resolution, in the encoder.
        image_channels: 3 holds the grey value three times, as [1] does for VGG.
        two_stage: Refine what the coarse generator makes [1, Table II].
        box_mask: Condition on the box around the shape instead of the shape [1, Table II].
        critic_width: Channels of the discriminator's first convolution, doubled twice (ours).
        guided: (ours) The networks add to what may lie behind and to a plain nodule of the asked
            contrast; see the package's docstring.
        seen_through: (ours) How often in training the tissue behind, where it is known, is given.
        rim: (ours) The change fades out around the shape instead of ending at its edge.
        whole_patch: Compare raw outputs over the whole patch; False (ours) compares where
            something may change.
        small_side: (ours) Side of the patch for nodules that leave room in it; 256 always takes
            the whole.
        coarse_weight: lambda_rec,1 of [1, Eq. 9].
        refined_weight: lambda_rec,2.
        perceptual_weight: lambda_perc.
        adversarial_weight: lambda_adv.
        generator_learning_rate: Of the first phase.
        critic_rate_part: Learning rate of the discriminator as a part of the generator's.
        low_rate_part: Learning rates of the second phase as a part of the first's.
        second_phase: Which part of the steps, the last, it takes; [1] ends each on convergence.
        adam_beta1: Of Adam.
        batch_size: Patches in a step.
        ema_decay: (ours) Of a moving average of the generator, the one used; 0 is itself.
        drr_part: (ours) How often a patch is of a simulated radiograph.
        total_steps: Of both phases.
    """

    width: int = 64
    halvings: int = 2
    image_channels: int = 3
    two_stage: bool = True
    box_mask: bool = False
    critic_width: int = 64
    guided: bool = False
    seen_through: float = 0.0
    rim: bool = False
    whole_patch: bool = True
    small_side: int = 256
    coarse_weight: float = 1.0
    refined_weight: float = 1.0
    perceptual_weight: float = 1.0
    adversarial_weight: float = 1.0
    generator_learning_rate: float = 1e-4
    critic_rate_part: float = 0.1
    low_rate_part: float = 0.1
    second_phase: float = 1 / 3
    adam_beta1: float = 0.5
    batch_size: int = 8
    ema_decay: float = 0.0
    drr_part: float = 0.15
    total_steps: int = 90_000

    def __post_init__(self) -> None:
        if self.small_side not in (64, 128, 256):
            msg = f"small_side must be 64, 128 or 256; got {self.small_side}"
            raise ValueError(msg)


_DEFAULT = TextureConfig(
    width=8,
    halvings=3,
    image_channels=1,
    critic_width=16,
    guided=True,
    seen_through=0.6,
    rim=True,
    whole_patch=False,
    small_side=128,
    adversarial_weight=0.1,
    generator_learning_rate=5e-4,
    critic_rate_part=0.3,
    second_phase=0.25,
    batch_size=4,
    ema_decay=0.998,
    total_steps=10_000,
)

TEXTURE_PRESETS: dict[str, TextureConfig] = {
    "default": _DEFAULT,
    "paper": TextureConfig(),
    "tiny": replace(
        _DEFAULT,
        width=2,
        critic_width=2,
        batch_size=2,
        ema_decay=0.9,
        total_steps=20,
    ),
    # The four of [1, Table II] at the default's size; the fourth is the default itself
    "one-stage-box": replace(_DEFAULT, two_stage=False, box_mask=True),
    "two-stage-box": replace(_DEFAULT, box_mask=True),
    "one-stage-shape": replace(_DEFAULT, two_stage=False),
}
