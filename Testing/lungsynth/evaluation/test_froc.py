"""FROC and NODE21 score: by hand, and against scikit-learn."""

import numpy as np
import pytest

from lungsynth.evaluation.froc import (
    JudgedCase,
    compare_scores,
    froc_curve,
    image_auc,
    intersection_over_union,
    judge_case,
    node21_score,
    operating_threshold,
    score_detections,
    sensitivity_at,
)

NONE = np.empty((0, 4))


def case(hits=(), false=()):
    scores = [h for h in hits if np.isfinite(h)] + list(false)
    return JudgedCase(np.array(hits, float), np.array(false, float), max(scores, default=0.0))


# Four radiographs: one nodule found at 0.9, two of which one is found at 0.6, two normal ones
CASES = [
    case(hits=[0.9], false=[0.3]),
    case(hits=[0.6, -np.inf], false=[0.7, 0.2]),
    case(false=[0.5]),
    case(),
]


def test_overlap_by_hand():
    """2 x 3 of 4 x 6 and 6 x 4."""
    found = intersection_over_union(
        np.array([[0.0, 0, 4, 6]]), np.array([[2.0, 3, 8, 7], [4, 0, 5, 6]])
    )

    np.testing.assert_allclose(found, [[6 / 42, 0]])


def test_a_nodule_counts_once_and_its_further_boxes_are_not_false():
    known = np.array([[10.0, 10, 20, 20], [50, 50, 60, 60]])
    boxes = np.array([[11.0, 11, 21, 21], [9, 9, 19, 19], [30, 30, 40, 40], [16, 16, 26, 26]])
    judged = judge_case(boxes, np.array([0.4, 0.8, 0.6, 0.9]), known)

    assert judged.hits.tolist() == [0.8, -np.inf]
    # 4 x 4 in common of 100 + 100: overlap 0.087, no hit, though it touches the nodule
    assert sorted(judged.false.tolist()) == [0.6, 0.9]
    assert judged.score == 0.9


def test_a_hit_needs_an_overlap_of_a_fifth():
    """A box of 10 x 10 moved by 6: 40 of 160 in common; by 7: 30 of 170."""
    known = np.array([[0.0, 0, 10, 10]])
    for moved, hit in ((6.0, True), (7.0, False)):
        judged = judge_case(np.array([[moved, 0, moved + 10, 10]]), np.array([0.5]), known)
        assert (judged.hits.item() == 0.5) is hit
        assert len(judged.false) == (not hit)


def test_without_boxes_or_nodules():
    assert judge_case(NONE, np.empty(0), NONE).score == 0
    assert judge_case(NONE, np.empty(0), np.array([[0.0, 0, 1, 1]])).hits.tolist() == [-np.inf]
    assert judge_case(np.array([[0.0, 0, 1, 1]]), np.array([0.3]), NONE).false.tolist() == [0.3]


def test_the_curve_by_hand():
    """Thresholds 0.9, 0.7, 0.6, 0.5, 0.3, 0.2 over 4 radiographs and 3 nodules."""
    rates, sensitivity = froc_curve(CASES)

    np.testing.assert_allclose(rates, [0, 0, 0.25, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(sensitivity, np.array([0, 1, 1, 2, 2, 2, 2]) / 3)


def test_sensitivity_at_a_rate_of_false_boxes():
    assert sensitivity_at(CASES) == pytest.approx(2 / 3)
    assert sensitivity_at(CASES, 0.24) == pytest.approx(1 / 3)
    assert np.isnan(sensitivity_at([case(false=[0.4])]))


def test_the_threshold_allows_no_more_false_boxes():
    """One of four radiographs may have one: that of 0.7 may, that of 0.5 may not."""
    threshold = operating_threshold(CASES)

    assert 0.5 < threshold <= np.nextafter(0.5, 1)
    assert operating_threshold([case(hits=[0.9])]) == 0
    assert operating_threshold(CASES, 10) == 0


def test_the_area_by_hand():
    """0.9 and 0.7 against 0.5 and 0: all four pairs are right; a tie counts half."""
    assert image_auc(CASES) == 1
    assert image_auc([*CASES, case(false=[0.7])]) == pytest.approx((2 * 3 - 0.5) / 6)
    assert np.isnan(image_auc(CASES[:2]))


def test_the_score_is_three_quarters_area_and_a_quarter_sensitivity():
    assert node21_score(CASES) == pytest.approx(0.75 + 0.25 * 2 / 3)


def random_cases(seed, skill, count=60):
    rng = np.random.default_rng(seed)
    return [
        case(
            hits=rng.beta(2 + skill, 2, 1 + n % 2) if n % 3 else [],
            false=rng.beta(2, 3 + skill, rng.integers(0, 3)),
        )
        for n in range(count)
    ]


def test_the_area_agrees_with_scikit_learn():
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    cases = random_cases(1, 1)
    positive = [len(c.hits) > 0 for c in cases]

    assert image_auc(cases) == pytest.approx(
        metrics.roc_auc_score(positive, [c.score for c in cases])
    )


def test_intervals_hold_the_figures_and_follow_the_seed():
    cases = random_cases(2, 1)
    patients = [f"p{n // 2}" for n in range(len(cases))]
    score = score_detections(cases, patients, np.random.default_rng(0), resamples=200)

    for figure, value in (
        (score.auc, image_auc(cases)),
        (score.sensitivity, sensitivity_at(cases)),
        (score.node21, node21_score(cases)),
    ):
        assert figure.value == value
        assert figure.low < value < figure.high
    again = score_detections(cases, patients, np.random.default_rng(0), resamples=200)
    assert again == score
    assert set(score.to_json()) == {"auc", "sensitivity_at_0.25", "node21_score"}


def test_a_difference_is_that_of_the_same_patients():
    """A detector with itself differs by nothing in each draw; a better one by more than nothing."""
    worse, better = random_cases(3, 0, 150), random_cases(3, 6, 150)
    patients = [str(n) for n in range(150)]
    same = compare_scores(worse, worse, patients, np.random.default_rng(1), resamples=100)
    gain = compare_scores(worse, better, patients, np.random.default_rng(1), resamples=100)

    assert (same.value, same.low, same.high) == (0, 0, 0)
    assert gain.low > 0
    assert gain.value == pytest.approx(node21_score(better) - node21_score(worse))
