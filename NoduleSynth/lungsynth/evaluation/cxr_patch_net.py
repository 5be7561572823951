"""A small network on radiograph patches: the studies' judge, and the features of their distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import relu, smooth_l1_loss

from lungsynth.data.cxr_patches import PatchPair
from lungsynth.evaluation.nodule_net import seeded_torch
from lungsynth.imaging.ellipse import ellipse_diameter
from lungsynth.nn.device import choose_device

CROP_PIXELS = 128
SHIFT_PIXELS = 4
"""How far a crop is moved while training."""
VIEWS = ((0, False), (0, True), (2, False), (2, True))
"""Half turns and mirrored columns over which an opinion is averaged."""
Floats = NDArray[np.float64]


class PatchNet(nn.Module):
    """Five stages of convolutions, 128^2 to 8^2, then the mean and the maximum.

    Args:
        outputs: Length of the output.
        width: Channels of the first stage; doubled twice.
        features: Length of the features before the output.
    """

    def __init__(self, outputs: int, *, width: int = 16, features: int = 64) -> None:
        super().__init__()
        channels = (width, width, 2 * width, 4 * width, 4 * width)
        layers: list[nn.Module] = []
        before = 2
        for stage, after in enumerate(channels):
            layers += [
                nn.Conv2d(before, after, 3, stride=1 if stage == 0 else 2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
            before = after
        self.stages = nn.Sequential(*layers)
        self.to_features = nn.Linear(2 * before, features)
        self.head = nn.Linear(features, outputs)

    def features(self, crops: Tensor) -> Tensor:
        """Return features (B, F) of crops (B, 2, 128, 128)."""
        maps = self.stages(crops)
        pooled = torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)
        found: Tensor = self.to_features(pooled)
        return found

    def forward(self, crops: Tensor) -> Tensor:
        """Return (B, outputs)."""
        output: Tensor = self.head(relu(self.features(crops)))
        return output


def crops_of(
    patches: NDArray[np.float32], shift: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return two channels (N, 2, 128, 128) of the middles of patches: all, and local contrast.

    Args:
        patches: (N, 256, 256).
        shift: How far each crop is moved, (N, 2) in pixels; None not at all.
    """
    start = (patches.shape[1] - CROP_PIXELS) // 2
    moves = np.zeros((len(patches), 2), np.int64) if shift is None else shift
    cut = np.stack(
        [
            patch[start + r : start + r + CROP_PIXELS, start + c : start + c + CROP_PIXELS]
            for patch, (r, c) in zip(patches, moves.tolist(), strict=True)
        ]
    )
    middle = cut.mean(axis=(1, 2), keepdims=True)
    return np.stack([cut, np.clip(4 * (cut - middle), -3, 3)], axis=1).astype(np.float32)


def turned(crops: NDArray[np.float32], quarter_turns: int, mirrored: bool) -> NDArray[np.float32]:
    """Return crops (N, 2, H, W) turned and mirrored."""
    found = np.rot90(crops, quarter_turns, axes=(2, 3))
    return np.ascontiguousarray(np.flip(found, axis=3) if mirrored else found)


@dataclass(frozen=True)
class PatchFeatureConfig:
    """How the features of the Fréchet distance are learnt, (ours): from known nodules alone.

    Args:
        patches: How many are learnt from.
        epochs: How often each.
        batch: Patches in a step.
        width: Of the network.
        learning_rate: Of Adam.
        seed: Everything random follows from it.
    """

    patches: int = 600
    epochs: int = 12
    batch: int = 16
    width: int = 16
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class PatchFeatures:
    """A network that reads size and contrast of nodules, and the scale of its features there."""

    network: PatchNet
    mean: Floats
    deviation: Floats

    def of(self, patches: NDArray[np.float32]) -> Floats:
        """Return standardised features (N, F) of patches (N, 256, 256)."""
        return (_features(self.network, patches) - self.mean) / self.deviation


def learn_features(
    pairs: list[PatchPair], config: PatchFeatureConfig, device: str = "auto"
) -> PatchFeatures:
    """Train a network to read the logarithms of diameter and contrast of known nodules."""
    target_device = choose_device(device)
    patches = np.stack([pair.after for pair in pairs])
    asked = np.array(
        [(np.log(ellipse_diameter(p.mask > 0.5)), np.log(max(p.contrast, 1e-3))) for p in pairs],
        dtype=np.float32,
    )
    asked = (asked - asked.mean(axis=0)) / np.maximum(asked.std(axis=0), 1e-3)
    rng = np.random.default_rng(config.seed)
    with seeded_torch(config.seed):
        network = PatchNet(2, width=config.width).to(target_device)
        adam = torch.optim.Adam(network.parameters(), config.learning_rate)
        for _ in range(config.epochs):
            network.train()
            parts = max(1, len(pairs) // config.batch)
            for chosen in np.array_split(rng.permutation(len(pairs)), parts):
                shift = rng.integers(-SHIFT_PIXELS, SHIFT_PIXELS + 1, (len(chosen), 2))
                crops = turned(
                    crops_of(patches[chosen], shift), int(rng.integers(4)), bool(rng.integers(2))
                )
                output = network(torch.from_numpy(crops).to(target_device))
                loss = smooth_l1_loss(output, torch.from_numpy(asked[chosen]).to(target_device))
                adam.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
    found = _features(network, patches)
    return PatchFeatures(network, found.mean(axis=0), np.maximum(found.std(axis=0), 1e-6))


def _features(network: PatchNet, patches: NDArray[np.float32]) -> Floats:
    network.eval()
    device = next(network.parameters()).device
    found = []
    with torch.inference_mode():
        for first in range(0, len(patches), 32):
            crops = torch.from_numpy(crops_of(patches[first : first + 32])).to(device)
            found.append(network.features(crops).double().cpu().numpy())
    return np.concatenate(found)
