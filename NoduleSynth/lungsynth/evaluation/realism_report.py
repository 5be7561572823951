"""The realism study as pictures and a table: HTML, or PNG alone."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation.pairs import Pairs
from lungsynth.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lungsynth.evaluation.realism import RealismReport

LUNG_WINDOW = (-1250.0, 250.0)
NARROW_WINDOW = (-1000.0, -700.0)
"""Lung tissue stretched over all greys: an edge of the box would show here."""
PANELS = 8
SUFFIXES = (".html", ".png")

STYLE = """body{font:15px system-ui,sans-serif;margin:2em;max-width:70em;color:#222}
table{border-collapse:collapse}
td,th{padding:.3em .8em;border-bottom:1px solid #ccc;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}"""


def check_report(path: Path) -> None:
    """Refuse a report that is neither HTML nor PNG, or that can't be drawn.

    Raises:
        LungSynthError: If the suffix is another, or matplotlib is missing.
    """
    if path.suffix.lower() not in SUFFIXES:
        msg = f"{path}: a report's name must end in {' or '.join(SUFFIXES)}"
        raise LungSynthError(msg)
    try:
        import matplotlib as mpl  # noqa: F401 - only whether it is there
    except ImportError:
        msg = "a report needs matplotlib; install lungsynth[train], or leave the report out"
        raise LungSynthError(msg) from None


def write_report(report: RealismReport, path: Path) -> None:
    """Write the table and example panels.

    Args:
        report: What the study found.
        path: .html (everything in one file) or .png (the panels alone).

    Raises:
        LungSynthError: If it can't be written.
    """
    check_report(path)
    if path.suffix.lower() == ".png":
        with atomic_path(path) as temporary:
            temporary.write_bytes(_png(_panels(report.pairs)))
        return
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Realism of generated nodules</title>",
        f"<style>{STYLE}</style><h1>Realism of generated nodules</h1>",
        f"<p>Split: {html.escape(report.values['split'])}; lungsynth {report.values['version']}. "
        "Synthetic data, for research only.</p>",
        _table(report.values),
        _floor_text(report.values),
        "<p>Each row is one site: real and generated, axial; lung window, then a narrow one "
        "(-1000 to -700 HU), then the narrow one with the changed box outlined.</p>",
    ]
    for name, pairs in report.pairs.items():
        parts += [f"<h2>{html.escape(name)}</h2>", _image(_panels({name: pairs}))]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")


def _table(values: Mapping[str, Any]) -> str:
    head = (
        "synthesizer",
        "nodules",
        "AUC, each seed",
        "mean",
        "ensemble [95 %]",
        "pairs told",
        "Fréchet",
        "seam",
        "as asked",
    )
    rows = []
    for name, found in values["synthesizers"].items():
        auc, seam = found["auc"], found["seam"]
        low, high = auc["ensemble_interval_95"]
        cells = (
            name,
            str(found["nodules"]),
            ", ".join(f"{a:.3f}" for a in auc["seeds"]),
            f"{auc['mean']:.3f}",
            f"{auc['ensemble']:.3f} [{low:.3f}, {high:.3f}]",
            f"{auc['pair_accuracy']:.3f}",
            f"{found['frechet']['mean']:.3f}",
            "-" if seam["pooled_ratio"] is None else f"{seam['pooled_ratio']:.3f}",
            f"{found['within_tolerance']:.1%}",
        )
        rows.append("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells) + "</tr>")
    header = "".join(f"<th>{h}</th>" for h in head)
    return f"<table><tr>{header}</tr>{''.join(rows)}</table>"


def _floor_text(values: Mapping[str, Any]) -> str:
    floors = (
        f"{name.replace('_', ' ')} {found['mean']:.3f}"
        for name, found in values["frechet_floor"].items()
    )
    return f"<p>Fréchet distance between real nodules: {html.escape('; '.join(floors))}.</p>"


def example_rows(pairs: Pairs, count: int = PANELS) -> NDArray[np.int64]:
    """Return pairs spread evenly over the diameters, smallest first; chosen by size alone."""
    order = np.argsort(pairs.asked_mm, kind="stable")
    return np.asarray(order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)])


def _panels(several: Mapping[str, Pairs]) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    rows = [(name, pairs, n) for name, pairs in several.items() for n in example_rows(pairs)]
    figure = Figure(figsize=(13, 2.2 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), 6, squeeze=False)
    for line, (name, pairs, n) in zip(axes, rows, strict=True):
        slice_at = round(float(pairs.centre[n][0]))
        for column, axis in enumerate(line):
            shown = (pairs.real if column % 2 == 0 else pairs.generated)[n][slice_at]
            low, high = LUNG_WINDOW if column < 2 else NARROW_WINDOW
            axis.imshow(shown, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title("real" if column % 2 == 0 else "generated", fontsize=8)
            if column >= 4:
                (_, y0, x0), (_, y1, x1) = pairs.box[n].tolist()
                corner = (x0 - 0.5, y0 - 0.5)
                axis.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, color="orange"))
        line[0].set_ylabel(
            f"{name}\nasked {pairs.asked_mm[n]:.1f} mm\nmeasured {pairs.measured_mm[n]:.1f} mm",
            fontsize=8,
        )
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()


def _image(figure: Figure) -> str:
    data = base64.b64encode(_png(figure)).decode()
    return f"<img alt='real and generated nodules' src='data:image/png;base64,{data}'>"
