"""The networks of the default preset: what they see, what they leave alone, what learns."""

import numpy as np
import pytest
import torch

from lungsynth.nn.intensities import normalise
from lungsynth.nn.noise import draw_noise
from lungsynth.synthesizers.class_aware.config import PRESETS
from lungsynth.synthesizers.class_aware.networks import (
    ClassAwareNetworks,
    Critics,
    Reader,
    soft_sphere,
)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return ClassAwareNetworks(PRESETS["tiny"]).eval()


def inputs(batch=1):
    generator = torch.Generator().manual_seed(1)
    cube = normalise(-800 + 100 * torch.randn(batch, 1, 64, 64, 64, generator=generator))
    return cube, torch.randn(batch, 7, generator=generator), draw_noise(16, list(range(batch)))


def assert_every_parameter_learns(network):
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_sphere_is_inscribed_and_fades_out():
    """1 up to a radius of 14 voxels, a half at 15, 0 from 16."""
    sphere = soft_sphere()

    assert sphere[16, 16, 2] == 1  # 13.5 voxels and a little from the middle
    assert (sphere[16, 16, 0], sphere[0, 0, 16]) == pytest.approx((0.156, 0), abs=0.02)
    along = np.arange(32) - 15.5
    away = np.sqrt(sum(np.square(a) for a in np.meshgrid(along, along, along)))
    assert sphere[torch.from_numpy(np.abs(away - 15) < 0.1)].mean() == pytest.approx(0.5, abs=0.06)
    assert (sphere[torch.from_numpy(away > 16)] == 0).all()
    assert torch.equal(sphere, sphere.flip(0))
    assert torch.equal(sphere, sphere.transpose(0, 2))


def test_the_generators_do_not_see_what_they_are_to_replace(networks):
    cube, condition, noise = inputs()
    before = networks.fill(cube, condition, noise).refined
    cube[..., 26:38, 26:38, 26:38] += 1.0  # where the sphere hides all

    assert torch.equal(networks.fill(cube, condition, noise).refined, before)
    cube[..., 2, 30, 30] += 3.0
    assert not torch.equal(networks.fill(cube, condition, noise).refined, before)


def test_outside_the_sphere_the_old_tissue_stays(networks):
    cube, condition, noise = inputs()
    painted = networks.paint(cube, condition, noise)
    old = cube[..., 16:48, 16:48, 16:48]
    outside = soft_sphere() == 0

    assert torch.equal(painted[0, 0][outside], old[0, 0][outside])
    change = networks.change(cube, painted)
    refined = networks.fill(cube, condition, noise).refined
    torch.testing.assert_close(change, networks.weight * (refined - old), atol=1e-5, rtol=1e-4)
    assert change[..., 0, 16, 16].abs().max() < 0.01


def test_coarse_and_refined_have_their_sizes_and_every_parameter_learns(networks):
    filled = networks.fill(*inputs(2))
    (filled.refined.square().sum() + filled.coarse.square().sum()).backward()

    assert filled.coarse.shape == (2, 1, 16, 16, 16)
    assert filled.refined.shape == (2, 1, 32, 32, 32)
    assert_every_parameter_learns(networks.generator)


def test_the_refining_network_sees_the_coarse_nodule(networks):
    seen = []
    networks.generator.refine.down[0].register_forward_pre_hook(lambda _, args: seen.append(args))
    cube, condition, noise = inputs()
    coarse = networks.fill(cube, condition, noise).coarse

    smooth = torch.nn.functional.interpolate(coarse, scale_factor=2.0, mode="trilinear")
    middle = (0, 0, slice(26, 38), slice(26, 38), slice(26, 38))
    expected = smooth[0, 0, 10:22, 10:22, 10:22]
    torch.testing.assert_close(seen[0][0][middle], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("feature", range(7))
def test_each_condition_is_heard(networks, feature):
    cube, condition, noise = inputs()
    before = networks.paint(cube, condition, noise)
    condition[0, feature] += 1.0

    assert (networks.paint(cube, condition, noise) - before).abs().max() > 1e-5


def test_critics_score_and_classify_and_learn():
    torch.manual_seed(0)
    critics = Critics(PRESETS["tiny"])
    cube, condition, _ = inputs(2)
    verdict = critics(cube, condition)
    sum(part.square().sum() for part in (*verdict.scores, *verdict.classes)).backward()

    assert [score.shape for score in verdict.scores] == [(2, 27), (2, 64)]
    assert [classes.shape for classes in verdict.classes] == [(2, 3), (2, 3)]
    assert_every_parameter_learns(critics)


def test_classifiers_are_not_told_the_class():
    critics = Critics(PRESETS["tiny"])
    cube, condition, _ = inputs(1)
    one, two = critics(cube, condition), critics(cube, condition + 1)

    assert torch.equal(one.classes[1], two.classes[1])
    assert not torch.equal(one.scores[1], two.scores[1])


def test_the_local_critic_sees_the_box_alone_and_the_global_one_its_surroundings():
    critics = Critics(PRESETS["tiny"])
    cube, condition, _ = inputs(1)
    before = critics(cube, condition)
    cube[..., 10, 10, 10] += 1.0  # outside the box, inside 48^3
    after = critics(cube, condition)

    assert torch.equal(before.scores[1], after.scores[1])
    assert not torch.equal(before.scores[0], after.scores[0])


def test_the_reader_rates_from_voxels_and_size_and_learns():
    torch.manual_seed(0)
    reader = Reader(2).eval()
    centre, size = torch.randn(2, 1, 32, 32, 32), torch.tensor([0.0, 1.0])
    ratings = reader(centre, size)
    ratings.square().sum().backward()

    assert ratings.shape == (2, 6)
    assert not torch.equal(reader(centre, size + 1), ratings)
    assert_every_parameter_learns(reader)


def test_the_shipped_size_fits_the_limit():
    """12 MB in float16."""
    with torch.device("meta"):
        networks = ClassAwareNetworks(PRESETS["default"])

    assert sum(p.numel() for p in networks.parameters()) * 2 < 8e6
