"""Backbone with a feature pyramid, anchors on its levels, and boxes cut out of it (RoIAlign).

[1] Lin et al., Focal loss for dense object detection, ICCV 2017, arXiv:1708.02002v2.
[3] Lin et al., Feature pyramid networks, CVPR 2017, arXiv:1612.03144v2.
[4] He et al., Mask R-CNN, ICCV 2017, arXiv:1703.06870v3: RoIAlign.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, relu

from lungsynth.detectors.nodules.config import NoduleDetectorConfig
from lungsynth.nn.resnet import ResNet

NORM_GROUPS = 8


class Pyramid(nn.Module):
    """ResNet and feature pyramid [3]: maps of one width at each level; level n has stride 2^n.

    Args:
        config: Which levels, and how wide.
    """

    def __init__(self, config: NoduleDetectorConfig) -> None:
        super().__init__()
        self.levels = config.levels
        self.body = ResNet(config.shape, width=config.width, outputs=1)
        del self.body.fc
        _replace_norms(self.body, config.norm)
        stages = [s for s in self.levels if s <= 5]
        with torch.no_grad():
            found = self._stages(torch.zeros(1, 1, 64, 64))
        width = config.pyramid_width
        self.inner = nn.ModuleDict({str(s): nn.Conv2d(found[s].shape[1], width, 1) for s in stages})
        self.outer = nn.ModuleDict({str(s): nn.Conv2d(width, width, 3, padding=1) for s in stages})
        self.further = nn.ModuleDict(
            {str(s): nn.Conv2d(width, width, 3, 2, 1) for s in self.levels if s > 5}
        )
        for module in (*self.inner.modules(), *self.outer.modules(), *self.further.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps (B, C, S / 2^n, S / 2^n) of images (B, 1, S, S), finest first."""
        found = self._stages(images)
        made: dict[int, Tensor] = {}
        above: Tensor | None = None
        for level in sorted((n for n in self.levels if n <= 5), reverse=True):
            here = self.inner[str(level)](found[level])
            if above is not None:
                here = here + interpolate(above, here.shape[-2:], mode="nearest")
            above = here
            made[level] = self.outer[str(level)](here)
        for level in sorted(n for n in self.levels if n > 5):
            made[level] = self.further[str(level)](relu(made[level - 1]))
        return [made[level] for level in self.levels]

    def _stages(self, images: Tensor) -> dict[int, Tensor]:
        body = self.body
        maps = body.maxpool(relu(body.bn1(body.conv1(images))))
        found = {}
        for number, layer in enumerate((body.layer1, body.layer2, body.layer3, body.layer4), 2):
            maps = layer(maps)
            found[number] = maps
        return found


class FrozenNorm(nn.Module):
    """A batch norm whose statistics and scales stay those of the weights that were read.

    Args:
        channels: Of the maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0)):
            self.register_buffer(name, torch.full((channels,), value))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        assert isinstance(self.weight, Tensor)
        assert isinstance(self.bias, Tensor)
        assert isinstance(self.running_mean, Tensor)
        assert isinstance(self.running_var, Tensor)
        scale = self.weight / torch.sqrt(self.running_var + 1e-5)
        shift = self.bias - self.running_mean * scale
        return maps * scale[:, None, None] + shift[:, None, None]


def _replace_norms(module: nn.Module, norm: str) -> None:
    """Replace batch norms: batches of 2 images have no statistics worth the name."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            count = child.num_features
            new = FrozenNorm(count) if norm == "frozen" else nn.GroupNorm(NORM_GROUPS, count)
            setattr(module, name, new)
        else:
            _replace_norms(child, norm)


def make_anchors(config: NoduleDetectorConfig, side: int) -> list[Tensor]:
    """Return the anchors of each level (H * W * A, 4) for images of a side, A varying fastest."""
    found = []
    for level in config.levels:
        stride = 2**level
        count = math.ceil(side / stride)
        middle = (torch.arange(count) + 0.5) * stride
        y, x = torch.meshgrid(middle, middle, indexing="ij")
        half = torch.tensor(
            [
                (
                    stride * config.anchor_stride * scale * r**-0.5 / 2,
                    stride * config.anchor_stride * scale * r**0.5 / 2,
                )
                for scale in config.anchor_scales
                for r in config.anchor_ratios
            ]
        )  # half width and half height; ratio is height over width
        centres = torch.stack([x.flatten(), y.flatten()], dim=1)[:, None]
        found.append(torch.cat([centres - half, centres + half], dim=2).reshape(-1, 4))
    return found


def by_anchor(maps: Tensor, values: int) -> Tensor:
    """Return (B, H * W * A, values) of a head's maps (B, A * values, H, W)."""
    batch, _, rows, columns = maps.shape
    split = maps.reshape(batch, -1, values, rows, columns)
    return split.permute(0, 3, 4, 1, 2).reshape(batch, -1, values)


def cut_out(
    maps: Sequence[Tensor], boxes: list[Tensor], levels: Sequence[int], cells: int
) -> Tensor:
    """Return what the pyramid shows in boxes: RoIAlign [4] with 2 x 2 samples in each cell.

    Args:
        maps: Of the levels, (B, C, H, W) each.
        boxes: Of each image, (N, 4) in pixels.
        levels: Their numbers, in order; level n has stride 2^n.
        cells: Along each side of what is cut out.

    Returns:
        (N in all, C, cells, cells), image by image.
    """
    width = maps[0].shape[1]
    every = []
    for image, own in enumerate(boxes):
        made = maps[0].new_zeros(len(own), width, cells, cells)
        # [3, Eq. 1]: a box of 224 pixels is read at level 4
        size = (own[:, 2:] - own[:, :2]).clamp(min=1e-3).prod(dim=1).sqrt()
        wanted = torch.floor(4 + torch.log2(size / 224) + 1e-6).long()
        wanted = wanted.clamp(min(levels), max(levels))
        for n, level in enumerate(levels):
            rows = torch.nonzero(wanted == level)[:, 0]
            if len(rows):
                made[rows] = _sampled(maps[n][image], own[rows] / 2**level, cells)
        every.append(made)
    return torch.cat(every)


def _sampled(maps: Tensor, boxes: Tensor, cells: int) -> Tensor:
    """Return (N, C, cells, cells) of boxes (N, 4) in pixels of the maps (C, H, W)."""
    channels, rows, columns = maps.shape
    part = (torch.arange(2 * cells, device=maps.device, dtype=maps.dtype) + 0.5) / (2 * cells)
    x = boxes[:, :1] + part * (boxes[:, 2:3] - boxes[:, :1])
    y = boxes[:, 1:2] + part * (boxes[:, 3:] - boxes[:, 1:2])
    x, y = 2 * x / columns - 1, 2 * y / rows - 1
    count = len(boxes)
    grid = torch.stack(
        [x[:, None, :].expand(-1, 2 * cells, -1), y[:, :, None].expand(-1, -1, 2 * cells)], dim=-1
    )
    flat = grid.reshape(1, count * 2 * cells, 2 * cells, 2)
    found = grid_sample(maps[None], flat, padding_mode="border", align_corners=False)
    found = found.reshape(channels, count, 2 * cells, 2 * cells).permute(1, 0, 2, 3)
    return avg_pool2d(found, 2)
