"""Lung fields of radiographs: the network in numpy, what counts as found, what hides lung."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch.nn import functional

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Radiograph, image_plane_matrix
from lungsynth.core.shipped import shipped_file
from lungsynth.imaging.lung_fields import (
    SIDE,
    WEIGHTS_NAME,
    LungFields,
    find_lung_fields,
    hidden_lung,
    network_input,
    run_network,
)

WIDTHS = (3, 4, 5, 6)


def random_weights(rng):
    """Weights of a small network of the shape that ``run_network`` takes."""
    weights, width = {}, 2

    def add(name, out, into, side=3):
        weights[f"{name}.weight"] = rng.normal(0, 0.4, (out, into, side, side)).astype(np.float32)
        weights[f"{name}.bias"] = rng.normal(0, 0.2, out).astype(np.float32)

    for level, out in enumerate(WIDTHS):
        add(f"down{level}a", out, width)
        add(f"down{level}b", out, out)
        width = out
    for level in (2, 1, 0):
        add(f"up{level}a", WIDTHS[level], width + WIDTHS[level])
        add(f"up{level}b", WIDTHS[level], WIDTHS[level])
        width = WIDTHS[level]
    add("head", 3, width, 1)
    return weights


def in_torch(weights, values):
    """The same network by torch's own operations."""

    def conv(name, x):
        weight = torch.tensor(weights[f"{name}.weight"])
        bias = torch.tensor(weights[f"{name}.bias"])
        return functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2)

    def block(name, x):
        return conv(f"{name}b", conv(f"{name}a", x).relu()).relu()

    x, skipped = torch.tensor(values)[None], []
    for level in range(4):
        x = block(f"down{level}", x)
        if level < 3:
            skipped.append(x)
            x = functional.max_pool2d(x, 2)
    for level in (2, 1, 0):
        x = functional.interpolate(x, scale_factor=2, mode="nearest")
        x = block(f"up{level}", torch.cat([x, skipped[level]], 1))
    return conv("head", x)[0].numpy()


def test_the_network_in_numpy_is_the_one_in_torch():
    rng = np.random.default_rng(2)
    weights = random_weights(rng)
    values = rng.normal(0, 1, (2, SIDE, SIDE)).astype(np.float32)

    np.testing.assert_allclose(
        run_network(weights, values), in_torch(weights, values), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("shape", [(SIDE, SIDE), (500, 410), (2048, 1900), (130, 150)])
def test_the_network_sees_the_whole_image_whatever_its_shape_and_photometric(shape):
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] / np.reshape(shape, (2, 1, 1))
    pixels = (1000 * (0.3 * rows + 0.7 * columns)).astype(np.uint16)
    image = Radiograph(pixels, image_plane_matrix())

    seen = network_input(image)

    assert seen.shape == (2, SIDE, SIDE)
    at = (np.arange(SIDE) + 0.5) / SIDE
    low, high = np.percentile(pixels, (1, 99)) / 1000
    expected = np.clip(2 * (0.3 * at[:, None] + 0.7 * at[None, :] - low) / (high - low) - 1, -1, 1)
    assert np.abs(seen[0] - expected).max() < 0.06
    inverted = Radiograph(1000 - pixels, image_plane_matrix(), photometric="MONOCHROME1")
    assert np.abs(network_input(inverted) - seen).max() < 0.02


def two_lungs(height=100, width=120):
    """Left of the picture a lung with a dome below it, on the right a narrower one."""
    rows, columns = np.mgrid[0:height, 0:width]
    left = (columns >= 20) & (columns < 50) & (rows >= 20) & (rows < 80)
    left &= ~((columns >= 30) & (rows >= 60))  # the dome
    right = (columns >= 80) & (columns < 100) & (rows >= 20) & (rows < 80)
    return np.stack([left, right])


def test_hidden_lung_is_under_the_domes_and_between_the_lungs_but_not_on_the_spine():
    lungs = two_lungs()

    hidden = hidden_lung(lungs)

    assert not (hidden & lungs.any(axis=0)).any()
    assert hidden[70, 40]  # under the dome
    assert not hidden[85, 40]  # below the lowest point of the lung
    assert hidden[70, 75]  # behind the heart
    assert not hidden[30, 75]  # the upper mediastinum
    assert not hidden[70, 64:66].any()  # the spine, in the middle
    assert not hidden[:, :20].any()
    assert not hidden[:, 100:].any()


def test_a_mask_is_stretched_to_the_image():
    fields = LungFields(two_lungs().astype(np.float32))

    mask = fields.mask((1000, 600))

    assert mask.shape == (1000, 600)
    rows, columns = np.nonzero(mask[:, :300])
    assert (rows.min(), rows.max() + 1) == pytest.approx((200, 800), abs=6)
    assert (columns.min(), columns.max() + 1) == pytest.approx((100, 250), abs=4)
    assert not mask[700, 200]
    assert fields.mask((1000, 600), behind=True)[700, 200]
    np.testing.assert_array_equal(fields.mask((100, 120)), two_lungs().any(axis=0))


@pytest.mark.skipif(
    shipped_file(f"{WEIGHTS_NAME}.safetensors") is None, reason="the weights are not there"
)
class TestWeights:
    """What ships."""

    def test_noise_and_a_single_slope_have_no_lungs(self):
        noise = np.random.default_rng(1).integers(0, 255, (300, 280)).astype(np.uint8)
        for pixels in (noise, np.tile(np.arange(280, dtype=np.uint16), (300, 1))):
            with pytest.raises(LungSynthError, match="no pair of lung fields was found"):
                find_lung_fields(Radiograph(pixels, image_plane_matrix()))

    def test_radiographs_of_the_test_split_have_two_lungs_beside_each_other(self):
        folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "cxr"
        table = folder / "labels.csv"
        if not table.is_file():
            pytest.skip(f"no radiographs at {folder}")

        with table.open() as file:
            rows = [r for r in csv.DictReader(file) if r["split"] == "test" and r["view"] == "PA"]
        found = 0
        for row in rows[:20]:
            pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "png512" / row["image"])))
            pixels = pixels if pixels.ndim == 2 else np.ascontiguousarray(pixels[..., 0])
            try:
                fields = find_lung_fields(Radiograph(pixels, image_plane_matrix()))
            except LungSynthError:
                continue
            left, right = fields.probability > 0.5
            assert np.nonzero(left)[1].mean() < np.nonzero(right)[1].mean()
            mask = fields.mask(pixels.shape)
            assert 0.08 < mask.mean() < 0.5
            around = ndimage.binary_dilation(mask, iterations=20) & ~mask
            assert pixels[mask].mean() < pixels[around].mean()
            found += 1
        assert found >= 18
