"""How MCGAN is trained: what a step does, and that it can be taken up again."""

import numpy as np
import pytest
import torch

from lungsynth.synthesizers.mcgan import paper_recipe, recipe
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


def assert_same(one, two):
    one, two = flat(one), flat(two)
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert not different


@pytest.mark.parametrize("preset", PRESETS)
def test_a_step_moves_every_network_and_its_losses_are_numbers(make_recipe, preset):
    made = make_recipe(preset)
    before = {k: v.clone() for k, v in flat(made.state_dict()).items() if "adam" not in k}
    losses = step(made, 0)
    after = flat(made.state_dict())

    assert all(np.isfinite(value) for value in losses.values())
    moved = [k for k, v in before.items() if v.is_floating_point() and not torch.equal(v, after[k])]
    for part in made.stateful:
        if "adam" not in part:
            assert any(k.startswith(part) for k in moved), part
    still = [
        k
        for k, v in before.items()
        if k not in moved and v.is_floating_point() and "generator" in k and "average" not in k
    ]
    # a bias before a normalisation over the batch has no gradient but rounding; all else has
    assert not [k for k in still if "weight" in k]


@pytest.mark.parametrize("preset", PRESETS)
def test_resumed_steps_equal_uninterrupted_ones(make_recipe, preset):
    whole, first, second = make_recipe(preset), make_recipe(preset), make_recipe(preset, seed=9)
    for number in range(2):
        step(whole, number)
    step(first, 0)
    second.load_state_dict(first.state_dict())
    assert second.step_count == 1
    losses = step(second, 1)

    assert_same(whole.state_dict(), second.state_dict())
    assert losses == step_again(make_recipe(preset))


def step_again(made):
    step(made, 0)
    return step(made, 1)


def test_the_average_follows_the_weights(make_recipe):
    """decay = min(0.998, (1 + n) / (10 + n)): a tenth of the start is left after the first."""
    made = make_recipe("tiny")
    start = [p.detach().clone() for p in made.networks.parameters()]
    step(made, 0)
    after = [p.detach().clone() for p in made.networks.parameters()]

    for mean, old, new in zip(made.average.parameters(), start, after, strict=True):
        torch.testing.assert_close(mean, 0.1 * old + 0.9 * new, rtol=1e-4, atol=1e-6)
    assert made.trained_networks() is made.average


def test_the_penalty_comes_every_few_steps_and_counts_that_much_more(make_recipe, monkeypatch):
    monkeypatch.setattr(recipe, "zero_centred_penalty", lambda scores, _: 0 * scores.sum() + 3)
    made = make_recipe("tiny", penalty_every=2, gradient_penalty=5.0)

    assert [step(made, n)["penalty"] for n in range(3)] == [15.0, 0.0, 15.0]


def test_the_papers_labels_are_flipped_in_every_third_step(make_recipe, monkeypatch):
    """[1]: once in three times; the Wasserstein critic is never flipped (ours)."""
    made = make_recipe("paper-tiny")
    scores, labelled, nodules, sides = [], [], [], []
    judge, loss = made.critics.judge_context, paper_recipe.discriminator_least_squares_loss
    look, critic = made.critics.judge_nodule, paper_recipe.critic_wasserstein_loss
    monkeypatch.setattr(
        made.critics, "judge_context", lambda *a: scores.append(judge(*a)) or scores[-1]
    )
    monkeypatch.setattr(
        made.critics, "judge_nodule", lambda *a: nodules.append(look(*a)) or nodules[-1]
    )
    monkeypatch.setattr(
        paper_recipe,
        "discriminator_least_squares_loss",
        lambda real, fake: labelled.append((real, fake)) or loss(real, fake),
    )
    monkeypatch.setattr(
        paper_recipe,
        "critic_wasserstein_loss",
        lambda real, fake: sides.append((real, fake)) or critic(real, fake),
    )
    batch = made.draw_batch(rng_for_step(0, 0))
    flipped = []
    for number in range(6):
        scores.clear(), nodules.clear()
        made.step_count = number
        made.update(batch)
        real, fake = scores[:2]
        assert torch.equal(sides[-1][0], nodules[0])
        if torch.equal(labelled[-1][0], real):
            assert torch.equal(labelled[-1][1], fake)
            flipped.append(False)
        else:
            assert torch.equal(labelled[-1][0], fake)
            assert torch.equal(labelled[-1][1], real)
            flipped.append(True)

    assert flipped == [False, False, True, False, False, True]


@pytest.mark.parametrize(("l1_weight", "other"), [(0.0, 0.0), (100.0, 100.0)])
def test_the_papers_objective_is_the_sum_of_its_terms(make_recipe, record_totals, l1_weight, other):
    """[1, Eqs. 1 and 2]."""
    made = make_recipe("paper-tiny", l1_weight=l1_weight)
    totals = record_totals(made)
    losses = step(made, 0)

    expected = losses["context_generator"] + losses["nodule_generator"] + other * losses["l1"]
    assert totals[1] == pytest.approx(expected, rel=1e-5)
    expected = losses["context_critic"] + losses["nodule_critic"] + 10 * losses["penalty"]
    assert totals[0] == pytest.approx(expected, rel=1e-5)


def test_the_weight_of_l1_falls_and_promises_start_late(make_recipe, record_totals):
    made = make_recipe("tiny", l1_weight_start=8.0, l1_weight_end=2.0, l1_steps=4, promise_start=2)
    totals = record_totals(made)
    for number, weight, promised in ((0, 8.0, 0), (2, 5.0, 1), (9, 2.0, 1)):
        totals.clear()
        made.step_count = number
        losses = made.step(rng_for_step(0, number))
        config = made.config
        promises = config.size_weight * losses["size"] + config.density_weight * losses["density"]
        adversarial = losses["context_generator"] + losses["nodule_generator"]
        expected = adversarial + weight * losses["l1"] + promised * promises
        assert totals[2] == pytest.approx(expected, rel=1e-4)


def test_a_batch_in_two_parts_teaches_what_it_teaches_whole(make_recipe):
    """Without promises: the segmenter's Dice is that of a part, not the mean over its items."""
    settings = {"promise_start": 10**6, "penalty_every": 1}
    whole = make_recipe("tiny", batch_size=4, **settings)
    parted = make_recipe("tiny", batch_size=2, **settings)
    start = flat({"n": parted.networks.state_dict(), "c": parted.critics.state_dict()})
    start = {name: value.clone() for name, value in start.items()}
    parted.accumulate = 2
    one, two = step(whole, 0), step(parted, 0)

    for name in set(one) - {"segmenter", "size", "density"}:
        assert two[name] == pytest.approx(one[name], rel=1e-4), name
    assert two["segmenter"] == pytest.approx(one["segmenter"], rel=0.05)
    for part in ("networks.generator", "critics"):
        a, b = (flat(_part(made, part).state_dict()) for made in (whole, parted))
        key = "n/generator." if part != "critics" else "c/"
        moved = sum((a[k] - start[key + k[:-1] + "/"]).square().sum() for k in a)
        apart = sum((a[k] - b[k]).square().sum() for k in a)
        assert apart < 1e-4 * moved, part


def _part(made, path):
    for name in path.split("."):
        made = getattr(made, name)
    return made


def test_what_it_is_trained_on_is_recorded(make_recipe):
    told = make_recipe("tiny").data_summary()

    assert told["nodules"] == 9
    assert told["patients"] == ["P0", "P1", "P2", "P3", "P4"]
    assert len(told["sha256"]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_one_batch_can_be_overfitted(make_recipe, preset):
    weights = (
        {"l1_weight_start": 50.0, "l1_weight_end": 50.0, "size_weight": 0.0, "density_weight": 0.0}
        if preset == "tiny"
        else {"l1_weight": 100.0, "dropout": 0.0, "width": 4}
    )
    made = make_recipe(preset, **weights)
    batch = made.draw_batch(rng_for_step(0, 0))
    curve = []
    for number in range(60):
        torch.manual_seed(number)
        curve.append(made.update(batch)["l1"].item())
        made.step_count = number + 1

    assert np.mean(curve[-5:]) < 0.3 * curve[0]
