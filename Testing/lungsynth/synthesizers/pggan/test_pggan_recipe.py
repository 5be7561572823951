"""A recipe that grows: resumed in a fade it is the uninterrupted one, and it learns."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.data.radiograph_batches import RadiographSampler, Variation
from lungsynth.data.radiograph_pixels import RadiographScale
from lungsynth.data.radiographs import RadiographSet
from lungsynth.nn.weights import load_weights
from lungsynth.synthesizers.pggan import build
from lungsynth.synthesizers.pggan.config import PRESETS
from lungsynth.synthesizers.pggan.networks import Critic, Generator
from lungsynth.synthesizers.pggan.recipe import PGGANRecipe, fade
from lungsynth.synthesizers.pggan.schedule import Schedule, Stage
from lungsynth.training.checkpoint import load_checkpoint, save_checkpoint
from lungsynth.training.loop import rng_for_step, run

TINY = PRESETS["tiny"]


def make_recipe(films, fabric, **changes):
    torch.manual_seed(4)
    config = replace(TINY, **changes)
    variation = Variation(config.zoom, config.turn_degrees, config.gamma)
    records = RadiographSet.open(films).select("train", normal_only=True)
    sampler = RadiographSampler(records, config.side, RadiographScale(), variation)
    return PGGANRecipe(config, sampler, fabric)


def train(recipe, steps):
    losses = []
    run(recipe, steps, seed=5, on_step=lambda _, found: losses.append(found))
    return losses


def flat(state):
    if isinstance(state, torch.Tensor):
        return [state]
    if isinstance(state, dict):
        return [tensor for value in state.values() for tensor in flat(value)]
    return [torch.tensor(float(state))] if isinstance(state, int | float) else []


@pytest.mark.parametrize("loss", ["logistic", "wgan-gp"])
def test_run_resumed_in_a_fade_equals_the_uninterrupted_one(films, fabric, tmp_path, loss):
    middle = next(phase.first_step + 3 for phase in Schedule(TINY).phases if phase.side == 16)
    end = middle + 8  # beyond the fade's end
    whole = make_recipe(films, fabric, loss=loss)
    train(whole, end)
    begun = make_recipe(films, fabric, loss=loss)
    train(begun, middle)
    assert 0 < begun.schedule.at(middle).alpha < 1
    save_checkpoint(tmp_path / "c.pt", "pggan", begun.state_dict())
    resumed = make_recipe(films, fabric, loss=loss)
    train(resumed, 1)  # something else in its place, to be overwritten
    resumed.load_state_dict(load_checkpoint(tmp_path / "c.pt", "pggan"))

    train(resumed, end)

    ours, theirs = flat(resumed.state_dict()), flat(whole.state_dict())
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)


def test_losses_say_where_the_training_is(films, fabric):
    losses = train(make_recipe(films, fabric), 4)

    assert [(found["side"], found["alpha"]) for found in losses] == [
        (4, 1), (4, 1), (8, 0), (8, pytest.approx(1 / 3)),
    ]  # fmt: skip
    assert [found["penalty"] > 0 for found in losses] == [True, False, True, False]


def test_moments_of_adam_start_anew_with_each_phase(films, fabric):
    recipe = make_recipe(films, fabric)
    first = recipe.generator.blocks[0].conv.weight

    steps = []
    for step in range(6):
        recipe.step(rng_for_step(0, step))
        recipe.step_count = step + 1
        steps.append(int(recipe.generator_adam.state[first]["step"]))

    assert steps == [1, 2, 1, 2, 3, 1]


def test_layers_that_are_not_reached_stay_as_they_are(films, fabric):
    recipe = make_recipe(films, fabric)
    before = [p.clone() for p in recipe.generator.blocks[2].parameters()]

    train(recipe, 5)

    for old, new in zip(before, recipe.generator.blocks[2].parameters(), strict=True):
        assert torch.equal(old, new)


def test_kept_generator_is_the_moving_average(films, fabric):
    recipe = make_recipe(films, fabric, ema_decay=0.75)
    start = recipe.generator.blocks[0].conv.weight.detach().clone()

    train(recipe, 1)  # after the first step a tenth of the start is left: (1 + 0) / (10 + 0)

    trained = recipe.generator.blocks[0].conv.weight
    torch.testing.assert_close(
        recipe.average.blocks[0].conv.weight, 0.1 * start + 0.9 * trained, atol=1e-6, rtol=1e-5
    )


def test_critic_and_generator_losses_are_those_of_wgan_gp(films, fabric):
    recipe = make_recipe(films, fabric, loss="wgan-gp", augment_target=1.0, penalty_every=1)
    stage = recipe.schedule.at(0)
    recipe._grow(stage)
    batch = recipe.draw_batch(stage, np.random.default_rng(1))
    with torch.no_grad():
        fake = recipe.generator(batch.latent)
        real_scores, fake_scores = recipe.critic(batch.real), recipe.critic(fake)

    total, logged = recipe._critic_loss(batch)

    gap = fake_scores.mean() - real_scores.mean()
    torch.testing.assert_close(logged["critic_gap"], gap)
    expected = gap + 10 * logged["penalty"] * (TINY.penalty_weight / 10)
    expected = expected + 1e-3 * real_scores.square().mean()
    torch.testing.assert_close(total, expected)
    value, _ = recipe._generator_loss(batch)
    with torch.no_grad():
        torch.testing.assert_close(
            value, -recipe.critic(recipe.generator(batch.generator_latent)).mean()
        )


def test_critic_and_generator_losses_are_logistic_with_r1(films, fabric):
    recipe = make_recipe(films, fabric, penalty_weight=3.0, penalty_every=4)
    stage = recipe.schedule.at(0)
    recipe._grow(stage)
    batch = recipe.draw_batch(stage, np.random.default_rng(1))
    real = batch.real.clone().requires_grad_()
    scores = recipe.critic(real)
    (slope,) = torch.autograd.grad(scores.sum(), real)
    with torch.no_grad():
        fake, other = (
            recipe.critic(recipe.generator(z)) for z in (batch.latent, batch.generator_latent)
        )

    total, logged = recipe._critic_loss(batch)
    value, _ = recipe._generator_loss(batch)

    expected = -scores.sigmoid().log().mean() - (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(logged["critic"], expected)
    r1 = slope.square().sum(dim=(1, 2, 3)).mean()
    # gamma / 2, four times, since it is due at every fourth step
    torch.testing.assert_close(total, expected + 3 / 2 * 4 * r1)
    torch.testing.assert_close(value, -other.sigmoid().log().mean())
    recipe.step_count = 1
    torch.testing.assert_close(recipe._critic_loss(batch)[0], expected)


def test_real_images_fade_as_drawn_ones_do():
    images = torch.arange(16.0).view(1, 1, 4, 4)
    half = torch.tensor([[2.5, 4.5], [10.5, 12.5]])

    def at(side, alpha):
        return fade(images, Stage(side, alpha, 1, begins=False, images_shown=0))[0, 0]

    torch.testing.assert_close(at(2, 1.0), half)
    torch.testing.assert_close(at(4, 1.0), images[0, 0])
    torch.testing.assert_close(at(4, 0.0), half.repeat_interleave(2, 0).repeat_interleave(2, 1))
    torch.testing.assert_close(at(4, 0.5)[0], torch.tensor([1.25, 1.75, 3.25, 3.75]))


def test_weights_say_how_far_they_grew_and_how_films_were_scaled(films, fabric, tmp_path):
    recipe = make_recipe(films, fabric)
    steps = next(p.first_step + 3 for p in Schedule(TINY).phases if p.side == 16)
    train(recipe, steps)
    path = tmp_path / "p.safetensors"

    recipe.save_weights(path)

    config = load_weights(path, "pggan").config
    assert (config["grown_side"], config["seen_scale"], config["scale_high"]) == (
        16, "percentile", 99.0,
    )  # fmt: skip
    generator, _ = build.load_networks(path, "pggan", Generator)
    assert generator.alpha == pytest.approx(recipe.schedule.at(steps - 1).alpha)
    latent = torch.randn(3, TINY.latent_features)
    torch.testing.assert_close(generator(latent), recipe.average(latent), atol=4e-3, rtol=0)
    critic, _ = build.load_networks(build.critic_file(path), "pggan-critic", Critic)
    image = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(critic(image), recipe.critic(image), atol=2e-2, rtol=0)


def test_training_starts_from_weights(films, fabric, tmp_path):
    recipe = make_recipe(films, fabric)
    train(recipe, 3)
    recipe.save_weights(tmp_path / "p.safetensors")

    started = build.build_recipe(films, "tiny", fabric, tmp_path / "p.safetensors")

    for ours, theirs in (
        (started.generator, recipe.average),
        (started.average, recipe.average),
        (started.critic, recipe.critic),
    ):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


def test_weights_that_have_grown_are_trained_on_at_their_side(films, fabric, tmp_path):
    recipe = make_recipe(films, fabric)
    recipe.step_count = recipe.schedule.total_steps  # nothing but the stage depends on it
    recipe.save_weights(tmp_path / "p.safetensors")

    started = build.build_recipe(films, "tiny", fabric, tmp_path / "p.safetensors")

    assert (started.config.begin_side, started.config.total_steps) == (16, 32 / 4)
    (losses,) = train(started, 1)
    assert (losses["side"], losses["alpha"]) == (16, 1)


def test_weights_of_another_preset_are_refused(films, fabric, tmp_path):
    recipe = make_recipe(films, fabric, latent_features=5)
    recipe.save_weights(tmp_path / "p.safetensors")

    with pytest.raises(
        LungSynthError, match=r"p\.safetensors: these weights are of another preset"
    ):
        build.build_recipe(films, "tiny", fabric, tmp_path / "p.safetensors")


def test_only_normals_of_the_training_split_are_trained_on(films, fabric):
    recipe = build.build_recipe(films, "tiny", fabric, None)

    summary = recipe.data_summary()
    assert (summary["radiographs"], summary["patients"]) == (12, 12)
    with pytest.raises(LungSynthError, match="unknown preset 'huge'; pggan has default"):
        build.build_recipe(films, "huge", fabric, None)


def test_augmentation_follows_the_sign_of_real_scores(films, fabric):
    recipe = make_recipe(films, fabric, augment_images=400)
    with torch.no_grad():
        recipe.critic.blocks[0].score.bias.fill_(50.0)  # every real score is above 0

    losses = train(recipe, 3)

    assert [found["augmentation"] for found in losses] == pytest.approx([0.02, 0.04, 0.06])


def test_picture_of_samples_leaves_the_training_as_it_was(films, fabric):
    recipe = make_recipe(films, fabric)
    train(recipe, 3)
    before = [tensor.clone() for tensor in flat(recipe.state_dict())]

    first = recipe.sample_picture(np.random.default_rng(0))
    second = recipe.sample_picture(np.random.default_rng(0))

    np.testing.assert_array_equal(first, second)
    for one, other in zip(before, flat(recipe.state_dict()), strict=True):
        assert torch.equal(one, other)


def test_two_processes_learn_from_what_one_would_from_two_batches(films, fabric, monkeypatch):
    recipe = make_recipe(films, fabric)
    recipe.augmentation = 0.5
    stage = recipe.schedule.at(3)
    recipe.accumulate = 2
    whole = recipe.draw_batch(stage, np.random.default_rng(1))
    recipe.accumulate = 1
    parts = []
    for rank in (0, 1):
        device = SimpleNamespace(device=fabric.device, world_size=2, global_rank=rank)
        monkeypatch.setattr(recipe, "fabric", device)
        parts.append(recipe.draw_batch(stage, np.random.default_rng(1)))

    assert [len(part.mix) for part in (whole, *parts)] == [16, 8, 8]
    for name in ("real", "latent", "generator_latent", "mix"):
        both = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(both, getattr(whole, name)), name
    for number in range(3):
        both = torch.cat([part.changes[number].cut for part in parts])
        assert torch.equal(both, whole.changes[number].cut)
    assert torch.equal(whole.part(slice(8, 16)).changes[2].shift, parts[1].changes[2].shift)


def test_accumulated_gradient_is_the_mean_over_the_parts(films, fabric):
    recipe = make_recipe(films, fabric, augment_target=1.0)
    recipe.accumulate = 2
    stage = recipe.schedule.at(0)
    recipe._grow(stage)
    batch = recipe.draw_batch(stage, np.random.default_rng(6))
    weight = recipe.critic.blocks[0].conv.weight
    expected = torch.stack(
        [
            torch.autograd.grad(recipe._critic_loss(batch.part(part))[0], weight)[0]
            for part in (slice(0, 8), slice(8, 16))
        ]
    ).mean(dim=0)
    found = []
    step = recipe._step
    recipe._step = lambda *given: (found.append(weight.grad.clone()), step(*given))

    recipe.step(np.random.default_rng(6))

    torch.testing.assert_close(found[0], expected, atol=1e-6, rtol=1e-4)


def test_variants_are_drawn_at_the_side_reached(films, fabric):
    recipe = make_recipe(films, fabric)
    train(recipe, 4)

    drawn, real = recipe.draw_variants(np.random.default_rng(1), 5)

    assert drawn.shape == real.shape == (5, 8, 8)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-3


@pytest.mark.slow
def test_it_learns_where_lungs_are(films, fabric):
    """Drawn films come to have the mean of real ones; at the start they are far from it."""
    recipe = make_recipe(films, fabric, stable_images=600, fade_images=600, last_images=2400)
    real = torch.from_numpy(recipe.sampler.images.astype(np.float32)).mean(dim=0)
    latent = torch.randn(64, TINY.latent_features, generator=torch.Generator().manual_seed(1))

    def distance():
        return (recipe.average(latent, 16, 1.0).mean(dim=0)[0] - real).abs().mean().item()

    start = distance()
    train(recipe, recipe.schedule.total_steps)

    assert start > 0.4
    assert distance() < 0.12
