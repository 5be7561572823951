"""A small scripted module that proves the harness; written as any module for Slicer is."""

from typing import Annotated

import slicer
from slicer import vtkMRMLMarkupsFiducialNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


@parameterNodeWrapper
class HarnessSampleParameterNode:
    """One parameter of each kind."""

    inputVolume: vtkMRMLScalarVolumeNode
    seeds: vtkMRMLMarkupsFiducialNode
    diameterMm: Annotated[float, WithinRange(4, 30)] = 11.5
    count: Annotated[int, WithinRange(0, 9)] = 3
    kind: Annotated[str, Choice(["solid", "part-solid"])] = "part-solid"
    live: bool = True
    label: str = "N"


class HarnessSample(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = _("Harness sample")
        parent.categories = ["Testing"]


class HarnessSampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.clicks = 0

    def setup(self):
        """Build the panel from the .ui file."""
        super().setup()
        root = slicer.util.loadUI(self.resourcePath("UI/HarnessSample.ui"))
        self.layout.addWidget(root)
        self.ui = slicer.util.childWidgetVariables(root)
        root.setMRMLScene(slicer.mrmlScene)
        self.logic = HarnessSampleLogic()
        self.parameters = self.logic.getParameterNode()
        widgets = {
            name: widget
            for widget in vars(self.ui).values()
            if (name := widget.property("SlicerParameterName"))
        }
        self.tag = self.parameters.connectParametersToGui(widgets)
        self.ui.applyButton.clicked.connect(self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneClosed)

    def cleanup(self):
        """Let go of the scene."""
        self.parameters.disconnectGui(self.tag)
        self.removeObservers()

    def onApply(self):
        """Count clicks; fail without a volume."""
        if self.ui.inputSelector.currentNode() is None:
            raise ValueError("no volume")  # noqa: EM101
        self.clicks += 1

    def onSceneClosed(self, _caller, _event):
        """Stay as it is."""


class HarnessSampleLogic(ScriptedLoadableModuleLogic):
    """The logic."""

    def getParameterNode(self):
        """Return the wrapped parameter node."""
        return HarnessSampleParameterNode(super().getParameterNode())
