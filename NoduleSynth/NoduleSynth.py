"""NoduleSynth: puts lung nodules of the size and kind you ask for into chest CT.

The four classes that Slicer looks for; what they do is in NoduleSynthLib.
"""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.SampleData import registerSampleData
from NoduleSynthLib.Widget import NoduleSynthWidget

__all__ = ["NoduleSynth", "NoduleSynthLogic", "NoduleSynthTest", "NoduleSynthWidget"]


class NoduleSynth(ScriptedLoadableModule):
    """Tells Slicer what the module is."""

    def __init__(self, parent: slicer.qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("NoduleSynth")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        parent.dependencies = ["Markups", "Segmentations"]
        parent.contributors = ["The NoduleSynth authors"]
        parent.helpText = _(
            "Puts synthetic lung nodules into a chest CT or a chest radiograph: choose the volume, "
            "click where a nodule should be, choose its size and density, and press Insert. The "
            "volume itself is never changed. Nothing leaves this computer."
        )
        parent.acknowledgementText = _(
            "The synthesizer follows C. Han, Pathology-Aware Generative Adversarial Networks for "
            "Medical Image Augmentation, 2020. Its weights were trained on LIDC-IDRI (CC BY 3.0)."
        )
        slicer.app.startupCompleted.connect(registerSampleData)


class NoduleSynthTest(ScriptedLoadableModuleTest):
    """A short walk through the module, for Slicer's own test button."""

    def setUp(self) -> None:
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_insert_into_phantom()

    def test_insert_into_phantom(self) -> None:
        """Insert a nodule into the phantom, and take it out again."""
        import numpy as np

        from lungsynth.imaging.phantom import SMALL, thorax_phantom

        self.delayDisplay("Drawing a phantom")
        phantom = thorax_phantom(**SMALL)
        volume = slicer.util.addVolumeFromArray(
            phantom.voxels, ijkToRAS=slicer.util.vtkMatrixFromArray(phantom.ijk_to_ras)
        )
        before = phantom.voxels.copy()
        logic = NoduleSynthLogic()
        try:
            seeds = logic.seedsFor(volume)
            seeds.add((-78.0, -12.0, 31.0), diameter_mm=14)
            result = logic.insertNow(volume, seeds, synthesizer="procedural")
        finally:
            logic.cleanup()
        self.delayDisplay("Checking")
        assert (slicer.util.arrayFromVolume(volume) == before).all(), "the input is never changed"
        changed = np.argwhere(slicer.util.arrayFromVolume(result.volume) != before)
        assert len(changed) > 0
        assert result.segmentation.GetSegmentation().GetNumberOfSegments() == 1
        assert result.insertions[0].within_tolerance
        self.delayDisplay("Test passed")
