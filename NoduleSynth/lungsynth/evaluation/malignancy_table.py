"""The malignancy study's figures: each arm, each arm against raw, and the paper's beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.evaluation.classes import Labelled
from lungsynth.evaluation.figures import Table, figured
from lungsynth.evaluation.statistics import (
    Estimate,
    auc_with_covariance,
    bootstrap_by_group,
    delong_interval,
    delong_test,
    mcnemar_test,
    mean_interval,
)
from lungsynth.evaluation.yang2019 import ARMS, TABLE_2

SHARES = ("accuracy", "sensitivity", "specificity", "auc")

Floats = NDArray[np.float64]


def shares_of(logits: Floats, malignant: NDArray[np.bool_]) -> dict[str, float]:
    """Return accuracy, sensitivity, specificity (malignant above 0) and area under the ROC curve.

    Args:
        logits: (N,).
        malignant: (N,).
    """
    called = logits > 0
    return {
        "accuracy": float((called == malignant).mean()),
        "sensitivity": float(called[malignant].mean()),
        "specificity": float((~called[~malignant]).mean()),
        "auc": float(auc_with_covariance(logits[None], malignant)[0][0]),
    }


def compare_arms(
    logits: Mapping[str, Floats], test: Labelled, *, resamples: int, random_seed: int
) -> dict[str, Any]:
    """Return the figures of each arm of one network, and how each differs from raw.

    Args:
        logits: Of each arm, (seeds, N); "raw" is one of them.
        test: The nodules.
        resamples: Of the bootstrap.
        random_seed: Of the bootstrap.
    """
    found: dict[str, Any] = {}
    for arm, of_arm in logits.items():
        each = [shares_of(row, test.malignant) for row in of_arm]
        ensemble = of_arm.mean(axis=0)
        found[arm] = {
            **{s: mean_interval([one[s] for one in each]).to_json() for s in SHARES},
            "auc_seeds": [one["auc"] for one in each],
            "ensemble": {
                **shares_of(ensemble, test.malignant),
                "auc_delong": delong_interval(ensemble, test.malignant).to_json(),
                "auc_by_patient": _auc_by_patient(ensemble, test, resamples, random_seed).to_json(),
            },
        }
        if arm != "raw":
            found[arm]["against_raw"] = _against(
                logits["raw"], of_arm, test, resamples=resamples, random_seed=random_seed
            )
    return found


def _auc_by_patient(scores: Floats, test: Labelled, resamples: int, random_seed: int) -> Estimate:
    def area(rows: NDArray[np.int64]) -> float:
        return _mean_area(scores[None, rows], test.malignant[rows])

    rng = np.random.default_rng(random_seed)
    return bootstrap_by_group(area, test.patient, rng, resamples=resamples)


def _against(
    raw: Floats, other: Floats, test: Labelled, *, resamples: int, random_seed: int
) -> dict[str, Any]:
    """Return how an arm differs from raw.

    The gain in mean area has two intervals: over the networks that other seeds would give, and
    over the patients that another test split would have.
    """
    gains = [
        shares_of(b, test.malignant)["auc"] - shares_of(a, test.malignant)["auc"]
        for a, b in zip(raw, other, strict=True)
    ]

    def gain(rows: NDArray[np.int64]) -> float:
        labels = test.malignant[rows]
        return _mean_area(other[:, rows], labels) - _mean_area(raw[:, rows], labels)

    rng = np.random.default_rng(random_seed)
    one, two = raw.mean(axis=0), other.mean(axis=0)
    right = mcnemar_test((one > 0) == test.malignant, (two > 0) == test.malignant)
    return {
        "mean_auc_gain": mean_interval(gains).to_json(),
        "mean_auc_gain_by_patient": bootstrap_by_group(
            gain, test.patient, rng, resamples=resamples
        ).to_json(),
        "delong": delong_test(one, two, test.malignant).to_json(),
        "mcnemar": {
            "only_raw_right": right.only_first,
            "only_this_right": right.only_second,
            "p_value": right.p_value,
        },
    }


def _mean_area(scores: Floats, malignant: NDArray[np.bool_]) -> float:
    """Return the mean area of several networks; NaN where a class has fewer than two cases."""
    if min(int(malignant.sum()), int((~malignant).sum())) < 2:
        return float("nan")
    return float(auc_with_covariance(scores, malignant)[0].mean())


def malignancy_table(values: Mapping[str, Any]) -> Table:
    """Return [yang2019, Tab. 2] with our rows beside it."""
    rows = []
    arms = list(dict.fromkeys(arm for found in values["networks"].values() for arm in found))
    for arm in arms:
        for name, row in TABLE_2[arm].items():
            cells = [f"{getattr(row, share):.4f}" for share in SHARES]
            rows.append([f"{ARMS[arm]}, paper, {name}", *cells, "", "", ""])
        for network, found in values["networks"].items():
            rows.append(_our_row(f"{ARMS[arm]}, ours, {network}", found[arm]))
    nodules = values["nodules"]["test"]
    return Table(
        f"Malignancy of {nodules['benign']} benign and {nodules['malignant']} malignant nodules "
        "(ours: mean of the seeds; p: ensembles against raw)",
        ("trained on", "ACC", "SEN", "SPE", "AUC", "gain in AUC", "DeLong p", "McNemar p"),
        rows,
    )


def _our_row(name: str, found: Mapping[str, Any]) -> list[str]:
    cells = [f"{found[share]['value']:.4f}" for share in SHARES[:3]]
    auc = found["auc"]
    cells.append(figured(Estimate(auc["value"], *auc["interval_95"])))
    against = found.get("against_raw")
    if against is None:
        return [name, *cells, "", "", ""]
    gain = against["mean_auc_gain_by_patient"]
    return [
        name,
        *cells,
        figured(Estimate(gain["value"], *gain["interval_95"])),
        f"{against['delong']['p_value']:.3f}",
        f"{against['mcnemar']['p_value']:.3f}",
    ]
