"""Nodules as segments: one each, coded as *Nodule*, in the very voxels of the volume.

All share one label map (``layers``), of which a new nodule touches no more than its own box.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import slicer
import vtk

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion, Taken
from lungsynth.core.nodule import Seed
from lungsynth.core.radiograph import CxrNoduleSpec, CxrSeed
from lungsynth.core.radiograph_insertion import CxrInsertion, CxrTaken
from lungsynth.io.segments import COLORS, TERMINOLOGY, segment_name
from lungsynth_slicer.layers import BINARY_LABELMAP, Drawn, detach, draw, freeLayer
from lungsynth_slicer.seeds import specIn, wordsOf

# Tags are saved as "key:value|", so no value holds "|", and no key ":"
BOX_TAG = "lungsynth.box"
POSITION_TAG = "lungsynth.position_ras_mm"
SPEC_TAG = "lungsynth.asked"
NAME_TAG = "lungsynth.seed"


def addNodule(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    referenceVolumeNode: slicer.vtkMRMLScalarVolumeNode,
    insertion: Insertion | CxrInsertion,
    number: int,
    record: Mapping[str, str] | None = None,
) -> str:
    """Add a nodule's mask as a segment and return the segment's id.

    Args:
        segmentationNode: Gets the segment.
        referenceVolumeNode: The volume that the nodule was put into; its grid is the segment's.
        insertion: The nodule.
        number: Counted from 1; names the segment and chooses its colour.
        record: Further tags; see ``records``.
    """
    segment = slicer.vtkSegment()
    segment.SetName(segment_name(insertion, number))
    segment.SetColor(*COLORS[(number - 1) % len(COLORS)])
    segment.SetTag("Segmentation.Status", "completed")
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY)
    segment.SetTag("lungsynth.synthetic", "true")
    place = " ".join(repr(float(x)) for x in insertion.seed.position_ras_mm)
    segment.SetTag(POSITION_TAG, place)
    segment.SetTag(SPEC_TAG, wordsOf(insertion.spec))
    segment.SetTag(NAME_TAG, insertion.seed.name.replace("|", "/"))
    for key, value in (record or {}).items():
        segment.SetTag(key, value)
    return addSegment(segmentationNode, referenceVolumeNode, insertion, segment, f"Nodule_{number}")


def addSegment(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    referenceVolumeNode: slicer.vtkMRMLScalarVolumeNode,
    drawn: Drawn,
    segment: slicer.vtkSegment,
    segmentId: str,
) -> str:
    """Draw a mask, add it as the segment given, and return the segment's id.

    Args:
        segmentationNode: Gets the segment.
        referenceVolumeNode: Whose grid is the segment's.
        drawn: What is drawn.
        segment: With its name, colour and tags.
        segmentId: The id, if no other segment has it.
    """
    _prepare(segmentationNode, referenceVolumeNode)
    box = " ".join(str(int(index)) for corner in drawn.box for index in corner)
    segment.SetTag(BOX_TAG, box)
    segmentation = segmentationNode.GetSegmentation()
    ours = [shared for shared in _segments(segmentation) if shared.HasTag(BOX_TAG)]
    layer, value = freeLayer(segmentation, ours, referenceVolumeNode, drawn)
    draw(layer, drawn, value, referenceVolumeNode.GetImageData().GetDimensions()[::-1])
    segment.SetLabelValue(value)
    segment.AddRepresentation(BINARY_LABELMAP, layer)
    segmentId = segmentation.GenerateUniqueSegmentID(segmentId)
    segmentation.AddSegment(segment, segmentId)
    return str(segmentId)


def removeNodule(segmentationNode: slicer.vtkMRMLSegmentationNode, segmentId: str) -> None:
    """Remove a nodule's segment; nothing happens if the user has removed it already."""
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    if segment is not None:
        detach(segment)
        segmentationNode.RemoveSegment(segmentId)


def takenBy(segmentationNode: slicer.vtkMRMLSegmentationNode | None) -> list[Taken | CxrTaken]:
    """Return the places of the nodules of a segmentation, also of one that was loaded.

    Segments that are no nodules of ours are passed over.
    """
    if segmentationNode is None:
        return []
    segments = _segments(segmentationNode.GetSegmentation())
    return [taken for taken in map(takenIn, segments) if taken is not None]


def _segments(segmentation: slicer.vtkSegmentation) -> list[slicer.vtkSegment]:
    return [segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments())]


def takenIn(segment: slicer.vtkSegment) -> Taken | CxrTaken | None:
    """Return the place of a segment's nodule; None if it is no nodule of ours."""
    return _takenIn(*(tagOf(segment, key) for key in (SPEC_TAG, BOX_TAG, POSITION_TAG, NAME_TAG)))


@lru_cache(maxsize=4096)  # a panel asks for all nodules again and again
def _takenIn(spec: str, box: str, position: str, name: str) -> Taken | CxrTaken | None:
    written = specIn(spec)
    try:
        k0, j0, i0, k1, j1, i1 = (int(text) for text in box.split())
        right, anterior, superior = (float(x) for x in position.split())
        if written is None:
            return None
        place = (right, anterior, superior)
        if isinstance(written[0], CxrNoduleSpec):
            return CxrTaken(CxrSeed(place, written[0], name), ((k0, j0, i0), (k1, j1, i1)))
        return Taken(Seed(place, written[0], name), ((k0, j0, i0), (k1, j1, i1)))
    except (ValueError, LungSynthError):  # no segment of ours
        return None


def tagOf(segment: slicer.vtkSegment, key: str) -> str:
    """Return a tag of a segment, empty where there is none."""
    value = vtk.reference("")
    return str(value.get()) if segment.GetTag(key, value) else ""


def _prepare(
    segmentationNode: slicer.vtkMRMLSegmentationNode,
    referenceVolumeNode: slicer.vtkMRMLScalarVolumeNode,
) -> None:
    """Give a new segmentation its grid and something to be shown by."""
    if segmentationNode.GetDisplayNode() is None:
        segmentationNode.CreateDefaultDisplayNodes()
    if segmentationNode.GetSegmentation().GetNumberOfSegments() == 0:
        segmentationNode.SetReferenceImageGeometryParameterFromVolumeNode(referenceVolumeNode)
