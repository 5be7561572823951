"""AnomalyScan: says what in a chest radiograph does not fit a normal one.

The four classes that Slicer looks for; what they do is in AnomalyScanLib.
"""

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleTest

from AnomalyScanLib.Logic import AnomalyScanLogic
from AnomalyScanLib.Widget import AnomalyScanWidget

__all__ = ["AnomalyScan", "AnomalyScanLogic", "AnomalyScanTest", "AnomalyScanWidget"]


class AnomalyScan(ScriptedLoadableModule):
    """Tells Slicer what the module is."""

    def __init__(self, parent: slicer.qSlicerScriptedLoadableModule) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("AnomalyScan")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        parent.dependencies = ["NoduleSynth"]  # whose library this is a panel of
        parent.contributors = ["The NoduleSynth authors"]
        parent.helpText = _(
            "Looks for the normal chest radiograph nearest to yours and shows what differs: choose "
            "a radiograph and press Scan. The score is judged among those of normal radiographs. "
            "For research, not for diagnosis. Nothing leaves this computer."
        )
        parent.acknowledgementText = _(
            "The method follows M. Kim, Image synthesis and anomaly detection on chest radiographs "
            "using generative adversarial networks, 2021."
        )


class AnomalyScanTest(ScriptedLoadableModuleTest):
    """A short walk through the module, for Slicer's own test button."""

    def setUp(self) -> None:
        """Start with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests."""
        self.setUp()
        self.test_results_of_a_scan()

    def test_results_of_a_scan(self) -> None:
        """Show the results of a scan that was done elsewhere; needs no weights."""
        import numpy as np

        from AnomalyScanLib.Outputs import addOutputs, outputsOf
        from AnomalyScanLib.Result import Region, Result

        self.delayDisplay("Adding a radiograph")
        pixels = np.arange(120 * 90, dtype=np.int16).reshape(1, 120, 90)
        volume = slicer.util.addVolumeFromArray(pixels)
        labels = np.zeros(pixels.shape, np.uint8)
        labels[0, 30:40, 20:45] = 1
        maps = {
            "heatmap": np.where(labels, -6.0, 0.5).astype(np.float32),
            "normal": pixels.astype(np.float32),
            "difference": np.zeros(pixels.shape, np.float32),
            "regions": labels,
        }
        region = Region(1, -6.0, denser=False, ras_mm=(-32.0, -34.5, 0.0), areaPx=250.0)
        result = Result(2.0, 0.01, 1.5, 4.0, abnormal=True, regions=(region,), reference=(1.0, 1.2))
        addOutputs(volume, result, maps)
        self.delayDisplay("Checking")
        outputs = outputsOf(volume)
        assert outputs is not None
        assert outputs.segmentation.GetSegmentation().GetNumberOfSegments() == 1
        assert slicer.util.arrayFromVolume(outputs.heatmap).max() == 6
        self.delayDisplay("Test passed")
