"""Recipes of the small presets on a few made-up nodules."""

from dataclasses import replace

import pytest
import torch

from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.data.voi_batches import NoduleVoiSampler
from lungsynth.synthesizers.mcgan.config import PRESETS
from lungsynth.synthesizers.mcgan.paper import PAPER_PRESETS
from lungsynth.synthesizers.mcgan.paper_recipe import PaperRecipe
from lungsynth.synthesizers.mcgan.recipe import MCGANRecipe


@pytest.fixture(scope="session")
def make_recipe(cubes_folder):
    """Make a recipe of a preset, with some of its configuration changed."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    cubes = NoduleCubes.load(cubes_folder, "train")

    def make(preset, seed=0, **changes):
        torch.manual_seed(seed)
        config = replace((PRESETS | PAPER_PRESETS)[preset], **changes)
        kind = MCGANRecipe if preset in PRESETS else PaperRecipe
        return kind(config, NoduleVoiSampler(cubes, config.box_mm), fabric)

    return make
