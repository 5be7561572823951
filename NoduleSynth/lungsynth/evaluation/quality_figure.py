"""The picture of the image-quality study: pairs with their difference, and the table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lungsynth.evaluation.figures import draw_table, write_picture
from lungsynth.evaluation.image_quality import quality_table
from lungsynth.evaluation.pairs import Pairs
from lungsynth.evaluation.realism_report import LUNG_WINDOW, example_rows

EXAMPLES = 4
DIFFERENCE_HU = 400.0
"""Half the range of the difference's colours."""


def draw_quality(values: Mapping[str, Any], pairs: Mapping[str, Pairs], path: Path) -> None:
    """Draw examples of each synthesizer, small to large, above the table.

    Args:
        values: What the study found.
        pairs: Of each synthesizer.
        path: .png.
    """
    from matplotlib.figure import Figure

    table = quality_table(values)
    lines = [(name, made, n) for name, made in pairs.items() for n in example_rows(made, EXAMPLES)]
    heights = [2.0] * len(lines) + [0.3 * (len(table.rows) + 2)]
    figure = Figure(figsize=(8, sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
    for line, (name, made, n) in enumerate(lines):
        row = [figure.add_subplot(grid[line, column]) for column in range(3)]
        at = round(float(made.centre[n][0]))
        real, generated = made.real[n][at], made.generated[n][at]
        low, high = LUNG_WINDOW
        for axis, image in zip(row[:2], (real, generated), strict=True):
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        row[2].imshow(
            generated.astype(float) - real,
            cmap="RdBu_r",
            vmin=-DIFFERENCE_HU,
            vmax=DIFFERENCE_HU,
            interpolation="nearest",
        )
        for axis, title in zip(row, ("real", "generated", "generated - real"), strict=True):
            axis.set_title(title, fontsize=7)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(f"{name}\n{made.asked_mm[n]:.1f} mm", fontsize=8)
    draw_table(figure.add_subplot(grid[len(lines), :]), table)
    write_picture(figure, path)
