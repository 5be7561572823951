"""Networks that grow: shapes, fades that begin and end without a jump, gradients everywhere."""

from dataclasses import replace

import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.losses.adversarial import gradient_penalty
from lungsynth.synthesizers.pggan.config import PRESETS, PGGANConfig, sides_to
from lungsynth.synthesizers.pggan.networks import Critic, Generator, downsample, upsample

TINY = PRESETS["tiny"]


@pytest.fixture
def networks():
    torch.manual_seed(3)
    return Generator(TINY), Critic(TINY)


def latents(count, seed=1):
    return torch.randn(count, TINY.latent_features, generator=torch.Generator().manual_seed(seed))


def test_sides_double():
    assert sides_to(4) == [4]
    assert sides_to(32) == [4, 8, 16, 32]


def test_channels_are_those_of_table_2():
    config = PRESETS["1024"]

    found = {side: config.channels(side) for side in sides_to(1024)}

    assert found == {
        **dict.fromkeys((4, 8, 16, 32), 512), 64: 256, 128: 128, 256: 64, 512: 32, 1024: 16
    }  # fmt: skip
    assert [config.batch_size(side) for side in (4, 128, 256, 512, 1024)] == [16, 16, 14, 6, 3]


def test_paper_generator_has_as_many_parameters_as_the_paper_says():
    """23.1 million each [1, Tab. 2], three colours there: one grey channel takes little off."""
    with torch.device("meta"):
        config = PRESETS["1024"]
        counts = [
            sum(p.numel() for p in network(config).parameters()) for network in (Generator, Critic)
        ]

    assert counts == pytest.approx([23.1e6, 23.1e6], rel=0.005)


@pytest.mark.parametrize("side", [5, 2, 2048])
def test_sides_that_are_no_powers_are_refused(side):
    with pytest.raises(LungSynthError, match="power of 2 from 4 to 1024"):
        PGGANConfig(side=side)


@pytest.mark.parametrize("side", [4, 8, 16])
def test_shapes_at_each_side(networks, side):
    generator, critic = networks

    image = generator(latents(3), side, 0.4)

    assert image.shape == (3, 1, side, side)
    assert critic(image, 0.4).shape == (3,)


def test_fade_begins_with_the_image_of_half_the_side(networks):
    generator, critic = networks
    before = generator(latents(4), 8, 1.0)

    begun = generator(latents(4), 16, 0.0)

    torch.testing.assert_close(begun, upsample(before))
    image = torch.rand(4, 1, 16, 16)
    torch.testing.assert_close(critic(image, 0.0), critic(downsample(image), 1.0))


def test_fade_ends_with_the_new_layers_alone(networks):
    generator, critic = networks
    for parameter in [*generator.to_image[1].parameters(), *critic.from_image[1].parameters()]:
        parameter.requires_grad_(False)

    nearly, over = (generator(latents(4), 16, alpha) for alpha in (1 - 1e-6, 1.0))

    torch.testing.assert_close(nearly, over, atol=1e-5, rtol=0)
    torch.testing.assert_close(critic(over, 1 - 1e-6), critic(over, 1.0), atol=1e-5, rtol=0)
    with torch.no_grad():
        generator.to_image[1].weight.fill_(1e3)
        critic.from_image[1].weight.fill_(1e3)
    torch.testing.assert_close(generator(latents(4), 16, 1.0), over)


def test_fade_is_linear_between(networks):
    generator, _ = networks
    start, quarter, end = (generator(latents(2), 16, alpha) for alpha in (0.0, 0.25, 1.0))

    torch.testing.assert_close(quarter, 0.75 * start + 0.25 * end)


def test_only_the_direction_of_a_latent_counts(networks):
    generator, _ = networks

    torch.testing.assert_close(
        generator(latents(2)), generator(7 * latents(2)), atol=1e-5, rtol=1e-4
    )


def test_gradient_reaches_every_parameter_in_a_fade(networks):
    generator, critic = networks

    critic(generator(latents(4), 16, 0.5), 0.5).sum().backward()

    # the images of 4 x 4 are not looked at any more
    for network, unused in ((generator, "to_image.0"), (critic, "from_image.0")):
        for name, parameter in network.named_parameters():
            if name.startswith(unused):
                assert parameter.grad is None, name
            else:
                assert parameter.grad.abs().sum() > 0, name


def test_critic_sees_whether_the_images_of_a_batch_differ(networks):
    _, critic = networks
    one = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(2))
    alike = critic(one.repeat(4, 1, 1, 1), 1.0)
    other = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(4))
    other[0] = one[0]

    assert not torch.allclose(alike[0], critic(other, 1.0)[0], atol=1e-4)


def test_penalty_of_the_grown_critic_matches_finite_differences():
    """(|grad D| - 1)^2, and its derivative by a weight, in a fade, in double precision."""
    torch.manual_seed(7)
    critic = Critic(replace(TINY, side=8)).double()
    real, fake = torch.rand(2, 4, 1, 8, 8, dtype=torch.float64)
    mix = torch.tensor([0.1, 0.5, 0.8, 0.3], dtype=torch.float64)

    def penalty():
        return gradient_penalty(lambda image: critic(image, 0.3), real, fake, mix)

    between = mix.view(-1, 1, 1, 1) * real + (1 - mix.view(-1, 1, 1, 1)) * fake
    step, slopes = 1e-6, torch.zeros(4, 64, dtype=torch.float64)
    with torch.no_grad():
        for n in range(4):
            for pixel in range(64):
                ends = []
                for sign in (1, -1):
                    moved = between.clone()
                    moved[n].view(-1)[pixel] += sign * step
                    # of all scores: images of a batch count for each other's
                    ends.append(critic(moved, 0.3).sum())
                slopes[n, pixel] = (ends[0] - ends[1]) / (2 * step)
    expected = (slopes.norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(penalty(), expected, rtol=1e-5, atol=0)

    weight = critic.blocks[1].first.weight
    (derivative,) = torch.autograd.grad(penalty(), weight)
    found = []
    for sign in (1, -1):
        with torch.no_grad():
            weight[1, 2, 0, 1] += sign * step
        found.append(penalty().item())
        with torch.no_grad():
            weight[1, 2, 0, 1] -= sign * step
    difference = (found[0] - found[1]) / (2 * step)
    assert derivative[1, 2, 0, 1].item() == pytest.approx(difference, rel=1e-3)
