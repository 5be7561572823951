"""How sure a figure is, and whether two of them differ: intervals and tests for all studies.

[1] DeLong, DeLong, Clarke-Pearson, Biometrics 44:837 (1988); by mid-ranks as in Sun and Xu, IEEE
    Signal Process. Lett. 21:1389 (2014).
[2] McNemar, Psychometrika 12:153 (1947), in its exact form.
[3] Hanley and McNeil, Radiology 143:29 (1982) and, for the test, 148:839 (1983).
[4] Wilson, J. Am. Stat. Assoc. 22:209 (1927).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
"""Of every interval, unless another is asked for."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Args:
        value: The figure.
        low: Lower end of its interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, object]:
        """Return value and interval as JSON has them."""
        return {"value": self.value, "interval_95": [self.low, self.high]}


@dataclass(frozen=True)
class Comparison:
    """Two figures compared.

    Args:
        difference: Second minus first, with its interval.
        p_value: How likely so large a difference is by chance, two-sided.
    """

    difference: Estimate
    p_value: float

    def to_json(self) -> dict[str, object]:
        """Return difference, interval and p as JSON has them."""
        return {**self.difference.to_json(), "p_value": self.p_value}


@dataclass(frozen=True)
class McNemar:
    """Where two classifiers differ in being right.

    Args:
        only_first: Cases that only the first has right.
        only_second: Cases that only the second has right.
        p_value: Exact, two-sided [2].
    """

    only_first: int
    only_second: int
    p_value: float


def auc_with_covariance(
    scores: NDArray[np.floating], labels: NDArray[np.bool_]
) -> tuple[Floats, Floats]:
    """Return the areas under several ROC curves of the same cases and their covariance [1].

    Args:
        scores: (M, N): of M classifiers for N cases; high for a positive.
        labels: Which cases are positive, (N,); at least two are, and two are not.

    Returns:
        Areas (M,), ties counting half, and covariance (M, M).

    Raises:
        ValueError: If there are fewer than two cases of either class.
    """
    positive, negative = int(labels.sum()), int((~labels).sum())
    if min(positive, negative) < 2:
        msg = f"two cases of each class are needed at least; got {positive} and {negative}"
        raise ValueError(msg)
    every = stats.rankdata(scores, axis=1)
    among_positive = stats.rankdata(scores[:, labels], axis=1)
    among_negative = stats.rankdata(scores[:, ~labels], axis=1)
    # for each positive the share of negatives below it, for each negative that of positives above
    below = (every[:, labels] - among_positive) / negative
    above = 1 - (every[:, ~labels] - among_negative) / positive
    covariance = np.atleast_2d(np.cov(below)) / positive + np.atleast_2d(np.cov(above)) / negative
    return np.asarray(below.mean(axis=1)), np.asarray(covariance)


def area_under_curve(positive: NDArray[np.floating], negative: NDArray[np.floating]) -> float:
    """Return the chance that a positive scores above a negative, ties counting half.

    Args:
        positive: Scores, one at least.
        negative: Likewise.
    """
    ranks = stats.rankdata(np.concatenate([positive, negative]))
    above = ranks[: len(positive)].sum() - len(positive) * (len(positive) + 1) / 2
    return float(above / (len(positive) * len(negative)))


def delong_interval(
    scores: NDArray[np.floating], labels: NDArray[np.bool_], level: float = LEVEL
) -> Estimate:
    """Return the area under the ROC curve with DeLong's interval, cut off at 0 and 1.

    Args:
        scores: (N,), high for a positive.
        labels: Which cases are positive, (N,).
        level: Of the interval.
    """
    area, covariance = auc_with_covariance(scores[None], labels)
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(max(covariance[0, 0], 0.0))
    value = float(area[0])
    return Estimate(value, max(0.0, value - float(half)), min(1.0, value + float(half)))


def delong_test(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    labels: NDArray[np.bool_],
    level: float = LEVEL,
) -> Comparison:
    """Compare two classifiers' areas under the ROC curve on the same cases [1].

    Args:
        first: Scores (N,).
        second: Scores (N,) of the other one.
        labels: Which cases are positive, (N,).
        level: Of the interval of the difference.
    """
    area, covariance = auc_with_covariance(np.stack([first, second]), labels)
    difference = float(area[1] - area[0])
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return _normal_comparison(difference, np.sqrt(max(variance, 0.0)), level)


def hanley_mcneil_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of an area under the ROC curve from its size alone [3, Eq. 1].

    Args:
        area: Under the curve.
        positives: How many cases are positive.
        negatives: How many are not.
    """
    both_above = area / (2 - area)
    both_below = 2 * area**2 / (1 + area)
    variance = (
        area * (1 - area)
        + (positives - 1) * (both_above - area**2)
        + (negatives - 1) * (both_below - area**2)
    ) / (positives * negatives)
    return float(np.sqrt(max(variance, 0.0)))


def hanley_mcneil_test(
    first: tuple[float, float],
    second: tuple[float, float],
    *,
    correlation: float = 0.0,
    level: float = LEVEL,
) -> Comparison:
    """Compare two areas under ROC curves, of different cases or of the same [3].

    Args:
        first: Area and its standard error.
        second: Those of the other.
        correlation: Of the two areas; 0 where the cases are different ones.
        level: Of the interval of the difference.
    """
    (one, one_error), (two, two_error) = first, second
    variance = one_error**2 + two_error**2 - 2 * correlation * one_error * two_error
    return _normal_comparison(two - one, float(np.sqrt(max(variance, 0.0))), level)


def mcnemar_test(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> McNemar:
    """Compare how often two classifiers are right on the same cases [2].

    Args:
        first_right: Whether the first is right, (N,).
        second_right: Whether the second is, (N,).
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    differ = only_first + only_second
    tail = stats.binom.cdf(min(only_first, only_second), differ, 0.5) if differ else 0.5
    return McNemar(only_first, only_second, float(min(1.0, 2 * tail)))


def bootstrap_by_group(
    statistic: Callable[[NDArray[np.int64]], float],
    groups: NDArray[np.generic],
    rng: np.random.Generator,
    *,
    resamples: int = 2000,
    level: float = LEVEL,
) -> Estimate:
    """Return a statistic with its percentile interval over resampled groups (patients).

    A group that is drawn comes with all its cases. Draws for which the statistic is not defined
    (NaN: no positive among them, say) are left out.

    Args:
        statistic: From indices of cases, some of them several times, to a number.
        groups: Whose each case is, (N,).
        rng: Draws the groups.
        resamples: How many draws.
        level: Of the interval.
    """
    names, member = np.unique(groups, return_inverse=True)
    rows = [np.flatnonzero(member == n) for n in range(len(names))]
    found = [
        statistic(np.concatenate([rows[n] for n in rng.integers(len(names), size=len(names))]))
        for _ in range(resamples)
    ]
    value = statistic(np.arange(len(groups)))
    defined = np.array([f for f in found if np.isfinite(f)])
    if not len(defined):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    return Estimate(value, float(low), float(high))


def wilson_interval(successes: int, trials: int, level: float = LEVEL) -> Estimate:
    """Return a share with its score interval [4].

    Args:
        successes: How many.
        trials: Of how many, at least one.
        level: Of the interval.
    """
    z = float(stats.norm.ppf((1 + level) / 2))
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2)) / (1 + z**2 / trials)
    return Estimate(share, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def mean_interval(values: NDArray[np.floating] | list[float], level: float = LEVEL) -> Estimate:
    """Return a mean with Student's interval; NaN for the ends where there is one value alone."""
    every = np.asarray(values, dtype=np.float64)
    mean = float(every.mean())
    if len(every) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    quantile = float(stats.t.ppf((1 + level) / 2, len(every) - 1))
    half = quantile * float(every.std(ddof=1)) / float(np.sqrt(len(every)))
    return Estimate(mean, mean - half, mean + half)


def _normal_comparison(difference: float, error: float, level: float) -> Comparison:
    """Return what a normal difference of known standard error says."""
    half = float(stats.norm.ppf((1 + level) / 2)) * error
    if error > 0:
        p_value = float(2 * stats.norm.sf(abs(difference) / error))
    else:
        p_value = 1.0 if difference == 0 else 0.0
    return Comparison(Estimate(difference, difference - half, difference + half), p_value)
