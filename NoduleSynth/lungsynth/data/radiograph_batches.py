"""Batches of whole radiographs for training, each a little different each time it is shown."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.data.radiographs import RadiographRecord, read_squares


@dataclass(frozen=True)
class Variation:
    """(ours) How much real radiographs are varied; nothing is mirrored, for the heart's sake.

    Args:
        zoom: They are enlarged by up to this part, and shifted as far as that leaves no border.
        turn_degrees: They are turned by up to this.
        gamma: Brightness, 0 to 1, is raised to an exponent from its inverse up to this.
    """

    zoom: float = 0.0
    turn_degrees: float = 0.0
    gamma: float = 1.0


@dataclass(frozen=True)
class Draw:
    """One image of a batch, fully decided.

    Args:
        index: Which radiograph.
        zoom: Times its size.
        turn: Radians.
        shift: Of the part that is shown, (right, down), in halves of the image's side.
        gamma: Exponent of its brightness.
    """

    index: int
    zoom: float = 1.0
    turn: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0


class RadiographSampler:
    """Draws radiographs of a split.

    Args:
        records: Which; they are read at once.
        side: Pixels along each side.
        scale: How stored values become [-1, 1].
        variation: How much they are varied.

    Raises:
        LungSynthError: If any cannot be used; all of them are told together.
    """

    def __init__(
        self,
        records: Sequence[RadiographRecord],
        side: int,
        scale: RadiographScale,
        variation: Variation = Variation(),
    ) -> None:
        # half precision is finer than the 8 bits of the files and needs half the memory
        images = read_squares(records, side, scale).astype(np.float16)
        self.images: NDArray[np.float16] = images
        self.records, self.variation = records, variation

    def draw(self, rng: np.random.Generator) -> Draw:
        """Make every random choice of one image."""
        index = int(rng.integers(len(self.images)))
        zoom = 1 + rng.uniform(0, self.variation.zoom)
        turn = math.radians(rng.uniform(-1, 1) * self.variation.turn_degrees)
        right, down = (rng.uniform(-1, 1, 2) * (1 - 1 / zoom)).tolist()
        gamma = math.exp(rng.uniform(-1, 1) * math.log(self.variation.gamma))
        return Draw(index, zoom, turn, (right, down), gamma)

    def batch(self, draws: Sequence[Draw], device: torch.device) -> Tensor:
        """Return the images (B, 1, side, side) in [-1, 1]."""
        images = torch.from_numpy(self.images[[draw.index for draw in draws]])
        images = images.to(device).float()[:, None]
        if any(draw.zoom != 1 or draw.turn or any(draw.shift) for draw in draws):
            rows = [_part_shown(draw) for draw in draws]
            grid = affine_grid(
                torch.tensor(rows, device=device), list(images.shape), align_corners=False
            )
            images = grid_sample(images, grid, padding_mode="reflection", align_corners=False)
        gamma = torch.tensor([draw.gamma for draw in draws], device=device).view(-1, 1, 1, 1)
        if bool((gamma != 1).any()):
            images = ((images.clamp(-1, 1) + 1) / 2) ** gamma * 2 - 1
        return images

    def summary(self) -> dict[str, object]:
        """Return what is trained on, as JSON can hold it, with a fingerprint of the pixels."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images[:, ::8, ::8]).tobytes())
        views = [record.view for record in self.records]
        return {
            "radiographs": len(self.records),
            "patients": len({record.patient for record in self.records}),
            "views": {view or "unknown": views.count(view) for view in sorted(set(views))},
            "sha256": digest.hexdigest(),
        }


def _part_shown(draw: Draw) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the matrix from points of the result to points of the image, both -1 to 1."""
    across, along = math.cos(draw.turn) / draw.zoom, math.sin(draw.turn) / draw.zoom
    return (across, -along, draw.shift[0]), (along, across, draw.shift[1])
