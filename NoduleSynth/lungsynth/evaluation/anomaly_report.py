"""The anomaly study as a picture: ROC and FROC curves, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.core.errors import LungSynthError
from lungsynth.detectors.scan_output import heat_overlay
from lungsynth.evaluation.anomaly import Cohort, DetectorResult
from lungsynth.evaluation.figures import Table
from lungsynth.io.atomic import atomic_path

EXAMPLES = 5


def tables(values: Mapping[str, Any]) -> list[Table]:
    """Return the study's tables as people read them."""
    rows = []
    for name, found in values["detectors"].items():
        area, rate = found["auroc"], found["false_positive_rate"]
        low, high = area["interval_95"]
        every = found["sensitivity_at_10"]["all"]
        points = [
            f"{kind} {100 * p['pointing']['value']:.0f} %" for kind, p in found["planted"].items()
        ]
        rows.append(
            (
                name,
                f"{area['value']:.3f} [{low:.3f}, {high:.3f}]",
                f"{100 * rate['value']:.1f} % ({rate['count']}/{rate['of']})",
                f"{100 * every['value']:.1f} % ({every['count']}/{every['of']})",
                ", ".join(points),
            )
        )
    asked = f"false positives, {100 * values['false_positive_rate_asked']:g} % asked"
    head = ("detector", "AUROC [95 %]", asked, "sensitivity at 10 %", "planted, pointed at")
    main = Table("Normal or not, test split", head, rows)
    names = list(values["detectors"])
    findings = next(iter(values["detectors"].values()))["sensitivity_at_10"]
    by_finding = []
    for finding in findings:
        cells = [values["detectors"][n]["sensitivity_at_10"][finding] for n in names]
        by_finding.append((finding, *(f"{c['count']}/{c['of']}" for c in cells)))
    second = Table("Sensitivity at 10 % false positives", ("finding", *names), by_finding)
    return [main, second]


def write_picture(
    values: Mapping[str, Any],
    results: Mapping[str, DetectorResult],
    cohort: Cohort,
    path: Path,
) -> None:
    """Draw ROC and FROC curves, and the most and the least suspicious images of both kinds.

    Raises:
        LungSynthError: If matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        msg = "a report needs matplotlib; install lungsynth[train], or leave the report out"
        raise LungSynthError(msg) from None
    figure = Figure(figsize=(13, 5 + 2.6 * 2 * len(results)), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[5, 5.2 * len(results)])
    upper, lower = parts
    roc, froc = upper.subplots(1, 2)
    for name, result in results.items():
        rates, found = roc_curve(result.scores, cohort.abnormal)
        roc.plot(rates, found, label=f"{name}: {values['detectors'][name]['auroc']['value']:.3f}")
        for kind, planted in result.values["planted"].items():
            curve = planted["froc"]
            froc.plot(curve["false_marks"], curve["sensitivity"], label=f"{name}: {kind}")
    roc.set(xlabel="false-positive rate", ylabel="sensitivity", title="normal or not, test split")
    froc.set(xlabel="false marks an image", ylabel="sensitivity", title="planted", xlim=(0, 10))
    roc.legend()
    froc.legend(fontsize=7)
    axes = lower.subplots(2 * len(results), 2 * EXAMPLES, squeeze=False)
    for n, (name, result) in enumerate(results.items()):
        _draw_examples(axes[2 * n : 2 * n + 2], name, result, cohort)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=80)


def _draw_examples(axes: Any, name: str, result: DetectorResult, cohort: Cohort) -> None:  # noqa: ANN401 - matplotlib ships no types
    order = np.argsort(-result.scores)
    abnormal = cohort.abnormal[order]
    scans = result.scanner.judge(result.looked.rows(order))
    groups = (
        ("found", order[abnormal][:EXAMPLES]),
        ("normal, most suspicious", order[~abnormal][:EXAMPLES]),
    )
    place = {int(row): n for n, row in enumerate(order)}
    for group, (title, rows) in enumerate(groups):
        for n, row in enumerate(rows):
            scan = scans[place[int(row)]]
            column = group * EXAMPLES + n
            axes[0][column].imshow(scan.normal, cmap="gray", vmin=-1, vmax=1)
            axes[1][column].imshow(heat_overlay(scan.image, scan.deviation, scan.region_threshold))
            findings = ", ".join(cohort.records[int(row)].findings)[:24]
            axes[0][column].set_title(f"{name}, {title}\np {scan.p_value:.2g}", fontsize=6)
            axes[1][column].set_title(findings, fontsize=6)
    for axis in axes.ravel():
        axis.set_axis_off()


def roc_curve(scores: Any, labels: Any) -> tuple[Any, Any]:  # noqa: ANN401 - arrays
    """Return false-positive rates and sensitivities, from (0, 0) to (1, 1)."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(labels[order]) / max(labels.sum(), 1)
    false = np.cumsum(~labels[order]) / max((~labels).sum(), 1)
    last = np.r_[np.diff(scores[order]) != 0, True]
    return np.r_[0, false[last]], np.r_[0, hits[last]]
