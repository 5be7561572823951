"""Distances between features of images.

[johnson] Johnson et al., Perceptual losses for real-time style transfer and super-resolution,
ECCV 2016. [shen2022] Image synthesis with disentangled attributes, Eq. 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from lungsynth.core.errors import LungSynthError

_CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256),
                 12: (256, 256), 14: (256, 256)}  # fmt: skip
_POOLS = (4, 9, 16)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VggFeatures(nn.Module):
    """VGG-16 up to its third pooling layer, with weights from a file that the user gives.

    Args:
        path: safetensors with torchvision's names ("features.0.weight", ...), trained on ImageNet.

    Raises:
        LungSynthError: If the file lacks a weight.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, path: Path) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n in range(_POOLS[-1] + 1):
            if n in _CONVOLUTIONS:
                layers.append(nn.Conv2d(*_CONVOLUTIONS[n], 3, padding=1))
            else:
                layers.append(nn.MaxPool2d(2) if n in _POOLS else nn.ReLU())
        self.layers = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)
        try:
            stored = safetensors.torch.load_file(path)
            names = self.layers.state_dict()
            self.layers.load_state_dict({name: stored[f"features.{name}"] for name in names})
        except (OSError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
            reason = " ".join(str(error).split())[:200]
            msg = f"{path}: no weights of VGG-16 by torchvision's names in safetensors ({reason})"
            raise LungSynthError(msg) from None
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the activations of pool1 to pool3 for grey images (B, 1, H, W) in [-1, 1]."""
        found = ((images.expand(-1, 3, -1, -1) + 1) / 2 - self.mean) / self.std
        pooled = []
        for n, layer in enumerate(self.layers):
            found = layer(found)
            if n in _POOLS:
                pooled.append(found)
        return pooled


def weighted_l1(one: Tensor, other: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference, everywhere or as ``weight`` says.

    Args:
        one: (B, C, H, W).
        other: Same shape.
        weight: How much each place counts, (B, 1, H', W'); averaged where it is finer.
    """
    away = (one - other).abs().mean(dim=1, keepdim=True)
    if weight is None:
        return away.mean()
    share = adaptive_avg_pool2d(weight, (away.shape[-2], away.shape[-1]))
    return (away * share).sum() / (share.sum() + 1e-6)


def perceptual_loss(
    real: Sequence[Tensor], fake: Sequence[Tensor], weight: Tensor | None = None
) -> Tensor:
    """Return [shen2022, Eq. 6]: the l1 distances of the features of each layer, added.

    Each layer's is a mean over its features (ours), as in [johnson], so that none outweighs the
    others by its size.
    """
    return torch.stack([weighted_l1(a, b, weight) for a, b in zip(real, fake, strict=True)]).sum()
