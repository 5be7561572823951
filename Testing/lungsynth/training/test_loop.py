"""The loop: a resumed run is the uninterrupted one, and bad numbers stop it."""

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.training.loop import rng_for_step, run


class RandomWalk:
    """Adds to its place one draw from the generator and one from torch."""

    def __init__(self, bad_step=None, bad=float("nan")):
        self.step_count, self.place, self.bad_step, self.bad = 0, 0.0, bad_step, bad

    def step(self, rng):
        self.place += float(rng.standard_normal()) + float(torch.rand(()))
        if self.step_count + 1 == self.bad_step:
            return {"place": self.place, "critic": self.bad}
        return {"place": self.place, "critic": 0.0}

    def state_dict(self):
        return {"step_count": self.step_count, "place": self.place}

    def load_state_dict(self, state):
        self.step_count, self.place = state["step_count"], state["place"]


def walked(recipe, steps, seed=0):
    seen = []
    run(recipe, steps, seed=seed, on_step=lambda *told: seen.append(told))
    return recipe, seen


def test_resumed_run_equals_uninterrupted_run():
    whole, all_losses = walked(RandomWalk(), 6)
    first, early = walked(RandomWalk(), 3)
    torch.rand(17)  # whatever happened between
    resumed = RandomWalk()
    resumed.load_state_dict(first.state_dict())
    resumed, late = walked(resumed, 6)

    assert resumed.state_dict() == whole.state_dict()
    assert early + late == all_losses
    assert [step for step, _ in all_losses] == [1, 2, 3, 4, 5, 6]


def test_seed_and_step_decide_everything_random():
    assert walked(RandomWalk(), 4, seed=1)[0].place != walked(RandomWalk(), 4, seed=2)[0].place
    draws = {(s, n): rng_for_step(s, n).random() for s in range(3) for n in range(3)}
    assert len(set(draws.values())) == 9
    rng_for_step(2, 5)
    one = torch.rand(3)
    rng_for_step(2, 5)
    assert torch.equal(torch.rand(3), one)
    assert rng_for_step(1, 2).random() == draws[1, 2]


def test_a_run_that_is_done_does_nothing_more():
    recipe, _ = walked(RandomWalk(), 3)
    assert walked(recipe, 3)[1] == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -np.inf])
def test_a_bad_number_stops_before_the_step_is_reported(bad):
    seen = []
    recipe = RandomWalk(bad_step=3, bad=bad)
    with pytest.raises(LungSynthError, match=r"stopped at step 3: critic is not a finite number"):
        run(recipe, 9, on_step=lambda *told: seen.append(told))

    assert [step for step, _ in seen] == [1, 2]
    assert recipe.step_count == 2
