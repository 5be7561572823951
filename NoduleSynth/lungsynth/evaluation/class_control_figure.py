"""The picture of class control: scores of the pairs, and the measures of both classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.evaluation.class_control import class_table
from lungsynth.evaluation.figures import draw_table, write_picture


def draw_class_control(values: Mapping[str, Any], path: Path) -> None:
    """Draw, for each synthesizer, the pairs' scores, above the table.

    Args:
        values: What the study found.
        path: .png.
    """
    from matplotlib.figure import Figure

    table = class_table(values)
    found = values["synthesizers"]
    below = 0.25 * (len(table.rows) + 2)
    figure = Figure(figsize=(max(8, 5 * len(found)), 5 + below), layout="constrained")
    grid = figure.add_gridspec(2, len(found), height_ratios=(5, below))
    for column, (name, of_one) in enumerate(found.items()):
        axis = figure.add_subplot(grid[0, column])
        benign, malignant = (
            np.array([pair[kind] for pair in of_one["each"]]) for kind in ("benign", "malignant")
        )
        low = float(min(benign.min(), malignant.min()))
        high = float(max(benign.max(), malignant.max()))
        axis.plot([low, high], [low, high], ":", color="0.6")
        axis.plot(benign, malignant, ".", color="tab:red", alpha=0.6)
        axis.set_xlabel("asked to be benign: classifier's logit")
        axis.set_ylabel("same seed, asked to be malignant")
        share = of_one["malignant_scores_higher"]["value"]
        axis.set_title(f"{name}: {share:.1%} of {of_one['pairs']} pairs above the line", fontsize=9)
    draw_table(figure.add_subplot(grid[1, :]), table)
    write_picture(figure, path)
