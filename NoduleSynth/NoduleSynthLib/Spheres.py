"""A sphere of the asked diameter around each seed; in a slice view it is a ring."""

from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from lungsynth_slicer.kinds import kindOf
from lungsynth_slicer.seeds import SeedPoint

NAME = "NoduleSynth size rings"
NEW_COLOR = (1.0, 0.85, 0.1)
BAD_COLOR = (1.0, 0.2, 0.2)
_BAD, _FINE = 0, 1


class Spheres:
    """One hidden model node that holds all spheres; never saved with the scene."""

    def __init__(self) -> None:
        self._node: slicer.vtkMRMLModelNode | None = None
        self._shown: tuple = ()
        source = vtk.vtkSphereSource()
        source.SetRadius(1)
        source.SetThetaResolution(24)
        source.SetPhiResolution(16)
        source.Update()
        self._points = vtk_to_numpy(source.GetOutput().GetPoints().GetData()).astype(np.float32)
        self._triangles = vtk_to_numpy(source.GetOutput().GetPolys().GetConnectivityArray())

    @property
    def node(self) -> slicer.vtkMRMLModelNode | None:
        """The model node, if there is one."""
        return self._node

    def show(
        self,
        scene: slicer.vtkMRMLScene,
        points: Sequence[SeedPoint],
        bad: set[str],
        volume: slicer.vtkMRMLScalarVolumeNode | None = None,
    ) -> None:
        """Draw the spheres of the seeds that are still to be inserted.

        Args:
            scene: Where the model node goes.
            points: All seeds; inserted ones are left out.
            bad: Ids of the seeds that cannot work; drawn in red.
            volume: The volume of the seeds, which says how large a pixel is.
        """
        new = [point for point in points if point.state == "new"]
        kind = kindOf(volume)
        wanted = tuple(
            (p.position_ras_mm, kind.diameterMm(volume, p.spec), p.id in bad)
            for p in new
            if kind.takes(p.spec)
        )
        if not wanted:
            self.hide()
            return
        if self._node is None or self._node.GetScene() is not scene:
            self._node = self._make(scene)
        elif wanted == self._shown:
            return
        self._shown = wanted
        self._node.SetAndObserveMesh(self._mesh(wanted))

    def hide(self) -> None:
        """Remove the model node from the scene."""
        node, self._node, self._shown = self._node, None, ()
        if node is not None and node.GetScene() is not None:
            display = node.GetDisplayNode()
            colors = display.GetColorNode() if display is not None else None
            for part in (node, display, colors):
                if part is not None and part.GetScene() is not None:
                    part.GetScene().RemoveNode(part)

    def _make(self, scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLModelNode:
        node = slicer.vtkMRMLModelNode()
        node.SetName(NAME)
        display = slicer.vtkMRMLModelDisplayNode()
        colors = slicer.vtkMRMLColorTableNode()
        colors.SetName(f"{NAME} colours")
        for hidden in (node, display, colors):
            hidden.SetHideFromEditors(True)
            hidden.SetSaveWithScene(False)
        node.SetSelectable(False)  # a click through a sphere is a click on what is behind
        display.SetVisibility2D(True)
        display.SetSliceIntersectionThickness(2)
        display.SetOpacity(0.35)
        display.SetScalarVisibility(True)
        display.SetActiveScalarName("colour")
        # Colours in the scalars themselves make Slicer log "Bad table range" at each drawing
        colors.SetTypeToUser()
        colors.SetNumberOfColors(2)
        colors.SetColor(_BAD, "cannot work", *BAD_COLOR, 1.0)
        colors.SetColor(_FINE, "new", *NEW_COLOR, 1.0)
        scene.AddNode(colors)
        display.SetAndObserveColorNodeID(colors.GetID())
        display.SetScalarRangeFlag(slicer.vtkMRMLDisplayNode.UseManualScalarRange)
        display.SetScalarRange(_BAD, _FINE)
        scene.AddNode(display)
        scene.AddNode(node)
        node.SetAndObserveDisplayNodeID(display.GetID())
        return node

    def _mesh(self, wanted: tuple) -> vtk.vtkPolyData:
        count = len(self._points)
        centres = np.array([w[0] for w in wanted], np.float32)
        radii = np.array([w[1] / 2 for w in wanted], np.float32)
        points = (centres[:, None] + radii[:, None, None] * self._points).reshape(-1, 3)
        offsets = np.arange(len(wanted))[:, None] * count
        triangles = (offsets + self._triangles).reshape(-1, 3).astype(np.int64)
        states = np.array([_BAD if w[2] else _FINE for w in wanted], np.float32)
        shades = np.repeat(states, count)
        mesh = vtk.vtkPolyData()
        mesh.SetPoints(vtk.vtkPoints())
        mesh.GetPoints().SetData(numpy_to_vtk(points, deep=True))
        cells = vtk.vtkCellArray()
        ends = np.arange(0, 3 * len(triangles) + 1, 3, dtype=np.int64)
        kind = vtk.VTK_ID_TYPE
        cells.SetData(
            numpy_to_vtk(ends, deep=True, array_type=kind),
            numpy_to_vtk(triangles.ravel(), deep=True, array_type=kind),
        )
        mesh.SetPolys(cells)
        scalars = numpy_to_vtk(shades, deep=True)
        scalars.SetName("colour")
        mesh.GetPointData().SetScalars(scalars)
        return mesh
