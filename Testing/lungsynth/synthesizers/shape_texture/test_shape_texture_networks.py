"""Shape and texture networks: the paper's layers, what may change, what stays."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lungsynth.imaging.radiograph_insertion import freedom_around
from lungsynth.synthesizers.shape_texture.conditions import (
    condition_mask,
    dome,
    freedom,
    painting_input,
)
from lungsynth.synthesizers.shape_texture.config import SHAPE_PRESETS, TEXTURE_PRESETS
from lungsynth.synthesizers.shape_texture.shape_networks import (
    ShapeCritic,
    ShapeGenerator,
    smoothed,
)
from lungsynth.synthesizers.shape_texture.texture_networks import (
    TextureCritic,
    TextureGenerator,
    TextureInput,
    put_back,
    working_side,
)

TINY = TEXTURE_PRESETS["tiny"]
PAPER_TINY = replace(TEXTURE_PRESETS["paper"], width=2, critic_width=2)


def oblique(half=20, across=6):
    """A slanted bar around the middle of a patch."""
    row, column = np.indices((256, 256)) - 127.5
    along, side = (row + column) / np.sqrt(2), (row - column) / np.sqrt(2)
    return ((np.abs(along) <= half) & (np.abs(side) <= across)).astype(np.float32)


def given_of(config, mask=None, *, seen=True, contrast=0.1, seed=1):
    patch = np.random.default_rng(seed).uniform(-1, 1, (256, 256)).astype(np.float32)
    mask = oblique() if mask is None else mask
    return painting_input(config, [patch], [mask], seen=[seen], contrast=[contrast]), patch


def awake(generator, seed=4):
    """Give the last layers weights: a guided generator begins by adding nothing."""
    torch.manual_seed(seed)
    for stage in (generator.coarse, generator.refine):
        if stage is not None:
            nn.init.normal_(stage.out.weight, std=0.1)
    return generator.eval()


def test_the_shape_generator_of_the_paper_has_its_layers():
    """z 100 to 4 x 4 x 512, five transposed convolutions of 4 x 4 with stride 2, 128 x 128."""
    generator = ShapeGenerator(SHAPE_PRESETS["paper"])
    convs = [m for m in generator.layers if isinstance(m, nn.ConvTranspose2d)]

    assert generator.layers[0](torch.zeros(1, 100, 1, 1)).shape == (1, 512, 4, 4)
    assert [c.kernel_size for c in convs[1:]] == [(4, 4)] * 5
    assert [c.stride for c in convs[1:]] == [(2, 2)] * 5
    assert [c.out_channels for c in convs] == [512, 256, 128, 64, 32, 1]
    assert sum(isinstance(m, nn.BatchNorm2d) for m in generator.layers) == 5
    shapes = generator(torch.randn(2, 100))
    assert shapes.shape == (2, 1, 128, 128)
    assert 0 <= shapes.min() <= shapes.max() <= 1


def test_the_shape_critic_sees_how_much_a_batch_varies():
    """Two batches with the same first shape: with the spread its score depends on the others."""
    shapes = torch.rand(2, 1, 128, 128, generator=torch.Generator().manual_seed(1))
    alike, unlike = shapes[[0, 0]], shapes
    for spread in (False, True):
        torch.manual_seed(0)
        critic = ShapeCritic(replace(SHAPE_PRESETS["tiny"], spread=spread)).eval()
        assert torch.equal(critic(alike)[0], critic(unlike)[0]) is not spread


def test_smoothing_is_a_binomial_blur_that_keeps_levels():
    """The eighth row of Pascal's triangle over 256, along each axis."""
    dot = torch.zeros(1, 1, 32, 32)
    dot[0, 0, 10, 15] = 1
    line = np.array([1, 8, 28, 56, 70, 56, 28, 8, 1]) / 256
    expected = np.zeros((32, 32), np.float32)
    expected[6:15, 11:20] = np.outer(line, line)

    np.testing.assert_allclose(smoothed(dot)[0, 0].numpy(), expected, atol=1e-7)
    level = torch.full((1, 1, 16, 16), 0.3)
    torch.testing.assert_close(smoothed(level), level)


def test_the_rates_and_batches_are_those_of_the_paper():
    shape, texture = SHAPE_PRESETS["paper"], TEXTURE_PRESETS["paper"]

    assert (shape.generator_learning_rate, shape.critic_learning_rate) == (1e-4, 1e-5)
    assert (shape.batch_size, shape.adam_beta1, shape.latent_features) == (6, 0.5, 100)
    rates = [texture.generator_learning_rate, texture.low_rate_part, texture.critic_rate_part]
    assert rates == [1e-4, 0.1, 0.1]
    assert (texture.batch_size, texture.adam_beta1) == (8, 0.5)
    weights = [
        texture.coarse_weight,
        texture.refined_weight,
        texture.perceptual_weight,
        texture.adversarial_weight,
    ]
    assert weights == [1, 1, 1, 1]


def test_the_shape_critic_gives_one_score_for_each_and_learns_everywhere():
    critic = ShapeCritic(SHAPE_PRESETS["tiny"])
    scores = critic(torch.rand(3, 1, 128, 128))

    assert scores.shape == (3,)
    scores.sum().backward()
    assert all(p.grad is not None for p in critic.parameters())


def test_the_discriminator_has_six_convolutions_and_a_map_of_a_32nd():
    critic = TextureCritic(TEXTURE_PRESETS["paper"])
    scores, features = critic(torch.rand(1, 1, 256, 256), torch.rand(1, 1, 256, 256))
    convs = [m for m in critic.modules() if isinstance(m, nn.Conv2d)]

    assert len(convs) == 6
    assert all(hasattr(c, "parametrizations") for c in convs)
    assert convs[0].in_channels == 4
    assert scores.shape == (1, 1, 8, 8)
    assert [f.shape[-1] for f in features] == [128, 64, 32, 16, 8]
    # spectral normalisation: after some power iterations the largest singular value is 1
    for _ in range(40):
        critic(torch.rand(1, 1, 64, 64), torch.rand(1, 1, 64, 64))
    largest = torch.linalg.matrix_norm(critic.last.weight.flatten(1), 2)
    torch.testing.assert_close(largest, torch.tensor(1.0), rtol=1e-3, atol=0)


def test_the_papers_input_is_white_where_the_mask_is_and_four_channels_deep():
    """I_orig (1 - M) + M beside M [shen2022, III.C]; what the tissue was is not looked at."""
    generator = awake(TextureGenerator(PAPER_TINY))
    assert generator.coarse.first.both.in_channels == 4
    assert generator.refine.first.both.in_channels == 4
    seen = {}
    generator.coarse.register_forward_hook(lambda _, inputs, __: seen.update(given=inputs[0]))
    given, patch = given_of(PAPER_TINY, seen=True)
    generator(given)

    inside = oblique() > 0
    assert seen["given"].shape == (1, 4, 256, 256)
    for channel in seen["given"][0, :3].numpy():
        assert (channel[inside] == 1).all()
        np.testing.assert_array_equal(channel[~inside], patch[~inside])
    np.testing.assert_array_equal(seen["given"][0, 3].numpy(), oblique())


def test_the_second_stage_of_the_paper_sees_the_first_ones_output_and_the_mask():
    generator = awake(TextureGenerator(PAPER_TINY))
    seen = {}
    generator.refine.register_forward_hook(lambda _, inputs, __: seen.update(given=inputs[0]))
    given, _ = given_of(PAPER_TINY)
    coarse, last = generator(given)

    torch.testing.assert_close(seen["given"][:, :3].mean(dim=1, keepdim=True), coarse)
    torch.testing.assert_close(seen["given"][:, 3:], given.mask)
    assert not torch.equal(coarse, last)


@pytest.mark.parametrize("guided", [False, True])
def test_one_stage_is_the_coarse_one_alone(guided):
    config = replace(TINY if guided else PAPER_TINY, two_stage=False)
    generator = awake(TextureGenerator(config))
    coarse, last = generator(given_of(config)[0])

    assert generator.refine is None
    assert torch.equal(coarse, last)


@pytest.mark.parametrize("config", [TINY, PAPER_TINY, replace(TINY, box_mask=True)])
@pytest.mark.parametrize("seen", [False, True])
def test_only_what_is_free_changes_and_it_does(config, seen):
    given, patch = given_of(config, seen=seen)
    painted = awake(TextureGenerator(config)).paint(given)[0, 0].detach().numpy()
    free = given.free[0, 0].numpy()

    np.testing.assert_array_equal(painted[free == 0], patch[free == 0])
    assert (painted[free > 0.9] != patch[free > 0.9]).all()


def test_an_untrained_guided_generator_gives_a_plain_nodule_of_the_asked_contrast():
    given, patch = given_of(TINY, seen=True, contrast=0.1)
    painted = TextureGenerator(TINY).eval().paint(given)[0, 0].detach().numpy()
    inside = oblique() > 0.5

    expected = patch + freedom(TINY, oblique()) * 0.2 * dome(oblique())
    np.testing.assert_allclose(painted, expected, atol=1e-6)
    # over the robust range, which is 2 wide
    assert (painted - patch)[inside].mean() / 2 == pytest.approx(0.1, rel=1e-4)


def test_a_dome_is_the_way_through_a_ball():
    """2 sqrt(R^2 - r^2), its mean over the disc 4 R / 3, blurred by 1.25 pixels at the edge."""
    row, column = np.indices((256, 256)) - 127.5
    away = np.hypot(row, column)
    found = dome((away <= 40).astype(np.float32))
    expected = 1.5 * np.sqrt(np.clip(1 - (away / 40) ** 2, 0, None))

    np.testing.assert_allclose(found[away < 36], expected[away < 36], atol=0.06)
    assert found[away <= 40].mean() == pytest.approx(1, rel=1e-5)
    assert found[away > 46].max() < 1e-3
    assert dome(np.zeros((8, 8), np.float32)).max() == 0


def test_contrast_and_whether_tissue_is_seen_are_conditions():
    generator = awake(TextureGenerator(TINY))
    given, _ = given_of(TINY)
    plain = generator.paint(given)

    assert not torch.equal(generator.paint(replace(given, lift=3 * given.lift)), plain)
    assert not torch.equal(generator.paint(replace(given, seen=torch.tensor([0.0]))), plain)
    paper = awake(TextureGenerator(PAPER_TINY))
    given, _ = given_of(PAPER_TINY)
    denser = replace(given, lift=3 * given.lift)
    assert torch.equal(paper.paint(denser), paper.paint(given))


def test_tissue_that_is_not_to_be_seen_is_not_looked_at():
    """Another tissue under the shape gives the same nodule."""
    generator = awake(TextureGenerator(TINY))
    _, patch = given_of(TINY)
    other = np.where(freedom(TINY, oblique()) > 0, 0.9, patch).astype(np.float32)
    hidden, shown = (
        [
            generator.paint(painting_input(TINY, [p], [oblique()], seen=[see], contrast=[0.1]))
            for p in (patch, other)
        ]
        for see in (False, True)
    )

    assert torch.equal(*hidden)
    assert not torch.equal(*shown)


def test_the_box_encloses_the_shape():
    box = condition_mask(replace(TINY, box_mask=True), oblique(20, 6))
    rows, columns = np.nonzero(oblique(20, 6))

    assert box.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert box[rows.min(), columns.min()] == 1
    np.testing.assert_array_equal(condition_mask(TINY, oblique()), oblique())
    assert condition_mask(replace(TINY, box_mask=True), np.zeros((8, 8), np.float32)).sum() == 0


def test_conditioned_on_the_box_the_networks_learn_nothing_of_the_shape():
    """Two shapes with one box are the same to them, where no tissue is seen."""
    config = replace(TINY, box_mask=True)
    disc = (np.hypot(*(np.indices((256, 256)) - 127.5)) < 20).astype(np.float32)
    box = condition_mask(config, disc)
    one, other = (given_of(config, mask, seen=False)[0] for mask in (disc, box))
    assert not np.array_equal(disc, box)

    for name in ("base", "mask", "free", "lift"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_the_paper_changes_the_mask_alone_and_ours_a_rim_too():
    np.testing.assert_array_equal(freedom(PAPER_TINY, oblique()), oblique())
    np.testing.assert_array_equal(freedom(TINY, oblique()), freedom_around(oblique()))
    assert (freedom(TINY, oblique()) > 0).sum() > oblique().sum()


def test_a_small_nodule_is_worked_on_in_a_small_patch_and_its_result_does_not_move():
    small, large = oblique(20, 6), oblique(60, 10)
    sides = [working_side(TINY, torch.from_numpy(freedom(TINY, m))) for m in (small, large)]
    assert sides == [128, 256]
    assert working_side(replace(TINY, small_side=256), torch.from_numpy(small)) == 256

    generator = awake(TextureGenerator(TINY))
    given, _ = given_of(TINY, small)
    part = given.central(128)
    expected = put_back(generator(part)[1], part)
    painted = generator.paint(given)
    torch.testing.assert_close(painted[..., 64:192, 64:192], expected)


def test_putting_back_is_linear_in_what_is_free():
    base, painted = torch.tensor([[[[1.0, 1.0, 1.0]]]]), torch.tensor([[[[3.0, 3.0, 3.0]]]])
    free = torch.tensor([[[[0.0, 0.25, 1.0]]]])
    given = TextureInput(base, free, free, torch.ones(1), free)

    torch.testing.assert_close(put_back(painted, given), torch.tensor([[[[1.0, 1.5, 3.0]]]]))


@pytest.mark.parametrize("config", [TINY, PAPER_TINY])
def test_every_parameter_of_the_generator_learns(config):
    generator = awake(TextureGenerator(config)).train()
    coarse, last = generator(given_of(config)[0])
    (coarse.square().sum() + last.square().sum()).backward()

    still = [n for n, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    # instance normalisation takes a shift away, but not through the gates
    assert not still


def test_a_side_that_the_networks_cannot_halve_is_refused():
    with pytest.raises(ValueError, match="small_side must be 64, 128 or 256; got 100"):
        replace(TINY, small_side=100)
