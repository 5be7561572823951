"""How well nodules are detected: FROC, area under the ROC curve, NODE21 score.

[1] Sogancioglu et al., Nodule detection and generation on chest X-rays: NODE21 challenge, IEEE
    Trans. Med. Imaging 43:2839 (2024), and node21.grand-challenge.org.

The area under the curve is that of whole radiographs, with or without nodules, by the score of the
most suspicious box; sensitivity is that of nodules at a mean number of false boxes in a radiograph.
The score is 0.75 AUC + 0.25 sensitivity at 0.25 [1; shen2022, IV.C]. shen2022 says of its AUC only
that it is calculated "according to the FROC curves"; the challenge's own definition is taken here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungsynth.evaluation.statistics import Estimate, area_under_curve, bootstrap_by_group

HIT_OVERLAP = 0.2
"""A box hits a nodule from this intersection over union on [shen2022, IV.A; 1]."""
FALSE_RATE = 0.25
"""False boxes in a radiograph at which the sensitivity counts for the score [1]."""
AUC_WEIGHT, SENSITIVITY_WEIGHT = 0.75, 0.25
RESAMPLES = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class JudgedCase:
    """Detections in one radiograph, compared with what is there.

    Args:
        hits: Best score of a box on each nodule, (nodules,); -inf where none hits it.
        false: Scores of the boxes that hit no nodule, (N,).
        score: Of the most suspicious box; 0 if there is none.
    """

    hits: Floats
    false: Floats
    score: float


@dataclass(frozen=True)
class DetectionScore:
    """How well a set of radiographs was judged, with intervals over resampled patients.

    Args:
        auc: Area under the ROC curve of whole radiographs.
        sensitivity: Of nodules at 0.25 false boxes a radiograph.
        node21: 0.75 AUC + 0.25 sensitivity.
    """

    auc: Estimate
    sensitivity: Estimate
    node21: Estimate

    def to_json(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "auc": self.auc.to_json(),
            "sensitivity_at_0.25": self.sensitivity.to_json(),
            "node21_score": self.node21.to_json(),
        }


def judge_case(boxes: Floats, scores: Floats, known: Floats) -> JudgedCase:
    """Compare the boxes of one radiograph with its nodules.

    A nodule counts once, by the best of the boxes that hit it; further boxes on it are neither
    hits nor false.

    Args:
        boxes: Detected, (N, 4), left, top, right, bottom.
        scores: Of them, (N,).
        known: Nodules, (M, 4).
    """
    table = intersection_over_union(boxes, known) >= HIT_OVERLAP
    hits = np.array([np.max(scores[column], initial=-np.inf) for column in table.T])
    false = scores[~table.any(axis=1)]
    return JudgedCase(hits, np.asarray(false), float(np.max(scores, initial=0.0)))


def intersection_over_union(first: Floats, second: Floats) -> Floats:
    """Return the overlap (N, M) of boxes (N, 4) with boxes (M, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(axis=2)
    sizes = [np.clip(b[:, 2:] - b[:, :2], 0, None).prod(axis=1) for b in (first, second)]
    union = sizes[0][:, None] + sizes[1][None, :] - common
    return np.asarray(common / np.maximum(union, 1e-9))


def froc_curve(cases: Sequence[JudgedCase]) -> tuple[Floats, Floats]:
    """Return false boxes a radiograph (rising from 0) and sensitivity at each threshold."""
    hits = np.concatenate([np.empty(0), *(case.hits for case in cases)])
    false = np.concatenate([np.empty(0), *(case.false for case in cases)])
    thresholds = np.unique(np.concatenate([hits[np.isfinite(hits)], false]))[::-1]
    found = len(hits) - np.searchsorted(np.sort(hits), thresholds)
    wrong = len(false) - np.searchsorted(np.sort(false), thresholds)
    rates = np.concatenate([[0.0], wrong / len(cases)])
    return rates, np.concatenate([[0.0], found / max(len(hits), 1)])


def sensitivity_at(cases: Sequence[JudgedCase], false_rate: float = FALSE_RATE) -> float:
    """Return the largest sensitivity with no more false boxes a radiograph; NaN without nodules."""
    if not any(len(case.hits) for case in cases):
        return float("nan")
    rates, sensitivity = froc_curve(cases)
    return float(sensitivity[rates <= false_rate + 1e-12].max())


def operating_threshold(cases: Sequence[JudgedCase], false_rate: float = FALSE_RATE) -> float:
    """Return the least score at which there are no more false boxes a radiograph than that."""
    false = np.sort(np.concatenate([np.empty(0), *(case.false for case in cases)]))[::-1]
    allowed = int(np.floor(false_rate * len(cases) + 1e-9))
    return float(np.nextafter(false[allowed], np.inf)) if len(false) > allowed else 0.0


def image_auc(cases: Sequence[JudgedCase]) -> float:
    """Return the area under the ROC curve of radiographs with nodules against those without.

    Ties count half; NaN where all are of one kind.
    """
    positive = np.array([len(case.hits) > 0 for case in cases])
    scores = np.array([case.score for case in cases])
    if positive.all() or not positive.any():
        return float("nan")
    return area_under_curve(scores[positive], scores[~positive])


def node21_score(cases: Sequence[JudgedCase]) -> float:
    """Return 0.75 AUC + 0.25 sensitivity at 0.25 false boxes [1]."""
    return AUC_WEIGHT * image_auc(cases) + SENSITIVITY_WEIGHT * sensitivity_at(cases)


def score_detections(
    cases: Sequence[JudgedCase],
    patients: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> DetectionScore:
    """Return all three figures with their intervals over resampled patients.

    Args:
        cases: One for each radiograph.
        patients: Whom each shows.
        rng: Draws the patients; each figure sees the same draws.
        resamples: How many draws.
    """
    seed = int(rng.integers(2**31))
    groups = np.asarray(patients)

    def estimate(figure: object) -> Estimate:
        assert callable(figure)
        return bootstrap_by_group(
            lambda rows: float(figure([cases[n] for n in rows])),
            groups,
            np.random.default_rng(seed),
            resamples=resamples,
        )

    return DetectionScore(*(estimate(f) for f in (image_auc, sensitivity_at, node21_score)))


def compare_scores(
    first: Sequence[JudgedCase],
    second: Sequence[JudgedCase],
    patients: Sequence[str],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Return the NODE21 score of the second minus that of the first, of the same radiographs."""
    return bootstrap_by_group(
        lambda rows: (
            node21_score([second[n] for n in rows]) - node21_score([first[n] for n in rows])
        ),
        np.asarray(patients),
        rng,
        resamples=resamples,
    )
