"""The nodes that come out of an insertion, and how they belong together.

An output volume names its CT, its seeds, its segmentation and its table by node references, so
that a loaded scene, or another CT chosen in the panel, finds them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import slicer

from lungsynth_slicer.nodes import markSynthetic

if TYPE_CHECKING:
    from collections.abc import Iterator

INPUT, SEEDS = "NoduleSynth.Input", "NoduleSynth.Seeds"
SEGMENTATION, TABLE = "NoduleSynth.Segmentation", "NoduleSynth.Table"
SEED_LABELS = "N-%d"
GLYPH_SCALE = 2.0  # per cent of the view's diagonal
OUTPUT_NAME = "{name} with synthetic nodules"
"""In English everywhere: it is a mark, too."""


class Case(Protocol):
    """The nodes and settings that the logic works on: the parameter node, or a script's values."""

    inputVolume: slicer.vtkMRMLScalarVolumeNode | None
    outputVolume: slicer.vtkMRMLScalarVolumeNode | None
    seeds: slicer.vtkMRMLMarkupsFiducialNode | None
    segmentation: slicer.vtkMRMLSegmentationNode | None
    table: slicer.vtkMRMLTableNode | None
    synthesizer: str
    cxrSynthesizer: str
    device: str
    weights: str


def makeSeedList(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLScalarVolumeNode | None
) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Add an empty list of seeds for a volume."""
    name = f"{volume.GetName()} seeds" if volume is not None else "Seeds"
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(name))
    prepareSeedList(node, volume)
    return node


def prepareSeedList(
    node: slicer.vtkMRMLMarkupsFiducialNode, volume: slicer.vtkMRMLScalarVolumeNode | None
) -> None:
    """Make an empty list one for the seeds of a volume."""
    node.SetControlPointLabelFormat(SEED_LABELS)
    node.CreateDefaultDisplayNodes()
    # Slicer's filled ball would hide the nodule that it marks
    node.GetDisplayNode().SetGlyphTypeFromString("CrossDot2D")
    node.GetDisplayNode().SetGlyphScale(GLYPH_SCALE)
    if volume is not None:
        node.SetNodeReferenceID(INPUT, volume.GetID())


def makeSegmentation(
    output: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLSegmentationNode:
    """Add an empty segmentation on the grid of the output."""
    scene = output.GetScene()
    node = scene.AddNewNodeByClass(
        "vtkMRMLSegmentationNode", scene.GenerateUniqueName(f"{output.GetName()} masks")
    )
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility2DFill(False)  # an outline: the nodule is to be seen
    node.SetReferenceImageGeometryParameterFromVolumeNode(output)
    markSynthetic(node)
    return node


def makeTable(output: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLTableNode:
    """Add an empty table for asked and measured."""
    scene = output.GetScene()
    node = scene.AddNewNodeByClass(
        "vtkMRMLTableNode", scene.GenerateUniqueName(f"{output.GetName()} table")
    )
    markSynthetic(node)
    return node


def outputsOf(
    volume: slicer.vtkMRMLScalarVolumeNode,
) -> Iterator[slicer.vtkMRMLScalarVolumeNode]:
    """Yield the outputs that were made from a volume, the oldest first."""
    scene = volume.GetScene()
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLScalarVolumeNode")
        if node.GetNodeReferenceID(INPUT) == volume.GetID():
            yield node


def seedListOf(
    volume: slicer.vtkMRMLScalarVolumeNode,
) -> slicer.vtkMRMLMarkupsFiducialNode | None:
    """Return the list of seeds that was made last for a volume."""
    scene = volume.GetScene()
    found = None
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLMarkupsFiducialNode")
        if node.GetNodeReferenceID(INPUT) == volume.GetID():
            found = node
    return found


def isSeedListOfAny(seeds: slicer.vtkMRMLMarkupsFiducialNode | None) -> bool:
    """Return whether a list was made for a volume; one that the user made or loaded was not."""
    return seeds is not None and bool(seeds.GetNodeReferenceID(INPUT))


def link(p: Case) -> None:
    """Note on the output which nodes belong to it; of lists of seeds, the newest first."""
    output = p.outputVolume
    for role, node in (
        (INPUT, p.inputVolume),
        (SEGMENTATION, p.segmentation),
        (TABLE, p.table),
    ):
        output.SetNodeReferenceID(role, node.GetID() if node is not None else None)
    lists = seedListsOf(output, p.seeds)
    output.RemoveNodeReferenceIDs(SEEDS)
    for node in lists:
        output.AddNodeReferenceID(SEEDS, node.GetID())


def seedListsOf(
    output: slicer.vtkMRMLScalarVolumeNode | None,
    first: slicer.vtkMRMLMarkupsFiducialNode | None = None,
) -> list[slicer.vtkMRMLMarkupsFiducialNode]:
    """Return the lists whose seeds were inserted into an output, the newest first.

    Args:
        output: The output; None has no lists.
        first: A list that comes before them.
    """
    lists = [] if first is None else [first]
    for n in range(output.GetNumberOfNodeReferences(SEEDS) if output is not None else 0):
        node = output.GetNthNodeReference(SEEDS, n)
        if node is not None and node not in lists:
            lists.append(node)
    return lists


def chooseOutput(p: Case, output: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    """Take an output, with what belongs to it, as where the next nodules go."""
    p.outputVolume = output
    p.segmentation = output.GetNodeReference(SEGMENTATION) if output is not None else None
    p.table = output.GetNodeReference(TABLE) if output is not None else None
    lists = seedListsOf(output)
    if lists:
        p.seeds = lists[0]


def isOutputOf(
    output: slicer.vtkMRMLScalarVolumeNode, volume: slicer.vtkMRMLScalarVolumeNode
) -> bool:
    """Return whether a volume was made here from another."""
    return bool(output.GetNodeReferenceID(INPUT) == volume.GetID())


def madeFrom(volume: slicer.vtkMRMLScalarVolumeNode) -> list[slicer.vtkMRMLNode]:
    """Return all that was made for a volume: its outputs with their parts, its lists of seeds."""
    found: list[slicer.vtkMRMLNode] = []
    for output in outputsOf(volume):
        found += [*partsOf(output), output]
    scene = volume.GetScene()
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLMarkupsFiducialNode")
        if node.GetNodeReferenceID(INPUT) == volume.GetID():
            found.append(node)
    return found


def partsOf(node: slicer.vtkMRMLNode) -> list[slicer.vtkMRMLNode]:
    """Return the segmentation and table that belong to an output; none for other nodes."""
    if not node.GetNodeReferenceID(INPUT):
        return []
    parts = [node.GetNodeReference(role) for role in (SEGMENTATION, TABLE)]
    return [part for part in parts if part is not None]
