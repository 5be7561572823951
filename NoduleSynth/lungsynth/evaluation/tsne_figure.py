"""The maps of the t-SNE study."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lungsynth.evaluation.figures import draw_table, write_picture
from lungsynth.evaluation.tsne import TsneMap, tsne_table

COLOURS = {False: "tab:blue", True: "tab:red"}


def draw_maps(values: Mapping[str, Any], maps: Mapping[str, TsneMap], path: Path) -> None:
    """Draw the map of each synthesizer: colour is the class, full markers are real nodules.

    Args:
        values: What the study found.
        maps: The places.
        path: .png.
    """
    from matplotlib.figure import Figure

    table = tsne_table(values)
    figure = Figure(figsize=(max(8, 6 * len(maps)), 7.5), layout="constrained")
    grid = figure.add_gridspec(2, len(maps), height_ratios=(5, 0.4 * (len(table.rows) + 2)))
    for column, (name, found) in enumerate(maps.items()):
        axis = figure.add_subplot(grid[0, column])
        for malignant, colour in COLOURS.items():
            word = "malignant" if malignant else "benign"
            real = found.real[found.real_malignant == malignant]
            made = found.generated[found.generated_malignant == malignant]
            x, y = real[:, 0], real[:, 1]
            axis.scatter(x, y, s=22, color=colour, alpha=0.6, lw=0, label=f"real, {word}")
            x, y = made[:, 0], made[:, 1]
            axis.scatter(x, y, s=26, color=colour, marker="x", label=f"generated, {word}")
        axis.set_title(name)
        axis.set_xticks([])
        axis.set_yticks([])
        axis.legend(fontsize=7)
    draw_table(figure.add_subplot(grid[1, :]), table)
    write_picture(figure, path)
