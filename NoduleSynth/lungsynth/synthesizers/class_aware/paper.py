"""The networks of the paper [1, Fig. 1] on its grid, 64 x 64 x 32 voxels of 1 x 1 x 2 mm.

[1] is the paper named in the package's docstring; [2] Yu et al., CVPR 2018, its [8], from whose
coarse and refining networks [1] takes its own. [1] gives grid, inputs, two hourglass generators,
contextual attention, two critics with an auxiliary classifier, and the losses. Not given in [1],
so ours: channels and depth, the optimizer and every weight of a loss; the noise's range; that
only the sphere is taken from what the generators give (as in [2]) before the critics see it.

The engine's cube of 64 mm is that grid once pairs of slices are averaged. A nodule too large for
its 32 mm box gets a larger box, and so larger voxels (ours).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, interpolate, max_pool3d, pad

from lungsynth.core.contracts import BOX_VOXELS, GRID_VOXELS
from lungsynth.core.density import MALIGNANT_RATING
from lungsynth.imaging.voi import box_taper
from lungsynth.nn.centre_unet import CentreSegmenter, central
from lungsynth.nn.contextual_attention import ContextualAttention
from lungsynth.nn.intensities import to_unit
from lungsynth.nn.noise import Noise
from lungsynth.synthesizers.class_aware.conditions import (
    told_fill,
    told_rating,
)

GRID = (32, 64, 64)
"""Voxels (z, y, x) of the patch [1, 3]."""
VOXEL_MM = (2.0, 1.0, 1.0)
_MARGIN = (GRID_VOXELS - BOX_VOXELS) // 2
_UNIT_PER_NORMALISED = 600 / 1024


@dataclass(frozen=True)
class PaperConfig:
    """Hyper-parameters of the paper's preset; (ours) throughout, for [1] gives none of them."""

    width: int = 32
    critic_width: int = 32
    segmenter_width: int = 8  # measures the nodule, takes no part in the paper's objective
    latent_features: int = 1  # unused: noise comes from the sphere
    taper_voxels: int = 4  # at pasting only
    batch_size: int = 16
    learning_rate: float = 1e-4
    adam_beta1: float = 0.5
    adam_beta2: float = 0.9
    segmenter_learning_rate: float = 1e-3
    critic_steps: int = 5  # that of WGAN-GP
    gradient_penalty: float = 10.0  # lambda_gp of [1, Eq. 2], that of WGAN-GP
    global_weight: float = 1.0  # lambda_1 of [1, Eq. 1]
    reconstruction_weight: float = 10.0  # lambda_recon of [1, Eq. 5]
    critic_class_weight: float = 1.0  # lambda_cls^(D) of [1, Eq. 4]
    generator_class_weight: float = 1.0  # lambda_cls^(G) of [1, Eq. 5]
    class_start: int = 20_000  # "L_cls is added after G is well-trained" [1, 2.2]
    total_steps: int = 60_000

    def box_mm(self, diameter_mm: float) -> float:
        """Return the side of the box: half of the patch's 64 mm, more for the largest nodules."""
        return max(32.0, diameter_mm + 4)


PAPER_PRESETS: dict[str, PaperConfig] = {
    "paper": PaperConfig(),
    "paper-tiny": PaperConfig(
        width=2, critic_width=2, segmenter_width=2, batch_size=2, critic_steps=1, class_start=0
    ),
}


def sphere_mask(diameter_mm: Tensor, voxel_mm: tuple[float, float, float]) -> Tensor:
    """Return which voxels of the patch lie in a sphere around its centre, (B, 1, 32, 64, 64).

    Args:
        diameter_mm: (B,).
        voxel_mm: Size of a voxel (z, y, x).
    """
    axes = [
        (torch.arange(n, device=diameter_mm.device) - (n - 1) / 2) * mm
        for n, mm in zip(GRID, voxel_mm, strict=True)
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    squared = z.square() + y.square() + x.square()
    radius = diameter_mm.view(-1, 1, 1, 1, 1) / 2
    return (squared <= radius.square()).float()


def class_map(malignant: Tensor) -> Tensor:
    """Return labels 0 or 1 (B,) as a channel (B, 1, 32, 64, 64) [1, 2.1]."""
    return malignant.view(-1, 1, 1, 1, 1).expand(-1, 1, *GRID)


def to_patch(cube: Tensor) -> Tensor:
    """Return the patch (B, 1, 32, 64, 64), -1 to 1, of normalised cubes (B, 1, 64, 64, 64)."""
    return avg_pool3d(to_unit(cube), (2, 1, 1))


def _block(
    channels_in: int, channels_out: int, *, side: int = 3, stride: int = 1, dilation: int = 1
) -> nn.Module:
    convolution = nn.Conv3d(
        channels_in, channels_out, side, stride, dilation * (side // 2), dilation
    )
    return nn.Sequential(convolution, nn.ELU())


class Hourglass(nn.Module):
    """3-D hourglass after [2]: two halvings, dilated convolutions, two doublings.

    Args:
        width: Channels of the first level.
        attends: Whether contextual attention stands beside the dilated convolutions.
    """

    def __init__(self, width: int, *, attends: bool) -> None:
        super().__init__()
        w = width
        self.narrow = nn.Sequential(
            _block(2, w, side=5),
            _block(w, 2 * w, stride=2),
            _block(2 * w, 2 * w),
            _block(2 * w, 4 * w, stride=2),
            _block(4 * w, 4 * w),
        )
        self.waist = nn.Sequential(
            _block(4 * w, 4 * w, dilation=2), _block(4 * w, 4 * w, dilation=4)
        )
        self.attention = ContextualAttention(patch=3, spread=1) if attends else None
        self.join = _block((8 if attends else 4) * w, 4 * w)
        self.wide = _block(4 * w, 2 * w)
        self.widest = _block(2 * w, w)
        self.out = nn.Conv3d(w, 1, 3, padding=1)

    def forward(self, given: Tensor, mask: Tensor) -> Tensor:
        """Return a whole patch (B, 1, 32, 64, 64), -1 to 1.

        Args:
            given: Patch and class map, (B, 2, 32, 64, 64).
            mask: What is to be filled, (B, 1, 32, 64, 64).
        """
        narrow = self.narrow(given)
        features = self.waist(narrow)
        if self.attention is not None:
            borrowed = self.attention(narrow, max_pool3d(mask, 4))
            features = torch.cat([features, borrowed], dim=1)
        features = self.join(features)
        features = self.wide(interpolate(features, scale_factor=2.0, mode="nearest"))
        features = self.widest(interpolate(features, scale_factor=2.0, mode="nearest"))
        return torch.tanh(self.out(features))


@dataclass(frozen=True, eq=False)
class PaperFilled:
    """A batch on the way through both generators; each (B, 1, 32, 64, 64).

    Args:
        patch: What was there.
        mask: The sphere.
        coarse: All that G1 gave.
        refined: All that G2 gave.
    """

    patch: Tensor
    mask: Tensor
    coarse: Tensor
    refined: Tensor

    @property
    def whole(self) -> Tensor:
        """The patch with the sphere filled."""
        return self.patch + self.mask * (self.refined - self.patch)


class Generators(nn.Module):
    """G1 and G2, stacked [1, Fig. 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.coarse = Hourglass(width, attends=False)
        self.refine = Hourglass(width, attends=True)

    def forward(self, patch: Tensor, mask: Tensor, noise: Tensor, malignant: Tensor) -> PaperFilled:
        """Fill the sphere.

        Args:
            patch: (B, 1, 32, 64, 64), -1 to 1.
            mask: Same shape.
            noise: What takes the place of the nodule, same shape.
            malignant: 0 or 1, (B,).
        """
        label = class_map(malignant).to(patch.dtype)
        coarse = self.coarse(torch.cat([patch + mask * (noise - patch), label], dim=1), mask)
        filled = patch + mask * (coarse - patch)
        refined = self.refine(torch.cat([filled, label], dim=1), mask)
        return PaperFilled(patch, mask, coarse, refined)


class PaperNetworks(nn.Module):
    """Generators and segmenter, used by the synthesizer as those of the default preset are."""

    taper: Tensor

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        self.config = config
        self.generator = Generators(config.width)
        self.segmenter = CentreSegmenter(config.segmenter_width)
        taper = torch.from_numpy(box_taper(config.taper_voxels))
        self.register_buffer("taper", taper[None, None], persistent=False)

    def fill(self, cube: Tensor, condition: Tensor, noise: Noise) -> PaperFilled:
        """Return what the generators make of cubes (B, 1, 64, 64, 64).

        Of the conditions (B, 7) they are told the diameter, as a sphere, and the class.
        """
        diameter_mm = told_fill(condition) * BOX_VOXELS  # of voxels of 1 mm
        malignant = (told_rating(condition) >= MALIGNANT_RATING - 1e-3).float()
        inside = pad(noise.box[:, :, ::2], [_MARGIN] * 4 + [_MARGIN // 2] * 2)
        patch, mask = to_patch(cube), sphere_mask(diameter_mm, VOXEL_MM)
        filled: PaperFilled = self.generator(patch, mask, inside, malignant)
        return filled

    def paint(self, cube: Tensor, condition: Tensor, noise: Noise) -> Tensor:
        """Return the new centre (B, 1, 32, 32, 32): the old one and what the sphere changed."""
        filled = self.fill(cube, condition, noise)
        change = (filled.whole - filled.patch).float() / _UNIT_PER_NORMALISED
        change = interpolate(
            change, scale_factor=(2.0, 1.0, 1.0), mode="trilinear", align_corners=False
        )
        return central(cube + change, BOX_VOXELS)

    def change(self, cube: Tensor, painted: Tensor) -> Tensor:
        """Return by how much the centre changes: nothing at its faces."""
        return self.taper * (painted - central(cube, BOX_VOXELS))


class PaperCritic(nn.Module):
    """A critic D with the auxiliary classifier D_cls on top [1, 2.2].

    Args:
        channels: Of each strided convolution, that of the input first.
        places: Voxels that are left after the last.
    """

    def __init__(self, channels: tuple[int, ...], places: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise(channels):
            layers += [nn.Conv3d(a, b, 5, 2, 2), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(channels[-1] * places, 1)
        self.classes = nn.Linear(channels[-1] * places, 3)

    def forward(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B,) and logits (B, 3) of fake, benign and malignant."""
        features = self.trunk(patch)
        return self.score(features)[:, 0], self.classes(features)


class PaperCritics(nn.Module):
    """D_global on the entire patch, D_local on the masked area only [1, 2.2].

    Neither is told the class: a classifier that was could not learn to see it.
    """

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        w = config.critic_width
        self.whole = PaperCritic((1, w, 2 * w, 4 * w, 4 * w), 2 * 4 * 4)
        self.local = PaperCritic((1, w, 2 * w, 4 * w), 2 * 4 * 4)

    @staticmethod
    def masked(patch: Tensor, mask: Tensor) -> Tensor:
        """Return what the local critic sees: the sphere alone, (B, 1, 16, 32, 32)."""
        return (patch * mask)[..., 8:-8, 16:-16, 16:-16]
