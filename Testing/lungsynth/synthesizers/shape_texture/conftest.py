"""Recipes of the small presets on made-up outlines and patches."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lungsynth.data.cxr_patches import CxrPatchSampler
from lungsynth.data.outlines import NoduleOutlines
from lungsynth.synthesizers.shape_texture.config import SHAPE_PRESETS, TEXTURE_PRESETS
from lungsynth.synthesizers.shape_texture.shape_recipe import ShapeRecipe
from lungsynth.synthesizers.shape_texture.texture_recipe import TextureRecipe


@pytest.fixture(scope="session")
def fabric():
    from lightning_fabric import Fabric

    made = Fabric(accelerator="cpu", devices=1)
    made.launch()
    return made


@pytest.fixture(scope="session")
def outlines():
    """Ellipses of several proportions, all of 50 pixels."""
    row, column = np.indices((128, 128)) - 63.5
    ratios = (1.0, 1.2, 1.5, 1.8)
    shapes = [(row / (50 * r / (1 + r))) ** 2 + (column / (50 / (1 + r))) ** 2 <= 1 for r in ratios]
    return NoduleOutlines(255 * np.stack(shapes).astype(np.uint8), np.array([0, 0, 1, 2]))


@pytest.fixture(scope="session")
def sampler(patches_folder):
    return CxrPatchSampler.load(patches_folder, "train", drr_part=0.3)


@pytest.fixture
def make_shape(fabric, outlines):
    def make(preset="tiny", seed=0, **changes):
        torch.manual_seed(seed)
        return ShapeRecipe(replace(SHAPE_PRESETS[preset], **changes), outlines, fabric)

    return make


@pytest.fixture
def make_texture(fabric, sampler):
    def make(preset="tiny", seed=0, vgg=None, **changes):
        torch.manual_seed(seed)
        config = replace(TEXTURE_PRESETS[preset], **changes)
        return TextureRecipe(config, sampler, fabric, vgg)

    return make
