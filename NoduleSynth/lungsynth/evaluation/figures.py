"""What the studies' pictures and tables have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungsynth.core.errors import LungSynthError
from lungsynth.evaluation.statistics import Estimate
from lungsynth.io.atomic import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """A table as people read it, ours beside a paper's.

    Args:
        title: What it shows.
        columns: Heads.
        rows: Cells, as many as there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "title": self.title,
            "columns": list(self.columns),
            "rows": [list(row) for row in self.rows],
        }

    def text(self) -> str:
        """Return it as lines of even columns, the first of them to the left."""
        cells = [list(self.columns), *(list(row) for row in self.rows)]
        widths = [max(len(row[n]) for row in cells) for n in range(len(self.columns))]
        lines = [
            "  ".join(
                cell.ljust(width) if n == 0 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        return "\n".join([self.title, *lines])


def figured(value: Estimate, digits: int = 3) -> str:
    """Return a figure with its interval as tables show it, "-" where it is not known."""
    if value.value != value.value:
        return "-"
    if value.low != value.low:
        return f"{value.value:.{digits}f}"
    return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"


def check_picture(path: Path | None) -> None:
    """Refuse a picture that is not PNG, or that can't be drawn; None is none.

    Raises:
        LungSynthError: If the suffix is another, or matplotlib is missing.
    """
    if path is None:
        return
    if path.suffix.lower() != ".png":
        msg = f"{path}: the picture of a study must end in .png"
        raise LungSynthError(msg)
    try:
        import matplotlib as mpl  # noqa: F401 - only whether it is there
    except ImportError:
        msg = "a picture needs matplotlib; install lungsynth[train], or leave --report out"
        raise LungSynthError(msg) from None


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure whole or not at all.

    Raises:
        LungSynthError: If it can't be written.
    """
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def draw_table(axis: Any, table: Table) -> None:  # noqa: ANN401 - matplotlib ships no types
    """Draw a table in place of an axis."""
    axis.axis("off")
    axis.set_title(table.title, fontsize=9)
    cells = axis.table(cellText=[*table.rows], colLabels=[*table.columns], loc="center")
    cells.auto_set_font_size(False)
    cells.set_fontsize(7)
    cells.auto_set_column_width(list(range(len(table.columns))))
