"""The shape generator and its discriminator [1, III.A and Fig. 3]; [1] as in the package.

[1] gives the 4 x 4 x 512 feature map, five transposed convolutions of 4 x 4 with stride 2, batch
normalisation and ReLU, and says that the discriminator echoes the generator. Channels, the sigmoid
at the end, the missing normalisation of the first and the last layer (as in DCGAN) and LeakyReLU
in the discriminator are ours.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from lungsynth.imaging.size_modulation import SHAPE_SIDE
from lungsynth.nn.equalised import minibatch_stddev
from lungsynth.synthesizers.shape_texture.config import ShapeConfig

_FIRST_SIDE = 4
_DOUBLINGS = 5
assert _FIRST_SIDE * 2**_DOUBLINGS == SHAPE_SIDE


def _channels(config: ShapeConfig) -> list[int]:
    return [max(config.width // 2**n, config.least_width) for n in range(_DOUBLINGS)]


class ShapeGenerator(nn.Module):
    """From a latent vector to a shape."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        self.config = config
        channels = _channels(config)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.latent_features, channels[0], _FIRST_SIDE, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        for a, b in pairwise(channels):
            layers += [
                nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False),
                nn.BatchNorm2d(b),
                nn.ReLU(),
            ]
        layers.append(nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, latent: Tensor) -> Tensor:
        """Return shapes (B, 1, 128, 128), 0 to 1, of latent vectors (B, 100)."""
        logits: Tensor = self.layers(latent[:, :, None, None])
        if self.config.smoothing:
            logits = smoothed(logits)
        return torch.sigmoid(logits)


class ShapeCritic(nn.Module):
    """From a shape to a score: 1 for real, 0 for generated."""

    def __init__(self, config: ShapeConfig) -> None:
        super().__init__()
        channels = [1, *_channels(config)[::-1]]
        layers: list[nn.Module] = []
        for n, (a, b) in enumerate(pairwise(channels)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1))
            if n > 0:
                layers.append(nn.BatchNorm2d(b))
            layers.append(nn.LeakyReLU(0.2))
        self.layers = nn.Sequential(*layers)
        self.spread = config.spread
        self.last = nn.Conv2d(channels[-1] + config.spread, 1, _FIRST_SIDE)
        self.apply(_initialise)

    def forward(self, shapes: Tensor) -> Tensor:
        """Return scores (B,) of shapes (B, 1, 128, 128)."""
        features = self.layers(shapes)
        if self.spread:
            features = minibatch_stddev(features)
        scores: Tensor = self.last(features).flatten()
        return scores


def smoothed(values: Tensor) -> Tensor:
    """Return images (B, 1, H, W) blurred by about 1.4 pixels: [1 4 6 4 1] / 16 twice each way."""
    taps = values.new_tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    line = conv2d(pad(taps[None, None, None], (4, 4)), taps.flip(0)[None, None, None])[0, 0, 0]
    values = pad(values, (4, 4, 4, 4), mode="replicate")
    values = conv2d(values, line[None, None, :, None])
    return conv2d(values, line[None, None, None, :])


def _initialise(module: nn.Module) -> None:
    """Draw first weights as DCGAN does: N(0, 0.02), and N(1, 0.02) in normalisations."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def draw_latent(features: int, rng: np.random.Generator, count: int = 1) -> Tensor:
    """Draw latent vectors (count, features) from N(0, 1)."""
    return torch.from_numpy(rng.standard_normal((count, features), np.float32))
