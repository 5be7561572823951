"""From a data folder and a preset to the recipes of both parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lungsynth.core.errors import LungSynthError
from lungsynth.data.cxr_patches import CxrPatchSampler
from lungsynth.data.outlines import NoduleOutlines
from lungsynth.losses.perceptual import VggFeatures
from lungsynth.synthesizers.shape_texture.config import SHAPE_PRESETS, TEXTURE_PRESETS
from lungsynth.synthesizers.shape_texture.shape_recipe import ShapeRecipe
from lungsynth.synthesizers.shape_texture.texture_recipe import TextureRecipe
from lungsynth.synthesizers.shape_texture.weights import load_parts

VGG_FILE = "vgg16.safetensors"
"""Where it lies in the data folder, the perceptual loss is VGG-16's."""
OUTLINES_FILE = "outlines-train.npz"
_Config = TypeVar("_Config")


def prepare_outlines(
    data: Path,
    cache: Path,
    *,
    workers: int = 1,  # noqa: ARG001 - one signature for all
    on_progress: Callable[[int, int], None] | None = None,
    on_report: Callable[[Sequence[str]], None] | None = None,
) -> Path:
    """Read the outlines of the training split once, and return the file that keeps them.

    Raises:
        LungSynthError: If there is none.
    """
    file = cache / OUTLINES_FILE
    found = NoduleOutlines.load(data, "train", file, on_progress=on_progress)
    if on_report is not None:
        on_report([f"{len(found)} outlines; {found.left_out} that are too small were left out"])
    return file


def build_shape_recipe(data: Path, preset: str, fabric: Any, init: Path | None) -> ShapeRecipe:  # noqa: ANN401 - Fabric is optional
    """Return the recipe of the shape generator.

    Args:
        data: Reader XML of LIDC-IDRI, or what ``prepare_outlines`` made of it.
        preset: A name in ``SHAPE_PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from; a texture part in them is kept.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    config = _preset(SHAPE_PRESETS, preset, "shape-texture-shape")
    cache = data if data.suffix == ".npz" else None
    outlines = NoduleOutlines.load(data, "train", cache)
    recipe = ShapeRecipe(config, outlines, fabric)
    if init is not None:
        recipe.start_from(load_parts(init)[0])
    return recipe


def build_texture_recipe(data: Path, preset: str, fabric: Any, init: Path | None) -> TextureRecipe:  # noqa: ANN401 - Fabric is optional
    """Return the recipe of the texture generator.

    Args:
        data: Folder with ``cxr`` and ``ct_nodules``, ``drr``, or all (``data.cxr_patches``), and
            ``vgg16.safetensors`` where the perceptual loss is to be VGG-16's.
        preset: A name in ``TEXTURE_PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from; a shape part in them is kept, so that the weights of this
            training are complete.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    config = _preset(TEXTURE_PRESETS, preset, "shape-texture")
    sampler = CxrPatchSampler.load(data, "train", drr_part=config.drr_part)
    vgg = VggFeatures(data / VGG_FILE) if (data / VGG_FILE).is_file() else None
    recipe = TextureRecipe(config, sampler, fabric, vgg)
    if init is not None:
        recipe.start_from(load_parts(init)[0])
    return recipe


def _preset(presets: Mapping[str, _Config], name: str, system: str) -> _Config:
    if name not in presets:
        msg = f"unknown preset '{name}'; {system} has {', '.join(presets)}"
        raise LungSynthError(msg)
    return presets[name]
