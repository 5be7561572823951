"""The heatmap, or another map, in front of the radiograph."""

from __future__ import annotations

import slicer

from AnomalyScanLib.Outputs import Outputs
from lungsynth_slicer.views import compositeNodes, showLayers

HIGHEST = 1e3  # standard deviations; above all that there is


def showOverlay(
    volume: slicer.vtkMRMLScalarVolumeNode,
    outputs: Outputs,
    *,
    layer: str,
    threshold: float,
    opacity: float,
    regions: bool,
) -> None:
    """Show a map in front of the radiograph in all slice views.

    Args:
        volume: The radiograph.
        outputs: Of its scan.
        layer: Which map: a field of ``Outputs``.
        threshold: Of the heatmap, in standard deviations of normals.
        opacity: 0 (the radiograph alone) to 1.
        regions: Whether the outlines of the regions are shown.
    """
    display = outputs.heatmap.GetDisplayNode()
    if display is not None and display.GetLowerThreshold() != threshold:
        display.SetThreshold(threshold, HIGHEST)
    showLayers(volume.GetScene(), volume, getattr(outputs, layer), opacity)
    if outputs.segmentation is not None and outputs.segmentation.GetDisplayNode() is not None:
        outputs.segmentation.GetDisplayNode().SetVisibility(regions)


def hideOverlay(scene: slicer.vtkMRMLScene, outputs: Outputs | None) -> None:
    """Take the maps of a scan and the outlines of its regions out of the slice views."""
    if outputs is None:
        return
    maps = (outputs.heatmap, outputs.normal, outputs.difference)
    own = {node.GetID() for node in maps if node is not None}
    for composite in compositeNodes(scene):
        if composite.GetForegroundVolumeID() in own:
            composite.SetForegroundVolumeID(None)
    if outputs.segmentation is not None and outputs.segmentation.GetDisplayNode() is not None:
        outputs.segmentation.GetDisplayNode().SetVisibility(False)
