"""Hyper-parameters and presets of the nodule detectors."""

from __future__ import annotations

from dataclasses import dataclass

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.resnet import SHAPES

KINDS = ("retinanet", "faster-rcnn")
NORMS = ("group", "frozen")
OPTIMIZERS = ("sgd", "adam")


@dataclass(frozen=True)
class NoduleDetectorConfig:
    """How a detector is built and trained; defaults are those of the papers it comes from.

    Args:
        kind: "retinanet" [1] or "faster-rcnn" [2].
        shape: Of the backbone, a name in ``nn.resnet.SHAPES``.
        width: Channels of the backbone's first stage.
        norm: "group" trains from nothing; "frozen" is for a backbone whose weights were read.
        image_side: Rows and columns that images are brought to.
        levels: Of the pyramid, level n with stride 2^n; 2 to 7, without gaps.
        pyramid_width: Channels of the pyramid and the heads.
        head_layers: Convolutions of RetinaNet's heads before the last.
        anchor_stride: Side of a level's anchors over its stride.
        anchor_scales: Multiply it.
        anchor_ratios: Height over width.
        proposals: How many boxes Faster R-CNN's first stage hands on.
        sampled: How many anchors, and how many proposals, its losses count in an image.
        box_units: Width of the layers that judge a proposal.
        detections: At most so many in an image.
        batch_size: Images in a step.
        optimizer: "sgd" with momentum 0.9, or "adam".
        learning_rate: 0.001 before, 0.0001 in fine-tuning [shen2022, IV.A].
        weight_decay: Of every parameter.
        total_steps: shen2022 trains 20 epochs of 2,420 images in pairs.
        shift_part: Largest shift, as part of the side; shift and flip are each done half the time
            [shen2022, IV.C].
    """

    kind: str = "retinanet"
    shape: str = "resnet50"
    width: int = 64
    norm: str = "group"
    image_side: int = 1024
    levels: tuple[int, ...] = (3, 4, 5, 6, 7)
    pyramid_width: int = 256
    head_layers: int = 4
    anchor_stride: float = 4.0
    anchor_scales: tuple[float, ...] = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    proposals: int = 300
    sampled: int = 256
    box_units: int = 1024
    detections: int = 20
    batch_size: int = 2
    optimizer: str = "sgd"
    learning_rate: float = 0.001
    weight_decay: float = 1e-4
    total_steps: int = 24_200
    shift_part: float = 0.05

    def __post_init__(self) -> None:
        for name, allowed in (
            ("kind", KINDS),
            ("shape", tuple(SHAPES)),
            ("norm", NORMS),
            ("optimizer", OPTIMIZERS),
        ):
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                msg = f"{name} of a nodule detector: one of {', '.join(allowed)}; got '{given}'"
                raise LungSynthError(msg)
        # JSON gives lists back
        for name in ("levels", "anchor_scales", "anchor_ratios"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        first, last = self.levels[0], self.levels[-1]
        if self.levels != tuple(range(first, last + 1)) or first < 2 or last > 7 or first > 5:
            msg = f"levels of the pyramid run from 2 to 7 without gaps; got {self.levels}"
            raise LungSynthError(msg)
        if self.image_side % 2 ** min(last, 5):
            msg = f"image_side must divide by {2 ** min(last, 5)}; got {self.image_side}"
            raise LungSynthError(msg)


# (ours) Nodules are small and round: finer levels, no elongated anchors; without pre-trained
# weights Adam gets further in few steps.
_OURS = {"levels": (2, 3, 4, 5), "anchor_ratios": (1.0,), "anchor_stride": 3.0, "optimizer": "adam"}
_SMALL = {
    **_OURS,
    "shape": "resnet18",
    "width": 16,
    "image_side": 384,
    "pyramid_width": 48,
    "head_layers": 2,
    "box_units": 128,
    "proposals": 100,
    "sampled": 64,
    "batch_size": 4,
    "learning_rate": 5e-4,
    "total_steps": 3000,
}
_TINY = {
    **_SMALL,
    "shape": "resnet10",
    "width": 8,
    "image_side": 128,
    "pyramid_width": 16,
    "head_layers": 1,
    "box_units": 32,
    "proposals": 30,
    "batch_size": 2,
    "learning_rate": 2e-3,
    "total_steps": 40,
}
PRESETS: dict[str, dict[str, NoduleDetectorConfig]] = {
    kind: {
        "paper": NoduleDetectorConfig(kind=kind),
        "default": NoduleDetectorConfig(kind=kind, **{**_OURS, "learning_rate": 1e-4}),  # type: ignore[arg-type]
        "small": NoduleDetectorConfig(kind=kind, **_SMALL),  # type: ignore[arg-type]
        "tiny": NoduleDetectorConfig(kind=kind, **_TINY),  # type: ignore[arg-type]
    }
    for kind in KINDS
}
"""For each kind: shen2022's; ours at full size; one for a few cores; one for tests."""
