"""Faster R-CNN [2] on radiographs: proposals first, then each is cut out and judged again.

[2] Ren et al., Faster R-CNN, NIPS 2015, arXiv:1506.01497v3.
[3] Lin et al., Feature pyramid networks, CVPR 2017, arXiv:1612.03144v2: both stages read a pyramid.
[4] He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870v3: RoIAlign in place of RoI pooling.

Departures from [2]: those of [3] and [4], as in every implementation of today; one class; the norm
of the backbone, and in our presets levels and anchors (see ``config``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, smooth_l1_loss

from lungsynth.detectors.nodules.boxes import (
    clip,
    decode,
    draw_sample,
    encode,
    match,
    suppress,
)
from lungsynth.detectors.nodules.config import NoduleDetectorConfig
from lungsynth.detectors.nodules.pyramid import Pyramid, by_anchor, cut_out, make_anchors

PROPOSAL_OVERLAP = (0.3, 0.7)  # [2, 3.1.2]
PROPOSAL_SUPPRESSION = 0.7  # [2, 3.3]
BEFORE_SUPPRESSION = 1000  # boxes of each level
NODULE_OVERLAP = 0.5
NODULE_PART = 0.25  # of the proposals that are sampled
SUPPRESSION = 0.5
CELLS = 7
CODE_WEIGHTS = (10.0, 10.0, 5.0, 5.0)
"""Codes of the second stage are multiplied by these, so that they have a spread of about 1."""
SMALLEST = 1.0  # side of a proposal in pixels


class FasterRCNN(nn.Module):
    """The network, its losses, and what it finds.

    Args:
        config: Its hyper-parameters.
    """

    def __init__(self, config: NoduleDetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.pyramid = Pyramid(config)
        width = config.pyramid_width
        anchors = len(config.anchor_scales) * len(config.anchor_ratios)
        self.shared = nn.Conv2d(width, width, 3, padding=1)
        self.objectness = nn.Conv2d(width, anchors, 1)
        self.mover = nn.Conv2d(width, 4 * anchors, 1)
        self.first = nn.Linear(width * CELLS**2, config.box_units)
        self.second = nn.Linear(config.box_units, config.box_units)
        self.judge = nn.Linear(config.box_units, 1)
        self.adjuster = nn.Linear(config.box_units, 4)
        for layer in (self.shared, self.objectness, self.mover, self.judge, self.adjuster):
            # [2, 3.1.3]; boxes of the second stage start nearer to their proposals
            nn.init.normal_(layer.weight, std=0.001 if layer is self.adjuster else 0.01)
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

    def propose(self, images: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return the pyramid's maps, and objectness (B, N, 1) and codes (B, N, 4) by level."""
        maps = self.pyramid(images)
        shared = [relu(self.shared(m)) for m in maps]
        return (
            maps,
            [by_anchor(self.objectness(m), 1) for m in shared],
            [by_anchor(self.mover(m), 4) for m in shared],
        )

    def losses(self, images: Tensor, boxes: list[Tensor]) -> dict[str, Tensor]:
        """Return the losses of both stages [2, Eq. 1].

        Args:
            images: (B, 1, S, S) in [-1, 1].
            boxes: Nodules of each image, (M, 4); M may be 0.
        """
        maps, logits, codes = self.propose(images)
        proposals = self.proposals(logits, codes, images.shape[-1])
        every = torch.cat(make_anchors(self.config, images.shape[-1])).to(images)
        flat, moved = torch.cat(logits, dim=1), torch.cat(codes, dim=1)
        found: dict[str, list[Tensor]] = {"objectness": [], "proposal": [], "class": [], "box": []}
        for n, own in enumerate(boxes):
            matches = match(every, own, *PROPOSAL_OVERLAP, best=True)
            picked = draw_sample(matches, self.config.sampled, 0.5)
            wanted = (matches[picked] >= 0).to(flat.dtype)
            found["objectness"].append(binary_cross_entropy_with_logits(flat[n, picked, 0], wanted))
            right = picked[matches[picked] >= 0]
            target = encode(own[matches[right]], every[right])
            off = smooth_l1_loss(moved[n, right], target, beta=1 / 9, reduction="sum")
            found["proposal"].append(off / max(len(picked), 1))
            first, second = self._second_losses([m[n : n + 1] for m in maps], proposals[n], own)
            found["class"].append(first)
            found["box"].append(second)
        return {name: torch.stack(values).mean() for name, values in found.items()}

    def proposals(self, logits: list[Tensor], codes: list[Tensor], side: int) -> list[Tensor]:
        """Return the best boxes of each image, (N, 4), without gradient."""
        anchors = make_anchors(self.config, side)
        made = []
        for n in range(len(logits[0])):
            boxes, scores = [], []
            for level_logits, level_codes, level in zip(logits, codes, anchors, strict=True):
                score = level_logits[n, :, 0].detach()
                best = torch.topk(score, min(len(score), BEFORE_SUPPRESSION)).indices
                box = clip(decode(level_codes[n, best].detach(), level.to(score)[best]), side)
                large = (box[:, 2:] - box[:, :2]).min(dim=1).values >= SMALLEST
                boxes.append(box[large])
                scores.append(score[best][large])
            box, score = torch.cat(boxes), torch.cat(scores)
            first = torch.topk(score, min(len(score), BEFORE_SUPPRESSION)).indices
            kept = suppress(box[first], score[first], PROPOSAL_SUPPRESSION, self.config.proposals)
            made.append(box[first[kept]])
        return made

    def judge_boxes(self, maps: list[Tensor], boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits (N,) and codes (N, 4) of boxes of all images, one after another."""
        levels = self.config.levels
        cut = cut_out(maps, boxes, levels, CELLS)
        hidden = relu(self.second(relu(self.first(cut.flatten(1)))))
        return self.judge(hidden)[:, 0], self.adjuster(hidden)

    def _second_losses(
        self, maps: list[Tensor], proposals: Tensor, own: Tensor
    ) -> tuple[Tensor, Tensor]:
        every = torch.cat([proposals, own])  # what there is, is proposed too
        matches = match(every, own, NODULE_OVERLAP, NODULE_OVERLAP, best=False)
        picked = draw_sample(matches, self.config.sampled, NODULE_PART)
        logits, codes = self.judge_boxes(maps, [every[picked]])
        right = matches[picked] >= 0
        judged = binary_cross_entropy_with_logits(logits, right.to(logits.dtype))
        target = encode(own[matches[picked][right]], every[picked][right])
        weights = target.new_tensor(CODE_WEIGHTS)
        off = smooth_l1_loss(codes[right], target * weights, beta=1.0, reduction="sum")
        return judged, off / max(len(picked), 1)

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return boxes (N, 4) and scores (N,) of each image, best first."""
        side = images.shape[-1]
        maps, logits, first_codes = self.propose(images)
        proposals = self.proposals(logits, first_codes, side)
        found = []
        for n, own in enumerate(proposals):
            judged, codes = self.judge_boxes([m[n : n + 1] for m in maps], [own])
            boxes = clip(decode(codes / codes.new_tensor(CODE_WEIGHTS), own), side)
            scores = judged.sigmoid()
            kept = suppress(boxes, scores, SUPPRESSION, self.config.detections)
            found.append((boxes[kept], scores[kept]))
        return found
