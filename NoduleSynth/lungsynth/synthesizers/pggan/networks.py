"""Generator and critic that grow from 4 x 4 pixels [1, Tab. 2]; [1] is named in the package."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, leaky_relu

from lungsynth.nn.equalised import (
    LEAKY_GAIN,
    SLOPE,
    EqualisedConv2d,
    EqualisedLinear,
    blend,
    minibatch_stddev,
    pixel_norm,
)
from lungsynth.synthesizers.pggan.config import FIRST_SIDE, PGGANConfig, sides_to


def _active(features: Tensor) -> Tensor:
    return leaky_relu(features, SLOPE)


class _FirstBlock(nn.Module):
    """Latent to features of 4 x 4: a dense layer and a convolution."""

    def __init__(self, latent_features: int, channels: int) -> None:
        super().__init__()
        # the smaller gain makes it act as the 4 x 4 transposed convolution of [1] does
        area = FIRST_SIDE**2
        self.dense = EqualisedLinear(latent_features, channels * area, LEAKY_GAIN / FIRST_SIDE)
        self.conv = EqualisedConv2d(channels, channels)

    def forward(self, latent: Tensor) -> Tensor:
        grid = self.dense(latent).view(len(latent), -1, FIRST_SIDE, FIRST_SIDE)
        return pixel_norm(_active(self.conv(pixel_norm(_active(grid)))))


class _GrowingBlock(nn.Module):
    """Features of one side to those of twice that side."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(channels_in, channels)
        self.second = EqualisedConv2d(channels, channels)

    def forward(self, features: Tensor) -> Tensor:
        features = pixel_norm(_active(self.first(upsample(features))))
        return pixel_norm(_active(self.second(features)))


class _ShrinkingBlock(nn.Module):
    """Features of one side to those of half that side."""

    def __init__(self, channels: int, channels_out: int) -> None:
        super().__init__()
        self.first = EqualisedConv2d(channels, channels)
        self.second = EqualisedConv2d(channels, channels_out)

    def forward(self, features: Tensor) -> Tensor:
        return downsample(_active(self.second(_active(self.first(features)))))


class _LastBlock(nn.Module):
    """Features of 4 x 4 to one score, with the batch's variation beside them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = EqualisedConv2d(channels + 1, channels)
        self.dense = EqualisedLinear(channels * FIRST_SIDE**2, channels)
        self.score = EqualisedLinear(channels, 1, gain=1.0)

    def forward(self, features: Tensor) -> Tensor:
        features = _active(self.conv(minibatch_stddev(features)))
        score: Tensor = self.score(_active(self.dense(features.flatten(1))))
        return score[:, 0]


def upsample(image: Tensor) -> Tensor:
    """Return an image of twice the side, each pixel four times."""
    return interpolate(image, scale_factor=2, mode="nearest")


def downsample(image: Tensor) -> Tensor:
    """Return an image of half the side, the mean of each four pixels."""
    return avg_pool2d(image, 2)


class Generator(nn.Module):
    """Latent vectors to radiographs.

    Args:
        config: How it is built.

    Attributes:
        side: Pixels along each side of what it draws by default: where it has grown to.
        alpha: How far the layers of that side are faded in, 0 to 1.
    """

    def __init__(self, config: PGGANConfig) -> None:
        super().__init__()
        self.config = config
        self.side, self.alpha = config.side, 1.0
        sides = sides_to(config.side)
        first = config.channels(FIRST_SIDE)
        blocks: list[nn.Module] = [_FirstBlock(config.latent_features, first)]
        blocks += [_GrowingBlock(config.channels(s // 2), config.channels(s)) for s in sides[1:]]
        self.blocks = nn.ModuleList(blocks)
        self.to_image = nn.ModuleList(
            EqualisedConv2d(config.channels(s), 1, kernel=1, gain=1.0) for s in sides
        )

    def forward(
        self, latent: Tensor, side: int | None = None, alpha: float | None = None
    ) -> Tensor:
        """Return images (B, 1, side, side), about in [-1, 1]: nothing bounds them [1, Tab. 2].

        Args:
            latent: (B, L), N(0, 1); only its direction counts, for it is normalised first.
            side: A power of 2 from 4 on; None takes where the networks have grown to.
            alpha: How far the last layers are faded in: 0 is the image of half the side, each
                pixel four times; 1 is theirs alone. None takes the networks' own.
        """
        side = side or self.side
        alpha = self.alpha if alpha is None else alpha
        last = sides_to(side).index(side)
        features = pixel_norm(latent)
        before = features
        for block in self.blocks[: last + 1]:
            before, features = features, block(features)
        image: Tensor = self.to_image[last](features)
        if alpha < 1 and last:
            coarse = upsample(self.to_image[last - 1](before))
            image = blend(coarse, image, alpha)
        return image


class Critic(nn.Module):
    """Radiographs to scores; the mirror image of the generator.

    Args:
        config: How it is built.
    """

    def __init__(self, config: PGGANConfig) -> None:
        super().__init__()
        self.config = config
        self.side, self.alpha = config.side, 1.0
        sides = sides_to(config.side)
        blocks: list[nn.Module] = [_LastBlock(config.channels(FIRST_SIDE))]
        blocks += [_ShrinkingBlock(config.channels(s), config.channels(s // 2)) for s in sides[1:]]
        self.blocks = nn.ModuleList(blocks)
        self.from_image = nn.ModuleList(
            EqualisedConv2d(1, config.channels(s), kernel=1) for s in sides
        )

    def forward(self, image: Tensor, alpha: float | None = None) -> Tensor:
        """Return one score (B,) for each image (B, 1, side, side).

        Args:
            image: Of any side that the networks grow through.
            alpha: As the generator's; None takes the networks' own.
        """
        score: Tensor = self.blocks[0](self.features(image, alpha)[-1])
        return score

    def features(self, image: Tensor, alpha: float | None = None) -> list[Tensor]:
        """Return the features after each halving, the last of them (B, C, 4, 4)."""
        alpha = self.alpha if alpha is None else alpha
        last = sides_to(image.shape[-1]).index(image.shape[-1])
        features = _active(self.from_image[last](image))
        found = [features] if not last else []
        for level in range(last, 0, -1):
            features = self.blocks[level](features)
            if level == last and alpha < 1:
                coarse = _active(self.from_image[last - 1](downsample(image)))
                features = blend(coarse, features, alpha)
            found.append(features)
        return found
