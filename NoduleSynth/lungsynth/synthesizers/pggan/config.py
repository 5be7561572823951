"""Hyper-parameters and presets; [1] to [3] are named in the package's docstring."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lungsynth.core.errors import LungSynthError

FIRST_SIDE, MAX_SIDE = 4, 1024
LOSSES = ("wgan-gp", "logistic")


def sides_to(side: int) -> list[int]:
    """Return 4, 8, 16 ... up to a side, itself included."""
    return [FIRST_SIDE << level for level in range((side // FIRST_SIDE).bit_length())]


@dataclass(frozen=True)
class PGGANConfig:
    """Hyper-parameters; each default is that of [1, A.1] for 1,024 x 1,024 unless marked (ours).

    Args:
        side: Pixels along each side of the finished images: a power of 2 from 4 to 1,024.
        latent_features: Length of a latent vector.
        base_features: Channels at a side are this over the side,
        max_features: but no more than this.
        loss: "wgan-gp" [1], or "logistic", non-saturating with R1 (ours).
        fade_images: Real images shown while the layers of a side are faded in.
        stable_images: And after that, before the next side.
        last_images: And at the last side.
        batches: Images of a batch, from each of these sides on, as "side:batch ...".
        learning_rate: Of both networks.
        adam_beta1: Of both networks.
        adam_beta2: Of both networks.
        penalty_weight: lambda of WGAN-GP, or gamma of R1.
        penalty_every: Steps between penalties, which count that much more.
        drift_weight: epsilon_drift, with WGAN-GP.
        ema_decay: Of the generator that is kept.
        augment_target: Sign of the critic's scores of real images, -1 to 1, above which what it
            sees is augmented more; 1 never augments.
        augment_images: Images shown over which the augmentation could go from never to always.
        zoom: Real images are enlarged by up to this part.
        turn_degrees: And turned by up to this.
        gamma: And their brightness bent by up to this exponent, or its inverse.
        seen_scale: "percentile" or "fixed": how stored values become [-1, 1], see
            ``data.radiograph_pixels.RadiographScale``.
        scale_low: Percentile or stored value that becomes -1.
        scale_high: Percentile or stored value that becomes 1; [2]: the 99th percentile.
        begin_side: Side at which the training begins, without a fade: more than 4 only where it
            starts from weights, which sets it to the side that those have grown to.
        views: Which views are trained on, "PA,AP" say; empty means all.
    """

    side: int = 1024
    latent_features: int = 512
    base_features: int = 16384  # [1, Tab. 2]
    max_features: int = 512  # [1, Tab. 2]
    loss: str = "wgan-gp"
    fade_images: int = 800_000
    stable_images: int = 800_000
    last_images: int = 800_000
    batches: str = "4:16 256:14 512:6 1024:3"
    learning_rate: float = 1e-3
    adam_beta1: float = 0.0
    adam_beta2: float = 0.99
    penalty_weight: float = 10.0
    penalty_every: int = 1
    drift_weight: float = 1e-3
    ema_decay: float = 0.999
    augment_target: float = 1.0
    augment_images: int = 100_000  # (ours)
    zoom: float = 0.0
    turn_degrees: float = 0.0
    gamma: float = 1.0
    seen_scale: str = "percentile"
    scale_low: float = 0.0
    scale_high: float = 99.0
    begin_side: int = FIRST_SIDE
    views: str = ""

    def __post_init__(self) -> None:
        if self.side not in sides_to(MAX_SIDE):
            msg = f"side must be a power of 2 from {FIRST_SIDE} to {MAX_SIDE}; got {self.side}"
            raise LungSynthError(msg)
        if self.loss not in LOSSES:
            msg = f"unknown loss '{self.loss}'; allowed are {', '.join(LOSSES)}"
            raise LungSynthError(msg)

    def channels(self, side: int) -> int:
        """Return the channels of features of side x side."""
        return min(self.max_features, self.base_features // side)

    def batch_size(self, side: int) -> int:
        """Return how many images a step shows at a side."""
        pairs = (pair.split(":") for pair in self.batches.split())
        return [int(batch) for start, batch in pairs if int(start) <= side][-1]

    @property
    def total_steps(self) -> int:
        """Steps until the last image is shown."""
        from lungsynth.synthesizers.pggan.schedule import Schedule  # which builds on this module

        return Schedule(self).total_steps


_FEW = PGGANConfig(
    side=128,
    latent_features=128,
    base_features=2048,
    max_features=256,
    loss="logistic",
    fade_images=10_000,
    stable_images=14_000,
    last_images=150_000,
    batches="4:16 64:8",
    learning_rate=1.5e-3,
    penalty_weight=2.0,
    penalty_every=8,
    augment_target=0.6,
    zoom=0.08,
    turn_degrees=2.0,
    gamma=1.2,
)
"""(ours) All of it."""

PRESETS: dict[str, PGGANConfig] = {
    "default": _FEW,
    "few-64": replace(_FEW, side=64),
    "few-256": replace(_FEW, side=256, base_features=4096, last_images=300_000),
    "64": PGGANConfig(side=64),
    "128": PGGANConfig(side=128),
    "256": PGGANConfig(side=256, batches="4:16", zoom=0.062),  # [3]: crops by 0 to 15 pixels
    "1024": PGGANConfig(),
    "tiny": replace(
        _FEW,
        side=16,
        latent_features=8,
        base_features=128,
        max_features=16,
        fade_images=24,
        stable_images=16,
        last_images=32,
        batches="4:8 16:4",
        penalty_every=2,
    ),
}
