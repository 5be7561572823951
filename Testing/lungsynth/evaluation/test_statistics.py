"""Intervals and tests: values done by hand, and independent ways to the same numbers."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lungsynth.evaluation.statistics import (
    area_under_curve,
    auc_with_covariance,
    bootstrap_by_group,
    delong_interval,
    delong_test,
    hanley_mcneil_error,
    hanley_mcneil_test,
    mcnemar_test,
    mean_interval,
    wilson_interval,
)


def drawn(count=60, seed=5):
    """Two classifiers of the same cases, the second weaker; some ties."""
    rng = np.random.default_rng(seed)
    labels = rng.random(count) < 0.3
    shared = rng.normal(size=count)
    first = np.round(1.5 * labels + shared + rng.normal(size=count), 1)
    second = np.round(0.6 * labels + shared + rng.normal(size=count), 1)
    return first, second, labels


def naive_covariance(scores, labels):
    """DeLong's definition with loops over all pairs, instead of ranks."""
    positives, negatives = np.flatnonzero(labels), np.flatnonzero(~labels)
    below = np.zeros((len(scores), len(positives)))
    above = np.zeros((len(scores), len(negatives)))
    for m, row in enumerate(scores):
        for a, i in enumerate(positives):
            for b, j in enumerate(negatives):
                won = float(row[i] > row[j]) + 0.5 * float(row[i] == row[j])
                below[m, a] += won / len(negatives)
                above[m, b] += won / len(positives)
    covariance = np.cov(below) / len(positives) + np.cov(above) / len(negatives)
    return below.mean(axis=1), covariance


def test_delong_by_ranks_equals_its_definition_over_all_pairs():
    first, second, labels = drawn()
    scores = np.stack([first, second])

    areas, covariance = auc_with_covariance(scores, labels)

    expected_areas, expected = naive_covariance(scores, labels)
    np.testing.assert_allclose(areas, expected_areas, rtol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)
    assert areas[0] == pytest.approx(roc_auc_score(labels, first))
    assert areas[1] == pytest.approx(area_under_curve(second[labels], second[~labels]))


def test_delong_by_hand():
    """Positives 3, 1; negatives 2, 0: shares below (1, .5), above (.5, 1); area .75."""
    labels = np.array([True, True, False, False])

    areas, covariance = auc_with_covariance(np.array([[3.0, 1.0, 2.0, 0.0]]), labels)

    assert areas[0] == 0.75
    assert covariance[0, 0] == pytest.approx(0.125 / 2 + 0.125 / 2)


def test_the_interval_is_as_wide_as_areas_scatter():
    """The standard error agrees with the scatter over fresh samples of one population."""
    rng = np.random.default_rng(2)
    labels = np.arange(80) < 30
    areas, errors = [], []
    for _ in range(400):
        scores = rng.normal(size=80) + labels
        area, covariance = auc_with_covariance(scores[None], labels)
        areas.append(area[0])
        errors.append(np.sqrt(covariance[0, 0]))

    assert np.mean(errors) == pytest.approx(np.std(areas), rel=0.08)


def test_delong_interval_stays_within_0_and_1():
    labels = np.arange(10) < 4
    found = delong_interval(np.where(labels, 2.0, 1.0) + np.arange(10) * 0.01, labels)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)

    first, _, labels = drawn()
    found = delong_interval(first, labels)
    error = np.sqrt(auc_with_covariance(first[None], labels)[1][0, 0])
    assert found.high - found.value == pytest.approx(1.959964 * error, rel=1e-5)


def test_delong_test_uses_the_covariance_and_has_a_sign():
    first, second, labels = drawn()
    areas, covariance = auc_with_covariance(np.stack([first, second]), labels)

    found = delong_test(first, second, labels)

    assert found.difference.value == pytest.approx(areas[1] - areas[0])
    assert found.difference.value < 0  # the second is weaker
    error = np.sqrt(np.array([1, -1]) @ covariance @ np.array([1, -1]))
    assert found.p_value == pytest.approx(2 * stats.norm.cdf(found.difference.value / error))
    assert delong_test(first, first, labels).p_value == 1.0
    assert delong_test(second, first, labels).p_value == pytest.approx(found.p_value)


def test_too_few_of_a_class_are_refused():
    with pytest.raises(ValueError, match=r"two cases of each class .* got 1 and 3"):
        auc_with_covariance(np.zeros((1, 4)), np.array([True, False, False, False]))


def test_hanley_mcneil_error_by_hand():
    """A = .75, 4 positives, 5 negatives: Q1 = .6, Q2 = 1.125 / 1.75."""
    variance = (0.1875 + 3 * (0.6 - 0.5625) + 4 * (1.125 / 1.75 - 0.5625)) / 20

    assert hanley_mcneil_error(0.75, 4, 5) == pytest.approx(np.sqrt(variance))
    assert hanley_mcneil_error(1.0, 4, 5) == 0.0
    assert hanley_mcneil_error(0.75, 5, 4) != pytest.approx(hanley_mcneil_error(0.75, 4, 5))


def test_hanley_mcneil_test_by_hand():
    independent = hanley_mcneil_test((0.9, 0.03), (0.8, 0.04))
    assert independent.difference.value == pytest.approx(-0.1)
    assert independent.difference.low == pytest.approx(-0.1 - 1.959964 * 0.05)
    assert independent.p_value == pytest.approx(2 * stats.norm.sf(2.0))

    correlated = hanley_mcneil_test((0.9, 0.03), (0.8, 0.04), correlation=0.5)
    assert correlated.p_value == pytest.approx(2 * stats.norm.sf(0.1 / np.sqrt(0.0013)))


def test_mcnemar_is_exact_and_counts_only_where_they_differ():
    first = np.array([1] * 50 + [1] * 8 + [0] * 2 + [0] * 5, dtype=bool)
    second = np.array([1] * 50 + [0] * 8 + [1] * 2 + [0] * 5, dtype=bool)

    found = mcnemar_test(first, second)

    assert (found.only_first, found.only_second) == (8, 2)
    assert found.p_value == pytest.approx(2 * (1 + 10 + 45) / 1024)
    assert found.p_value == pytest.approx(stats.binomtest(2, 10).pvalue)
    assert mcnemar_test(first, first).p_value == 1.0
    assert mcnemar_test(first[50:51], second[50:51]).p_value == 1.0


def test_bootstrap_draws_whole_patients():
    """One patient holds all the weight: cases drawn one by one would scatter far less."""
    values = np.concatenate([np.full(20, 10.0), np.zeros(20)])
    patients = np.array(["a"] * 20 + ["b"] * 20)

    found = bootstrap_by_group(
        lambda rows: float(values[rows].mean()), patients, np.random.default_rng(0), resamples=400
    )

    assert (found.value, found.low, found.high) == (5.0, 0.0, 10.0)


def test_bootstrap_of_single_cases_agrees_with_the_formula_and_leaves_out_nan():
    rng = np.random.default_rng(3)
    values = rng.normal(7, 2, 200)

    def mean(rows):
        return float("nan") if rows[0] % 5 == 0 and len(set(rows)) < 200 else values[rows].mean()

    found = bootstrap_by_group(mean, np.arange(200), rng, resamples=2000)

    half = 1.959964 * values.std() / np.sqrt(200)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_bootstrap_of_what_is_never_defined_has_no_interval():
    groups = np.array(["a", "b"])
    found = bootstrap_by_group(lambda _: float("nan"), groups, np.random.default_rng(0))
    assert np.isnan([found.value, found.low, found.high]).all()


def test_wilson_interval_agrees_with_scipy():
    for successes, trials in ((170, 200), (0, 12), (12, 12)):
        expected = stats.binomtest(successes, trials).proportion_ci(method="wilson")
        found = wilson_interval(successes, trials)
        assert found.value == successes / trials
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_mean_interval_agrees_with_scipy():
    values = [0.81, 0.84, 0.79, 0.9, 0.86]
    found = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert found.value == pytest.approx(0.84)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert np.isnan(mean_interval([0.5]).low)
