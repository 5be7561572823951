"""From a data folder and a preset to a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lungsynth.core.errors import LungSynthError
from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.data.voi_recipe import VoiGanRecipe
from lungsynth.synthesizers.mcgan.config import PRESETS
from lungsynth.synthesizers.mcgan.kinds import KINDS
from lungsynth.synthesizers.mcgan.paper import PAPER_PRESETS
from lungsynth.synthesizers.mcgan.paper_recipe import PaperRecipe
from lungsynth.synthesizers.mcgan.recipe import MCGANRecipe


def build_recipe(data: Path, preset: str, fabric: Any, init: Path | None) -> VoiGanRecipe:  # noqa: ANN401 - Fabric is optional
    """Return a recipe on the training split of a folder of nodule cubes.

    Args:
        data: Folder of nodule cubes, see ``data.nodule_cubes``.
        preset: A name in ``PRESETS`` or ``PAPER_PRESETS``.
        fabric: A launched Fabric.
        init: Weights to start from.

    Raises:
        LungSynthError: If one of them cannot be used.
    """
    if preset not in PRESETS | PAPER_PRESETS:
        msg = f"unknown preset '{preset}'; mcgan has {', '.join([*PRESETS, *PAPER_PRESETS])}"
        raise LungSynthError(msg)
    cubes = NoduleCubes.load(data, "train")
    if not cubes.usable.any():
        msg = f"{data}: no usable nodule in the training split of {len(cubes)}"
        raise LungSynthError(msg)
    recipe: MCGANRecipe | PaperRecipe
    if preset in PRESETS:
        config = PRESETS[preset]
        recipe = MCGANRecipe(config, NoduleVoiSampler(cubes, config.box_mm), fabric)
    else:
        paper = PAPER_PRESETS[preset]
        recipe = PaperRecipe(paper, NoduleVoiSampler(cubes, paper.box_mm), fabric)
    if init is not None:
        recipe.load_weights(KINDS.load(init))
    return recipe
