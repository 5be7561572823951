"""The loop: a resumed run is the uninterrupted one, and bad numbers stop it."""

import threading
import time

import numpy as np
import pytest
import torch

from lungsynth.core.errors import LungSynthError
from lungsynth.training.loop import Timing, rng_for_step, run


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


class Reading(RandomWalk):
    """Reads its draw in one place and learns it in another, as recipes on data do."""

    def __init__(self, reading_s=0.0, learning_s=0.0):
        super().__init__()
        self.reading_s, self.learning_s, self.threads = reading_s, learning_s, set()

    def prepare(self, rng):
        self.threads.add(threading.current_thread() is threading.main_thread())
        time.sleep(self.reading_s)
        return float(rng.standard_normal())

    def learn(self, prepared):
        time.sleep(self.learning_s)
        self.place += prepared + float(torch.rand(()))
        return {"place": self.place, "critic": 0.0}


def test_batches_read_ahead_are_those_read_in_turn():
    expected = walked(RandomWalk(), 5)[1]
    for ahead in (False, True):
        recipe, seen = Reading(), []
        run(recipe, 5, ahead=ahead, on_step=lambda *told, seen=seen: seen.append(told))

        assert seen == expected
        assert recipe.threads == {not ahead}


def test_a_run_read_ahead_goes_on_from_any_step():
    whole, _ = walked(RandomWalk(), 6)
    parts = Reading()
    run(parts, 6, ahead=True, on_step=lambda *_: None, stop=lambda: parts.step_count == 2)
    assert parts.step_count == 2
    run(parts, 6, ahead=True, on_step=lambda *_: None)

    assert parts.place == whole.place


def test_the_share_of_waiting_is_measured():
    """In turn 20 of 60 ms go to reading; ahead of a longer learning next to nothing does."""
    shares = []
    for ahead in (False, True):
        timing = Timing()
        recipe = Reading(reading_s=0.02, learning_s=0.04)
        run(recipe, 12, ahead=ahead, on_step=lambda *_: None, timing=timing)
        shares.append(timing.loader_share)

    assert 0.2 < shares[0] < 0.5
    assert shares[1] < 0.5 * shares[0]
    assert Timing().loader_share == 0.0


def test_an_error_in_reading_ahead_comes_out_at_its_step():
    broken = rng_for_step(0, 2).standard_normal()

    class Broken(Reading):
        def prepare(self, rng):
            drawn = super().prepare(rng)
            if drawn == broken:
                msg = "the disk is gone"
                raise OSError(msg)
            return drawn

    seen = []
    with pytest.raises(OSError, match="the disk is gone"):
        run(Broken(), 9, ahead=True, on_step=lambda step, _: seen.append(step))
    assert seen == [1, 2]


def test_processes_share_the_generator_but_not_torchs():
    rows = {rank: (rng_for_step(3, 8, rank).random(), float(torch.rand(()))) for rank in range(3)}

    assert len({drawn for drawn, _ in rows.values()}) == 1
    assert len({drawn for _, drawn in rows.values()}) == 3
    assert rows[2] == (rng_for_step(3, 8, 2).random(), float(torch.rand(())))
    assert rows[0] == (rng_for_step(3, 8).random(), float(torch.rand(())))


def test_losses_are_shared_before_they_are_judged():
    """A NaN of another process must end all of them at the same step."""
    recipe = RandomWalk()
    with pytest.raises(LungSynthError, match="stopped at step 1: critic"):
        run(recipe, 3, on_step=lambda *_: None, share=lambda losses: {**losses, "critic": np.nan})
    assert recipe.step_count == 0
