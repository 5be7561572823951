"""The losses of a run: one JSON line a step, and their curves as a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from lungsynth.core.temporary import replacing


class LossesLog:
    """Appends losses to a file; what a resumed run does again is taken out first.

    Args:
        path: File of JSON lines.
        keep_steps: Lines of later steps are dropped.
    """

    def __init__(self, path: Path, keep_steps: int) -> None:
        self.path = path
        kept = [row for row in read_losses(path) if row["step"] <= keep_steps]
        with replacing(path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")

    def append(self, step: int, losses: dict[str, float]) -> None:
        """Add one step."""
        with self.path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"step": step, **losses}) + "\n")


def read_losses(path: Path) -> list[dict[str, float]]:
    """Return the steps of a log, without a last line that was cut short."""
    if not path.is_file():
        return []
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def draw_curves(log: Path, picture: Path, smooth_steps: int = 50) -> None:
    """Draw each loss over the steps, its moving mean over it, as a PNG."""
    from matplotlib.figure import Figure

    rows = read_losses(log)
    if not rows:
        return
    steps = np.array([row["step"] for row in rows])
    names = [name for name in rows[0] if name != "step"]
    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.6 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        values = np.array([row[name] for row in rows])
        window = max(1, min(smooth_steps, len(values)))
        mean = np.convolve(values, np.full(window, 1 / window), mode="valid")
        axis.plot(steps, values, linewidth=0.5, alpha=0.35)
        axis.plot(steps[window - 1 :], mean, linewidth=1.5)
        axis.set(title=name.replace("_", " "), xlabel="step")
        axis.grid(alpha=0.3)
    for axis in axes[len(names) :]:
        axis.set_visible(False)
    with replacing(picture) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
