"""The networks of both presets: what they see, what they leave alone, and their size."""

import pytest
import torch

from lungsynth.nn.intensities import normalise, to_unit
from lungsynth.nn.noise import draw_noise
from lungsynth.synthesizers.mcgan.config import PRESETS
from lungsynth.synthesizers.mcgan.networks import MCGANNetworks
from lungsynth.synthesizers.mcgan.paper import (
    PAPER_PRESETS,
    PaperCritics,
    PaperNetworks,
    PaperUNet,
    tile,
)


@pytest.fixture(params=["tiny", "paper-tiny"])
def networks(request):
    torch.manual_seed(0)
    if request.param == "tiny":
        return MCGANNetworks(PRESETS["tiny"]).eval()
    return PaperNetworks(PAPER_PRESETS["paper-tiny"]).eval()


def inputs(networks, batch=1):
    generator = torch.Generator().manual_seed(1)
    cube = normalise(-800 + 100 * torch.randn(batch, 1, 64, 64, 64, generator=generator))
    noise = draw_noise(networks.config.latent_features, list(range(batch)))
    return cube, torch.randn(batch, 9, generator=generator), noise


def test_the_generator_does_not_see_what_it_is_to_replace(networks):
    """A nodule behind the noise box must not show through in training."""
    cube, condition, noise = inputs(networks)

    def painted():
        torch.manual_seed(2)  # the paper's dropout is always on
        return networks.paint(cube, condition, noise)

    before = painted()
    cube[..., 20:44, 20:44, 20:44] += 1.0

    assert torch.equal(painted(), before)
    cube[..., 2, 30, 30] += 1.0
    assert not torch.equal(painted(), before)


def test_nothing_changes_at_the_faces_of_the_box(networks):
    cube, _, _ = inputs(networks)
    change = networks.change(cube, torch.full((1, 1, 32, 32, 32), 9.0))

    old = cube[..., 16:48, 16:48, 16:48]
    torch.testing.assert_close(change[..., 4:28, 4:28, 4:28], (9 - old)[..., 4:28, 4:28, 4:28])
    for axis in (2, 3, 4):
        for side in (0, 31):
            face = change.select(axis, side) / (9 - old).select(axis, side)
            assert face.max() < 0.04
            assert face.min() >= 0


def test_every_parameter_of_the_generator_learns(networks):
    networks.train()
    painted = networks.paint(*inputs(networks, 2))
    painted.square().sum().backward()

    assert painted.shape == (2, 1, 32, 32, 32)
    for name, parameter in networks.generator.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_the_noise_box_fades_out_where_old_tissue_shows_through():
    """The default preset hides by the taper that pastes; the paper's has a hard box."""
    tiny = MCGANNetworks(PRESETS["tiny"])
    given = []
    tiny.generator.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    cube, condition, noise = inputs(tiny)
    tiny.paint(cube, condition, noise)

    weight = torch.zeros(1, 1, 64, 64, 64)
    weight[..., 16:48, 16:48, 16:48] = tiny.taper
    box = torch.zeros(1, 1, 64, 64, 64)
    box[..., 16:48, 16:48, 16:48] = noise.box
    torch.testing.assert_close(given[0][:, :1], cube * (1 - weight) + box * weight)
    assert torch.equal(given[0][:, 1:], weight)


def test_the_papers_generator_gets_a_hard_noise_box_and_six_tiled_conditions():
    """[1, 6.2.1]: 64 x 64 x 64 x 7."""
    paper = PaperNetworks(PAPER_PRESETS["paper-tiny"])
    given = []
    paper.generator.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    cube, condition, noise = inputs(paper)
    paper.paint(cube, condition, noise)

    assert given[0].shape == (1, 7, 64, 64, 64)
    middle = (slice(None), 0, *[slice(16, 48)] * 3)
    assert torch.equal(given[0][middle], noise.box[:, 0])
    outside = torch.ones(64, 64, 64, dtype=torch.bool)
    outside[16:48, 16:48, 16:48] = False
    assert torch.equal(given[0][0, 0][outside], to_unit(cube)[0, 0][outside])
    for channel in range(6):
        assert (given[0][0, 1 + channel] == condition[0, channel]).all()


def test_the_papers_networks_at_full_size():
    """[1, Fig. 17]: four convolutions, four deconvolutions, skips; widths of pix2pix (ours)."""
    with torch.device("meta"):
        unet = PaperUNet(PAPER_PRESETS["paper"].width, 0.5)
        critics = PaperCritics(PAPER_PRESETS["paper"])
        filled = unet(torch.empty(1, 7, 64, 64, 64))
        context = critics.judge_context(*torch.empty(2, 1, 1, 64, 64, 64))
        nodule = critics.judge_nodule(torch.empty(3, 1, 32, 32, 32), torch.empty(3, 9))

    shapes = [tuple(m.weight.shape[:2]) for m in unet.modules() if isinstance(m, torch.nn.Conv3d)]
    assert shapes == [(64, 7), (128, 64), (256, 128), (512, 256)]
    shapes = [
        tuple(m.weight.shape[:2]) for m in unet.modules() if isinstance(m, torch.nn.ConvTranspose3d)
    ]
    assert shapes == [(512, 256), (512, 128), (256, 64), (128, 1)]
    assert all(
        m.kernel_size == (4, 4, 4) and m.stride == (2, 2, 2)
        for m in unet.modules()
        if isinstance(m, torch.nn.Conv3d | torch.nn.ConvTranspose3d)
    )
    norms = sum(isinstance(m, torch.nn.BatchNorm3d) for m in unet.modules())
    assert (norms, sum(isinstance(m, torch.nn.Dropout) for m in unet.modules())) == (7, 3)
    assert filled.shape == (1, 1, 64, 64, 64)
    assert critics.context[0].weight.shape[1] == 2  # surroundings with noise box, and the pair
    assert critics.nodule[0].weight.shape[1] == 7
    assert not any(isinstance(m, torch.nn.BatchNorm3d) for m in critics.nodule.modules())
    assert (context.shape, nodule.shape) == ((1, 64), (3,))


def test_the_papers_numbers():
    paper, with_l1 = PAPER_PRESETS["paper"], PAPER_PRESETS["paper-l1"]

    assert (paper.batch_size, paper.learning_rate, paper.label_flip_every) == (16, 2e-4, 3)
    assert paper.total_steps == 6_000_000
    assert (paper.l1_weight, with_l1.l1_weight) == (0.0, 100.0)


def test_tiling_repeats_each_condition_over_a_cube():
    tiled = tile(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 5)

    assert tiled.shape == (2, 2, 5, 5, 5)
    assert (tiled[1, 0] == 3).all()
