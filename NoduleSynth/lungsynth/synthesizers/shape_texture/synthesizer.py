"""The synthesizer: shape, size and texture with weights, as the insertion engine uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lungsynth.core.contracts import Painting
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth.nn.device import choose_device
from lungsynth.nn.weights import shipped_weights
from lungsynth.synthesizers.shape_texture.conditions import painting_input
from lungsynth.synthesizers.shape_texture.shape_networks import ShapeGenerator
from lungsynth.synthesizers.shape_texture.shapes import draw_shape, shape_at
from lungsynth.synthesizers.shape_texture.texture_networks import TextureGenerator
from lungsynth.synthesizers.shape_texture.weights import (
    SHAPE,
    TEXTURE,
    WEIGHTS_FILE,
    load_parts,
    save_parts,
)

CONTRAST_PER_PIXEL = 0.0012
"""(ours) Contrast over diameter of dense projected nodules: the longer way through a nodule
attenuates more."""
CONTRAST_SPREAD = 0.35
"""(ours) Standard deviation of its logarithm."""
_CONTRAST_LIMITS = (0.015, 0.35)


class ShapeTexture:
    """The synthesizer: a shape generator and a texture generator with weights.

    Args:
        shape: In evaluation mode.
        texture: In evaluation mode.
        device: Where they run.
        weights_sha256: Of the weights file.
    """

    name = "shape-texture"

    def __init__(
        self,
        shape: ShapeGenerator,
        texture: TextureGenerator,
        device: torch.device,
        weights_sha256: str | None,
    ) -> None:
        self.shape, self.texture = shape.eval().to(device), texture.eval().to(device)
        self.device = str(device)
        self.weights_sha256 = weights_sha256

    @classmethod
    def load(cls, *, weights: Path | None, device: str, bank: Path | None) -> ShapeTexture:  # noqa: ARG003 - one signature for all
        """Read weights, those that ship by default.

        Raises:
            LungSynthError: If the weights or the device cannot be used, or a part is missing.
        """
        target = choose_device(device)
        path = weights or shipped_weights(WEIGHTS_FILE)
        parts, stored = load_parts(path)
        shape, texture = parts.get(SHAPE), parts.get(TEXTURE)
        if not isinstance(shape, ShapeGenerator) or not isinstance(texture, TextureGenerator):
            missing = SHAPE if shape is None else TEXTURE
            trained = "shape-texture-shape" if missing == SHAPE else "shape-texture"
            msg = (
                f"{path}: lacks the {missing} part; train it from these weights: lungsynth train "
                f"{trained} --init {path.name}"
            )
            raise LungSynthError(msg)
        return cls(shape, texture, target, stored.sha256)

    def save(self, path: Path) -> None:
        """Write both parts with their configuration."""
        save_parts(path, {SHAPE: self.shape, TEXTURE: self.texture})

    def paint(
        self,
        context: NDArray[np.float32],
        specs: Sequence[CxrNoduleSpec],
        diameter_px: Sequence[float],
    ) -> Painting:
        """Paint one nodule into each patch; see ``CxrSynthesizer.paint``.

        The shape and the contrast follow from the latent seed, so that a nodule that is painted
        again at another diameter is the same otherwise.
        """
        masks, details, contrast = [], [], []
        for spec, diameter in zip(specs, diameter_px, strict=True):
            rng = np.random.default_rng(spec.latent_seed)
            natural = draw_contrast(diameter, rng)
            masks.append(shape_at(draw_shape(self.shape, rng), diameter))
            contrast.append(natural if spec.contrast is None else spec.contrast)
            details.append({"contrast_told": f"{contrast[-1]:.4f}"})
        seen = [self.texture.config.guided] * len(specs)
        values = self.fill(context, masks, contrast=contrast, seen=seen)
        return Painting(values=values, mask=np.stack(masks), details=_plain(details))

    @torch.inference_mode()
    def fill(
        self,
        patches: NDArray[np.float32],
        masks: Sequence[NDArray[np.float32]],
        *,
        contrast: Sequence[float],
        seen: Sequence[bool],
    ) -> NDArray[np.float32]:
        """Return patches with texture in given shapes, as the study of image quality asks it.

        Items go through the networks one by one: convolutions add up in another order in a batch.

        Args:
            patches: (B, 256, 256) in [-1, 1].
            masks: Shapes, 0 to 1, (256, 256) each.
            contrast: Wanted; the paper's presets do not know it.
            seen: Whether the tissue under the shape shows through; where not, it is not looked
                at, as when a nodule that is there is to be drawn again.
        """
        filled = []
        config = self.texture.config
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            for patch, mask, wanted, see in zip(patches, masks, contrast, seen, strict=True):
                given = painting_input(config, [patch], [mask], seen=[see], contrast=[wanted])
                painted = self.texture.paint(given.to(torch.device(self.device)))
                kept = given.free[0, 0].numpy() <= 0
                filled.append(np.where(kept, patch, painted[0, 0].float().cpu().numpy()))
        return np.stack(filled).astype(np.float32)


def draw_contrast(diameter_px: float, rng: np.random.Generator) -> float:
    """Draw a contrast as real nodules of a diameter have it on the patch's grid."""
    median = CONTRAST_PER_PIXEL * diameter_px
    drawn = median * float(np.exp(CONTRAST_SPREAD * rng.standard_normal()))
    return float(np.clip(drawn, *_CONTRAST_LIMITS))


def _plain(details: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    return [{key: str(value) for key, value in item.items()} for item in details]
