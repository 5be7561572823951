"""The panel: its life, its parameter node, and what can be done now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Photometric
from lungsynth_slicer import dependencies
from lungsynth_slicer.checks import VolumeChecks
from lungsynth_slicer.nodes import removeWithParts
from lungsynth_slicer.parameterpanel import ParameterPanel
from lungsynth_slicer.radiographs import isRadiograph, setPhotometric, spacingOf
from lungsynth_slicer.seeds import SeedList
from NoduleSynthLib.Choices import Choices
from NoduleSynthLib.FineTune import FineTunePanel
from NoduleSynthLib.InsertPanel import InsertPanel
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.Outputs import partsOf
from NoduleSynthLib.Packages import Packages
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode, synthesizerOf
from NoduleSynthLib.PreviewPanel import PreviewPanel
from NoduleSynthLib.Readiness import (
    checkButtons,
    missingToInsert,
    showKind,
    showMalignancy,
    showVolume,
    showWarnings,
)
from NoduleSynthLib.SeedChecks import renew
from NoduleSynthLib.SeedsPanel import SeedsPanel, interactionNode
from NoduleSynthLib.Spheres import Spheres

UI_FILE = "UI/NoduleSynth.ui"


class NoduleSynthWidget(ScriptedLoadableModuleWidget, ParameterPanel):
    """Wires widgets, logic and scene; what each part does is in its own file."""

    ownPackages = ("NoduleSynthLib", "lungsynth_slicer")

    def __init__(self, parent: Any = None) -> None:  # noqa: ANN401 - a qMRMLWidget
        ScriptedLoadableModuleWidget.__init__(self, parent)
        ParameterPanel.__init__(self)
        self._seedsNode: Any = None
        self._halfPath = ""  # of weights, while it is typed
        self._orphans: list[Any] = []
        self.packages = Packages()
        self._volumes = VolumeChecks()

    # --- life ----------------------------------------------------------------------------------

    def setup(self) -> None:
        """Make the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath(UI_FILE))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = NoduleSynthLogic()
        self.spheres = Spheres()
        self.insertPanel = InsertPanel(
            self.ui, self.logic, onStart=self._start, onChanged=self.refreshSoon
        )
        self.seedsPanel = SeedsPanel(
            self.ui,
            self.logic,
            onStart=self.ensurePackages,
            onChanged=self.refreshSoon,
            onMessage=self.insertPanel.say,
        )
        self.previewPanel = PreviewPanel(self.ui, self.logic, self.insertPanel)
        self.preview = self.previewPanel.live
        self._choices = Choices(self.logic, self.insertPanel, self.previewPanel)
        self.fineTune = FineTunePanel(
            self.ui, self, ensurePackages=lambda: dependencies.ensure(training=True)
        )
        self.fineTune.setup()
        self.logic.session.onInfo = self.insertPanel.inform
        self.ui.weightsPathLineEdit.currentPathChanged.connect(self._weightsChanged)
        self.ui.invertedCheckBox.clicked.connect(lambda *_: self._inverted())
        self.ui.packagesButton.clicked.connect(lambda *_: self.installPackages())
        self.ui.releaseButton.clicked.connect(lambda *_: self.release())
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartSaveEvent, self.onSceneStartSave)
        self.addObserver(scene, scene.EndSaveEvent, self.onSomethingChanged)
        self._observeInteraction()
        self.beginPanel()

    def enter(self) -> None:
        """Come back to the module."""
        self._observeInteraction()
        self.enterPanel()

    def exit(self) -> None:
        """Leave for another module; a running insertion goes on."""
        self._entered = False
        self.seedsPanel.stopPlacing()
        self.previewPanel.hide()
        self.spheres.hide()

    def cleanup(self) -> None:
        """Let go of everything: Slicer ends, or the module is loaded anew."""
        self.insertPanel.stop()
        self.seedsPanel.stopPlacing()
        self.fineTune.cleanup()
        self.preview.reset()
        self.spheres.hide()
        self.endPanel()
        self.logic.cleanup()

    def onReload(self) -> None:
        """Load the module's own packages anew, not only its first file."""
        self.forgetPackages()
        ScriptedLoadableModuleWidget.onReload(self)

    # --- scene ---------------------------------------------------------------------------------

    def sceneCloses(self) -> None:
        """Stop what works on nodes that are about to go."""
        self._orphans.clear()
        self.logic.cancel(_("The scene was closed; the insertion was stopped."))
        self.preview.reset()
        self.spheres.hide()

    def onSceneStartSave(self, _caller: Any, _event: Any) -> None:  # noqa: ANN401
        """Leave the views as they are without the preview, which is in no file; it comes back."""
        self.previewPanel.hide()

    def nodeGoes(self, node: Any) -> None:  # noqa: ANN401 - a node
        """Stop a run whose input or output goes."""
        if node is self.preview.node:
            self.preview.hide()
        self._orphans += partsOf(node)
        inputGone = _("The CT was removed from the scene; the insertion was stopped.")
        outputGone = _("The output was removed from the scene; the insertion was stopped.")
        for role, said in (("inputVolume", inputGone), ("outputVolume", outputGone)):
            if node is getattr(self.p, role):
                self.previewPanel.hide()
                self.logic.cancel(said)
                if role == "outputVolume":
                    self.logic.forget(node.GetID())

    def _observeInteraction(self) -> None:
        """Follow what a click in a view does; the node is another after a scene is closed."""
        node = interactionNode()
        changed = slicer.vtkMRMLInteractionNode.InteractionModeChangedEvent
        if node is not None and not self.hasObserver(node, changed, self.onSomethingChanged):
            self.addObserver(node, changed, self.onSomethingChanged)

    # --- parameter node ------------------------------------------------------------------------

    def takeUp(self, p: NoduleSynthParameterNode | None) -> None:
        """Hand the settings to the parts."""
        self.insertPanel.p = p
        self.seedsPanel.begin(p)
        self._observeSeeds(None)
        if p is not None:
            self._halfPath = ""
            self._choices.begin(p)
            self.ui.weightsPathLineEdit.currentPath = p.weights

    def followParameters(self) -> None:
        """Follow a change of the settings, by a widget or by a script."""
        self._choices.follow(self.p)
        self._observeSeeds(self.p.seeds)
        self.seedsPanel.parameterChanged()

    def _weightsChanged(self, path: str) -> None:
        """Take a path once it names a file: it comes letter by letter while it is typed."""
        if self.p is None:
            return
        isTaken = path in ("", self.p.weights) or Path(path).is_file()
        self._halfPath = "" if isTaken else path
        if isTaken and path != self.p.weights:
            self.p.weights = path
        self.refreshSoon()

    def _weightsProblem(self) -> str:
        """Return why the weights in the field can't be used; those before it would be instead."""
        if not self._halfPath:
            return ""
        said = _("Weights: there is no file '{path}'; choose one, or none for those that ship.")
        return said.format(path=self._halfPath)

    def useWeights(self, path: str) -> None:
        """Insert with these weights from now on."""
        self.p.synthesizer = "mcgan"
        self.ui.weightsPathLineEdit.currentPath = str(path)

    def _inverted(self) -> None:
        """Take what the user says of a radiograph's values."""
        if self.p is not None and isRadiograph(self.p.inputVolume):
            dark = self.ui.invertedCheckBox.checked
            said = Photometric.MONOCHROME1 if dark else Photometric.MONOCHROME2
            setPhotometric(self.p.inputVolume, said)
            self.previewPanel.forget()
            self.refreshSoon()

    # --- seeds ---------------------------------------------------------------------------------

    def _observeSeeds(self, node: Any) -> None:  # noqa: ANN401 - a markups node or None
        if node is self._seedsNode:
            return
        markups = slicer.vtkMRMLMarkupsNode
        events = {
            markups.PointPositionDefinedEvent: self.onPointPlaced,
            markups.PointModifiedEvent: self.onSomethingChanged,
            markups.PointAddedEvent: self.onSomethingChanged,
            markups.PointRemovedEvent: self.onSomethingChanged,
            vtk.vtkCommand.ModifiedEvent: self.onSomethingChanged,
        }
        for event, method in events.items():
            if self._seedsNode is not None:
                self.removeObserver(self._seedsNode, event, method)
            if node is not None:
                self.addObserver(node, event, method)
        self._seedsNode = node

    def onPointPlaced(self, _caller: Any = None, _event: Any = None) -> None:  # noqa: ANN401
        """Give a new point the nodule that the panel shows."""
        self.seedsPanel.specifyNew()
        self.refreshSoon()

    # --- up to date ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show what the scene holds and what can be done with it."""
        if self.p is None:
            return
        self._removeOrphans()
        self._observeSeeds(self.p.seeds)
        self.seedsPanel.specifyNew()
        if self.p.outputVolume is None and self.p.seeds is not None and not self.logic.running:
            renew(SeedList(self.p.seeds))
        problem, problems, notes = self._volumes.problemOf(self.p.inputVolume), {}, {}
        if not problem:
            problems = self.logic.problems(self.p)
            notes = self.logic.notes(self.p, problems)
        points = self.seedsPanel.points()
        if self.seedsPanel.selected() is None and self.seedsPanel.selectedId not in {
            point.id for point in points
        }:
            self.seedsPanel.selectedId = None
        inPixels = isRadiograph(self.p.inputVolume) and spacingOf(self.p.inputVolume) is None
        self.seedsPanel.table.showColumns(
            inRadiograph=isRadiograph(self.p.inputVolume), unit="px" if inPixels else "mm"
        )
        self.seedsPanel.table.show(
            points,
            problems,
            notes,
            selected=self.seedsPanel.selectedId,
            readOnly=self.logic.running,
        )
        self.seedsPanel.showSelected()
        showWarnings(self.ui, points, problems, notes)
        if self._entered and self.p.showSpheres:
            self.spheres.show(slicer.mrmlScene, points, set(problems), self.p.inputVolume)
        else:
            self.spheres.hide()
        self._updatePreview(problem, problems)
        new = sum(point.state == "new" for point in points)
        missing = missingToInsert(self.p, problem, points, problems) or self._weightsProblem()
        self.insertPanel.check(missing, new)
        showVolume(self.ui, self.p.inputVolume, problem)
        showKind(self.ui, self.p.inputVolume)
        noVolume = missing if problem or self.p.inputVolume is None else ""
        showMalignancy(self.ui, self.p.synthesizer)
        checkButtons(self.ui, self.logic, self.seedsPanel, noVolume)

    def _removeOrphans(self) -> None:
        """Remove masks and table of an output that was removed: Insert makes the same again."""
        orphans, self._orphans = self._orphans, []
        left = [node for node in orphans if node.GetScene() is not None]
        for node in left:
            removeWithParts(node)
        if left:
            said = _("The output was removed, and with it {names}.")
            names = ", ".join(f"'{node.GetName()}'" for node in left)
            self.insertPanel.say(said.format(names=names))

    def _updatePreview(self, problem: str, problems: dict[str, str]) -> None:
        """Ask for the nodule of the selected seed, or take the preview away."""
        point = self.seedsPanel.selected()
        wanted = (
            self._entered
            and not slicer.mrmlScene.GetStates() & slicer.mrmlScene.SaveState
            and self.p.livePreview
            and self.p.inputVolume is not None
            and point is not None
            and point.specified
            and not problem
            and point.id not in problems
            and not self.logic.running
            and self.packages.areThere(synthesizerOf(self.p))
        )
        if wanted:
            self.previewPanel.show(self.p, point)
        else:
            self.previewPanel.hide()

    # --- packages ------------------------------------------------------------------------------

    def ensurePackages(self) -> None:
        """Install what the synthesizer needs, if the user agrees.

        Raises:
            LungSynthError: If something is still missing.
        """
        self.packages.ensure(synthesizerOf(self.p))

    def installPackages(self) -> None:
        """Install everything that inserting needs."""
        try:
            self.packages.ensureAll()
        except LungSynthError as error:
            self.insertPanel.say(str(error))
        else:
            self.insertPanel.say(_("All packages for inserting are there."))
        self.refreshSoon()

    def _start(self) -> None:
        self.previewPanel.hide()
        self.ensurePackages()

    def release(self) -> None:
        """End the worker; it starts again when it is needed."""
        self.previewPanel.hide()
        self.logic.session.stop()
        self.p.livePreview = False
        self.insertPanel.say(_("Memory is free again; live preview is off."))
        self.refreshSoon()
