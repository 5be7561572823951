"""What the evaluation's network is shown."""

import numpy as np
import pytest
import torch

from lungsynth.evaluation.nodule_net import NoduleNet, crop, turned, windows


def test_a_crop_is_centred_and_moved_inwards_at_the_border():
    cube = np.arange(48**3).reshape(1, 48, 48, 48).astype(np.int16)

    middle = crop(cube, np.array([[24.0, 22.0, 20.0]]))
    corner = crop(cube, np.array([[2.0, 46.0, 24.0]]))

    np.testing.assert_array_equal(middle[0], cube[0, 8:40, 6:38, 4:36])
    np.testing.assert_array_equal(corner[0], cube[0, :32, 16:, 8:40])


def test_a_shift_moves_the_crop():
    cube = np.arange(48**3).reshape(1, 48, 48, 48).astype(np.int16)

    moved = crop(cube, np.array([[24.0, 24.0, 24.0]]), np.array([[1, -2, 0]]))

    np.testing.assert_array_equal(moved[0], cube[0, 9:41, 6:38, 8:40])


def test_windows_match_hand_computed_values():
    shown = windows(np.array([[[[-1000, -850, -400, 800, 2000]]]], np.int16))

    np.testing.assert_allclose(shown[0, 0, 0, 0], [-1.0, -0.75, 0.0, 2.0, 2.0])
    np.testing.assert_allclose(shown[0, 1, 0, 0], [-1.0, 0.0, 1.5, 1.5, 1.5])


def test_turning_keeps_slices_and_channels():
    crops = np.random.default_rng(0).normal(size=(1, 2, 3, 4, 4)).astype(np.float32)

    found = turned(crops, 1, (2,))

    for channel in range(2):
        for z in range(3):
            expected = np.rot90(crops[0, channel, 2 - z])
            np.testing.assert_array_equal(found[0, channel, z], expected)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)  # so narrow a network can be born with dead rectifiers
    network = NoduleNet(2, width=8, features=8, dropout=0.0)

    network(torch.randn(4, 2, 32, 32, 32)).square().sum().backward()

    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name.startswith("head"), name
    assert network.features(torch.randn(4, 2, 32, 32, 32)).shape == (4, 8)


@pytest.mark.parametrize("outputs", [1, 8])
def test_output_shape(outputs):
    assert NoduleNet(outputs, width=4)(torch.zeros(2, 2, 32, 32, 32)).shape == (2, outputs)
