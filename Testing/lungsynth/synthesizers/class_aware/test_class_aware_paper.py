"""The paper's networks on its grid."""

import math

import numpy as np
import pytest
import torch

from lungsynth.core.nodule import NoduleSpec
from lungsynth.nn.intensities import normalise, to_unit
from lungsynth.nn.noise import draw_noise
from lungsynth.synthesizers.class_aware.conditions import condition_vector
from lungsynth.synthesizers.class_aware.paper import (
    PAPER_PRESETS,
    VOXEL_MM,
    Generators,
    PaperCritics,
    PaperNetworks,
    class_map,
    sphere_mask,
    to_patch,
)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return PaperNetworks(PAPER_PRESETS["paper-tiny"]).eval()


def condition(diameter_mm=10.0, rating=1.5):
    values = (diameter_mm, 0, -100.0, 32.0, rating)
    return condition_vector(*(np.array([v]) for v in values))


def inputs(**asked):
    generator = torch.Generator().manual_seed(1)
    cube = normalise(-700 + 100 * torch.randn(1, 1, 64, 64, 64, generator=generator))
    return cube, condition(**asked), draw_noise(1, [3])


@pytest.mark.parametrize(("diameter_mm", "tolerance"), [(8.0, 0.15), (15.0, 0.04), (28.0, 0.02)])
def test_the_sphere_has_the_volume_of_the_diameter(diameter_mm, tolerance):
    """[1, 2.1]; voxels of 1 x 1 x 2 mm, which are coarse for small ones."""
    mask = sphere_mask(torch.tensor([diameter_mm, 6.0]), VOXEL_MM)

    assert mask.shape == (2, 1, 32, 64, 64)
    expected = math.pi / 6 * diameter_mm**3
    assert mask[0].sum().item() * 2 == pytest.approx(expected, rel=tolerance)
    z, y, x = (mask[0, 0].sum(axes).nonzero()[[0, -1], 0] for axes in ((1, 2), (0, 2), (0, 1)))
    assert [2 * (z[1] - z[0] + 1), y[1] - y[0] + 1, x[1] - x[0] + 1] == pytest.approx(
        [diameter_mm] * 3, abs=2
    )
    assert torch.equal(mask, mask.flip(2))
    assert torch.equal(mask, mask.transpose(3, 4))


def test_the_class_map_holds_the_label_of_each_item():
    found = class_map(torch.tensor([0.0, 1.0]))

    assert found.shape == (2, 1, 32, 64, 64)
    assert (found[0] == 0).all()
    assert (found[1] == 1).all()


def test_the_patch_is_the_cube_with_slices_averaged_in_pairs():
    cube = inputs()[0]
    patch = to_patch(cube)

    unit = to_unit(cube)
    torch.testing.assert_close(patch[0, 0, 5], (unit[0, 0, 10] + unit[0, 0, 11]) / 2)


def test_the_generators_get_noise_in_the_sphere_and_the_class_beside(networks):
    """[1, Fig. 1]: x_masked and the class label."""
    given = []
    networks.generator.coarse.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    networks.generator.refine.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    cube, told, noise = inputs(rating=4.0)
    filled = networks.fill(cube, told, noise)

    inside = filled.mask[0, 0] > 0
    patch = to_patch(cube)[0, 0]
    assert torch.equal(filled.mask, sphere_mask(torch.tensor([10.0]), VOXEL_MM))
    assert torch.equal(given[0][0, 0][~inside], patch[~inside])
    middle = (slice(8, 24), slice(16, 48), slice(16, 48))
    expected = noise.box[0, 0, ::2][inside[middle]]
    torch.testing.assert_close(given[0][0, 0][inside], expected, atol=1e-6, rtol=0)
    assert (given[0][0, 1] == 1).all()
    coarse = filled.coarse[0, 0]
    torch.testing.assert_close(given[1][0, 0][inside], coarse[inside])
    assert torch.equal(given[1][0, 0][~inside], patch[~inside])
    assert (networks.fill(*inputs(rating=3.99)).whole != filled.whole).any()


def test_only_the_sphere_changes(networks):
    cube, told, noise = inputs()
    old = cube[..., 16:48, 16:48, 16:48]
    changed = (networks.paint(cube, told, noise) - old).abs()[0, 0] > 1e-6

    along = torch.arange(32) - 15.5
    away = (along[:, None, None] ** 2 + along[:, None] ** 2 + along**2).sqrt()
    assert changed[away < 3].all()
    assert not changed[away > 5 + 2 + 0.5].any()  # a slice of 2 mm is interpolated


def test_every_parameter_of_the_generators_learns(networks):
    filled = networks.fill(*inputs())
    (filled.coarse.square().sum() + filled.refined.square().sum()).backward()

    for name, parameter in networks.generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_the_networks_at_full_size():
    """[1, Fig. 1]: patches of 64 x 64 x 32; the local critic sees half as much."""
    paper = PAPER_PRESETS["paper"]
    with torch.device("meta"):
        generators, critics = Generators(paper.width), PaperCritics(paper)
        patch = torch.empty(1, 1, 32, 64, 64)
        scores, classes = critics.whole(patch)
        local = critics.masked(patch, patch)
        made = critics.local(local)

    assert generators.coarse.narrow[0][0].weight.shape[1] == 2  # patch and class map
    assert (generators.coarse.attention, generators.refine.attention.patch) == (None, 3)
    assert local.shape == (1, 1, 16, 32, 32)
    assert (scores.shape, classes.shape) == ((1,), (1, 3))
    assert (made[0].shape, made[1].shape) == ((1,), (1, 3))
    assert critics.whole.trunk[0].weight.shape[1] == 1  # not told the class


def test_the_local_critic_sees_the_sphere_alone():
    patch = torch.randn(1, 1, 32, 64, 64)
    mask = sphere_mask(torch.tensor([12.0]), VOXEL_MM)
    seen = PaperCritics.masked(patch, mask)

    assert seen.count_nonzero() == mask.count_nonzero()
    torch.testing.assert_close(seen.sum(), (patch * mask).sum(), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("diameter_mm", [3.0, 27.9, 40.0])
def test_any_nodule_fits_its_box(diameter_mm):
    """32 mm, half of 64; more where the sphere would reach its faces."""
    box_mm = PAPER_PRESETS["paper"].box_mm(NoduleSpec(diameter_mm).diameter_mm)

    assert box_mm == max(32, diameter_mm + 4)
