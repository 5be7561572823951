"""Plots within a panel, from Slicer's own table and plot nodes."""

from __future__ import annotations

from typing import Any

import qt
import slicer

COLORS = (
    (0.12, 0.47, 0.71),
    (1.00, 0.50, 0.05),
    (0.17, 0.63, 0.17),
    (0.84, 0.15, 0.16),
    (0.58, 0.40, 0.74),
    (0.55, 0.34, 0.29),
    (0.89, 0.47, 0.76),
    (0.50, 0.50, 0.50),
    (0.74, 0.74, 0.13),
    (0.09, 0.75, 0.81),
)


class PlotHolder:
    """Shows a plot view node in a placeholder of a panel.

    Args:
        holder: The placeholder, hidden while there is nothing to see.
    """

    def __init__(self, holder: Any) -> None:  # noqa: ANN401 - a QWidget
        self._holder = holder
        self._plotView: Any = None

    def show(self, view: Any) -> None:  # noqa: ANN401 - a node
        """Show a plot."""
        if self._plotView is None:
            layout = qt.QVBoxLayout(self._holder)
            layout.setContentsMargins(0, 0, 0, 0)
            self._plotView = slicer.qMRMLPlotView()
            self._plotView.setMinimumHeight(200)
            layout.addWidget(self._plotView)
        self._plotView.setMRMLScene(slicer.mrmlScene)
        self._plotView.setMRMLPlotViewNode(view)
        self._holder.setVisible(True)

    def hide(self) -> None:
        """Let go of the node that is shown."""
        if self._plotView is not None:
            self._plotView.setMRMLPlotViewNode(None)
        self._holder.setVisible(False)


def addUnsaved(scene: slicer.vtkMRMLScene, kind: str, name: str) -> Any:  # noqa: ANN401 - a node
    """Add a node that is not saved: it can be made again from what is."""
    node = scene.AddNewNodeByClass(kind, name)
    node.SetSaveWithScene(False)
    return node


def addPlotView(
    scene: slicer.vtkMRMLScene, chart: slicer.vtkMRMLPlotChartNode, name: str, layoutName: str
) -> slicer.vtkMRMLPlotViewNode:
    """Add the view of a panel's own plot: one that the layout manager leaves alone.

    Args:
        scene: Gets the view.
        chart: What it shows.
        name: Of the view.
        layoutName: Of no other view.
    """
    view = scene.CreateNodeByClass("vtkMRMLPlotViewNode")
    view.UnRegister(None)
    view.SetName(name)
    view.SetLayoutName(layoutName)
    view.SetAndObserveParentLayoutNodeID(chart.GetID())
    view.SetHideFromEditors(True)
    view.SetSaveWithScene(False)
    view = scene.AddNode(view)
    view.SetPlotChartNodeID(chart.GetID())
    return view
