"""What a scene keeps of an insertion, so that it can be undone after it was saved and loaded.

The voxels under a nodule are the CT's, but for those that an earlier nodule had changed already:
which these are, and checksums that tell whether a voxel was changed since, are tags of the
nodule's segment. How many nodules are in it is an attribute of the output.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from lungsynth.core.errors import LungSynthError
from lungsynth.core.insertion import Insertion
from lungsynth.core.radiograph_insertion import CxrInsertion
from lungsynth.imaging.attempt import Attempt
from lungsynth.imaging.radiograph_insertion import CxrAttempt
from lungsynth_slicer import segments
from lungsynth_slicer.kinds import kindOf
from lungsynth_slicer.layers import maskIn
from lungsynth_slicer.volumes import volumeFromNode, voxelsOf

COUNT = "NoduleSynth.Nodules"
NUMBER_TAG = "lungsynth.number"
KEPT_TAG = "lungsynth.kept"
CHECK_TAG = "lungsynth.check"


class NotExact(LungSynthError):
    """A nodule can't be taken out as if it had never been in.

    Args:
        why: What is in the way.
    """

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the last nodule can't be taken out exactly: {why}; choose None as output, "
            "and a new one is made"
        )


def nodulesIn(output: slicer.vtkMRMLScalarVolumeNode | None) -> int:
    """Return how many nodules were put into an output, in this session or before."""
    written = output.GetAttribute(COUNT) if output is not None else None
    return int(written) if written and written.isdecimal() else 0


def setNodulesIn(output: slicer.vtkMRMLScalarVolumeNode, count: int) -> None:
    """Note how many nodules are in an output."""
    output.SetAttribute(COUNT, str(count))


def recordOf(
    insertion: Insertion | CxrInsertion, number: int, ct: NDArray[Any], output: NDArray[Any]
) -> dict[str, str]:
    """Return the tags of a nodule's segment by which ``rebuilt`` takes the nodule out.

    Args:
        insertion: The nodule, just put in.
        number: Counted from 1 within the output.
        ct: Voxels of the untouched CT.
        output: Voxels of the output.
    """
    kept = insertion.before != ct[insertion.slices]
    return {
        NUMBER_TAG: str(number),
        KEPT_TAG: _packed(kept),
        CHECK_TAG: _checksums(insertion.before, output[insertion.slices]),
    }


def rebuilt(
    ctNode: slicer.vtkMRMLScalarVolumeNode | None,
    outputNode: slicer.vtkMRMLScalarVolumeNode,
    segmentationNode: slicer.vtkMRMLSegmentationNode | None,
) -> tuple[Insertion | CxrInsertion, Attempt | CxrAttempt, str, int]:
    """Return the nodule that was put in last, as it was before the scene was saved.

    Returns:
        The insertion, the nodule for putting it back, the id of its segment and its number.

    Raises:
        NotExact: If it can't be taken out exactly; says why.
        LungSynthError: If there is no CT that can be used.
    """
    number = nodulesIn(outputNode)
    segmentId = _segmentOf(segmentationNode, number)
    segment = segmentationNode.GetSegmentation().GetSegment(segmentId)
    taken = segments.takenIn(segment)
    if taken is None:
        msg = "its segment no longer says where it is"
        raise NotExact(msg)
    volume, output = volumeFromNode(ctNode), voxelsOf(outputNode)
    (k0, j0, i0), (k1, j1, i1) = taken.box
    part = (slice(k0, k1), slice(j0, j1), slice(i0, i1))
    if output.shape != volume.voxels.shape or output[part].shape != (k1 - k0, j1 - j0, i1 - i0):
        msg = "the CT or the output is of another size now"
        raise NotExact(msg)
    ct, now = volume.voxels[part], output[part]
    kept = _unpacked(segments.tagOf(segment, KEPT_TAG), now.shape)
    before = np.where(kept, now, ct)
    if _checksums(before, now) != segments.tagOf(segment, CHECK_TAG):
        msg = "voxels of the CT or of the output were changed since"
        raise NotExact(msg)
    mask = maskIn(segment, outputNode, taken.box)
    kind = kindOf(ctNode)
    image = kind.image(ctNode)
    attempt = kind.attempt(image, taken, now, mask, np.where(kept, ct, now))
    return kind.insertion(image, taken, attempt, before), attempt, segmentId, number


def _segmentOf(segmentationNode: slicer.vtkMRMLSegmentationNode | None, number: int) -> str:
    if segmentationNode is None:
        msg = "the segmentation of the nodules is gone"
        raise NotExact(msg)
    segmentation = segmentationNode.GetSegmentation()
    for n in range(segmentation.GetNumberOfSegments()):
        if segments.tagOf(segmentation.GetNthSegment(n), NUMBER_TAG) == str(number):
            return str(segmentation.GetNthSegmentID(n))
    msg = "its segment is gone"
    raise NotExact(msg)


def _packed(flags: NDArray[np.bool_]) -> str:
    """Return flags as letters that a tag can hold; none at all where none is set, as is usual."""
    if not flags.any():
        return ""
    return base64.b64encode(zlib.compress(np.packbits(flags).tobytes(), 9)).decode("ascii")


def _unpacked(text: str, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if not text:
        return np.zeros(shape, bool)
    count = int(np.prod(shape))
    try:
        bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
        return np.unpackbits(bits, count=count).reshape(shape).astype(bool)
    except (ValueError, zlib.error, binascii.Error):
        msg = "the tags of its segment were changed"
        raise NotExact(msg) from None


def checksum(voxels: NDArray[Any]) -> int:
    """Return a number that tells whether voxels were changed."""
    return zlib.crc32(np.ascontiguousarray(voxels))


def _checksums(before: NDArray[Any], after: NDArray[Any]) -> str:
    return " ".join(f"{checksum(one):08x}" for one in (before, after))
