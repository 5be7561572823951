"""The U-Net that decodes only the centre, its segmenter, and the critics."""

import pytest
import torch
from torch.nn.functional import interpolate, leaky_relu, pad

from lungsynth.nn.centre_unet import (
    LAYER_NOISE_SIDES,
    CentreSegmenter,
    CentreUNet,
    ModulatedConv,
    central,
)
from lungsynth.nn.patch_critics import PatchCritic


@pytest.fixture
def unet():
    torch.manual_seed(0)
    return CentreUNet(channels_in=2, width=4, condition_features=9, latent_features=5)


def inputs(batch=2):
    generator = torch.Generator().manual_seed(1)

    def normal(*shape):
        return torch.randn(shape, generator=generator)

    noise = [normal(batch, 1, s, s, s) for s in LAYER_NOISE_SIDES]
    return normal(batch, 2, 64, 64, 64), normal(batch, 9), normal(batch, 5), noise


def assert_every_parameter_learns(network):
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_central_is_the_middle():
    line = torch.arange(8.0)

    values = line.view(1, 1, 8, 1, 1) + 10 * line.view(1, 1, 1, 8, 1) + 100 * line
    middle = central(values, 4)
    assert middle.shape == (1, 1, 4, 4, 4)
    assert (middle[0, 0, 0, 0, 0], middle[0, 0, -1, -1, -1]) == (222, 555)


def test_it_fills_the_centre_and_every_parameter_learns(unet):
    filled = unet(*inputs())
    filled.square().sum().backward()

    assert filled.shape == (2, 1, 32, 32, 32)
    assert_every_parameter_learns(unet)


def test_decoding_the_centre_is_decoding_all_and_cutting_out(unet):
    """Each level of a decoder that kept its borders would hold the same numbers inside.

    The normalisation is over what is decoded, so here it is taken out.
    """
    for block in unet.up:
        block.norm = torch.nn.Identity()
    cube, condition, latent, noise = inputs(1)
    embedded = unet.embed(torch.cat([condition, latent], dim=1))
    skips = [cube]
    for conv in unet.down:
        skips.append(leaky_relu(conv(skips[-1]), 0.2))
    full = skips[4]
    for level, block in enumerate(unet.up):
        full = torch.cat([interpolate(full, scale_factor=2.0), skips[3 - level]], dim=1)
        around = (full.shape[-1] + 2 - noise[level].shape[-1] - 2) // 2
        full = block(pad(full, [1] * 6), embedded, pad(noise[level], [around] * 6))
    full = unet.out(full)

    torch.testing.assert_close(
        unet(cube, condition, latent, noise), central(full, 32), rtol=1e-4, atol=1e-5
    )


def test_with_three_levels_it_fills_the_centre_of_half_a_cube():
    torch.manual_seed(0)
    unet = CentreUNet(2, 4, 9, 5, levels=3)
    cube, condition, latent, noise = inputs()
    filled = unet(cube[..., 16:48, 16:48, 16:48], condition, latent, noise[:3])
    filled.square().sum().backward()

    assert filled.shape == (2, 1, 16, 16, 16)
    assert_every_parameter_learns(unet)
    assert [type(block.norm).__name__ for block in unet.up] == ["GroupNorm", *["Identity"] * 2]


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_surroundings_condition_and_latent_all_matter(unet, changed):
    given = list(inputs(1))
    before = unet(*given)
    given[changed] = given[changed].clone()
    given[changed][..., :1] += 3.0  # of the cube: one face, far from the centre

    assert (unet(*given) - before).abs().max() > 1e-4


@pytest.mark.parametrize("normalised", [True, False])
def test_modulation_by_hand(normalised):
    """Without noise and weights of the style the block is a convolution, scaled and shifted."""
    torch.manual_seed(0)
    block = ModulatedConv(2, 3, 4, normalised=normalised)
    torch.nn.init.zeros_(block.style.weight)
    with torch.no_grad():
        block.style.bias.copy_(torch.tensor([0.0, 1, 2, 0, 0, 5]))  # scales, then shifts
    values = torch.randn(1, 2, 6, 6, 6)
    raw = block.conv(values)
    if normalised:  # over the whole item: the ratios between channels survive
        raw = (raw - raw.mean()) / (raw.var(correction=0) + 1e-5).sqrt()
    scaled = raw * torch.tensor([1.0, 2, 3]).view(1, 3, 1, 1, 1)
    scaled[:, 2] += 5

    torch.testing.assert_close(
        block(values, torch.randn(1, 4), torch.zeros(1, 1, 4, 4, 4)),
        leaky_relu(scaled, 0.2),
        rtol=1e-4,
        atol=1e-5,
    )


def test_noise_is_added_to_each_channel_by_its_scale():
    torch.manual_seed(0)
    block = ModulatedConv(2, 3, 4, normalised=False)
    torch.nn.init.zeros_(block.style.weight)
    torch.nn.init.zeros_(block.style.bias)
    with torch.no_grad():
        block.noise_scale.copy_(torch.tensor([0.0, 1, -2]).view(1, 3, 1, 1, 1))
    values, noise = torch.randn(1, 2, 6, 6, 6), torch.randn(1, 1, 4, 4, 4)
    raw = block.conv(values)
    expected = torch.stack([raw[0, 0], raw[0, 1] + noise[0, 0], raw[0, 2] - 2 * noise[0, 0]])

    torch.testing.assert_close(
        block(values, torch.randn(1, 4), noise)[0], leaky_relu(expected, 0.2)
    )


def test_the_segmenter_gives_a_logit_for_each_voxel_and_learns():
    torch.manual_seed(0)
    segmenter = CentreSegmenter(2)
    logits = segmenter(torch.randn(2, 1, 32, 32, 32))
    logits.square().sum().backward()

    assert logits.shape == (2, 1, 32, 32, 32)
    for name, parameter in segmenter.named_parameters():
        # a bias before the normalisation is taken out by it
        if name not in {"down1.0.bias", "down2.0.bias"}:
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("conditions", "fine"), [(0, False), (9, True)])
def test_critics_give_a_logit_for_each_patch_and_learn(conditions, fine):
    torch.manual_seed(0)
    critic = PatchCritic((4, 8), conditions, fine=fine)
    logits = critic(torch.randn(3, 1, 16, 16, 16), torch.randn(3, 9) if conditions else None)
    logits.square().sum().backward()

    assert logits.shape == (3, 4**3)
    assert_every_parameter_learns(critic)


def test_projection_adds_the_product_of_features_and_condition():
    """[2, Eq. 6]: the conditional part is an inner product, the same for every patch."""
    torch.manual_seed(0)
    critic = PatchCritic((4, 8), 9, fine=True)
    cube, condition = torch.randn(2, 1, 16, 16, 16), torch.randn(2, 9)
    added = critic(cube, condition) - critic(cube)

    pooled = leaky_relu(critic.trunk(cube), 0.2).mean(dim=(2, 3, 4))
    expected = (pooled * critic.project(condition)).sum(1, keepdim=True) / 8**0.5
    torch.testing.assert_close(added, expected.expand(-1, 64), rtol=1e-4, atol=1e-5)
