"""The nodes that come out of a scan, and how they belong together.

The heatmap names its radiograph and the other nodes by node references and keeps the result as an
attribute, so that a loaded scene, or another radiograph chosen in the panel, finds all of it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from AnomalyScanLib.Result import Region, Result, resultIn
from lungsynth.core.insertion import Box
from lungsynth_slicer.nodes import markSynthetic, removeWithParts
from lungsynth_slicer.segments import addSegment
from lungsynth_slicer.table import addValues
from lungsynth_slicer.volumes import addMap

INPUT, NORMAL, DIFFERENCE = "AnomalyScan.Input", "AnomalyScan.Normal", "AnomalyScan.Difference"
REGIONS, TABLE, RESULT = "AnomalyScan.Regions", "AnomalyScan.Table", "AnomalyScan.Result"
PARTS = (NORMAL, DIFFERENCE, REGIONS, TABLE)
GREY = "vtkMRMLColorTableNodeGrey"
HOT = ("vtkMRMLColorTableNodeFileInferno.txt", "vtkMRMLColorTableNodeWarm1")
SIGNED = ("vtkMRMLColorTableNodeFileDivergingBlueRed.txt", GREY)
"""Colours: the first that the scene has."""
DENSER, LESS_DENSE = (1.0, 0.25, 0.15), (0.2, 0.5, 1.0)
COLUMNS: dict[str, type[vtk.vtkAbstractArray]] = {
    "region": vtk.vtkIntArray,
    "peak (SD)": vtk.vtkDoubleArray,
    "denser": vtk.vtkStringArray,
    "R (mm)": vtk.vtkDoubleArray,
    "A (mm)": vtk.vtkDoubleArray,
    "S (mm)": vtk.vtkDoubleArray,
    "area (px)": vtk.vtkDoubleArray,
    "area (mm2)": vtk.vtkDoubleArray,
}

Maps = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a scan left in the scene; a part that the user removed is None."""

    heatmap: slicer.vtkMRMLScalarVolumeNode
    normal: slicer.vtkMRMLScalarVolumeNode | None
    difference: slicer.vtkMRMLScalarVolumeNode | None
    segmentation: slicer.vtkMRMLSegmentationNode | None
    table: slicer.vtkMRMLTableNode | None
    result: Result


@dataclass(frozen=True, eq=False)
class _Drawn:
    box: Box
    mask: NDArray[np.bool_]


def outputsOf(volume: slicer.vtkMRMLScalarVolumeNode | None) -> Outputs | None:
    """Return what the last scan of a radiograph left; None if there is nothing."""
    scene = volume.GetScene() if volume is not None else None
    if scene is None:
        return None
    found = None
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode")
        if node.GetNodeReferenceID(INPUT) == volume.GetID():
            found = node
    result = resultIn(found.GetAttribute(RESULT) or "") if found is not None else None
    if found is None or result is None:
        return None
    parts = [found.GetNodeReference(role) for role in PARTS]
    return Outputs(found, *parts, result)


def removeOutputs(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Remove what scans of a radiograph left."""
    while (outputs := outputsOf(volume)) is not None:
        for node in (*partsOf(outputs.heatmap), outputs.heatmap):
            removeWithParts(node)


def partsOf(node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLNode]:
    """Return what belongs to a heatmap; nothing for other nodes."""
    if not node.GetNodeReferenceID(INPUT):
        return []
    parts = [node.GetNodeReference(role) for role in PARTS]
    return [part for part in parts if part is not None]


def addOutputs(volume: slicer.vtkMRMLScalarVolumeNode, result: Result, maps: Maps) -> Outputs:
    """Put the maps of a scan into the scene, in place of those of an earlier one.

    Args:
        volume: The radiograph.
        result: What is said of it.
        maps: "heatmap" (deviation, positive where denser), "normal", "difference" and "regions"
            (labels), each of the volume's shape (1, rows, columns). The heatmap loses its signs.
    """
    removeOutputs(volume)
    name, shown = volume.GetName(), volume.GetDisplayNode()
    strength = np.abs(maps["heatmap"], out=maps["heatmap"])
    most = max(float(strength.max()), result.regionThreshold, 1e-6)
    heatmap = addMap(volume, f"{name} heatmap", strength, (0.0, most), _colorIn(volume, HOT))
    heatmap.SetDescription("Deviation in standard deviations of normals, without its sign")
    display = heatmap.GetDisplayNode()
    display.SetApplyThreshold(True)
    display.SetThreshold(result.regionThreshold, max(most, 1e3))
    grey = (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) if shown else (0.0, 255.0)
    color = shown.GetColorNodeID() if shown else GREY
    normal = addMap(volume, f"{name} normal", maps["normal"], grey, color)
    markSynthetic(normal, "image: the nearest normal one")
    change = maps["difference"]
    far = max(float(change.max()), -float(change.min()), 1e-6)
    difference = addMap(volume, f"{name} difference", change, (-far, far), _colorIn(volume, SIGNED))
    segmentation = _addSegments(volume, result, maps["regions"])
    table = _addTable(volume, result)
    parts = (normal, difference, segmentation, table)
    for role, node in zip((INPUT, *PARTS), (volume, *parts), strict=True):
        heatmap.SetNodeReferenceID(role, node.GetID())
    heatmap.SetAttribute(RESULT, result.asText())
    return Outputs(heatmap, *parts, result)


def _colorIn(volume: slicer.vtkMRMLScalarVolumeNode, ids: Sequence[str]) -> str:
    return next((name for name in ids if volume.GetScene().GetNodeByID(name)), GREY)


def _addSegments(
    volume: slicer.vtkMRMLScalarVolumeNode, result: Result, labels: NDArray[Any]
) -> slicer.vtkMRMLSegmentationNode:
    scene = volume.GetScene()
    name = scene.GenerateUniqueName(f"{volume.GetName()} regions")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility2DFill(False)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    boxes = find_objects(labels)
    for region in result.regions:
        place = boxes[region.label - 1] if region.label <= len(boxes) else None
        if place is None:  # smaller than a pixel
            continue
        box = (tuple(s.start for s in place), tuple(s.stop for s in place))
        segment = slicer.vtkSegment()
        segment.SetName(nameOf(region))
        segment.SetColor(*(DENSER if region.denser else LESS_DENSE))
        drawn = _Drawn(box, labels[place] == region.label)
        addSegment(node, volume, drawn, segment, segmentIdOf(region))
    return node


def nameOf(region: Region) -> str:
    """Return what a region is called."""
    return f"Region {region.label} ({'denser' if region.denser else 'less dense'})"


def segmentIdOf(region: Region) -> str:
    """Return the id of a region's segment."""
    return f"Region_{region.label}"


def _addTable(volume: slicer.vtkMRMLScalarVolumeNode, result: Result) -> slicer.vtkMRMLTableNode:
    scene = volume.GetScene()
    name = scene.GenerateUniqueName(f"{volume.GetName()} regions table")
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    for region in result.regions:
        right, anterior, superior = region.ras_mm
        values = {
            "region": region.label,
            "peak (SD)": region.peak,
            "denser": "yes" if region.denser else "no",
            "R (mm)": right,
            "A (mm)": anterior,
            "S (mm)": superior,
            "area (px)": region.areaPx,
            "area (mm2)": float("nan") if region.areaMm2 is None else region.areaMm2,
        }
        addValues(node, COLUMNS, values)
    return node
