"""Gated convolutions: what is let through, how far they see, whole resolution out."""

import pytest
import torch

from lungsynth.nn.gated import GatedAutoencoder, GatedConv2d


def test_a_gated_convolution_is_equation_3():
    """By hand, with 1 x 1 kernels: LeakyReLU(f sigmoid(g)), then over each item (x - mean) / sd."""
    layer = GatedConv2d(1, 1, 1)
    with torch.no_grad():
        layer.both.weight.copy_(torch.tensor([2.0, 3.0])[:, None, None, None])
        layer.both.bias.copy_(torch.tensor([1.0, -1.0]))
        layer.norm.weight.fill_(1.5)
        layer.norm.bias.fill_(0.25)
    x = torch.tensor([[0.5, -2.0], [0.0, 1.0]], dtype=torch.float32)
    gated = (2 * x + 1) / (1 + torch.exp(-(3 * x - 1)))
    passed = torch.where(gated > 0, gated, 0.2 * gated)
    expected = 1.5 * (passed - passed.mean()) / torch.sqrt(passed.var(correction=0) + 1e-5) + 0.25

    torch.testing.assert_close(layer(x[None, None])[0, 0], expected)


@pytest.mark.parametrize(("halvings", "side"), [(2, 32), (3, 48)])
def test_an_autoencoder_gives_back_the_whole_resolution(halvings, side):
    net = GatedAutoencoder(4, 2, 2, halvings)

    assert net(torch.randn(3, 4, side, side)).shape == (3, 2, side, side)


def test_halvings_and_dilations_are_those_of_the_paper():
    net = GatedAutoencoder(4, 3, 64, 2)
    strides = [block.both.stride[0] for block in net.down]
    dilations = [block.both.dilation[0] for block in net.bottleneck]

    assert strides == [2, 2]
    assert dilations == [1, 2, 4, 8, 16, 1]
    assert [block.both.out_channels // 2 for block in net.down] == [128, 256]
    assert [block.both.out_channels // 2 for block in net.up] == [128, 64]


def test_every_parameter_has_a_gradient_and_far_pixels_are_seen():
    """Dilations of 2 to 16 at a quarter of the resolution reach (2 + 4 + 8 + 16) x 4 pixels."""
    torch.manual_seed(3)
    net = GatedAutoencoder(1, 1, 4, 2)
    given = torch.randn(1, 1, 256, 256, requires_grad=True)
    middle = net(given)[0, 0, 128, 128]
    middle.backward()

    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert given.grad[0, 0, 128 - 110 : 128 - 90, 128].abs().max() > 0
