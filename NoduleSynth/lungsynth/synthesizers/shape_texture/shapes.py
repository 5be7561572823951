"""Drawing one shape at a diameter: generator, then size modulation [1, III.A and III.B]."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.imaging.ellipse import ellipse_axes
from lungsynth.imaging.radiograph_insertion import main_piece
from lungsynth.imaging.size_modulation import modulate_size
from lungsynth.synthesizers.shape_texture.shape_networks import ShapeGenerator, draw_latent

TRIES = 8
LEAST_DIAMETER_PX = 20.0
"""(ours) Real shapes have 50 pixels; a generated one of less has failed."""
LARGEST_PART_ELSEWHERE = 0.2
"""(ours) Of a generated shape that came in pieces, how much may lie outside of the largest."""
LONGEST_AXIS_RATIO = 4.0
"""(ours) Real shapes are shorter, but for a few in a thousand."""


def draw_shape(generator: ShapeGenerator, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a shape (128, 128), 0 to 1, in one piece; what failed is drawn again.

    Raises:
        LungSynthError: If nothing usable comes out, as with untrained weights.
    """
    device = next(generator.parameters()).device
    for _ in range(TRIES):
        latent = draw_latent(generator.config.latent_features, rng).to(device)
        with torch.inference_mode():
            shape = generator(latent)[0, 0].float().cpu().numpy()
        piece = main_piece(shape > 0.5)
        if not _is_nodule(shape, piece):
            continue
        # holes are filled, other pieces go; the outline keeps what lies between pixels
        filled_in = np.where(piece, np.maximum(shape, 0.5), np.minimum(shape, 0.49))
        return np.where(_near(piece), filled_in, 0).astype(np.float32)
    msg = (
        f"no usable shape in {TRIES} draws of the shape generator; train it longer, or try "
        "another --random-seed"
    )
    raise LungSynthError(msg)


def shape_at(shape: NDArray[np.float32], diameter_px: float) -> NDArray[np.float32]:
    """Return the shape at a diameter in the middle of a patch; see ``modulate_size``."""
    return modulate_size(shape, diameter_px)


def _is_nodule(shape: NDArray[np.float32], piece: NDArray[np.bool_]) -> bool:
    if not piece.any():
        return False
    major, minor = ellipse_axes(piece)
    elsewhere = float(((shape > 0.5) & ~piece).sum()) / float(piece.sum())
    return (
        (major + minor) / 2 >= LEAST_DIAMETER_PX
        and major / minor <= LONGEST_AXIS_RATIO
        and elsewhere <= LARGEST_PART_ELSEWHERE
    )


def _near(piece: NDArray[np.bool_]) -> NDArray[Any]:
    from scipy import ndimage

    return np.asarray(ndimage.binary_dilation(piece, iterations=2))
