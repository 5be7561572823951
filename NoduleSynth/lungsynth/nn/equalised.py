"""Layers of progressively grown networks: equalised learning rate, normalisations of features.

[1] Karras et al., Progressive Growing of GANs for Improved Quality, Stability, and Variation,
ICLR 2018, arXiv:1710.10196v3, section 4 and appendix A.1.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

SLOPE = 0.2
"""Of the leaky ReLUs [1, A.1]."""
LEAKY_GAIN = math.sqrt(2)
"""He's gain, of layers that a leaky ReLU follows; [1] takes that of a ReLU."""


class EqualisedConv2d(nn.Module):
    """A convolution whose weights are scaled at run time by He's constant [1, 4.1].

    They are N(0, 1) at first; all have the same range, and Adam the same speed for each.

    Args:
        features_in: Channels before.
        features_out: Channels after.
        kernel: Side of the kernel; padding keeps the size where ``padding`` is None.
        gain: He's gain: sqrt(2) before a leaky ReLU, 1 where none follows.
        padding: Zeros around the image.
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        kernel: int = 3,
        gain: float = LEAKY_GAIN,
        *,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features_out, features_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(features_out))
        self.scale = gain / math.sqrt(features_in * kernel**2)
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, C, H, W)."""
        return conv2d(image, self.weight * self.scale, self.bias, padding=self.padding)


class EqualisedLinear(nn.Module):
    """A dense layer, scaled as ``EqualisedConv2d``.

    Args:
        features_in: Features before.
        features_out: Features after.
        gain: He's gain.
    """

    def __init__(self, features_in: int, features_out: int, gain: float = LEAKY_GAIN) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features_out, features_in))
        self.bias = nn.Parameter(torch.zeros(features_out))
        self.scale = gain / math.sqrt(features_in)

    def forward(self, features: Tensor) -> Tensor:
        """Return features (B, F)."""
        return linear(features, self.weight * self.scale, self.bias)


def pixel_norm(features: Tensor) -> Tensor:
    """Return features (B, C, ...) of unit mean square over the channels of each pixel [1, 4.2]."""
    return features * torch.rsqrt(features.square().mean(dim=1, keepdim=True) + 1e-8)


def minibatch_stddev(features: Tensor, group: int = 4) -> Tensor:
    """Return features (B, C, H, W) with one map more: how much the images of a group differ [1, 3].

    The standard deviation over the images of a group is averaged over channels and pixels to one
    number for each group, the same for all its images and pixels.

    Args:
        features: Of a batch.
        group: Images that are compared; a batch that this does not divide is one group.
    """
    batch, channels, height, width = features.shape
    group = group if batch % group == 0 else batch
    # item n goes with n + B / group, n + 2 B / group ... as in the authors' code
    grouped = _wide(features).view(group, batch // group, channels, height, width)
    deviation = (grouped.var(dim=0, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
    one_map = deviation.view(1, -1, 1, 1, 1).expand(group, -1, 1, height, width)
    return torch.cat([features, one_map.reshape(batch, 1, height, width).to(features.dtype)], dim=1)


def blend(coarse: Tensor, fine: Tensor, alpha: float) -> Tensor:
    """Return (1 - alpha) coarse + alpha fine, of which a fade consists, in full precision."""
    return torch.lerp(_wide(coarse), _wide(fine), alpha)


def _wide(values: Tensor) -> Tensor:
    """Return values in single precision at least: halves would end a fade with a jump."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
