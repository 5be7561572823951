"""The encoder: what it learns from, that it learns, and that it serves one generator alone."""

import dataclasses

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.anogan import AnoGAN
from lungsynth.detectors.encoder import PRESETS, Encoder, load_encoder
from lungsynth.detectors.encoder.network import on_sphere
from lungsynth.detectors.encoder.recipe import EncoderRecipe, moved
from lungsynth.detectors.inversion import FAST, InversionConfig
from lungsynth.training.loop import run


def recipe(generator, steps: int = 10, **changes) -> EncoderRecipe:
    torch.manual_seed(3)
    config = dataclasses.replace(
        PRESETS["tiny"],
        latent_size=generator.latent_size,
        generator_sha256=generator.weights_sha256,
        total_steps=steps,
        spherical=False,
        **changes,
    )
    images = generator.normals(30, seed=1)
    return EncoderRecipe(
        config, generator, images, np.ones_like(images), Fabric(accelerator="cpu", devices=1)
    )


def test_directions_get_the_usual_length():
    found = on_sphere(torch.tensor([[3.0, 4.0], [0.0, -0.1]]))

    torch.testing.assert_close(
        found, torch.tensor([[0.6, 0.8], [0.0, -1.0]]) * torch.sqrt(torch.tensor(2.0))
    )


def test_an_image_is_moved_and_its_edge_repeated():
    image = np.arange(12, dtype=np.float32).reshape(3, 4)

    found = moved(image, np.array([1, -2]))

    np.testing.assert_array_equal(found, [[2, 3, 3, 3], [2, 3, 3, 3], [6, 7, 7, 7]])


def test_trained_it_starts_nearer_than_chance_and_the_search_goes_on_from_there(generator):
    trained = recipe(generator, 150, batch_size=16, width=8, learning_rate=3e-3)
    run(trained, 150, on_step=lambda *_: None)
    images = generator.normals(6, seed=9)
    weight = np.ones_like(images)
    encoder = trained.encoder.eval().requires_grad_(False)

    fast = AnoGAN(generator, encoder=encoder, config=dataclasses.replace(FAST, steps=15))
    plain = AnoGAN(generator, config=InversionConfig(steps=15, restarts=1))
    quick, slow = fast.search_batch(images, weight), plain.search_batch(images, weight)

    assert quick.curve[0] < 0.3 * slow.curve[0]
    assert quick.curve[-1] < quick.curve[0]
    assert quick.curve[-1] < slow.curve[-1]


def test_resumed_training_equals_uninterrupted_training(generator):
    whole, first, resumed = recipe(generator), recipe(generator), recipe(generator)
    run(whole, 4, on_step=lambda *_: None)
    run(first, 2, on_step=lambda *_: None)
    resumed.load_state_dict(first.state_dict())
    run(resumed, 4, on_step=lambda *_: None)

    for name, value in whole.encoder.state_dict().items():
        assert torch.equal(value, resumed.encoder.state_dict()[name]), name


def test_the_picture_leaves_the_next_step_as_it_was(generator):
    looked, not_looked = recipe(generator), recipe(generator)
    run(looked, 1, on_step=lambda *_: None)
    picture = looked.sample_picture(np.random.default_rng(0))
    run(looked, 2, on_step=lambda *_: None)
    run(not_looked, 2, on_step=lambda *_: None)

    assert picture.shape == (64, 8 * 32)
    assert picture.dtype == np.uint8
    for name, value in looked.encoder.state_dict().items():
        assert torch.equal(value, not_looked.encoder.state_dict()[name]), name


def test_weights_come_back_for_their_own_generator_alone(generator, tmp_path):
    trained = recipe(generator)
    path = tmp_path / "encoder.safetensors"
    trained.save_weights(path)
    images = torch.from_numpy(generator.normals(2, seed=4))[:, None]

    found = load_encoder(path, generator.weights_sha256, "cpu")

    torch.testing.assert_close(found(images), trained.encoder.eval()(images), atol=5e-3, rtol=0.02)
    assert not any(p.requires_grad for p in found.parameters())
    with pytest.raises(LungSynthError, match="of the generator f00df00df00d, not of beefbeefbeef"):
        load_encoder(path, "beef" * 16, "cpu")


def test_spherical_answers_have_the_usual_length(generator):
    config = dataclasses.replace(PRESETS["tiny"], latent_size=generator.latent_size)
    encoder = Encoder(config).eval()

    found = encoder(torch.from_numpy(generator.normals(3, seed=4))[:, None])

    torch.testing.assert_close(found.norm(dim=1), torch.full((3,), 6**0.5))
