"""Volume nodes as the library's volumes, without copying a voxel."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth_slicer.steps import Steps, slabs


def voxelsOf(node: slicer.vtkMRMLScalarVolumeNode) -> NDArray[Any]:
    """Return the voxels, shape (K, J, I), sharing the node's memory.

    Whoever writes to them calls ``voxelsChanged`` after it.

    Raises:
        LungSynthError: If the node has no image, or one with several values a voxel.
    """
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0:
        msg = f"volume '{node.GetName()}' is empty; load a CT"
        raise LungSynthError(msg)
    values = image.GetNumberOfScalarComponents()
    if values != 1:
        msg = (
            f"volume '{node.GetName()}' has {values} values a voxel; a CT or a radiograph has one "
            "(the module Vector to Scalar Volume makes grey of a colour picture)"
        )
        raise LungSynthError(msg)
    voxels: NDArray[Any] = slicer.util.arrayFromVolume(node)
    return voxels


def voxelsChanged(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Tell the views that voxels of a node have changed."""
    image = node.GetImageData()
    image.GetPointData().GetScalars().Modified()
    image.Modified()


def volumeFromNode(node: slicer.vtkMRMLScalarVolumeNode | None) -> Volume:
    """Return a volume node as a value that shares its memory.

    Raises:
        LungSynthError: If there is no node, it holds no scalar image, or it is under a transform.
    """
    if node is None:
        msg = "no volume is chosen; choose the CT that the nodules go into"
        raise LungSynthError(msg)
    transform = node.GetParentTransformNode()
    if transform is not None:
        msg = (
            f"volume '{node.GetName()}' is under the transform '{transform.GetName()}'; harden "
            "the transform (Data module, right click on the volume) or take the volume out of it"
        )
        raise LungSynthError(msg)
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    ijk_to_ras = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    return Volume(voxelsOf(node), ijk_to_ras)


def cloneVolume(node: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a new node with the same voxels, geometry and display, in the same scene.

    Takes about half a second for a large CT; ``startClone`` leaves Slicer responsive meanwhile.

    Raises:
        LungSynthError: If the node holds no scalar image.
    """
    image, steps = _copying(node)
    for _ in steps:
        pass
    return _addClone(node, name, image)


def startClone(
    node: slicer.vtkMRMLScalarVolumeNode,
    name: str,
    onDone: Callable[[slicer.vtkMRMLScalarVolumeNode], None],
    onError: Callable[[str], None],
) -> Steps:
    """Clone a volume as ``cloneVolume`` does, a slab at a time, while Qt's events are handled.

    Nothing is in the scene before ``onDone`` is called with the clone; cancelling leaves nothing.

    Raises:
        LungSynthError: If the node holds no scalar image.
    """
    image, steps = _copying(node)
    return Steps(steps, lambda: onDone(_addClone(node, name, image)), onError)


def _copying(
    node: slicer.vtkMRMLScalarVolumeNode,
) -> tuple[vtk.vtkImageData, Generator[None, None, None]]:
    """Return an image as large as the node's, and the steps that copy the voxels into it."""
    source = voxelsOf(node)
    image = vtk.vtkImageData()
    image.SetDimensions(node.GetImageData().GetDimensions())
    image.AllocateScalars(node.GetImageData().GetScalarType(), 1)
    target = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(source.shape)

    def steps() -> Generator[None, None, None]:
        for slab in slabs(source):
            np.copyto(target[slab], source[slab])
            yield

    return image, steps()


def _addClone(
    node: slicer.vtkMRMLScalarVolumeNode, name: str, image: vtk.vtkImageData
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a node like another with the image given.

    Not by the Volumes module's CloneVolume: with automatic window and level, that works out
    statistics of the whole volume on the way, again and again, for seconds.
    """
    clone = _like(node, name)
    clone.SetVoxelValueQuantity(node.GetVoxelValueQuantity())
    clone.SetVoxelValueUnits(node.GetVoxelValueUnits())
    shown = node.GetDisplayNode()
    if shown is not None:
        clone.SetAndObserveDisplayNodeID(_addDisplay(shown).GetID())
    clone.SetAndObserveImageData(image)
    node.GetScene().AddNode(clone)
    if shown is None:
        clone.CreateDefaultDisplayNodes()
    return clone


def addMap(
    node: slicer.vtkMRMLScalarVolumeNode,
    name: str,
    voxels: NDArray[Any],
    window: tuple[float, float],
    colorId: str,
) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume of other values on the grid of another; looks at none of them.

    Args:
        node: Whose grid it has.
        name: Of the new volume, if no other has it.
        voxels: Its values, shape of the node's; their memory is shared.
        window: Lowest and highest value that is shown.
        colorId: Of the colours that they are shown in.
    """
    scene, made = node.GetScene(), _like(node, name)
    display = scene.CreateNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.UnRegister(None)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(*window)
    display.SetAutoThreshold(False)
    display.SetAndObserveColorNodeID(colorId)
    scene.AddNode(display)
    image = vtk.vtkImageData()
    image.SetDimensions(node.GetImageData().GetDimensions())
    image.GetPointData().SetScalars(numpy_to_vtk(voxels.reshape(-1)))
    made.SetAndObserveDisplayNodeID(display.GetID())
    made.SetAndObserveImageData(image)
    return scene.AddNode(made)


def _like(node: slicer.vtkMRMLScalarVolumeNode, name: str) -> slicer.vtkMRMLScalarVolumeNode:
    """Return a node, in no scene yet, that lies where another does."""
    scene = node.GetScene()
    made = scene.CreateNodeByClass(node.GetClassName())
    made.UnRegister(None)
    made.SetName(scene.GenerateUniqueName(name))
    made.CopyOrientation(node)
    return made


def _addDisplay(
    shown: slicer.vtkMRMLScalarVolumeDisplayNode,
) -> slicer.vtkMRMLScalarVolumeDisplayNode:
    """Add a display node that shows what another shows at present, in fixed numbers.

    Copy() would look at all voxels for the automatic window and level, and so would each change
    of a few of them later.
    """
    display = shown.GetScene().CreateNodeByClass(shown.GetClassName())
    display.UnRegister(None)
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(shown.GetWindow(), shown.GetLevel())
    display.SetAutoThreshold(False)
    display.SetApplyThreshold(shown.GetApplyThreshold())
    display.SetThreshold(shown.GetLowerThreshold(), shown.GetUpperThreshold())
    display.SetInterpolate(shown.GetInterpolate())
    display.SetAndObserveColorNodeID(shown.GetColorNodeID())
    shown.GetScene().AddNode(display)
    return display
