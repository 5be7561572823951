"""RetinaNet [1] on radiographs: every anchor of a pyramid is judged and moved, in one stage.

[1] Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv:1708.02002v2.

Departures from [1]: one class; the norm of the backbone, and in our presets levels and anchors
(see ``config``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, smooth_l1_loss

from lungsynth.detectors.nodules.boxes import clip, decode, encode, match, suppress
from lungsynth.detectors.nodules.config import NoduleDetectorConfig
from lungsynth.detectors.nodules.pyramid import Pyramid, by_anchor, make_anchors

PRIOR = 0.01
"""Chance of a nodule that an untrained network gives each anchor [1, 4.1]."""
FOREGROUND, BACKGROUND = 0.5, 0.4  # overlap from which, and below which [1, 4]
SUPPRESSION = 0.5  # [1, 4.1]
BEFORE_SUPPRESSION = 1000  # boxes of each level [1, 4.1]
SMOOTH = 1 / 9


class RetinaNet(nn.Module):
    """The network, its losses, and what it finds.

    Args:
        config: Its hyper-parameters.
    """

    def __init__(self, config: NoduleDetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.pyramid = Pyramid(config)
        anchors = len(config.anchor_scales) * len(config.anchor_ratios)
        self.judge = _head(config, anchors)
        self.mover = _head(config, 4 * anchors)
        last = self.judge[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, -math.log((1 - PRIOR) / PRIOR))

    def forward(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return logits (B, N, 1) and codes (B, N, 4) of the anchors of each level."""
        maps = self.pyramid(images)
        return [by_anchor(self.judge(m), 1) for m in maps], [
            by_anchor(self.mover(m), 4) for m in maps
        ]

    def losses(self, images: Tensor, boxes: list[Tensor]) -> dict[str, Tensor]:
        """Return focal loss [1, Eq. 5] and box loss, both over the number of anchors that match.

        Args:
            images: (B, 1, S, S) in [-1, 1].
            boxes: Nodules of each image, (M, 4); M may be 0.
        """
        logits, codes = (torch.cat(parts, dim=1) for parts in self(images))
        anchors = torch.cat(make_anchors(self.config, images.shape[-1])).to(images)
        focal, moved = [], []
        for n, own in enumerate(boxes):
            found = match(anchors, own, BACKGROUND, FOREGROUND, best=True)
            counted, positive = found != -2, found >= 0
            matched = max(int(positive.sum()), 1)
            wanted = positive[counted].to(logits.dtype)
            focal.append(focal_loss(logits[n, counted, 0], wanted).sum() / matched)
            target = encode(own[found[positive]], anchors[positive])
            moved.append(
                smooth_l1_loss(codes[n, positive], target, beta=SMOOTH, reduction="sum") / matched
            )
        return {"class": torch.stack(focal).mean(), "box": torch.stack(moved).mean()}

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return boxes (N, 4) and scores (N,) of each image, best first."""
        levels = list(zip(*self(images), make_anchors(self.config, images.shape[-1]), strict=True))
        found = []
        for n in range(len(images)):
            boxes, scores = [], []
            for logits, codes, anchors in levels:
                score = logits[n, :, 0].sigmoid()
                best = torch.topk(score, min(len(score), BEFORE_SUPPRESSION)).indices
                boxes.append(decode(codes[n, best], anchors.to(images)[best]))
                scores.append(score[best])
            every, score = clip(torch.cat(boxes), images.shape[-1]), torch.cat(scores)
            first = torch.topk(score, min(len(score), BEFORE_SUPPRESSION)).indices
            kept = first[suppress(every[first], score[first], SUPPRESSION, self.config.detections)]
            found.append((every[kept], score[kept]))
        return found


def focal_loss(logits: Tensor, wanted: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return - alpha_t (1 - p_t)^gamma log p_t for each logit [1, Eq. 5].

    Args:
        logits: Of any shape.
        wanted: 1 or 0, same shape.
        alpha: Weight of what is wanted 1; that of the others is 1 - alpha.
        gamma: How much less what is right already counts.
    """
    chance = logits.sigmoid()
    right = chance * wanted + (1 - chance) * (1 - wanted)
    weight = alpha * wanted + (1 - alpha) * (1 - wanted)
    entropy = binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return weight * (1 - right) ** gamma * entropy


def _head(config: NoduleDetectorConfig, outputs: int) -> nn.Sequential:
    width = config.pyramid_width
    layers: list[nn.Module] = []
    for _ in range(config.head_layers):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    layers.append(nn.Conv2d(width, outputs, 3, padding=1))
    for layer in layers:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)
