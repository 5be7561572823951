"""The panel: its life, its parameter node, and what can be done now."""

from __future__ import annotations

from typing import Any

import ctk
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

from AnomalyScanLib.BatchPanel import BatchPanel
from AnomalyScanLib.LatentPanel import LatentPanel
from AnomalyScanLib.Logic import AnomalyScanLogic
from AnomalyScanLib.Outputs import INPUT, outputsOf, partsOf
from AnomalyScanLib.ScanPanel import ScanPanel
from AnomalyScanLib.Weights import OPTIONS
from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Photometric
from lungsynth_slicer import dependencies
from lungsynth_slicer.nodes import removeWithParts
from lungsynth_slicer.panels import breakable
from lungsynth_slicer.parameterpanel import ParameterPanel
from lungsynth_slicer.process import waitForStopped
from lungsynth_slicer.radiographs import isRadiograph, photometricOf, setPhotometric, spacingOf

UI_FILE = "UI/AnomalyScan.ui"


class AnomalyScanWidget(ScriptedLoadableModuleWidget, ParameterPanel):
    """Wires widgets, logic and scene; what each part does is in its own file."""

    ownPackages = ("AnomalyScanLib", "lungsynth_slicer")

    def __init__(self, parent: Any = None) -> None:  # noqa: ANN401 - a qMRMLWidget
        ScriptedLoadableModuleWidget.__init__(self, parent)
        ParameterPanel.__init__(self)
        self._orphans: list[Any] = []

    # --- life ----------------------------------------------------------------------------------

    def setup(self) -> None:
        """Make the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath(UI_FILE))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = AnomalyScanLogic()
        self.scanPanel = ScanPanel(
            self.ui, self.logic, onStart=self.ensurePackages, onChanged=self.refreshSoon
        )
        self.batchPanel = BatchPanel(
            self.ui, onStart=self.ensurePackages, onChanged=self.refreshSoon
        )
        self.latentPanel = LatentPanel(self.ui, onStart=self.ensurePackages)
        for name in OPTIONS:
            field = self._pathField(name)
            field.filters = ctk.ctkPathLineEdit.Files
            field.nameFilters = [_("Weights (*.safetensors)")]
            field.currentPathChanged.connect(lambda path, name=name: self._pathChanged(name, path))
        self.ui.invertedCheckBox.clicked.connect(lambda *_: self._inverted())
        self.ui.packagesButton.clicked.connect(lambda *_: self.installPackages())
        self.beginPanel()

    def enter(self) -> None:
        """Come back to the module."""
        self.enterPanel()

    def exit(self) -> None:
        """Leave for another module; a running scan goes on."""
        self._entered = False

    def cleanup(self) -> None:
        """Let go of everything: Slicer ends, or the module is loaded anew."""
        self.scanPanel.stop()
        self.batchPanel.stop()
        self.latentPanel.stop()
        self.endPanel()
        waitForStopped()
        self.logic.cleanup()

    def onReload(self) -> None:
        """Load the module's own packages anew, not only its first file."""
        self.forgetPackages()
        ScriptedLoadableModuleWidget.onReload(self)

    # --- scene ---------------------------------------------------------------------------------

    def firstVolume(self) -> Any:  # noqa: ANN401 - a node or None
        """Return the first radiograph that is no output of a scan."""
        scene, kind = slicer.mrmlScene, "vtkMRMLScalarVolumeNode"
        count = scene.GetNumberOfNodesByClass(kind)
        nodes = [scene.GetNthNodeByClass(n, kind) for n in range(count)]
        made = {part.GetID() for node in nodes for part in partsOf(node)}
        for node in nodes:
            isOutput = node.GetID() in made or node.GetNodeReferenceID(INPUT)
            if isRadiograph(node) and not isOutput and not node.GetHideFromEditors():
                return node
        return None

    def sceneCloses(self) -> None:
        """Stop what works on nodes that are about to go."""
        self._orphans.clear()
        if self.logic.running:
            self.scanPanel.cancel(_("The scene was closed; the scan was stopped."))
        self.scanPanel.forget()

    def takeUp(self, p: Any) -> None:  # noqa: ANN401 - a parameter node or None
        """Hand the settings to the parts."""
        self.scanPanel.p = self.batchPanel.p = self.latentPanel.p = p
        if p is None:
            return
        self._showPaths()

    def followParameters(self) -> None:
        """Show paths that a script or a loaded scene has set."""
        self._showPaths()

    def nodeGoes(self, node: Any) -> None:  # noqa: ANN401 - a node
        """Stop the scan of a radiograph that goes; what belongs to a heatmap goes with it."""
        self._orphans += partsOf(node)
        if node is self.logic.volume:
            said = _("The radiograph was removed from the scene; the scan was stopped.")
            self.scanPanel.cancel(said)

    # --- settings ------------------------------------------------------------------------------

    def _pathField(self, name: str) -> Any:  # noqa: ANN401 - a ctkPathLineEdit
        return getattr(self.ui, f"{name}Path")

    def _showPaths(self) -> None:
        for name in OPTIONS:
            if self._pathField(name).currentPath != getattr(self.p, name):
                self._pathField(name).currentPath = getattr(self.p, name)

    def _pathChanged(self, name: str, path: str) -> None:
        if self.p is not None and getattr(self.p, name) != path:
            setattr(self.p, name, path)

    def _inverted(self) -> None:
        """Take what the user says of a radiograph's values."""
        if self.p is not None and isRadiograph(self.p.inputVolume):
            dark = self.ui.invertedCheckBox.checked
            said = Photometric.MONOCHROME1 if dark else Photometric.MONOCHROME2
            setPhotometric(self.p.inputVolume, said)
            self.refreshSoon()

    # --- up to date ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what the scene holds and what can be done with it."""
        orphans, self._orphans = self._orphans, []
        for node in orphans:
            if node.GetScene() is not None:
                removeWithParts(node)
        self._showInput()
        problem = self.logic.problem(self.p.inputVolume, self.p)
        self.scanPanel.refresh(problem, outputsOf(self.p.inputVolume), inViews=self._entered)
        self.batchPanel.refresh()

    def _showInput(self) -> None:
        volume, words = self.p.inputVolume, _("Choose a frontal chest radiograph.")
        isOne = isRadiograph(volume)
        if isOne:
            columns, rows = volume.GetImageData().GetDimensions()[:2]
            spacing = spacingOf(volume)
            size = _("{columns} x {rows} pixels").format(columns=columns, rows=rows)
            unknown = _("pixel spacing not known: areas in pixels")
            inMm = unknown if spacing is None else _("{:.3g} x {:.3g} mm each").format(*spacing)
            words = f"{size}, {inMm}"
        self.ui.inputInfoLabel.text = breakable(words)
        self.ui.invertedCheckBox.setVisible(isOne)
        if isOne:
            self.ui.invertedCheckBox.checked = photometricOf(volume) == Photometric.MONOCHROME1

    # --- packages ------------------------------------------------------------------------------

    def ensurePackages(self) -> None:
        """Install what scanning needs, if the user agrees.

        Raises:
            LungSynthError: If something is still missing.
        """
        dependencies.ensure()

    def installPackages(self) -> None:
        """Install everything that scanning needs."""
        try:
            dependencies.ensure()
        except LungSynthError as error:
            self.scanPanel.say(str(error))
        else:
            self.scanPanel.say(_("All packages for scanning are there."))
