"""The picture of what the networks draw so far."""

from types import SimpleNamespace

import numpy as np
import torch
from matplotlib.image import imread

from lungsynth.synthesizers.mcgan.build import build_recipe
from lungsynth.training.loop import rng_for_step
from lungsynth.training.run import TrainOptions, launch_fabric
from lungsynth.training.samples import picture_of, samples_picture, write_picture


def recipe(cubes_folder, preset="tiny"):
    fabric = launch_fabric(TrainOptions(accelerator="cpu"))
    torch.manual_seed(0)
    return build_recipe(cubes_folder, preset, fabric, None)


def test_the_picture_shows_the_middle_slice_in_the_lung_window():
    real = np.full((2, 8, 8, 8), -1350, np.float32)
    real[1, 4, 1, 2] = 150
    real[1, 3] = 150  # another slice: not shown
    picture = samples_picture(real, real - 500)

    bright = np.argwhere((picture == 255).all(axis=2))
    voxel = [(y, x) for y, x in bright if 24 <= y < 44]  # between the lines of text
    assert voxel == [(y, x) for y in (30, 31) for x in (20 + 4, 20 + 5)]
    assert picture.shape == (2 * (24 + 4 + 16), 2 * (16 + 4), 3)


def test_only_the_centre_is_drawn_anew_and_always_the_same_vois(cubes_folder):
    made = recipe(cubes_folder)
    real, drawn = made.draw_samples(np.random.default_rng(0), 3)
    again = made.draw_samples(np.random.default_rng(0), 3)

    assert real.shape == drawn.shape == (3, 64, 64, 64)
    changed = np.argwhere(np.abs(real - drawn) > 1)
    assert len(changed) > 1000
    assert changed[:, 1:].min() >= 14  # native voxels reach over the border of the box
    assert changed[:, 1:].max() < 50
    assert np.array_equal(drawn, again[1])


def test_looking_changes_nothing_in_the_training(cubes_folder, tmp_path):
    for preset in ("tiny", "paper-tiny"):
        plain, watched = recipe(cubes_folder, preset), recipe(cubes_folder, preset)
        plain.step(rng_for_step(4, 0))
        watched.step(rng_for_step(4, 0))
        torch.manual_seed(77)
        before = torch.rand(3)
        torch.manual_seed(77)
        write_picture(tmp_path / "samples.png", picture_of(watched))
        assert torch.equal(torch.rand(3), before), preset
        plain.step_count = watched.step_count = 1
        assert plain.step(rng_for_step(4, 1)) == watched.step(rng_for_step(4, 1)), preset
        assert imread(tmp_path / "samples.png").shape[2] >= 3


def test_a_recipe_that_cannot_be_looked_at_has_no_picture():
    assert picture_of(SimpleNamespace()) is None
