"""Layers of grown networks give values computed by hand."""

import math

import pytest
import torch

from lungsynth.nn.equalised import EqualisedConv2d, EqualisedLinear, minibatch_stddev, pixel_norm


def test_convolution_scales_by_he_constant():
    layer = EqualisedConv2d(2, 1, kernel=3, gain=math.sqrt(2))
    with torch.no_grad():
        layer.weight.copy_(torch.arange(18.0).view(1, 2, 3, 3))
        layer.bias.fill_(0.5)
    image = torch.zeros(1, 2, 3, 3)
    image[0, 1, 1, 1] = 3.0  # the middle of the second channel meets weight 13 in the middle

    found = layer(image)

    # sqrt(2 / (2 * 9)) = 1 / 3
    assert found[0, 0, 1, 1].item() == pytest.approx(13 * 3 / 3 + 0.5, abs=1e-5)
    assert found[0, 0, 0, 0].item() == pytest.approx(17 * 3 / 3 + 0.5, abs=1e-5)


def test_dense_layer_scales_by_its_gain():
    layer = EqualisedLinear(4, 1, gain=1.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, 3.0, -4.0]]))

    assert layer(torch.tensor([[1.0, 1.0, 1.0, 0.5]])).item() == pytest.approx(4 / 2)


def test_outputs_keep_the_variance_whatever_the_width():
    torch.manual_seed(5)
    for features in (3, 50):
        layer = EqualisedConv2d(features, 64, gain=1.0)
        assert layer.weight.std().item() == pytest.approx(1, abs=0.06)  # N(0, 1), scaled later
        inside = layer(torch.randn(4, features, 12, 12))[:, :, 1:-1, 1:-1]
        assert inside.std().item() == pytest.approx(1, rel=0.1)


def test_pixel_norm_makes_each_pixel_of_unit_mean_square():
    features = torch.tensor([3.0, 4.0, 0.0, 0.0]).view(1, 4, 1, 1)

    torch.testing.assert_close(
        pixel_norm(features).flatten(), torch.tensor([3.0, 4.0, 0.0, 0.0]) / 2.5
    )


def test_minibatch_stddev_is_one_number_for_each_group():
    """Items 0, 2 make one group of two, items 1, 3 the other, as in the authors' code."""
    features = torch.zeros(4, 2, 1, 2)
    features[0] = 1.0  # group of 0 and 2: standard deviation 0.5 everywhere
    features[3, 0, 0, 0] = 8.0  # group of 1 and 3: 4 at one of four places

    found = minibatch_stddev(features, group=2)

    assert found.shape == (4, 3, 1, 2)
    torch.testing.assert_close(found[:, :2], features)
    expected = torch.tensor([0.5, 1.0, 0.5, 1.0])
    torch.testing.assert_close(found[:, 2, 0, 0], expected, atol=2e-4, rtol=0)
    torch.testing.assert_close(found[:, 2, 0, 1], expected, atol=2e-4, rtol=0)


def test_minibatch_stddev_of_a_batch_that_does_not_divide_is_of_all():
    features = torch.tensor([0.0, 3.0, 6.0]).view(3, 1, 1, 1)

    found = minibatch_stddev(features, group=4)[:, 1, 0, 0]

    torch.testing.assert_close(found, torch.full((3,), math.sqrt(6.0)))


def test_minibatch_stddev_of_equal_images_has_finite_gradients():
    features = torch.ones(4, 2, 3, 3, requires_grad=True)

    minibatch_stddev(features).sum().backward()

    assert features.grad.isfinite().all()
