"""Distances between features, by hand, and VGG-16 against its definition."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lungsynth.core.errors import LungSynthError
from lungsynth.losses.perceptual import VggFeatures, perceptual_loss, weighted_l1

# torchvision's configuration "D" up to pool3
LAYERS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M"]


def test_without_weight_it_is_the_mean_absolute_difference():
    one = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]]])
    other = torch.tensor([[[[1.0, 0.0], [3.0, 8.0]], [[1.0, 0.0], [0.0, 1.0]]]])

    torch.testing.assert_close(weighted_l1(one, other), torch.tensor(1.0))  # 8 / 8


def test_a_weight_says_where_differences_count():
    """Away by 3 where it counts once, by 1 where it counts half, by 100 where not at all."""
    away = torch.tensor([[[[3.0, 1.0], [100.0, 0.0]]]])
    weight = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])

    found = weighted_l1(away, torch.zeros_like(away), weight)
    torch.testing.assert_close(found, torch.tensor(3.5 / 1.5), rtol=1e-5, atol=0)


def test_a_finer_weight_is_averaged_over_each_feature():
    weight = torch.zeros(1, 1, 4, 4)
    weight[..., :2, :2] = 1
    weight[..., 0, 2] = 1  # a quarter of its block
    away = torch.tensor([[[[2.0, 10.0], [50.0, 50.0]]]])

    found = weighted_l1(away, torch.zeros_like(away), weight)
    torch.testing.assert_close(found, torch.tensor((2 + 0.25 * 10) / 1.25), rtol=1e-5, atol=0)


def test_layers_are_added():
    ones, zeros = [torch.ones(1, 2, 2, 2), torch.ones(1, 8, 1, 1)], None
    zeros = [torch.zeros_like(x) for x in ones]

    torch.testing.assert_close(perceptual_loss(ones, zeros), torch.tensor(2.0))


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """Small random weights by torchvision's names, those of deeper layers too."""
    rng = np.random.default_rng(5)
    tensors, channels, n = {}, 3, 0
    for layer in LAYERS:
        if layer == "M":
            n += 1
            continue
        shape = (layer, channels, 3, 3)
        weight = rng.normal(0, 1 / np.sqrt(9 * channels), shape)
        tensors[f"features.{n}.weight"] = torch.tensor(weight, dtype=torch.float32)
        tensors[f"features.{n}.bias"] = torch.tensor(rng.normal(0, 0.1, layer).astype(np.float32))
        channels, n = layer, n + 2
    tensors["classifier.6.bias"] = torch.zeros(1000)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(tensors, path)
    return path, tensors


def test_vgg_gives_the_three_pooling_layers_of_its_weights(vgg_file):
    path, tensors = vgg_file
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = VggFeatures(path)(images)

    grey = (images + 1) / 2
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    values = torch.stack([(grey[:, 0] - m) / s for m, s in zip(mean, std, strict=True)], dim=1)
    expected, n = [], 0
    for layer in LAYERS:
        if layer == "M":
            values, n = torch.nn.functional.max_pool2d(values, 2), n + 1
            expected.append(values)
            continue
        weight, bias = tensors[f"features.{n}.weight"], tensors[f"features.{n}.bias"]
        values, n = torch.nn.functional.conv2d(values, weight, bias, padding=1).relu(), n + 2
    assert [f.shape[1:] for f in found] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    torch.testing.assert_close(found, expected)


def test_vgg_is_not_trained_but_lets_gradients_through(vgg_file):
    vgg = VggFeatures(vgg_file[0])
    images = torch.zeros(1, 1, 16, 16, requires_grad=True)
    perceptual_loss(vgg(images), [torch.zeros(1)] * 3).backward()

    assert images.grad.abs().max() > 0
    assert not any(p.requires_grad for p in vgg.parameters())


def test_other_files_are_refused(tmp_path):
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "few.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    for name in ("few", "text", "absent"):
        with pytest.raises(LungSynthError, match=rf"{name}.safetensors: no weights of VGG-16"):
            VggFeatures(tmp_path / f"{name}.safetensors")
