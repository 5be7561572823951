"""A picture of what the networks draw so far, for those who watch a run."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.temporary import replacing
from lungsynth.io.font import HEIGHT, draw_text
from lungsynth.io.preview import WINDOW_HU
from lungsynth.training.loop import Picturing

COUNT = 4
_ZOOM = 2  # a VOI of 64 voxels is small on today's screens
_GAP = 4
_LINE = 2 * HEIGHT + 6


class Sampling(Protocol):
    """A recipe whose progress can be looked at."""

    def draw_samples(
        self, rng: np.random.Generator, count: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return real VOIs, and the same with the nodule drawn anew, HU (count, K, J, I)."""


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture (rows, columns, 3) as PNG."""
    from matplotlib.image import imsave

    with replacing(path) as temporary:
        imsave(temporary, picture, format="png")


def picture_of(recipe: object) -> NDArray[np.uint8] | None:
    """Return a picture of samples, RGB, always of the same ones; the next step stays as it was.

    Args:
        recipe: None is returned for one that is neither ``Sampling`` nor ``Picturing``.
    """
    rng = np.random.default_rng(0)
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        if hasattr(recipe, "sample_picture"):
            picturing: Picturing = recipe
            picture = picturing.sample_picture(rng)
            return np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture
        if hasattr(recipe, "draw_samples"):
            sampling: Sampling = recipe
            return samples_picture(*sampling.draw_samples(rng, COUNT))
    return None


def samples_picture(real: NDArray[np.float32], drawn: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the middle axial slices, real above, drawn below, RGB.

    Args:
        real: HU, shape (N, K, J, I), axes to S, P, L: as radiologists look at it.
        drawn: The same with nodules drawn anew.
    """
    rows = []
    for text, cubes in (("real", real), ("drawn by the networks so far", drawn)):
        low, high = WINDOW_HU
        slices = cubes[:, cubes.shape[1] // 2]
        grey = np.clip((slices - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
        grey = grey.repeat(_ZOOM, axis=1).repeat(_ZOOM, axis=2)
        grey = np.pad(grey, ((0, 0), (_GAP, 0), (0, _GAP)))
        row = np.repeat(np.concatenate(list(grey), axis=1)[..., None], 3, axis=2)
        label = np.zeros((_LINE, row.shape[1], 3), np.uint8)
        draw_text(label, text, (4, 2))
        rows += [label, row]
    return np.concatenate(rows, axis=0)
