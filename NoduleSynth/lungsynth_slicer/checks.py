"""Whether a volume can be worked on, told as soon as it is chosen."""

from __future__ import annotations

import slicer
import vtk

from lungsynth.core.errors import LungSynthError
from lungsynth.io.hounsfield import check_hounsfield
from lungsynth.io.plausible_radiograph import check_image
from lungsynth_slicer.radiographs import isRadiograph, radiographFromNode
from lungsynth_slicer.sharing import imageTime
from lungsynth_slicer.volumes import volumeFromNode


class VolumeChecks:
    """Remembers what was found, since to look at all voxels takes some ten milliseconds."""

    def __init__(self) -> None:
        self._node = vtk.vtkWeakReference()
        self._time = -1
        self._problem = ""

    def problemOf(self, node: slicer.vtkMRMLScalarVolumeNode | None) -> str:
        """Return what keeps a volume from being worked on, as a sentence; empty if nothing does.

        Where it lies is looked at each time, its voxels only where they have changed.
        """
        if node is None:
            return ""
        try:
            volume = volumeFromNode(node)
        except LungSynthError as error:
            return str(error)
        if self._node.Get() is not node or self._time != imageTime(node):
            self._node.Set(node)
            self._time = imageTime(node)
            self._problem = ""
            name = f"volume '{node.GetName()}'"  # as the worker calls it, which checks again
            try:
                if isRadiograph(node):
                    check_image(name, radiographFromNode(node))
                else:
                    check_hounsfield(volume.voxels, name)
            except LungSynthError as error:
                self._problem = str(error)
        return self._problem
