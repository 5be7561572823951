"""The schedule in images shown, counted by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest

from lungsynth.synthesizers.pggan.config import PRESETS
from lungsynth.synthesizers.pggan.schedule import Schedule

CONFIG = replace(
    PRESETS["tiny"], side=16, fade_images=20, stable_images=12, last_images=9, batches="4:4 16:3"
)
# 4: 3 steps of 4; 8: fade 5 of 4, rest 3 of 4; 16: fade 7 of 3, rest 3 of 3


@pytest.mark.parametrize(
    ("step", "side", "alpha", "batch", "begins", "images"),
    [
        (0, 4, 1.0, 4, True, 0),
        (2, 4, 1.0, 4, False, 8),
        (3, 8, 0.0, 4, True, 12),
        (6, 8, 3 / 5, 4, False, 24),
        (8, 8, 1.0, 4, True, 32),
        (11, 16, 0.0, 3, True, 44),
        (17, 16, 6 / 7, 3, False, 62),
        (18, 16, 1.0, 3, True, 65),
        (20, 16, 1.0, 3, False, 71),
        (50, 16, 1.0, 3, False, 161),
    ],
)
def test_stage_of_each_step(step, side, alpha, batch, begins, images):
    stage = Schedule(CONFIG).at(step)

    assert (stage.side, stage.batch, stage.begins, stage.images_shown) == (
        side, batch, begins, images,
    )  # fmt: skip
    assert stage.alpha == pytest.approx(alpha)


def test_totals_count_every_phase():
    schedule = Schedule(CONFIG)

    assert (schedule.total_steps, schedule.total_images) == (21, 74)
    assert CONFIG.total_steps == 21


def test_training_from_weights_begins_at_their_side_without_a_fade():
    schedule = Schedule(replace(CONFIG, begin_side=8))

    phases = [(phase.side, phase.fading, phase.steps) for phase in schedule.phases]
    assert phases == [(8, False, 3), (16, True, 7), (16, False, 3)]
    assert schedule.at(0).alpha == 1
    assert schedule.at(0).begins


def test_paper_shows_800_000_images_in_each_phase():
    """8 fades and 9 rests; 12 million and more in all [1, A.1]."""
    schedule = Schedule(PRESETS["1024"])

    assert len(schedule.phases) == 17
    assert schedule.total_images == pytest.approx(17 * 800_000, abs=17 * 16)


def test_alpha_never_falls_within_a_side_and_never_jumps_by_more_than_a_step():
    schedule = Schedule(PRESETS["tiny"])
    stages = [schedule.at(step) for step in range(schedule.total_steps)]

    for before, after in pairwise(stages):
        if before.side == after.side:
            assert 0 <= after.alpha - before.alpha <= before.batch / 24 + 1e-9
        else:
            assert (before.alpha, after.alpha) == (1.0, 0.0)
