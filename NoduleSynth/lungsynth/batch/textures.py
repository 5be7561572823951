"""Texture generators for the ablation [shen2022, Table II]: one or two stages, shape or box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from lungsynth.batch.fitting import CHECKPOINT, CHECKPOINT_EVERY, launched
from lungsynth.core.errors import LungSynthError
from lungsynth.core.run_lock import locked
from lungsynth.data.cxr_patches import CxrPatchSampler
from lungsynth.evaluation.cxr_image_quality import VARIANTS
from lungsynth.nn.device import choose_device
from lungsynth.synthesizers.shape_texture.config import (
    SHAPE_PRESETS,
    TEXTURE_PRESETS,
    TextureConfig,
)
from lungsynth.synthesizers.shape_texture.shape_networks import ShapeGenerator
from lungsynth.synthesizers.shape_texture.synthesizer import ShapeTexture
from lungsynth.synthesizers.shape_texture.texture_networks import TextureGenerator
from lungsynth.synthesizers.shape_texture.texture_recipe import TextureRecipe
from lungsynth.synthesizers.shape_texture.weights import TEXTURE, load_parts
from lungsynth.training.checkpoint import load_checkpoint, save_checkpoint
from lungsynth.training.loop import run

WEIGHTS = "texture.safetensors"
OnProgress = Callable[[str, int, int], None]


def variant_config(preset: str, name: str, steps: int | None) -> TextureConfig:
    """Return the configuration of a variant: the preset, but for its stages and its mask.

    Raises:
        LungSynthError: If there is no such preset.
    """
    if preset not in TEXTURE_PRESETS:
        msg = f"unknown preset '{preset}'; shape-texture has {', '.join(TEXTURE_PRESETS)}"
        raise LungSynthError(msg)
    two_stage, box_mask = VARIANTS[name]
    config = replace(TEXTURE_PRESETS[preset], two_stage=two_stage, box_mask=box_mask)
    return config if steps is None else replace(config, total_steps=steps)


def trained_variants(
    data: Path,
    output: Path,
    *,
    preset: str = "default",
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    on_progress: OnProgress = lambda *_: None,
) -> dict[str, ShapeTexture]:
    """Train the four variants alike, or what is left of that, and return them.

    Args:
        data: Folder with ``cxr`` and ``ct_nodules``, and ``drr`` where there are any.
        output: Folder that keeps them; the same one again goes on.
        preset: Of the texture generator.
        steps: Of each; None takes the preset's.
        seed: The same for all.
        device: "auto", "cpu" or "cuda".
        on_progress: Called with the variant, steps done and in all.
    """
    made = {}
    sampler = None
    with locked(output):
        for name in VARIANTS:
            weights = output / name / WEIGHTS
            config = variant_config(preset, name, steps)
            if not weights.is_file():
                sampler = sampler or CxrPatchSampler.load(data, "train", drr_part=config.drr_part)
                torch.manual_seed(seed)
                recipe = TextureRecipe(config, sampler, launched(device))
                _train(recipe, output / name, name, seed, on_progress)
                recipe.save_weights(weights)
            made[name] = texture_filler(weights, device)
            if made[name].texture.config != config:
                msg = f"{weights}: was trained with other options; give another folder"
                raise LungSynthError(msg)
    return made


def _train(
    recipe: TextureRecipe, folder: Path, name: str, seed: int, on_progress: OnProgress
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, total = folder / CHECKPOINT, recipe.config.total_steps
    if checkpoint.is_file():
        recipe.load_state_dict(load_checkpoint(checkpoint, name))

    def on_step(step: int, losses: dict[str, float]) -> None:  # noqa: ARG001 - the loop's call
        on_progress(name, step, total)
        if step % CHECKPOINT_EVERY == 0:
            save_checkpoint(checkpoint, name, recipe.state_dict())

    run(recipe, total, seed=seed, on_step=on_step)
    checkpoint.unlink(missing_ok=True)


def texture_filler(weights: Path, device: str = "auto") -> ShapeTexture:
    """Return what draws nodules in given shapes, from a file that has a texture part at least.

    Raises:
        LungSynthError: If the file lacks it.
    """
    parts, stored = load_parts(weights)
    texture = parts.get(TEXTURE)
    if not isinstance(texture, TextureGenerator):
        msg = f"{weights}: lacks the texture part"
        raise LungSynthError(msg)
    # shapes are given: whose generator it is does not matter
    shape = parts.get("shape", ShapeGenerator(SHAPE_PRESETS["tiny"]))
    assert isinstance(shape, ShapeGenerator)
    return ShapeTexture(shape, texture, choose_device(device), stored.sha256)
