"""Residual networks for radiographs, with the parameter names that torchvision gives them.

[1] He et al., Deep residual learning for image recognition, arXiv:1512.03385v1 (2015), Table 1.

The names let weights that were made elsewhere be read (see ``detectors.classifier``).

Departures from [1]: one input channel; the stride of a bottleneck lies in its 3 x 3 convolution,
as in torchvision's weights; the width can be less, for small images and few of them (ours).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import relu


@dataclass(frozen=True)
class ResNetShape:
    """What distinguishes the networks of [1, Table 1].

    Args:
        blocks: Blocks in each of the four stages.
        bottleneck: Whether a block is 1 x 1, 3 x 3, 1 x 1, or two of 3 x 3.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool


SHAPES = {
    "resnet10": ResNetShape((1, 1, 1, 1), bottleneck=False),
    "resnet18": ResNetShape((2, 2, 2, 2), bottleneck=False),
    "resnet50": ResNetShape((3, 4, 6, 3), bottleneck=True),
}


class _Block(nn.Module):
    """Convolutions and their sum with the input [1, Fig. 5]."""

    def __init__(self, before: int, width: int, stride: int, *, bottleneck: bool) -> None:
        super().__init__()
        after = 4 * width if bottleneck else width
        if bottleneck:
            self.conv1 = nn.Conv2d(before, width, 1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
            self.conv3 = nn.Conv2d(width, after, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(after)
        else:
            self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.bottleneck = bottleneck
        self.downsample: nn.Sequential | None = None
        if stride != 1 or before != after:
            conv = nn.Conv2d(before, after, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(after))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, C', H', W') of maps (B, C, H, W)."""
        found = self.bn2(self.conv2(relu(self.bn1(self.conv1(maps)))))
        if self.bottleneck:
            found = self.bn3(self.conv3(relu(found)))
        return relu(found + (maps if self.downsample is None else self.downsample(maps)))


class ResNet(nn.Module):
    """A residual network on images of one channel.

    Args:
        shape: A name in ``SHAPES``.
        width: Channels of the stem and the first stage; 64 in [1].
        outputs: Length of the output.
    """

    def __init__(self, shape: str, *, width: int, outputs: int) -> None:
        super().__init__()
        layout = SHAPES[shape]
        self.conv1 = nn.Conv2d(1, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        before, stages = width, []
        for stage, count in enumerate(layout.blocks):
            channels, blocks = width * 2**stage, []
            for n in range(count):
                stride = 2 if n == 0 and stage > 0 else 1
                blocks.append(_Block(before, channels, stride, bottleneck=layout.bottleneck))
                before = 4 * channels if layout.bottleneck else channels
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.feature_count = before
        self.fc = nn.Linear(before, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def maps(self, images: Tensor) -> Tensor:
        """Return the last stage's maps (B, C, H / 32, W / 32) of images (B, 1, H, W)."""
        found = self.maxpool(relu(self.bn1(self.conv1(images))))
        last: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(found))))
        return last

    def features(self, images: Tensor) -> Tensor:
        """Return the means of the maps (B, C)."""
        return self.maps(images).mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, outputs)."""
        logits: Tensor = self.fc(self.features(images))
        return logits
