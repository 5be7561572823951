"""The picture of the malignancy study: areas of each arm beside the paper's, and ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.evaluation.figures import draw_table, write_picture
from lungsynth.evaluation.malignancy_table import malignancy_table
from lungsynth.evaluation.yang2019 import ARMS, TABLE_2

COLOURS = {"raw": "tab:gray", "weighted": "tab:orange", "synthesis": "tab:green"}


def draw_malignancy(values: Mapping[str, Any], path: Path) -> None:
    """Draw the areas under the ROC curves, the curves, and the table.

    Args:
        values: What the study found.
        path: .png.
    """
    from matplotlib.figure import Figure

    table = malignancy_table(values)
    figure = Figure(figsize=(13, 5 + 0.25 * (len(table.rows) + 2)), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(5, 0.25 * (len(table.rows) + 2)))
    _draw_areas(figure.add_subplot(grid[0, 0]), values)
    _draw_curves(figure.add_subplot(grid[0, 1]), values)
    draw_table(figure.add_subplot(grid[1, :]), table)
    write_picture(figure, path)


def _draw_areas(axis: Any, values: Mapping[str, Any]) -> None:  # noqa: ANN401 - matplotlib's own
    arms = list(next(iter(values["networks"].values())))
    for place, arm in enumerate(arms):
        paper = [row.auc for name, row in TABLE_2[arm].items() if name != "Mean"]
        axis.plot([place - 0.2] * len(paper), paper, "d", color="0.6", ms=5)
        axis.plot(place - 0.2, TABLE_2[arm]["Mean"].auc, "_", color="black", ms=22)
        for turn, found in enumerate(values["networks"].values()):
            at = place + 0.15 + 0.15 * turn
            seeds = found[arm]["auc_seeds"]
            axis.plot([at] * len(seeds), seeds, ".", color=COLOURS[arm])
            axis.plot(at, np.mean(seeds), "_", color=COLOURS[arm], ms=22)
            low, high = found[arm]["ensemble"]["auc_by_patient"]["interval_95"]
            axis.plot([at + 0.06] * 2, [low, high], "-", color=COLOURS[arm], lw=1)
    axis.set_xticks(range(len(arms)), [ARMS[arm] for arm in arms])
    axis.set_ylabel("area under the ROC curve")
    axis.set_title(
        "Grey: the paper's networks. Coloured: our seeds; line: 95 % of the ensemble, by patient.\n"
        "Broad marks: means",
        fontsize=8,
    )


def roc_points(
    scores: NDArray[np.float64], malignant: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return shares of benign and of malignant nodules called malignant, from none to all.

    Nodules of equal score are called together.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_equal = np.append(np.diff(scores[order]) != 0, True)
    called = np.cumsum(malignant[order])[last_of_equal] / malignant.sum()
    wrongly = np.cumsum(~malignant[order])[last_of_equal] / (~malignant).sum()
    return np.append(0.0, wrongly), np.append(0.0, called)


def _draw_curves(axis: Any, values: Mapping[str, Any]) -> None:  # noqa: ANN401 - matplotlib's own
    malignant = np.array(values["test"]["malignant"], dtype=bool)
    for network, found in values["networks"].items():
        for arm in found:
            logits = [
                run["test_logits"]
                for run in values["runs"]
                if (run["arm"], run["network"]) == (arm, network)
            ]
            x, y = roc_points(np.mean(logits, axis=0), malignant)
            area = found[arm]["ensemble"]["auc"]
            axis.plot(x, y, color=COLOURS[arm], label=f"{ARMS[arm]}, {network}: {area:.3f}")
    axis.plot([0, 1], [0, 1], ":", color="0.7")
    axis.set_xlabel("benign called malignant")
    axis.set_ylabel("malignant called malignant")
    axis.set_title("Ensembles of the seeds", fontsize=8)
    axis.legend(fontsize=7)
