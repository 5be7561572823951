"""The watch over a GAN's health: when it speaks, and what a run does then."""

import json
from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lungsynth.training.checkpoint import read_checkpoint
from lungsynth.training.guard import (
    Guard,
    GuardConfig,
    mean_pairwise_distance,
    measured_diversity,
)
from lungsynth.training.loop import BadHealthError
from lungsynth.training.losses_log import read_losses
from lungsynth.training.options import TrainOptions
from lungsynth.training.session import Session


def watched(chance=None, **settings):
    recipe = SimpleNamespace(critic_chance=chance or {"critic": log(2)})
    return Guard(recipe, GuardConfig(**settings))


def test_a_critic_that_cannot_be_fooled_is_named_after_a_window():
    """The mean falls by 1/10 a step from ln 2: 0.9^n < 0.05 first at n = 29."""
    guard = watched(window_steps=10)
    said = [guard.look_at({"critic": 0.0}) for _ in range(60)]

    spoken = [n for n, words in enumerate(said, start=1) if words]
    assert spoken == [29, 39, 49, 59]
    assert "critic is 0.0326 (0.693 where it cannot tell)" in said[28]  # ln 2 * 0.9^29


def test_a_critic_in_balance_and_a_loss_that_is_none_of_its_business_are_left_alone():
    guard = watched(window_steps=5)
    said = [guard.look_at({"critic": 0.2, "l1": 0.0}) for _ in range(100)]

    assert set(said) == {""}
    assert watched({}, window_steps=1).look_at({"l1": 0.0}) == ""


def test_a_short_lapse_is_no_saturation():
    guard = watched(window_steps=20)
    said = [guard.look_at({"critic": 0.0 if n % 10 < 8 else 0.6}) for n in range(200)]
    assert set(said) == {""}  # the mean stays about 0.12


def test_what_it_knows_can_be_taken_up_again():
    whole, first, second = (watched(window_steps=10) for _ in range(3))
    losses = [{"critic": value} for value in np.linspace(0.5, 0.0, 40)]
    expected = [whole.look_at(row) for row in losses]
    early = [first.look_at(row) for row in losses[:17]]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))

    assert early + [second.look_at(row) for row in losses[17:]] == expected


@pytest.mark.parametrize(
    ("diversity", "step", "speaks"),
    [(0.019, 500, True), (0.021, 500, False), (0.001, 499, False), (None, 900, False)],
)
def test_modes_that_collapse_are_named_once_the_start_is_over(diversity, step, speaks):
    said = watched().look_at_diversity(diversity, step)

    assert bool(said) == speaks
    if speaks:
        assert "differs by 1.9 % of what real ones differ (below 2 %)" in said


def test_distances_of_all_pairs_are_averaged():
    """0, 3 and 9: 3, 9 and 6, mean 6; in the other voxel 0 always: half of it."""
    items = np.array([[0, 7], [3, 7], [9, 7]], np.float32)
    assert mean_pairwise_distance(items) == 3.0


def test_diversity_is_a_part_of_that_of_real_ones():
    def draw_variants(rng, count):
        assert rng.random() == np.random.default_rng(0).random()
        assert count == 2
        return np.array([[1.0], [1.5]], np.float32), np.array([[0.0], [2.0]], np.float32)

    recipe = SimpleNamespace(draw_variants=draw_variants)
    assert measured_diversity(recipe, 2) == 0.25
    assert measured_diversity(SimpleNamespace()) is None


class Falling:
    """Walks one unit a step times its rate; breaks where it is told, unless it walks slowly."""

    critic_chance = {"critic": 1.0}  # noqa: RUF012 - as recipes have it

    def __init__(self, breaks=()):
        self.step_count, self.place, self.rate_factor, self.breaks = 0, 0.0, 1.0, breaks

    def step(self, _rng):
        self.place += self.rate_factor
        broken = self.step_count + 1 in self.breaks and self.rate_factor == 1
        return {"critic": float("nan") if broken else 0.0}

    def state_dict(self):
        return {"step_count": self.step_count, "place": torch.tensor(self.place)}

    def load_state_dict(self, state):
        self.step_count, self.place = state["step_count"], float(state["place"])

    def save_weights(self, path):
        path.write_text(str(self.place))


FABRIC = SimpleNamespace(
    world_size=1,
    global_rank=0,
    is_global_zero=True,
    device=torch.device("cpu"),
    barrier=lambda: None,
)


def session(folder, recipe, guard, window=10):
    options = TrainOptions(guard=guard, checkpoint_every=4)
    made = Session(folder, "fall", recipe, options, FABRIC)
    made.guard.config = GuardConfig(window_steps=window)
    made.told = []
    made.on_report = made.told.extend
    return made


def test_a_run_may_only_be_told(tmp_path):
    recipe = Falling()
    made = session(tmp_path, recipe, "warn")

    assert made.train_to(32)
    assert recipe.place == 32
    assert [line.partition(":")[0] for line in made.told] == ["step 29"]
    assert [row["step"] for row in read_losses(tmp_path / "health.jsonl")] == [29]
    assert "a critic is saturated" in (tmp_path / "report.html").read_text()


def test_a_run_may_be_stopped_and_goes_on_from_its_checkpoint(tmp_path):
    with pytest.raises(BadHealthError, match=r"stopped at step 29: a critic is saturated.*resume"):
        session(tmp_path, Falling(), "stop").train_to(40)
    assert not (tmp_path / "fall.safetensors").exists()
    resumed = Falling()
    assert session(tmp_path, resumed, "off").train_to(40)
    assert resumed.place == 40


def test_a_run_may_go_on_from_its_checkpoint_at_half_the_rate(tmp_path):
    """NaN at step 7: back to 4, then halves: 4 + 8 * 0.5; steps 5 and 6 are logged once."""
    recipe = Falling(breaks=(7,))
    made = session(tmp_path, recipe, "lower-rate", window=10**6)

    assert made.train_to(12)
    assert (recipe.place, recipe.rate_factor) == (8.0, 0.5)
    assert [row["step"] for row in read_losses(tmp_path / "losses.jsonl")] == [*range(1, 13)]
    assert made.told == [
        "step 4: critic is not a finite number after step 6; learning rates are 0.5 of the usual"
    ]
    state, of_run = read_checkpoint(tmp_path / "checkpoint.pt", "fall")
    assert (state["step_count"], of_run["lowered"]) == (12, 1)
    resumed = Falling()
    assert session(tmp_path, resumed, "lower-rate").train_to(14)
    assert resumed.place == 9.0  # still at half the rate


def test_lowering_ends_at_last(tmp_path):
    """What is not mended by 1/32 of the rate is not mended by less."""

    class Broken(Falling):
        def step(self, _rng):
            return {"critic": float("nan") if self.step_count == 5 else 1.0}

    recipe = Broken()
    with pytest.raises(BadHealthError, match="stopped at step 6: critic is not a finite number"):
        session(tmp_path, recipe, "lower-rate").train_to(9)
    assert recipe.rate_factor == 1 / 32


def test_without_a_checkpoint_there_is_nothing_to_go_back_to(tmp_path):
    with pytest.raises(BadHealthError, match="stopped at step 2"):
        session(tmp_path, Falling(breaks=(2,)), "lower-rate").train_to(9)


def test_spoilt_weights_are_no_checkpoint(tmp_path):
    class Spoilt(Falling):
        def state_dict(self):
            place = float("nan") if self.step_count == 8 else self.place
            return {"step_count": self.step_count, "place": torch.tensor(place)}

    with pytest.raises(BadHealthError, match="step 8: the weights are no longer finite numbers"):
        session(tmp_path, Spoilt(), "off").train_to(9)
    assert read_checkpoint(tmp_path / "checkpoint.pt", "fall")[0]["step_count"] == 4
