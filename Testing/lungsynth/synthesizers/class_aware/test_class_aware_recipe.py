"""How it is trained: what a step does, and that it can be taken up again."""

import csv
import shutil

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.synthesizers.class_aware.build import build_recipe
from lungsynth.synthesizers.class_aware.paper_recipe import real_classes
from lungsynth.synthesizers.class_aware.recipe_base import evenly
from lungsynth.training.loop import rng_for_step

PRESETS = ["tiny", "paper-tiny"]


def step(made, number):
    losses = made.step(rng_for_step(0, number))
    made.step_count = number + 1
    return losses


def flat(state):
    """All tensors of a nested state, by the path of their keys."""
    if isinstance(state, torch.Tensor):
        return {"": state}
    items = state.items() if isinstance(state, dict) else enumerate(state)
    return {
        f"{key}/{inner}": value
        for key, part in items
        if isinstance(part, dict | list | tuple | torch.Tensor)
        for inner, value in flat(part).items()
    }


@pytest.mark.parametrize("preset", PRESETS)
def test_a_step_moves_every_weight_and_its_losses_are_numbers(make_recipe, preset):
    made = make_recipe(preset)
    before = {k: v.clone() for k, v in flat(made.state_dict()).items() if "adam" not in k}
    losses = step(made, 0)
    after = flat(made.state_dict())

    assert all(np.isfinite(value) for value in losses.values())
    still = [k for k, v in before.items() if "weight" in k and torch.equal(v, after[k])]
    assert not still


@pytest.mark.parametrize("preset", PRESETS)
def test_resumed_steps_equal_uninterrupted_ones(make_recipe, preset):
    whole, first, second = make_recipe(preset), make_recipe(preset), make_recipe(preset, seed=9)
    expected = [step(whole, number) for number in range(2)][1]
    step(first, 0)
    second.load_state_dict(first.state_dict())
    assert second.step_count == 1
    assert step(second, 1) == expected
    one, two = flat(whole.state_dict()), flat(second.state_dict())

    assert one.keys() == two.keys()
    assert not [name for name in one if not torch.equal(one[name], two[name])]


def test_nodules_that_nobody_rated_are_left_out(make_recipe):
    made = make_recipe("tiny")

    assert made.data_summary()["nodules"] == 8
    assert 5 not in made.sampler.indices
    assert np.isnan(made.ratings[0, 1])
    assert made.ratings[0, 0] == 1.5


def test_some_nodules_are_asked_for_with_another_malignancy(make_recipe):
    made = make_recipe("tiny", batch_size=4, redrawn_part=0.25)
    batches = [made.draw_batch(rng_for_step(0, n)) for n in range(12)]

    for batch in batches:
        assert batch.kept.flatten().tolist() == [0, 1, 1, 1]
        real = torch.from_numpy(made.ratings[batch.index, 0]).float()
        assert torch.equal(batch.asked[1:], real[1:])
        torch.testing.assert_close(batch.asked_condition[1:], batch.condition[1:])
        assert torch.equal(batch.asked_mean_hu[1:], batch.mean_hu[1:])
        torch.testing.assert_close(batch.asked_condition[0, :5], batch.condition[0, :5])
        assert batch.asked_condition[0, 6] != batch.condition[0, 6]
    drawn = [float(batch.asked[0]) for batch in batches]
    assert 1 <= min(drawn) < 2
    assert 4 < max(drawn) <= 5


def test_every_process_has_its_share_of_those_asked_otherwise():
    """Eight items for each of three processes, a quarter of them: two for each."""
    chosen = evenly(24, 0.25)
    assert chosen.reshape(3, 8).sum(axis=1).tolist() == [2, 2, 2]
    assert np.flatnonzero(evenly(10, 0.3)).tolist() == [0, 3, 6]
    assert evenly(5, 0.0).sum() == 0
    assert evenly(5, 1.0).all()


def test_the_density_asked_goes_with_the_malignancy_asked(make_recipe):
    """Solid at 8 mm: the quartiles of malignant are -388, -306, -255; of benign -183, -8, 149."""
    made = make_recipe("tiny")
    batch = made.draw_batch(rng_for_step(0, 0))
    changes = {
        "condition": torch.tensor([[1.0, 0, 0, 0, 0, 0, 0]] * 4),
        "diameter_mm": torch.tensor([8.0] * 4),
        "mean_hu": torch.tensor([-306.0, -255.0, -388.0, -400.0]),
        "index": np.array([2] * 4),  # rated 4.5
    }
    fields = {**vars(batch), **changes}
    densities = made._asked_density(type(batch)(**fields), np.array([1.5, 1.5, 1.5, 4.5]))

    assert densities == pytest.approx([-8, 99 - 636 / 20, -183, -400])  # 149 is too much


def test_the_class_is_asked_for_late(make_recipe, record_totals):
    """[1, 2.2]: L_cls is added after the generator is well-trained."""
    made = make_recipe("tiny", class_start=5, promise_start=5, l1_steps=10)
    totals = record_totals(made)
    config = made.config
    for number, on in ((0, 0), (4, 0), (5, 1)):
        totals.clear()
        made.step_count = number
        losses = made.step(rng_for_step(0, number))
        weight = config.l1_weight_start + number / 10 * (
            config.l1_weight_end - config.l1_weight_start
        )
        late = (
            config.size_weight * losses["size"]
            + config.density_weight * losses["density"]
            + config.generator_class_weight * losses["generator_class"]
            + config.reading_weight * losses["reading"]
        )
        early = losses["global_generator"] + losses["local_generator"] + weight * losses["l1"]
        assert totals[2] == pytest.approx(early + on * late, rel=1e-4)
        critics = losses["global_critic"] + losses["local_critic"] + losses["penalty"]
        expected = critics + config.critic_class_weight * losses["critic_class"]
        assert totals[0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("number", "weight"), [(6, 0.0), (7, 3.0)])
def test_the_papers_objectives_are_the_sums_of_their_terms(
    make_recipe, record_totals, number, weight
):
    """[1, Eqs. 4 and 5], the class loss from a step on."""
    made = make_recipe(
        "paper-tiny", class_start=7, critic_class_weight=3.0, generator_class_weight=3.0
    )
    totals = record_totals(made)
    made.step_count = number
    losses = made.step(rng_for_step(0, number))

    classes = losses["global_class"] + losses["local_class"]
    expected = losses["global_critic"] + losses["local_critic"] + weight * classes
    assert totals[0] == pytest.approx(expected, rel=1e-5)
    expected = (
        losses["generator"]
        + weight * losses["generator_class"]
        + made.config.reconstruction_weight * losses["reconstruction"]
    )
    assert totals[1] == pytest.approx(expected, rel=1e-5)


def test_the_papers_critics_take_several_steps_to_one_of_the_generators(make_recipe, monkeypatch):
    made = make_recipe("paper-tiny", critic_steps=2)
    taken = []
    monkeypatch.setattr(made, "train_critics", lambda batch: taken.append(batch) or {})
    step(made, 0)

    assert len(taken) == 2
    assert not torch.equal(taken[0].cube, taken[1].cube)


def test_the_papers_classes_part_at_4():
    assert real_classes(torch.tensor([1.0, 3.99, 4.0, 5.0])).tolist() == [1, 1, 2, 2]


def test_the_papers_patches_are_not_augmented(make_recipe):
    """1 x 1 x 2 mm, the nodule in the middle."""
    batch = make_recipe("paper-tiny").draw_batch(rng_for_step(0, 0))

    assert (batch.box_mm == 32).all()


@pytest.mark.parametrize("preset", PRESETS)
def test_samples_are_drawn_without_touching_the_run(make_recipe, preset):
    made = make_recipe(preset)
    real, filled = made.draw_samples(np.random.default_rng(0), 1)

    assert real.shape == filled.shape == (1, 64, 64, 64)
    outside = np.ones((64, 64, 64), bool)
    outside[14:50, 14:50, 14:50] = False
    np.testing.assert_allclose(filled[0][outside], real[0][outside], atol=0.1)
    assert np.abs(filled - real).max() > 1


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        (["5.0"] * 9, "0 are benign .* and 9 malignant"),
        (["1.0"] * 9, "9 are benign .* and 0 malignant"),
        ([""] * 9, "0 are benign .* and 0 malignant"),
    ],
)
def test_data_of_one_class_are_refused(rated_folder, tmp_path, ratings, message):
    shutil.copy(rated_folder / "train.npz", tmp_path)
    with (rated_folder / "train.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    with (tmp_path / "train.csv").open("w", newline="", encoding="utf-8") as lines:
        table = csv.DictWriter(lines, rows[0].keys())
        table.writeheader()
        table.writerows({**row, "malignancy": r} for row, r in zip(rows, ratings, strict=True))
    with pytest.raises(LungSynthError, match=rf"learns from both classes.*{message}"):
        build_recipe(tmp_path, "tiny", None, None)


def test_an_unknown_preset_is_refused(rated_folder):
    with pytest.raises(LungSynthError, match=r"class-aware has default, tiny, paper, paper-tiny"):
        build_recipe(rated_folder, "huge", None, None)


@pytest.mark.slow
def test_one_batch_can_be_overfitted(make_recipe):
    made = make_recipe(
        "tiny", l1_weight_start=20.0, l1_weight_end=20.0, redrawn_part=0.0, class_start=10**6
    )
    batch = made.draw_batch(rng_for_step(0, 0))
    curve = []
    for number in range(60):
        torch.manual_seed(number)
        curve.append(made.update(batch)["l1"].item())
        made.step_count = number + 1

    assert np.mean(curve[-5:]) < 0.4 * curve[0]
