"""Training of the network that finds lung fields."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from lightning_fabric import Fabric

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.imaging.lung_fields import SIDE, find_lung_fields, run_network
from lungsynth.training.loop import rng_for_step
from lungsynth.training.lung_fields import (
    PRESETS,
    LungFieldsNet,
    LungFieldsRecipe,
    build_recipe,
    dice_loss,
    draw_example,
    read_examples,
)
from lungsynth.training.run import TrainOptions, train


def chest(rng, shape=(200, 180)):
    """Two dark ovals at places that vary, and where they are."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / np.reshape(shape, (2, 1, 1))
    lungs = np.zeros(shape, np.uint8)
    down, wide = rng.uniform(0.4, 0.5), rng.uniform(0.11, 0.15)
    for middle in (rng.uniform(0.27, 0.33), rng.uniform(0.67, 0.73)):
        lungs[((rows - down) / 0.3) ** 2 + ((columns - middle) / wide) ** 2 < 1] = 1
    grey = 180 - 110 * lungs + rng.normal(0, 6, shape)
    return np.clip(grey, 0, 255).astype(np.uint8), lungs


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    rng = np.random.default_rng(3)
    for n in range(6):
        pixels, lungs = chest(rng)
        sitk.WriteImage(sitk.GetImageFromArray(pixels), str(data / f"{n}.png"))
        sitk.WriteImage(sitk.GetImageFromArray(lungs * np.uint8(255)), str(data / f"{n}_mask.png"))
    return data


@pytest.fixture(scope="module")
def fabric():
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    return fabric


def test_the_network_is_the_one_that_numpy_runs():
    torch.manual_seed(4)
    network = LungFieldsNet((3, 5, 4, 6))
    values = np.random.default_rng(5).normal(0, 1, (2, SIDE, SIDE)).astype(np.float32)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}

    with torch.no_grad():
        expected = network(torch.from_numpy(values)[None])[0].numpy()

    np.testing.assert_allclose(run_network(weights, values), expected, rtol=1e-3, atol=1e-3)


def test_dice_is_0_for_the_truth_and_by_hand_for_half_of_it():
    wanted = torch.zeros(1, 4, 4, dtype=torch.long)
    wanted[0, :2, :2], wanted[0, 2:, 2:] = 1, 2  # 4 pixels each
    sure = torch.nn.functional.one_hot(wanted, 3).permute(0, 3, 1, 2) * 50.0
    assert float(dice_loss(sure, wanted)) == pytest.approx(0, abs=1e-5)
    half = wanted.clone()
    half[0, 0, :2] = half[0, 2, 2:] = 0  # 2 of 4 pixels of each lung are found
    found = torch.nn.functional.one_hot(half, 3).permute(0, 3, 1, 2) * 50.0
    assert float(dice_loss(found, wanted)) == pytest.approx(1 - (2 * 2 + 1) / (2 + 4 + 1), abs=1e-5)


def test_examples_are_read_with_their_sides(folder):
    images, labels = read_examples(folder)

    assert images.shape == labels.shape == (6, SIDE, SIDE)
    for image, label in zip(images, labels, strict=True):
        assert image[label > 0].mean() < image[label == 0].mean() - 1
        left, right = (np.nonzero(label == n)[1].mean() for n in (1, 2))
        assert left < SIDE / 2 < right
    with pytest.raises(LungSynthError, match=r"no radiographs with lung masks"):
        read_examples(folder.parent)


def test_a_drawn_example_keeps_image_and_labels_together(folder):
    images, labels = read_examples(folder)
    config = dataclasses.replace(PRESETS["default"], most_opacities=0, border_chance=0, noise=0)
    for n in range(8):
        values, label = draw_example(config, images[0], labels[0], np.random.default_rng(n))
        assert values.shape == (2, SIDE, SIDE)
        assert values.dtype == np.float32
        assert values[0][label > 0].mean() < values[0][label == 0].mean() - 0.8
        assert np.nonzero(label == 1)[1].mean() < np.nonzero(label == 2)[1].mean()


@pytest.mark.slow
def test_it_learns_to_find_what_it_is_shown(folder, fabric, tmp_path):
    config = dataclasses.replace(
        PRESETS["default"], batch_size=6, total_steps=100, learning_rate=4e-3
    )
    recipe = LungFieldsRecipe(config, *read_examples(folder), fabric)
    losses = []
    for step in range(config.total_steps):
        losses.append(recipe.step(rng_for_step(0, step))["dice"])
        recipe.step_count = step + 1

    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    recipe.save_weights(tmp_path / "w.safetensors")
    pixels, lungs = chest(np.random.default_rng(99), (420, 300))
    found = find_lung_fields(Radiograph(pixels, image_plane_matrix()), tmp_path / "w.safetensors")
    mask = found.mask(pixels.shape)
    assert 2 * (mask & (lungs > 0)).sum() / (mask.sum() + (lungs > 0).sum()) > 0.8


def test_a_run_trains_saves_and_starts_from_its_weights(folder, fabric, tmp_path):
    train("lung-fields", folder, tmp_path / "run", TrainOptions(preset="tiny"))
    weights = tmp_path / "run" / "lung-fields.safetensors"
    assert weights.is_file()

    again = build_recipe(folder, "tiny", fabric, weights)

    assert again.config.total_steps == 4
    with pytest.raises(LungSynthError, match="other widths"):
        build_recipe(folder, "default", fabric, weights)
    with pytest.raises(LungSynthError, match="unknown preset"):
        build_recipe(folder, "huge", fabric, None)
