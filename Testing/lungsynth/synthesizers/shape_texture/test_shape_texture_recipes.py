"""How both parts are trained: what a step does, that it can be taken up again, what is kept."""

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.nn.weights import load_weights
from lungsynth.synthesizers.shape_texture.build import (
    build_shape_recipe,
    build_texture_recipe,
    prepare_outlines,
)
from lungsynth.synthesizers.shape_texture.conditions import texture_input
from lungsynth.synthesizers.shape_texture.config import TEXTURE_PRESETS
from lungsynth.synthesizers.shape_texture.shape_recipe import lacking_variety
from lungsynth.synthesizers.shape_texture.weights import load_parts, save_parts
from lungsynth.training.loop import rng_for_step

KINDS = ["shape", "texture"]


@pytest.fixture
def make(make_shape, make_texture):
    return lambda kind, **changes: (make_shape if kind == "shape" else make_texture)(**changes)


def step(recipe, number):
    losses = recipe.step(rng_for_step(0, number))
    recipe.step_count = number + 1
    return losses


def flat(state):
    """All tensors of a nested state, by the path of their keys."""
    if isinstance(state, torch.Tensor):
        return {"": state.clone()}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    return {
        f"{key}/{inner}": value
        for key, part in items
        if isinstance(part, dict | list | tuple | torch.Tensor)
        for inner, value in flat(part).items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_moves_both_networks_and_its_losses_are_numbers(make, kind):
    recipe = make(kind)
    before = flat(recipe.state_dict())
    losses = [step(recipe, n) for n in range(2)]
    after = flat(recipe.state_dict())

    assert all(np.isfinite(v) for loss in losses for v in loss.values())
    for part in ("generator/", "critic/", "average/"):
        weights = [k for k in before if k.startswith(part) and "weight" in k]
        assert weights
        assert any(not torch.equal(before[k], after[k]) for k in weights), part
    assert all(p.requires_grad for p in recipe.critic.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_resumed_steps_equal_uninterrupted_ones(make, kind):
    whole, first, second = make(kind), make(kind), make(kind, seed=9)
    for number in range(2):
        losses = step(whole, number)
    step(first, 0)
    second.load_state_dict(first.state_dict())
    assert second.step_count == 1
    assert step(second, 1) == losses

    one, other = flat(whole.state_dict()), flat(second.state_dict())
    assert not [k for k in one if not torch.equal(one[k], other[k])]


def test_the_second_phase_has_lower_rates(make):
    recipe = make("texture", total_steps=10, second_phase=0.4, generator_learning_rate=0.02)
    found = {}
    for number in (0, 5, 6, 9):
        recipe.step_count = number
        recipe.step(rng_for_step(0, number))
        found[number] = [
            group["lr"]
            for optimizer in (recipe.generator_adam, recipe.critic_adam)
            for group in optimizer.param_groups
        ]

    assert found[0] == found[5] == pytest.approx([0.02, 0.02 * 0.3])
    assert found[6] == found[9] == pytest.approx([0.002, 0.002 * 0.3])


def test_where_tissue_is_unknown_it_is_not_given_whatever_is_asked(sampler):
    config = TEXTURE_PRESETS["tiny"]
    draws = [sampler.draw(np.random.default_rng(n)) for n in range(60)]
    drr = sampler.make(next(d for d in draws if d.source == "drr"))
    made = sampler.make(next(d for d in draws if d.source == "projected"))
    given, real = texture_input(config, [drr, made, made], [True, True, False])

    assert given.seen.tolist() == [0, 1, 0]
    assert given.base.isfinite().all()
    np.testing.assert_array_equal(given.base[1, 0].numpy(), made.before)
    assert not torch.equal(given.base[1], given.base[2])
    np.testing.assert_array_equal(real[0, 0].numpy(), drr.after)
    for row, pair in enumerate((drr, made, made)):
        lifted = float(given.lift[row, 0].numpy()[pair.mask > 0.5].mean()) / 2
        assert lifted == pytest.approx(pair.contrast, abs=1e-5)
    # what is hidden takes nothing from the nodule that is there
    outside = given.free[2] == 0
    assert torch.equal(given.base[2][outside], real[2][outside])


def test_reconstruction_counts_where_something_may_change(make):
    """An untrained generator misses by the nodule less the plain one that it begins with."""
    recipe = make("texture", seen_through=1.0)
    batches = (recipe.draw_batch(np.random.default_rng(seed)) for seed in range(50))
    given, real = next(batch for batch in batches if batch[0].seen.all())
    losses = recipe.update(given, real)
    away = (real - given.base - given.free * given.lift).abs()
    expected = float((away * given.free).sum() / given.free.sum())
    outside = given.free == 0

    assert losses["l1"].item() == pytest.approx(expected, rel=1e-4)
    assert (away[outside] == 0).all()
    assert expected < 0.7 * float(((real - given.base).abs() * given.free).sum() / given.free.sum())


def test_one_stage_has_no_coarse_loss_to_learn_from(make):
    recipe = make("texture", two_stage=False)
    losses = step(recipe, 0)

    assert losses["coarse_l1"] == losses["l1"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_does_not_change_the_next_step(make, kind):
    plain, pictured = make(kind), make(kind)
    step(plain, 0)
    step(pictured, 0)
    picture = pictured.sample_picture(np.random.default_rng(0))

    assert picture.dtype == np.uint8
    assert picture.ndim == 2
    assert np.ptp(picture) > 100
    np.testing.assert_array_equal(picture, pictured.sample_picture(np.random.default_rng(0)))
    assert step(plain, 1) == step(pictured, 1)


def test_each_part_keeps_the_other_that_it_was_begun_with(make_shape, make_texture, tmp_path):
    shape, texture = make_shape(), make_texture()
    shape.save_weights(tmp_path / "shape.safetensors")
    texture.start_from(load_parts(tmp_path / "shape.safetensors")[0])
    step(texture, 0)
    texture.save_weights(tmp_path / "both.safetensors")
    parts, stored = load_parts(tmp_path / "both.safetensors")

    assert set(parts) == {"shape", "texture"}
    assert stored.config["texture"]["guided"] is True
    for name, wanted in (("shape", shape.average), ("texture", texture.average)):
        for key, value in wanted.state_dict().items():
            torch.testing.assert_close(parts[name].state_dict()[key], value, rtol=1e-3, atol=1e-4)
        assert not parts[name].training
    again = make_shape(seed=5)
    again.start_from(load_parts(tmp_path / "both.safetensors")[0])
    assert set(again.kept) == {"texture"}
    first = next(iter(again.generator.parameters()))
    torch.testing.assert_close(first, next(iter(parts["shape"].parameters())))


def test_weights_of_another_size_or_version_are_refused(make_shape, make_texture, tmp_path):
    shape = make_shape()
    shape.save_weights(tmp_path / "shape.safetensors")
    with pytest.raises(LungSynthError, match="shape weights to start from are of another preset"):
        make_shape(width=32).start_from(load_parts(tmp_path / "shape.safetensors")[0])
    stored = load_weights(tmp_path / "shape.safetensors", "shape-texture")
    stored.config["shape"]["width"] = 8
    from lungsynth.nn.weights import save_weights

    path = tmp_path / "odd.safetensors"
    save_weights(path, "shape-texture", stored.config, stored.tensors)
    with pytest.raises(LungSynthError, match=r"odd.safetensors: the weights do not fit"):
        load_parts(path)
    save_weights(path, "shape-texture", {"colour": {}}, stored.tensors)
    with pytest.raises(LungSynthError, match=r"odd.safetensors: the weights do not fit"):
        load_parts(path)
    save_parts(path, {"texture": make_texture().average})
    assert set(load_parts(path)[0]) == {"texture"}


def test_recipes_are_built_from_folders(fabric, outlines, patches_folder, tmp_path):
    np.savez(
        tmp_path / "outlines-train.npz",
        format="lungsynth-outlines-1",
        split="train",
        shapes=outlines.shapes,
        series=outlines.series,
        left_out=3,
    )
    said = []
    file = prepare_outlines(tmp_path / "gone", tmp_path, on_report=said.extend)
    shape = build_shape_recipe(file, "tiny", fabric, None)
    texture = build_texture_recipe(patches_folder, "tiny", fabric, None)

    assert said == ["4 outlines; 3 that are too small were left out"]
    assert shape.data_summary()["outlines"] == 4
    assert shape.data_summary()["series"] == 3
    summary = texture.data_summary()
    assert (summary["radiographs"], summary["ct_nodules"], summary["drr_nodules"]) == (2, 9, 1)
    assert summary["perceptual"] == "discriminator features"
    for build, data in ((build_shape_recipe, file), (build_texture_recipe, patches_folder)):
        with pytest.raises(LungSynthError, match=r"unknown preset 'huge'; .* default, paper, tiny"):
            build(data, "huge", fabric, None)


@pytest.mark.parametrize("preset", [p for p in TEXTURE_PRESETS if "stage" in p])
def test_the_presets_of_the_ablation_differ_in_their_names_alone(preset):
    """[shen2022, Table II]."""
    default, config = TEXTURE_PRESETS["default"], TEXTURE_PRESETS[preset]
    stages, mask = preset.split("-")[0], preset.split("-")[2]

    assert (config.two_stage, config.box_mask) == (stages == "two", mask == "box")
    same = {"two_stage": default.two_stage, "box_mask": default.box_mask}
    from dataclasses import replace

    assert replace(config, **same) == default


def test_what_a_batch_lacks_of_variety_is_a_part_of_what_real_ones_have():
    """Two images that differ by 0.4 and by 1 in each pixel: deviations of 0.2 and of 0.5."""
    half = torch.full((1, 1, 4, 4), 0.5)
    fake, real = torch.cat([half - 0.2, half + 0.2]), torch.cat([half - 0.5, half + 0.5])

    assert lacking_variety(fake, real).item() == pytest.approx(0.6, abs=1e-5)
    assert lacking_variety(real, fake).item() == 0
    assert lacking_variety(torch.cat([half, half]), real).item() == pytest.approx(1, abs=1e-3)


def test_variants_are_of_other_latents_and_real_ones_beside_them(make):
    recipe = make("shape")
    for module in recipe.average.modules():  # batch statistics as long training leaves them
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    recipe.average(torch.randn(16, 100))
    drawn, real = recipe.draw_variants(np.random.default_rng(2), 3)

    assert drawn.shape == real.shape == (3, 128, 128)
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-4
    assert set(np.unique(np.round(real))) == {0, 1}


@pytest.mark.slow
def test_a_texture_generator_learns_a_few_patches_by_heart(make):
    recipe = make("texture", width=4, seen_through=0.0, generator_learning_rate=3e-3)
    batch = recipe.draw_batch(np.random.default_rng(1))
    losses = [recipe.update(*batch)["l1"].item() for _ in range(60)]

    assert losses[-1] < 0.6 * losses[0]
