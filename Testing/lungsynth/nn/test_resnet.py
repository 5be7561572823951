"""Residual networks against the published sizes and against what their names stand for."""

import pytest
import torch

from lungsynth.nn.resnet import ResNet


@pytest.mark.parametrize(
    ("shape", "published", "last"), [("resnet18", 11_689_512, 512), ("resnet50", 25_557_032, 2048)]
)
def test_sizes_are_those_that_torchvision_states_but_for_two_input_channels(shape, published, last):
    network = ResNet(shape, width=64, outputs=1000)
    count = sum(p.numel() for p in network.parameters())

    assert count == published - 2 * 64 * 7 * 7
    assert network.feature_count == last
    assert {"bn1.running_var", "layer2.0.downsample.1.weight"} <= network.state_dict().keys()


def test_maps_are_a_32nd_of_the_image_and_features_their_means():
    network = ResNet("resnet18", width=4, outputs=3).eval()
    images = torch.randn(2, 1, 96, 64, generator=torch.Generator().manual_seed(1))

    maps = network.maps(images)

    assert maps.shape == (2, 32, 3, 2)
    torch.testing.assert_close(network.features(images), maps.mean(dim=(2, 3)))
    torch.testing.assert_close(network(images), network.fc(maps.mean(dim=(2, 3))))


@pytest.mark.parametrize("shape", ["resnet10", "resnet50"])
def test_every_parameter_gets_a_gradient(shape):
    network = ResNet(shape, width=4, outputs=2)

    network(torch.randn(3, 1, 64, 64)).square().sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
