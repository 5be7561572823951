"""The judge: its statistics by hand, and controls in which the answer is known."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation.judge import (
    JudgeConfig,
    bootstrap_interval,
    judge,
    pair_accuracy,
    pair_loss,
)
from lungsynth.evaluation.pairs import Pairs, quantised
from lungsynth.evaluation.realism import load_for_study
from lungsynth.evaluation.statistics import area_under_curve

QUICK = JudgeConfig(epochs=2, batch_pairs=8, width=8, seeds=(0,), resamples=50)
LEARNS = dataclasses.replace(QUICK, epochs=20)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([3.0, 1.0], [2.0, 0.0], 0.75),
        ([1.0, 1.0], [1.0], 0.5),
        ([5.0], [1.0, 2.0, 3.0], 1.0),
        ([0.0, 2.0], [2.0], 0.25),
    ],
)
def test_area_matches_hand_counted_pairs(positive, negative, expected):
    found = area_under_curve(np.array(positive), np.array(negative))

    assert found == pytest.approx(expected)


def test_area_equals_that_of_scikit_learn_with_ties():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    positive, negative = rng.integers(0, 9, 40) * 1.0, rng.integers(-3, 7, 55) * 1.0
    labels = np.r_[np.ones(40), np.zeros(55)]

    expected = metrics.roc_auc_score(labels, np.r_[positive, negative])

    assert area_under_curve(positive, negative) == pytest.approx(expected)


def test_pair_accuracy_counts_a_tie_half():
    assert pair_accuracy(np.array([2.0, 1, 0, 5]), np.array([1.0, 1, 3, 4])) == 2.5 / 4


@pytest.mark.parametrize(
    ("real", "generated", "expected"),
    [(0.0, 0.0, math.log(2)), (-2.0, 2.0, math.log1p(math.exp(-2))), (3.0, 1.0, 1.680924)],
)
def test_pair_loss_matches_hand_computed_values(real, generated, expected):
    """(log(1 + e^3) + log(1 + e^-1)) / 2 = 1.6809 for the last."""
    assert pair_loss(torch.tensor([real, generated])).item() == pytest.approx(expected, abs=1e-5)


def test_interval_of_perfect_separation_is_a_point():
    names = np.array(["a", "b", "c"])

    interval = bootstrap_interval(np.ones(3), np.zeros(3), names, np.random.default_rng(0))

    assert interval == (1.0, 1.0)


def test_interval_resamples_patients_and_not_nodules():
    """Eight copies of each patient's nodule hold no more than one does."""
    rng = np.random.default_rng(1)
    generated, real = rng.normal(0.5, 1, 20), rng.normal(0, 1, 20)
    names = np.array([f"p{n}" for n in range(20)])

    def width(copies, patients):
        low, high = bootstrap_interval(
            np.tile(generated, copies),
            np.tile(real, copies),
            patients,
            np.random.default_rng(2),
            resamples=400,
        )
        return high - low

    once = width(1, names)
    assert width(8, np.tile(names, 8)) == pytest.approx(once, rel=1e-9)
    assert width(8, np.array([f"p{n}" for n in range(160)])) < 0.6 * once


def pairs_of(real, generated, first_patient=0):
    count = len(real)
    return Pairs(
        index=np.arange(count),
        real=quantised(real),
        generated=quantised(generated),
        centre=np.full((count, 3), 23.5),
        patient=np.array([f"p{first_patient + n}" for n in range(count)]),
        asked_mm=np.full(count, 8.0),
        measured_mm=np.full(count, 8.0),
        measured_hu=np.full(count, -300.0),
        within_tolerance=np.ones(count, bool),
        box=np.tile([[16, 16, 16], [32, 32, 32]], (count, 1, 1)),
        seams=[],
        refused=[],
    )


def lung(count, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(-850, 60, (count, 48, 48, 48)).astype(np.float32)


def test_identical_versions_cannot_be_told_apart():
    fit, held = lung(16, 0), lung(12, 1)

    verdict = judge(pairs_of(fit, fit), pairs_of(held, held, 100), QUICK, device="cpu")

    assert verdict.auc == (0.5,)
    assert verdict.ensemble_auc == verdict.pair_accuracy == 0.5


def test_versions_of_one_kind_are_near_a_half():
    """Other noise in the box, from the same distribution: nothing general to be learnt."""

    def redrawn(cubes, seed):
        cubes = cubes.copy()
        cubes[:, 16:32, 16:32, 16:32] = lung(len(cubes), seed)[:, 16:32, 16:32, 16:32]
        return cubes

    fit, held = lung(24, 2), lung(40, 3)
    verdict = judge(
        pairs_of(fit, redrawn(fit, 4)), pairs_of(held, redrawn(held, 5), 100), LEARNS, device="cpu"
    )

    assert abs(verdict.mean_auc - 0.5) < 0.2


def test_a_planted_blur_is_found():
    def blurred(cubes):
        cubes = cubes.copy()
        for cube in cubes:
            cube[18:30, 18:30, 18:30] = ndimage.gaussian_filter(cube, 0.8)[18:30, 18:30, 18:30]
        return cubes

    fit, held = lung(24, 6), lung(20, 7)
    verdict = judge(
        pairs_of(fit, blurred(fit)), pairs_of(held, blurred(held), 100), LEARNS, device="cpu"
    )

    assert verdict.mean_auc > 0.9
    assert verdict.pair_accuracy > 0.9
    assert verdict.interval_95[0] > 0.7


def test_the_same_seed_gives_the_same_judge():
    fit, held = pairs_of(lung(8, 8), lung(8, 9)), pairs_of(lung(4, 10), lung(4, 11), 100)
    quick = dataclasses.replace(QUICK, epochs=1)

    first, second = (judge(fit, held, quick, device="cpu") for _ in range(2))

    np.testing.assert_allclose(first.real_logits, second.real_logits, rtol=1e-4, atol=1e-4)


def test_a_patient_on_both_sides_is_refused():
    cubes = lung(2, 12)
    fit, held = pairs_of(cubes, cubes), pairs_of(cubes, cubes, first_patient=1)

    with pytest.raises(LungSynthError, match=r"patient p1 .* split by patient"):
        judge(fit, held, QUICK, device="cpu")


@pytest.mark.slow
def test_a_judge_of_half_the_epochs_sees_procedural_nodules(shared_data):
    """A judge that can't see the baseline is no judge."""
    from lungsynth.evaluation.pairs import make_pairs
    from lungsynth.evaluation.splits import load_splits

    folder = shared_data / "ct_nodules"
    splits = load_splits(folder, "test")
    procedural = load_for_study("procedural", None, "cpu", folder)
    fit = make_pairs(splits["train"], "train", procedural)
    held = make_pairs(splits["test"], "test", procedural)

    verdict = judge(fit, held, JudgeConfig(epochs=12, seeds=(0,)), device="cpu")

    assert verdict.mean_auc >= 0.9
