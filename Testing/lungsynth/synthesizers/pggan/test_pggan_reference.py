"""Both networks against an implementation in numpy, written from the paper alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d

from lungsynth.synthesizers.pggan.config import PRESETS
from lungsynth.synthesizers.pggan.networks import Critic, Generator

CONFIG = replace(PRESETS["tiny"], side=8, latent_features=5, base_features=24, max_features=4)
# 4 channels at 4 x 4, 3 at 8 x 8
GAIN = 2**0.5


def leaky(values):
    return np.where(values > 0, values, 0.2 * values)


def norm(features):
    return features / np.sqrt(np.mean(features**2, axis=0, keepdims=True) + 1e-8)


class Reference:
    """Layers of a network by name, on one image (C, H, W) or vector at a time."""

    def __init__(self, network):
        self.values = {name: value.numpy() for name, value in network.state_dict().items()}

    def conv(self, name, features, gain=GAIN):
        weight, bias = (self.values[f"{name}.{part}"] for part in ("weight", "bias"))
        constant = gain / np.sqrt(weight[0].size)  # He: fan in
        return np.stack(
            [
                constant
                * sum(
                    correlate2d(one, kernel, mode="same")
                    for one, kernel in zip(features, kernels, strict=True)
                )
                + bias[n]
                for n, kernels in enumerate(weight)
            ]
        )

    def dense(self, name, vector, gain=GAIN):
        weight, bias = (self.values[f"{name}.{part}"] for part in ("weight", "bias"))
        return gain / np.sqrt(weight.shape[1]) * weight @ vector + bias


def randomised(network):
    """Give the biases values too, which are 0 at first."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.3)
    return network.double().requires_grad_(False)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_generator_draws_what_the_paper_says(alpha):
    network = randomised(Generator(CONFIG))
    layers = Reference(network)
    latent = np.random.default_rng(2).standard_normal(5)

    found = network(torch.from_numpy(latent[None]), 8, alpha)[0]

    vector = latent / np.sqrt(np.mean(latent**2) + 1e-8)
    grid = layers.dense("blocks.0.dense", vector, GAIN / 4).reshape(4, 4, 4)
    grid = norm(leaky(layers.conv("blocks.0.conv", norm(leaky(grid)))))
    fine = np.kron(grid, np.ones((1, 2, 2)))
    fine = norm(leaky(layers.conv("blocks.1.first", fine)))
    fine = norm(leaky(layers.conv("blocks.1.second", fine)))
    coarse = np.kron(layers.conv("to_image.0", grid, 1.0), np.ones((1, 2, 2)))
    expected = (1 - alpha) * coarse + alpha * layers.conv("to_image.1", fine, 1.0)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_critic_scores_as_the_paper_says(alpha):
    network = randomised(Critic(CONFIG))
    layers = Reference(network)
    images = np.random.default_rng(4).uniform(-1, 1, (2, 1, 8, 8))

    found = network(torch.from_numpy(images), alpha)

    def halved(features):
        return features.reshape(len(features), 4, 2, 4, 2).mean(axis=(2, 4))

    small = []
    for image in images:
        fine = leaky(layers.conv("from_image.1", image))
        fine = leaky(layers.conv("blocks.1.first", fine))
        fine = halved(leaky(layers.conv("blocks.1.second", fine)))
        coarse = leaky(layers.conv("from_image.0", halved(image)))
        small.append((1 - alpha) * coarse + alpha * fine)
    deviation = np.full((1, 4, 4), np.sqrt(np.var(small, axis=0) + 1e-8).mean())
    for features, score in zip(small, found, strict=True):
        grid = leaky(layers.conv("blocks.0.conv", np.concatenate([features, deviation])))
        vector = leaky(layers.dense("blocks.0.dense", grid.ravel()))
        (expected,) = layers.dense("blocks.0.score", vector, 1.0)
        assert score.item() == pytest.approx(expected, rel=1e-6)
