"""Tables and picture of a study of detection (``cxr_detection``), ours beside shen2022's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lungsynth.evaluation.figures import Table, figured, write_picture
from lungsynth.evaluation.statistics import Estimate

NAMES = {"retinanet": "RetinaNet", "faster-rcnn": "Faster R-CNN"}
PAPER: dict[tuple[str, str, int], tuple[float, float]] = {
    ("faster-rcnn", "none", 0): (0.9090, 0.8673),
    ("faster-rcnn", "mined", 500): (0.9318, 0.8941),
    ("faster-rcnn", "mined", 1000): (0.9368, 0.8967),
    ("faster-rcnn", "mined", 1500): (0.9385, 0.8971),
    ("faster-rcnn", "mined", 2000): (0.9359, 0.8935),
    ("faster-rcnn", "ct-projection", 1500): (0.9176, 0.8710),
    ("retinanet", "none", 0): (0.9359, 0.8935),
    ("retinanet", "mined", 500): (0.9653, 0.9080),
    ("retinanet", "mined", 1000): (0.9679, 0.9097),
    ("retinanet", "mined", 1500): (0.9617, 0.9029),
    ("retinanet", "mined", 2000): (0.9611, 0.9020),
    ("retinanet", "ct-projection", 1000): (0.9626, 0.9051),
}
"""AUC and NODE21 score of [shen2022, Tables III and IV], on 604 radiographs of its own hospitals.

The table's first row of RetinaNet repeats the last of Faster R-CNN; Table IV has the same."""


def estimate(values: Mapping[str, Any]) -> Estimate:
    """Return a figure of a report with its interval."""
    low, high = values["interval_95"]
    return Estimate(float(values["value"]), float(low), float(high))


def study_tables(report: Mapping[str, Any]) -> list[Table]:
    """Return one table for each detector: arms and numbers, ours with intervals, the paper's."""
    tables = []
    for kind, found in report["detectors"].items():
        rows = [
            [
                "before",
                "",
                *(figured(estimate(found["before"][n])) for n in FIGURES),
                "",
                "",
            ]
        ]
        for row in found["rows"]:
            paper = PAPER.get((kind, row["arm"], row["synthetic"]))
            gain = row["gain_over"].get("random" if row["arm"] == "mined" else "none")
            rows.append(
                [
                    row["arm"],
                    str(row["synthetic"]),
                    *(figured(estimate(row[n])) for n in FIGURES),
                    "" if gain is None else figured(estimate(gain)),
                    "" if paper is None else f"{paper[0]:.4f} / {paper[1]:.4f}",
                ]
            )
        columns = (
            "arm",
            "synthetic",
            "AUC",
            "Sens@0.25",
            "NODE21 score",
            "gain over none (mined: over random)",
            "paper AUC / score",
        )
        tables.append(Table(f"{NAMES[kind]} on the test split", columns, rows))
    return tables


FIGURES = ("auc", "sensitivity_at_0.25", "node21_score")


def draw_study(report: Mapping[str, Any], path: Path) -> None:
    """Draw found and missed nodules by size, contrast and place, before and after, as PNG."""
    from matplotlib.figure import Figure

    panels = [
        (f"{NAMES[kind]}, {title}", histogram)
        for kind, found in report["detectors"].items()
        for title, histogram in _stages(found)
    ]
    figure = Figure(figsize=(15, 2.6 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 3, squeeze=False)
    for row, (title, histogram) in zip(axes, panels, strict=True):
        for axis, attribute in zip(row, ("size", "contrast", "location"), strict=True):
            bins = histogram[attribute]
            found = [counts["found"] for counts in bins.values()]
            missed = [counts["missed"] for counts in bins.values()]
            at = range(len(bins))
            axis.bar(at, found, color="#4477aa", label="detected")
            axis.bar(at, missed, bottom=found, color="#ee6677", label="missed")
            axis.set_xticks(at, list(bins), fontsize=7, rotation=20)
            axis.set_ylabel("nodules", fontsize=8)
            unit = {"size": " (px of 1,024)", "contrast": " (of the range)", "location": ""}
            axis.set_title(f"{title}: by {attribute}{unit[attribute]}", fontsize=8)
    axes[0][0].legend(fontsize=7)
    write_picture(figure, path)


def _stages(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return what is drawn of a detector: where it was mined, before, and after each arm."""
    stages = [("where misses were mined", found["mined_from"])] if found["mined_from"] else []
    stages.append(("test, before", found["before"]["by_attribute"]))
    for row in found["rows"]:
        stages.append((f"test, {row['arm']} {row['synthetic']}", row["by_attribute"]))
    return stages
