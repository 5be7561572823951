"""The score among those of normal radiographs, as Slicer's own table and plot nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from AnomalyScanLib.Result import Result
from lungsynth_slicer.plots import COLORS, addPlotView, addUnsaved

NAME = "Score among normals"
SHARE, SCORE, LINE = "normals that score as high (%)", "score", "height (%)"


class ScorePlot:
    """One point for each normal, a line for the radiograph and one for the threshold.

    None of the nodes is saved: the result has it all.

    Args:
        show: Called with the plot view node.
    """

    def __init__(self, show: Callable[[Any], None]) -> None:
        self._show = show
        self._shown: Result | None = None
        self.nodes: list[Any] = []
        self.chart: Any = None
        self.view: Any = None

    def draw(self, result: Result) -> None:
        """Draw a result, in place of the one before."""
        if result == self._shown and self.chart is not None:
            return
        self.clear()
        self._shown = result
        scene = slicer.mrmlScene
        self.chart = self._add(scene, "vtkMRMLPlotChartNode", NAME)
        said = _("Score {score:.2f}, p = {p:.2g}")
        self.chart.SetTitle(said.format(score=result.score, p=result.pValue))
        self.chart.SetXAxisTitle(_("Score"))
        self.chart.SetYAxisTitle(_("Normals as high (%)"))
        scores = sorted(result.reference)
        count = max(len(scores), 1)
        shares = [100.0 * (count - n) / count for n in range(len(scores))]
        self._line(_("normals"), {SCORE: scores, SHARE: shares}, 0, markers=True)
        for number, (name, at) in enumerate(
            ((_("this radiograph"), result.score), (_("threshold"), result.threshold))
        ):
            color = 3 if number == 0 else 7
            self._line(name, {SCORE: [at, at], LINE: [0.0, 100.0]}, color, markers=False)
        self.view = addPlotView(scene, self.chart, NAME, "AnomalyScanScore")
        self._show(self.view)

    def clear(self) -> None:
        """Take the nodes out of the scene."""
        for node in (self.view, *reversed(self.nodes)):
            if node is not None and node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
        self.nodes, self.chart, self.view, self._shown = [], None, None, None

    def _add(self, scene: slicer.vtkMRMLScene, kind: str, name: str) -> Any:  # noqa: ANN401
        node = addUnsaved(scene, kind, name)
        self.nodes.append(node)
        return node

    def _line(
        self, name: str, columns: Mapping[str, Sequence[float]], color: int, *, markers: bool
    ) -> None:
        scene, kind = slicer.mrmlScene, slicer.vtkMRMLPlotSeriesNode
        table = self._add(scene, "vtkMRMLTableNode", f"{NAME}: {name}")
        for title, values in columns.items():
            column = vtk.vtkDoubleArray()
            column.SetName(title)
            for value in values:
                column.InsertNextValue(value)
            table.AddColumn(column)
        series = self._add(scene, "vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(table.GetID())
        x, y = columns
        series.SetXColumnName(x)
        series.SetYColumnName(y)
        series.SetPlotType(kind.PlotTypeScatter)
        series.SetMarkerStyle(kind.MarkerStyleCircle if markers else kind.MarkerStyleNone)
        series.SetLineStyle(kind.LineStyleNone if markers else kind.LineStyleSolid)
        series.SetColor(*COLORS[color])
        self.chart.AddAndObservePlotSeriesNodeID(series.GetID())
