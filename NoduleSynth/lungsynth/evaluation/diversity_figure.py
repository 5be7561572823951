"""The picture of the diversity study: one context, many noises, as in [yang2019, Fig. 3]."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lungsynth.data.nodule_cubes import NoduleCubes
from lungsynth.evaluation.diversity import diversity_table
from lungsynth.evaluation.figures import draw_table, write_picture
from lungsynth.evaluation.generated import Generated
from lungsynth.evaluation.realism_report import LUNG_WINDOW

SITES = 3


def draw_diversity(
    values: Mapping[str, Any], made: Mapping[str, Generated], cubes: NoduleCubes, path: Path
) -> None:
    """Draw, for each synthesizer, a small, a middling and a large nodule with all its noises.

    Args:
        values: What the study found.
        made: The nodules of each synthesizer.
        cubes: The split that the sites are of.
        path: .png.
    """
    from matplotlib.figure import Figure

    table = diversity_table(values)
    columns = int(values["noises"]) + 1
    lines = [(name, found, site) for name, found in made.items() for site in _sites(found, cubes)]
    heights = [1.6] * len(lines) + [0.35 * (len(table.rows) + 2)]
    figure = Figure(figsize=(max(9, 1.5 * columns), sum(heights)), layout="constrained")
    grid = figure.add_gridspec(len(heights), columns, height_ratios=heights)
    low, high = LUNG_WINDOW
    for row, (name, found, site) in enumerate(lines):
        at = round(float(cubes.centre(site)[0]))
        rows = np.flatnonzero(found.index == site).tolist()
        shown = [cubes.hu[site][at], *(found.hu[n][at] for n in rows)]
        for column, image in enumerate(shown):
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title("real" if column == 0 else f"noise {column}", fontsize=7)
            if column == 0:
                axis.set_ylabel(f"{name}\n{cubes.diameter_mm[site]:.1f} mm", fontsize=8)
    draw_table(figure.add_subplot(grid[len(lines), :]), table)
    write_picture(figure, path)


def _sites(found: Generated, cubes: NoduleCubes) -> list[int]:
    """Return sites spread over the diameters, chosen by size alone."""
    sites = np.unique(found.index)
    order = sites[np.argsort(cubes.diameter_mm[sites], kind="stable")]
    picked = np.linspace(0, len(order) - 1, min(SITES, len(order)) + 2).astype(int)[1:-1]
    return [int(order[n]) for n in picked]
