"""Gated convolutions and an encoder-decoder of them.

[1] Yu et al., Free-form image inpainting with gated convolution, ICCV 2019.
[2] Shen et al., Image synthesis with disentangled attributes for chest X-ray nodule augmentation
and detection, Eq. 3 and Fig. 4.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu

DILATIONS = (2, 4, 8, 16)
"""In the middle of the bottleneck [2, III.C]."""


class GatedConv2d(nn.Module):
    """A convolution whose output is let through place by place: IN(phi(F_f * sigmoid(F_g))).

    [2, Eq. 3]: features F_f and gates F_g are convolutions of the same input, phi is LeakyReLU, and
    instance normalisation comes last.

    Args:
        channels_in: Of the input.
        channels_out: Of the output.
        kernel: Odd.
        stride: 2 halves the resolution.
        dilation: Between the taps.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        # one convolution for both, the features first
        self.both = nn.Conv2d(
            channels_in, 2 * channels_out, kernel, stride, dilation * (kernel // 2), dilation
        )
        self.norm = nn.InstanceNorm2d(channels_out, affine=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        inside, gate = self.both(features).chunk(2, dim=1)
        normalised: Tensor = self.norm(leaky_relu(inside * torch.sigmoid(gate), 0.2))
        return normalised


class GatedAutoencoder(nn.Module):
    """Encoder, bottleneck with dilations and decoder with nearest-neighbour upsampling [2, Fig. 4].

    Args:
        channels_in: Of the input.
        channels_out: Of the output, a plain convolution's.
        width: At full resolution; doubled at each halving.
        halvings: Of the resolution; the sides must divide by 2 to their power.
    """

    def __init__(self, channels_in: int, channels_out: int, width: int, halvings: int) -> None:
        super().__init__()
        widths = [width * 2**n for n in range(halvings + 1)]
        deepest = widths[-1]
        self.first = GatedConv2d(channels_in, width, 5)
        self.down = nn.ModuleList(GatedConv2d(a, b, stride=2) for a, b in pairwise(widths))
        self.bottleneck = nn.Sequential(
            GatedConv2d(deepest, deepest),
            *(GatedConv2d(deepest, deepest, dilation=d) for d in DILATIONS),
            GatedConv2d(deepest, deepest),
        )
        self.up = nn.ModuleList(
            GatedConv2d(b, a) for a, b in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.out = nn.Conv2d(width, channels_out, 3, padding=1)

    def forward(self, given: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        features = self.first(given)
        for block in self.down:
            features = block(features)
        features = self.bottleneck(features)
        for block in self.up:
            features = block(interpolate(features, scale_factor=2.0, mode="nearest"))
        filled: Tensor = self.out(features)
        return filled
