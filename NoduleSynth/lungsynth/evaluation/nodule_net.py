"""The evaluation's own small 3-D network, and how it is shown nodules.

It shares nothing with the generators and their critics, so that no weakness is shared either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

CROP_VOXELS = 32
SHIFT_VOXELS = 2
"""How far a crop is moved while training."""


class NoduleNet(nn.Module):
    """Three stages of two 3 x 3 x 3 convolutions, 16^3 to 4^3, then the mean and the maximum.

    Args:
        outputs: Length of the output.
        width: Channels of the first stage; doubled at each of the next two.
        features: Length of the features before the output.
        dropout: On the features, while training.
    """

    def __init__(
        self, outputs: int, *, width: int = 24, features: int = 64, dropout: float = 0.3
    ) -> None:
        super().__init__()
        self.stem = nn.Conv3d(2, width, 4, stride=2, padding=1)
        stages, before = [], width
        for stage, channels in enumerate((width, 2 * width, 4 * width)):
            stages += [_convolution(before, channels, stride=1 if stage == 0 else 2)]
            stages += [_convolution(channels, channels)]
            before = channels
        self.stages = nn.Sequential(*stages)
        self.to_features = nn.Linear(2 * before, features)
        self.head = nn.Sequential(nn.ReLU(), nn.Dropout(dropout), nn.Linear(features, outputs))
        self.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def features(self, crops: Tensor) -> Tensor:
        """Return features (B, F) of crops (B, 2, 32, 32, 32)."""
        maps = self.stages(nn.functional.relu(self.stem(crops)))
        pooled = torch.cat([maps.mean(dim=(2, 3, 4)), maps.amax(dim=(2, 3, 4))], dim=1)
        found: Tensor = self.to_features(pooled)
        return found

    def forward(self, crops: Tensor) -> Tensor:
        """Return (B, outputs)."""
        output: Tensor = self.head(self.features(crops))
        return output


def _convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(before, after, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm3d(after),
        nn.ReLU(inplace=True),
    )


def crop(
    cubes: NDArray[np.int16], centre: NDArray[np.float64], shift: NDArray[np.int64] | None = None
) -> NDArray[np.int16]:
    """Return crops (N, 32, 32, 32) of cubes (N, 48, 48, 48) around voxels ``centre`` (N, 3).

    Near the border of its cube a crop is moved inwards.
    """
    start = np.rint(centre).astype(np.int64) - CROP_VOXELS // 2
    if shift is not None:
        start = start + shift
    start = np.clip(start, 0, np.array(cubes.shape[1:]) - CROP_VOXELS)
    side = CROP_VOXELS
    return np.stack(
        [
            cube[z : z + side, y : y + side, x : x + side]
            for cube, (z, y, x) in zip(cubes, start.tolist(), strict=True)
        ]
    )


def windows(crops: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return two channels (N, 2, ...): all densities, and those of lung tissue stretched."""
    hu = crops.astype(np.float32)
    wide = np.clip((hu + 400) / 600, -1.1, 2.0)
    lung = np.clip((hu + 850) / 150, -1.5, 1.5)
    return np.stack([wide, lung], axis=1)


def turned(
    crops: NDArray[np.float32], quarter_turns: int, flips: tuple[int, ...]
) -> NDArray[np.float32]:
    """Return crops (N, 2, z, y, x) turned about z and mirrored along axes out of (2, 3, 4)."""
    return np.flip(np.rot90(crops, quarter_turns, axes=(3, 4)), axis=flips)


def draw_turn(rng: np.random.Generator) -> tuple[int, tuple[int, ...]]:
    """Draw quarter turns about z (slices stay slices) and mirrored axes."""
    quarter_turns = int(rng.integers(4))
    return quarter_turns, tuple(axis for axis in (2, 3, 4) if rng.integers(2))


@contextmanager
def seeded_torch(seed: int) -> Iterator[None]:
    """Make torch's own randomness (initial weights, dropout) follow from a seed, then undo it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def to_tensor(crops: NDArray[np.float32], device: torch.device) -> Tensor:
    """Return crops as the network wants them."""
    tensor = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    return tensor.contiguous(memory_format=torch.channels_last_3d)


def half_precision(device: torch.device) -> torch.autocast:
    """Return bfloat16 autocast, where the hardware computes in it faster than in float32."""
    supported = device.type == "cuda" or (
        torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=supported)
