"""What a score means: its p-value among normals, and the threshold for a false-positive rate.

[1] Shafer and Vovk, A tutorial on conformal prediction, JMLR 9:371-421 (2008), section 4.

Held normals are few, and the empirical quantile of few scores is a coarse thing: of 39 the 5 %
threshold lies at the second largest. So the logarithm of the scores is taken for normally
distributed (ours), and a new one is judged by the predictive distribution, Student's t, which is
exact for that at any number. The conformal p-value [1], which supposes nothing, stands beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lungsynth.core.errors import LungSynthError

LEAST = 10
"""Fewer normals say too little about a false-positive rate."""


def check_rate(false_positive_rate: float) -> None:
    """Refuse a false-positive rate that is no share.

    Raises:
        LungSynthError: If it is not above 0 and below 1.
    """
    if not 0 < false_positive_rate < 1:
        msg = (
            "the false-positive rate must be above 0 and below 1, such as 0.05; got "
            f"{false_positive_rate:g}"
        )
        raise LungSynthError(msg)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scores of normals that the detector has not learnt from.

    Args:
        scores: (N,), positive.

    Raises:
        LungSynthError: If there are too few, or they are not positive numbers.
    """

    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if len(self.scores) < LEAST:
            msg = f"calibration needs {LEAST} held normal radiographs; got {len(self.scores)}"
            raise LungSynthError(msg)
        if not (np.isfinite(self.scores).all() and (self.scores > 0).all()):
            msg = "scores of normal radiographs must be positive numbers"
            raise LungSynthError(msg)

    def p_value(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how likely a normal scores so high or higher, by the predictive t distribution."""
        log = np.log(self.scores)
        n, spread = len(log), max(float(log.std(ddof=1)), 1e-12)
        t = (np.log(np.maximum(scores, 1e-300)) - log.mean()) / (spread * np.sqrt(1 + 1 / n))
        return np.asarray(stats.t.sf(t, n - 1), dtype=np.float64)

    def conformal_p_value(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (normals that score as high or higher + 1) / (normals + 1) [1]."""
        as_high = (self.scores[None] >= np.asarray(scores)[:, None]).sum(axis=1)
        return np.asarray((as_high + 1) / (len(self.scores) + 1), dtype=np.float64)

    def threshold(self, false_positive_rate: float) -> float:
        """Return the score that the asked share of normals exceeds.

        Raises:
            LungSynthError: If the share is not above 0 and below 1.
        """
        check_rate(false_positive_rate)
        log = np.log(self.scores)
        n, spread = len(log), max(float(log.std(ddof=1)), 1e-12)
        t = float(stats.t.isf(false_positive_rate, n - 1))
        return float(np.exp(log.mean() + t * spread * np.sqrt(1 + 1 / n)))
