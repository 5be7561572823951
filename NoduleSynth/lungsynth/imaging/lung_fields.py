"""The lung fields of a frontal chest radiograph, by a small network that ships and runs in numpy.

A U-Net on 64 x 64 pixels, (ours); its model card (``lungsynth models show lung-fields``) says
what it was trained on and what it measures. Lung fields are what is seen of the lungs: not
behind heart and diaphragm, which ``LungFields.mask`` adds on request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph
from lungsynth.core.shipped import shipped_file
from lungsynth.imaging.voi import interpolation_matrix

SIDE = 64
"""Side of the square that the network sees, whatever the shape of the image."""
WEIGHTS_NAME = "lung-fields"
LEAST_PART, LARGEST_PART = 0.01, 0.4
"""Part of the image that one lung takes at least and at most."""
LEAST_CERTAINTY = 0.7
"""Mean probability inside a lung below which it does not count as found."""
HEART_FROM = 0.45
"""(ours) From which part of the lungs' height on downwards the heart may hide lung."""
SPINE_HALF_WIDTH = 0.08
"""(ours) Half of the spine's width over that of both lungs: no nodule is put onto it."""
_LOCAL = SIDE / 10
_LEVELS = 3

Weights = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class LungFields:
    """The lungs of a radiograph on a coarse grid that covers all of it.

    Args:
        probability: How surely each cell lies in the lung on the left and on the right of the
            picture, float32 (2, h, w), 0 to 1.
    """

    probability: NDArray[np.float32]

    def mask(self, shape: tuple[int, ...], *, behind: bool = False) -> NDArray[np.bool_]:
        """Return where the lungs are, at the resolution of the image.

        Args:
            shape: (rows, columns) of the image.
            behind: Whether lung behind heart and diaphragm counts too.
        """
        soft = self.probability.max(axis=0)
        if behind:
            soft = np.maximum(soft, hidden_lung(self.probability > 0.5).astype(np.float32))
        if soft.shape == tuple(shape):
            return np.asarray(soft > 0.5)
        across = [_stretch(coarse, fine) for coarse, fine in zip(soft.shape, shape, strict=True)]
        return np.asarray(across[0] @ soft @ across[1].T > 0.5)


def _stretch(coarse: int, fine: int) -> NDArray[np.float32]:
    """Return linear weights (fine, coarse) between two grids that cover the same length."""
    at = (np.arange(fine) + 0.5) * coarse / fine - 0.5
    return interpolation_matrix(
        np.arange(coarse, dtype=np.float64), np.clip(at, 0, coarse - 1), 1.0
    )


def hidden_lung(lungs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where lung lies behind heart and diaphragm: an estimate from the seen lungs alone.

    Between both lungs in the lower part of the chest but off the spine, and under each dome of
    the diaphragm down to the line between the lowest points of both lungs.

    Args:
        lungs: The lungs on the left and on the right of the picture, (2, h, w).
    """
    both: NDArray[np.bool_] = np.logical_or(lungs[0], lungs[1])
    rows, columns = np.nonzero(both)
    hidden = np.zeros_like(both)
    if not (lungs[0].any() and lungs[1].any()):
        return hidden
    top, bottom = rows.min(), rows.max()
    width = columns.max() - columns.min()
    middle = np.mean([np.nonzero(lungs[0])[1].max(), np.nonzero(lungs[1])[1].min()])
    level = np.arange(both.shape[0])[:, None]
    column = np.arange(both.shape[1])[None, :]
    # what lies between the outer borders of the lungs: at each row, and no wider than above it
    left = np.full(both.shape[0], both.shape[1])
    right = np.full(both.shape[0], -1)
    for row in range(top, bottom + 1):
        found = np.flatnonzero(both[row])
        if len(found):
            left[row], right[row] = found[0], found[-1]
    chest = (column >= left[:, None]) & (column <= right[:, None])
    for side, lung in enumerate(lungs):
        lowest = np.nonzero(lung)[0].max()
        beside = column < middle if side == 0 else column > middle
        outer = np.nonzero(lung.any(axis=0))[0]
        under = (column >= outer[0]) & (column <= outer[-1]) & (level <= lowest)
        above = np.maximum.accumulate(lung, axis=0)
        hidden |= beside & under & above
    low = level > top + HEART_FROM * (bottom - top)
    hidden |= chest & low
    hidden &= np.abs(column - middle) > SPINE_HALF_WIDTH * width
    return np.asarray(hidden & ~both)


def find_lung_fields(image: Radiograph, weights: Path | None = None) -> LungFields:
    """Find the lungs in a frontal chest radiograph.

    Args:
        image: The radiograph.
        weights: Of the network; None takes those that ship.

    Raises:
        LungSynthError: If there are no weights, or two lungs are not found.
    """
    path = weights or shipped_file(f"{WEIGHTS_NAME}.safetensors")
    if path is None:
        msg = "the weights that find lung fields are not there; give a mask with --lung-fields"
        raise LungSynthError(msg)
    probability = _softmax(run_network(_read_weights(path), network_input(image)))[1:]
    lungs = np.stack([_main_piece(part > 0.5) for part in probability])
    for lung, part in zip(lungs, probability, strict=True):
        size = lung.mean()
        if not LEAST_PART <= size <= LARGEST_PART or part[lung].mean() < LEAST_CERTAINTY:
            msg = (
                "no pair of lung fields was found; is this a frontal chest radiograph? A mask of "
                "them can be given with --lung-fields"
            )
            raise LungSynthError(msg)
    # beside the main pieces nothing counts; inside them, no holes
    sure = np.where(lungs, np.maximum(probability, 0.51), np.minimum(probability, 0.49))
    return LungFields(np.asarray(sure, dtype=np.float32))


def network_input(image: Radiograph) -> NDArray[np.float32]:
    """Return what the network sees, (2, 64, 64): grey, and grey against its surroundings."""
    step = [max(1, length // (4 * SIDE)) for length in image.pixels.shape]
    grey = image.normalised(image.pixels[:: step[0], :: step[1]])
    shrunk = [_shrink(length) for length in grey.shape]
    return local_contrast(np.asarray(shrunk[0] @ grey @ shrunk[1].T, dtype=np.float32))


def local_contrast(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return grey in [-1, 1] (64, 64), and the same against its surroundings, as (2, 64, 64)."""
    mean = ndimage.gaussian_filter(grey, _LOCAL)
    spread = np.sqrt(ndimage.gaussian_filter((grey - mean) ** 2, _LOCAL)) + 0.05
    return np.stack([grey, (grey - mean) / spread]).astype(np.float32)


def _shrink(length: int) -> NDArray[np.float32]:
    """Return weights (64, length) that average, or interpolate where there are fewer pixels."""
    at = (np.arange(SIDE) + 0.5) * length / SIDE - 0.5
    return interpolation_matrix(np.arange(length, dtype=np.float64), at, max(1.0, length / SIDE))


@cache
def _read_weights(path: Path) -> Weights:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        msg = f"{path}: no weights can be read from it ({error})"
        raise LungSynthError(msg) from None
    if "down0a.weight" not in stored or "head.weight" not in stored:
        msg = f"{path}: weights of another network; those of {WEIGHTS_NAME} are needed"
        raise LungSynthError(msg)
    return {name: value.astype(np.float32) for name, value in stored.items()}


def run_network(weights: Weights, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the U-Net's logits, (3, 64, 64): background, lung on the left, on the right.

    Args:
        weights: For each convolution NAME.weight (out, in, 3, 3) or (out, in, 1, 1) and NAME.bias:
            down0a, down0b, ... down3b, up2a, up2b, ... up0b, head.
        values: (2, 64, 64).
    """
    skipped = []
    for level in range(_LEVELS + 1):
        values = _block(weights, f"down{level}", values)
        if level < _LEVELS:
            skipped.append(values)
            values = values.reshape(len(values), -1, 2, values.shape[2] // 2, 2).max(axis=(2, 4))
    for level in reversed(range(_LEVELS)):
        values = values.repeat(2, axis=1).repeat(2, axis=2)
        values = _block(weights, f"up{level}", np.concatenate([values, skipped[level]]))
    return _convolved(weights, "head", values)


def _block(weights: Weights, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    for part in "ab":
        values = np.maximum(_convolved(weights, f"{name}{part}", values), 0)
    return values


def _convolved(weights: Weights, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a convolution with zeros around, as torch's Conv2d does it."""
    kernel = weights[f"{name}.weight"]
    bias = weights[f"{name}.bias"]
    reach = kernel.shape[2] // 2
    _, rows, columns = values.shape
    padded = np.pad(values, ((0, 0), (reach, reach), (reach, reach)))
    result = np.tile(bias[:, None], (1, rows * columns))
    for row in range(kernel.shape[2]):
        for column in range(kernel.shape[3]):
            part: NDArray[Any] = padded[:, row : row + rows, column : column + columns]
            result += kernel[:, :, row, column] @ part.reshape(len(part), -1)
    return result.reshape(-1, rows, columns)


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0), dtype=np.float32)


def _main_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, count = ndimage.label(mask)
    if count > 1:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(mask), dtype=bool)
