"""Label maps that many segments share, changed in place.

With a label map for each of 100 segments, a slice view takes several times as long to draw, and
before saving Slicer merges them one by one, for many seconds (decision 8 has figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from lungsynth.core.insertion import Box

BINARY_LABELMAP = "Binary labelmap"
SAME_MM = 1e-4  # a geometry that went through a file differs in the last digits


class Drawn(Protocol):
    """What can be drawn into a label map, such as a nodule that was inserted."""

    @property
    def box(self) -> Box:
        """Its box in the volume, (k, j, i) of the first voxel and of that after the last."""
        ...

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Its voxels, shape of the box."""
        ...


def freeLayer(
    segmentation: slicer.vtkSegmentation,
    ours: Sequence[slicer.vtkSegment],
    volumeNode: slicer.vtkMRMLScalarVolumeNode,
    drawn: Drawn,
) -> tuple[slicer.vtkOrientedImageData, int]:
    """Return a label map with room for a nodule, and the value to draw it with.

    Args:
        segmentation: All segments, for the values that are in use.
        ours: Those segments whose label maps may be drawn into.
        volumeNode: The grid.
        drawn: The nodule; it never gets a voxel of another segment.
    """
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    layers = []
    for segment in reversed(ours):
        layer = segment.GetRepresentation(BINARY_LABELMAP)
        if layer is not None and not any(layer is known for known in layers):
            layers.append(layer)
    for layer in layers:
        value = 1 + max(_valuesIn(segmentation, layer))
        limit = np.iinfo(_labels(layer).dtype).max
        if value <= limit and _sameGrid(layer, matrix) and _isFree(layer, drawn):
            return layer, value
    layer = slicer.vtkOrientedImageData()
    _allocate(layer, drawn.box, np.dtype(np.uint8))
    # The volume's own index space, (i0, i1 - 1, ...) under its matrix: a matrix moved to the box's
    # corner would differ in the last digits, and Slicer resample where it now copies
    layer.SetGeometryFromImageToWorldMatrix(matrix)
    return layer, 1


def draw(
    layer: slicer.vtkOrientedImageData,
    drawn: Drawn,
    value: int,
    grid: tuple[int, int, int],
) -> None:
    """Draw a nodule into a label map, which grows as far as it must.

    Args:
        layer: The label map.
        drawn: The nodule.
        value: What its voxels become.
        grid: Shape of the volume (K, J, I): once an eighth of it is spanned, the label map takes
            all of it, so as not to grow again with each nodule.
    """
    old = _boxOf(layer)
    box = _union(old, drawn.box)
    if box != old:
        if 8 * np.prod(np.subtract(box[1], box[0])) > np.prod(grid):
            box = _union(box, ((0, 0, 0), grid))
        before = _labels(layer)
        _allocate(layer, box, before.dtype)
        _labels(layer)[_within(box, old)] = before
    _labels(layer)[_within(box, drawn.box)][drawn.mask] = value
    _changed(layer)


def detach(segment: slicer.vtkSegment) -> None:
    """Rub a segment out of the label map that it shares, and give it an empty one of its own.

    Removing a segment from a segmentation leaves its voxels in the shared label map, and takes
    longer, the larger that is.
    """
    layer = segment.GetRepresentation(BINARY_LABELMAP)
    if layer is None:
        return
    for labels in _labels(layer):
        own = labels == segment.GetLabelValue()
        if own.any():
            labels[own] = 0
    empty = slicer.vtkOrientedImageData()
    segment.AddRepresentation(BINARY_LABELMAP, empty)
    _changed(layer)


def maskIn(
    segment: slicer.vtkSegment, volumeNode: slicer.vtkMRMLScalarVolumeNode, box: Box
) -> NDArray[np.bool_]:
    """Return the voxels of a segment within a box of the volume, shape of the box.

    A label map that was loaded may count its voxels from another corner.
    """
    mask = np.zeros(np.subtract(box[1], box[0]), bool)
    layer = segment.GetRepresentation(BINARY_LABELMAP)
    if layer is None or layer.IsEmpty():
        return mask
    toWorld, toVolume = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(toWorld)
    volumeNode.GetRASToIJKMatrix(toVolume)
    corner = toVolume.MultiplyPoint([toWorld.GetElement(row, 3) for row in range(4)])
    shift = np.rint(corner[2::-1]).astype(int)
    own = np.add(_boxOf(layer), shift)
    low, high = np.maximum(own[0], box[0]), np.minimum(own[1], box[1])
    if (low < high).all():
        both = (tuple(low), tuple(high))
        labels = _labels(layer)[_within(tuple(own), both)]
        mask[_within(box, both)] = labels == segment.GetLabelValue()
    return mask


def _valuesIn(
    segmentation: slicer.vtkSegmentation, layer: slicer.vtkOrientedImageData
) -> list[int]:
    segments = (segmentation.GetNthSegment(n) for n in range(segmentation.GetNumberOfSegments()))
    return [s.GetLabelValue() for s in segments if s.GetRepresentation(BINARY_LABELMAP) is layer]


def _sameGrid(layer: slicer.vtkOrientedImageData, matrix: vtk.vtkMatrix4x4) -> bool:
    own = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(own)
    cells = [(row, column) for row in range(3) for column in range(4)]
    return all(abs(own.GetElement(*c) - matrix.GetElement(*c)) < SAME_MM for c in cells)


def _isFree(layer: slicer.vtkOrientedImageData, drawn: Drawn) -> bool:
    """Tell whether no other segment has a voxel of the nodule's mask."""
    box = _boxOf(layer)
    low = np.maximum(box[0], drawn.box[0])
    high = np.minimum(box[1], drawn.box[1])
    if (low >= high).any():
        return True
    both = (tuple(low), tuple(high))
    return not _labels(layer)[_within(box, both)][drawn.mask[_within(drawn.box, both)]].any()


def _boxOf(layer: slicer.vtkOrientedImageData) -> Box:
    i0, i1, j0, j1, k0, k1 = layer.GetExtent()
    return (k0, j0, i0), (k1 + 1, j1 + 1, i1 + 1)


def _allocate(layer: slicer.vtkOrientedImageData, box: Box, dtype: np.dtype[Any]) -> None:
    """Give a label map new, empty memory: numpy's, which the system hands out as it is touched."""
    (k0, j0, i0), (k1, j1, i1) = box
    layer.SetExtent(i0, i1 - 1, j0, j1 - 1, k0, k1 - 1)
    values = numpy_to_vtk(np.zeros((k1 - k0) * (j1 - j0) * (i1 - i0), dtype))
    values.SetName("ImageScalars")
    layer.GetPointData().SetScalars(values)


def _labels(layer: slicer.vtkOrientedImageData) -> NDArray[Any]:
    """Return the values, shape (K, J, I) of the extent, sharing memory."""
    (k0, j0, i0), (k1, j1, i1) = _boxOf(layer)
    shape = (k1 - k0, j1 - j0, i1 - i0)
    labels: NDArray[Any] = vtk_to_numpy(layer.GetPointData().GetScalars()).reshape(shape)
    return labels


def _changed(layer: slicer.vtkOrientedImageData) -> None:
    layer.GetPointData().GetScalars().Modified()
    layer.Modified()


def _union(one: Box, other: Box) -> Box:
    (k0, j0, i0), (k1, j1, i1) = one
    (a0, b0, c0), (a1, b1, c1) = other
    return (min(k0, a0), min(j0, b0), min(i0, c0)), (max(k1, a1), max(j1, b1), max(i1, c1))


def _within(outer: Box, inner: Box) -> tuple[slice, ...]:
    """Return the index of a box into an array that has the shape of another."""
    return tuple(
        slice(low - start, high - start)
        for start, low, high in zip(outer[0], inner[0], inner[1], strict=True)
    )
