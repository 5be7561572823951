"""The losses of a run as Slicer's own table and plot nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import slicer
import vtk

from lungsynth_slicer.plots import COLORS, addPlotView, addUnsaved

STEP = "step"
NAME = "Fine-tuning losses"


class FineTunePlot:
    """One curve for each loss; nodes are made with the first losses.

    Args:
        show: Called with the chart's plot view node once there is something to see.
    """

    def __init__(self, show: Any = None) -> None:  # noqa: ANN401 - a function of a node
        self.table: Any = None
        self.chart: Any = None
        self.series: list[Any] = []
        self.view: Any = None
        self._show = show or (lambda _view: None)
        self._columns: dict[str, Any] = {}
        self._last = 0

    def add(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Add steps; what is not after the last is left out, but a resumed run starts over.

        Args:
            rows: With "step" and the losses of it.
        """
        if not rows:
            return
        if self.table is None or self.table.GetScene() is None:
            self._make([name for name in rows[0] if name != STEP])
        if rows[0][STEP] <= self._last:  # gone back to a checkpoint
            self._cut(int(rows[0][STEP]))
        for row in rows:
            for name, column in self._columns.items():
                column.InsertNextValue(float(row.get(name, float("nan"))))
        self._last = int(rows[-1][STEP])
        self.table.GetTable().Modified()
        self.table.Modified()

    def clear(self) -> None:
        """Take the nodes out of the scene."""
        for node in (self.view, self.chart, *self.series, self.table):
            if node is not None and node.GetScene() is not None:
                node.GetScene().RemoveNode(node)
        self.forget()

    def forget(self) -> None:
        """Let go of the nodes; the scene was closed, or they stay for the user."""
        # The view outlives a closed scene, as Slicer's own views do
        if self.view is not None and self.view.GetScene() is None:
            self.view = None
        self.table = self.chart = None
        self.series, self._columns, self._last = [], {}, 0

    def _cut(self, step: int) -> None:
        """Take out the rows from a step on."""
        steps = self._columns[STEP]
        count = steps.GetNumberOfValues()
        keep = next((n for n in range(count) if steps.GetValue(n) >= step), count)
        for column in self._columns.values():
            column.Resize(max(keep, 1))
            column.SetNumberOfValues(keep)

    def _make(self, names: Sequence[str]) -> None:
        scene = slicer.mrmlScene
        self.forget()
        self.table = addUnsaved(scene, "vtkMRMLTableNode", NAME)
        for name in (STEP, *names):
            column = vtk.vtkDoubleArray()
            column.SetName(name)
            self._columns[name] = column
            self.table.GetTable().AddColumn(column)
        self.chart = addUnsaved(scene, "vtkMRMLPlotChartNode", NAME)
        self.chart.SetTitle(NAME)
        self.chart.SetXAxisTitle("Step")
        self.chart.SetYAxisTitle("Loss")
        for number, name in enumerate(names):
            series = addUnsaved(scene, "vtkMRMLPlotSeriesNode", name.replace("_", " "))
            series.SetAndObserveTableNodeID(self.table.GetID())
            series.SetXColumnName(STEP)
            series.SetYColumnName(name)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            series.SetColor(*COLORS[number % len(COLORS)])
            self.chart.AddAndObservePlotSeriesNodeID(series.GetID())
            self.series.append(series)
        self.view = addPlotView(scene, self.chart, NAME, "NoduleSynthFineTune")
        self._show(self.view)
