"""Sample data: a phantom CT that is made on this machine, and Slicer's own CTChest by name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import slicer.util
import vtk
from slicer.i18n import tr as _

from lungsynth.core.errors import LungSynthError
from lungsynth.core.volume import Volume
from lungsynth.imaging.phantom import thorax_phantom
from lungsynth_slicer.process import PythonProcess

CATEGORY = "NoduleSynth"
PHANTOM = "ThoraxPhantom"
CHEST = "CTChest"
ICON = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
# Slicer's own entry, so that both stand together; Sample Data has its thumbnail
CHEST_URL = slicer.util.TESTING_DATA_URL + "SHA256/"
CHEST_SHA256 = "4507b664690840abb6cb9af2d919377ffc4ef75b167cb6fd0f747befdb12e38e"
LUNG_WINDOW, LUNG_LEVEL = 1500, -600

_PROGRAM = (
    "import sys, numpy as np; from lungsynth.imaging.phantom import thorax_phantom;"
    "phantom = thorax_phantom();"
    "np.savez(sys.argv[1], voxels=phantom.voxels, ijk_to_ras=phantom.ijk_to_ras)"
)
_making: list[PythonProcess] = []


def registerSampleData() -> None:
    """Add the entries to the module Sample Data once, however often this is called."""
    import SampleData

    register = SampleData.SampleDataLogic.registerCustomSampleDataSource
    register(
        category=CATEGORY,
        sampleName=PHANTOM,
        uris="about:made-on-this-machine",  # nothing is downloaded: the function below makes it
        fileNames=f"{PHANTOM}.npz",
        nodeNames=PHANTOM,
        customDownloader=_downloadPhantom,
        thumbnailFileName=str(ICON / "NoduleSynth-ThoraxPhantom.png"),
    )
    register(
        category=CATEGORY,
        sampleName=CHEST,
        uris=CHEST_URL + CHEST_SHA256,
        fileNames="CT-chest.nrrd",
        nodeNames=CHEST,
        checksums=f"SHA256:{CHEST_SHA256}",
    )


def _downloadPhantom(*_: Any) -> None:  # noqa: ANN401 - the source, of which nothing is needed
    """Make the phantom; a function with a name, as Slicer knows an entry again by it."""
    startPhantom()


def loadPhantom() -> slicer.vtkMRMLScalarVolumeNode:
    """Make the phantom here and now, which takes some seconds, and show it; for scripts."""
    return _addNode(thorax_phantom())


def startPhantom(
    onDone: Callable[[slicer.vtkMRMLScalarVolumeNode], None] = lambda _node: None,
    onError: Callable[[str], None] | None = None,
) -> PythonProcess:
    """Make the phantom in a process of its own and show it when it is there.

    Args:
        onDone: Called with its node.
        onError: Called with one line; shown in a message where None.
    """
    folder = tempfile.TemporaryDirectory(prefix="NoduleSynth-")
    path = Path(folder.name) / f"{PHANTOM}.npz"
    slicer.util.showStatusMessage(_("Making the thorax phantom ..."), 10_000)

    def made(_event: Any) -> None:  # noqa: ANN401 - there is none
        _making.remove(process)
        with np.load(path, allow_pickle=False) as arrays:
            phantom = Volume(arrays["voxels"], arrays["ijk_to_ras"])
        folder.cleanup()
        slicer.util.showStatusMessage("", 1)
        onDone(_addNode(phantom))

    def failed(message: str) -> None:
        if process in _making:
            _making.remove(process)
        folder.cleanup()
        (onError or slicer.util.errorDisplay)(message)

    process = PythonProcess(
        ["-c", _PROGRAM, str(path)], onDone=made, onError=failed, what=_("making the phantom")
    )
    _making.append(process)
    return process


def _addNode(phantom: Volume) -> slicer.vtkMRMLScalarVolumeNode:
    """Add a volume to the scene, in the lung window, and show it in the slice views."""
    scene = slicer.mrmlScene
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(PHANTOM))
    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(phantom.ijk_to_ras[row, column]))
    node.SetIJKToRASMatrix(matrix)
    slicer.util.updateVolumeFromArray(node, phantom.voxels)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is None:
        msg = "the phantom cannot be shown: Slicer made no display node"
        raise LungSynthError(msg)
    display.AutoWindowLevelOff()
    display.SetWindowLevel(LUNG_WINDOW, LUNG_LEVEL)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    return node
