"""What the slice views show: the CT behind, the output or a preview in front."""

import slicer

COMPOSITE = "vtkMRMLSliceCompositeNode"


def showLayers(
    scene: slicer.vtkMRMLScene,
    background: slicer.vtkMRMLVolumeNode | None,
    foreground: slicer.vtkMRMLVolumeNode | None,
    foregroundOpacity: float,
) -> None:
    """Show two volumes in all slice views.

    Args:
        scene: Whose views.
        background: Volume behind; None leaves what is there.
        foreground: Volume in front; where it ends one sees through.
        foregroundOpacity: 0 (only the background) to 1.
    """
    for composite in compositeNodes(scene):
        wasModified = composite.StartModify()
        if background is not None and composite.GetBackgroundVolumeID() != background.GetID():
            composite.SetBackgroundVolumeID(background.GetID())
        wanted = foreground.GetID() if foreground is not None else None
        if composite.GetForegroundVolumeID() != wanted:
            composite.SetForegroundVolumeID(wanted)
        if composite.GetForegroundOpacity() != foregroundOpacity:
            composite.SetForegroundOpacity(foregroundOpacity)
        composite.EndModify(wasModified)


def setForegroundBorder(shown: bool) -> None:
    """Draw the volume in front up to the faces of its outermost voxels, or only to their centres.

    In that outer half of a voxel there is nothing to interpolate with, so that a small volume,
    cut out of the one behind it, would be framed by a line.
    """
    logics = slicer.app.applicationLogic().GetSliceLogics()
    for n in range(logics.GetNumberOfItems() if logics is not None else 0):
        layer = logics.GetItemAsObject(n).GetForegroundLayer()
        if layer is not None:
            for reslice in (layer.GetReslice(), layer.GetResliceUVW()):
                reslice.SetBorder(shown)


def compositeNodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceCompositeNode]:
    """Return the node of each slice view that says what it shows."""
    count = scene.GetNumberOfNodesByClass(COMPOSITE)
    return [scene.GetNthNodeByClass(n, COMPOSITE) for n in range(count)]


def jumpTo(scene: slicer.vtkMRMLScene, position_ras_mm: tuple[float, float, float]) -> None:
    """Move all slice views to a point."""
    centred = slicer.vtkMRMLSliceNode.CenteredJumpSlice
    slicer.vtkMRMLSliceNode.JumpAllSlices(scene, *position_ras_mm, centred)
