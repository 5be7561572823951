"""From patches and shapes to what the texture networks see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from lungsynth.core.contracts import WORKING_PIXEL_MM
from lungsynth.data.cxr_patches import PatchPair
from lungsynth.imaging.fill import filled
from lungsynth.imaging.projection import UNSHARPNESS_MM
from lungsynth.imaging.radiograph_insertion import freedom_around
from lungsynth.synthesizers.shape_texture.config import TextureConfig
from lungsynth.synthesizers.shape_texture.texture_networks import TextureInput

FloatImage = NDArray[np.float32]


def condition_mask(config: TextureConfig, mask: FloatImage) -> FloatImage:
    """Return the mask that is the condition: the shape, or the box that encloses it."""
    if not config.box_mask:
        return mask
    box = np.zeros_like(mask)
    rows, columns = np.nonzero(mask > 0.5)
    if len(rows):
        box[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1
    return box


def freedom(config: TextureConfig, mask: FloatImage) -> FloatImage:
    """Return how far each pixel may change: in the condition's mask, and in its rim if any."""
    condition = condition_mask(config, mask)
    if not config.rim:
        return np.asarray(condition > 0.5, dtype=np.float32)
    return freedom_around(condition)


def dome(mask: FloatImage) -> FloatImage:
    """Return how long the way through a nodule of a shape is, its mean over the shape being 1.

    As through a ball, sqrt(1 - (1 - d)^2) at the part d of the way from the edge to the innermost
    pixel, blurred as radiographs are: what the networks add to is then a nodule of the asked
    contrast already (ours).
    """
    inside = mask > 0.5
    if not inside.any():
        return np.zeros_like(mask)
    away = ndimage.distance_transform_edt(inside)
    part = away / away.max()
    way = ndimage.gaussian_filter(np.sqrt(1 - (1 - part) ** 2), UNSHARPNESS_MM / WORKING_PIXEL_MM)
    return np.asarray(way / way[inside].mean(), dtype=np.float32)


def painting_input(
    config: TextureConfig,
    patches: Sequence[FloatImage],
    masks: Sequence[FloatImage],
    *,
    seen: Sequence[bool],
    contrast: Sequence[float],
) -> TextureInput:
    """Return what nodules are painted from.

    Args:
        config: Of the generator.
        patches: (256, 256) each; where tissue is not to be seen they are filled from around.
        masks: Of the shapes, (256, 256) each.
        seen: Whether the networks are given the tissue behind.
        contrast: Wanted.
    """
    free = [freedom(config, mask) for mask in masks]
    told = [condition_mask(config, mask) for mask in masks]
    base = [
        patch if see else filled(patch, region > 0)
        for patch, region, see in zip(patches, free, seen, strict=True)
    ]
    return TextureInput(
        base=_batch(base),
        mask=_batch(told),
        free=_batch(free),
        seen=torch.tensor([float(see) for see in seen]),
        lift=_batch(
            [np.float32(2 * c) * dome(mask) for c, mask in zip(contrast, told, strict=True)]
        ),
    )


def texture_input(
    config: TextureConfig, pairs: Sequence[PatchPair], seen: Sequence[bool]
) -> tuple[TextureInput, Tensor]:
    """Return what the networks see of pairs, and the patches as they are, (B, 1, 256, 256).

    The tissue behind is given only where it is known, whatever ``seen`` says.
    """
    known = [see and not np.isnan(pair.before).any() for see, pair in zip(seen, pairs, strict=True)]
    given = painting_input(
        config,
        [pair.before if see else pair.after for see, pair in zip(known, pairs, strict=True)],
        [pair.mask for pair in pairs],
        seen=known,
        contrast=[pair.contrast for pair in pairs],
    )
    return given, _batch([pair.after for pair in pairs])


def _batch(images: Sequence[FloatImage]) -> Tensor:
    return torch.from_numpy(np.stack(images))[:, None]
