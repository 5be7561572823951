"""The sections Seeds and Nodule: placing, proposing, editing and removing seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.seeds import SeedList, SeedPoint, Spec
from lungsynth_slicer.views import jumpTo
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.Outputs import makeSeedList, prepareSeedList
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode, showSpec, specOf
from NoduleSynthLib.SeedChecks import drawLatentSeed, seedsOf
from NoduleSynthLib.SeedTable import SeedTable

PLACE, VIEW = slicer.vtkMRMLInteractionNode.Place, slicer.vtkMRMLInteractionNode.ViewTransform


class SeedsPanel:
    """What the user does to seeds; the points themselves live in the markups node.

    Args:
        ui: The widgets of the .ui file.
        logic: For proposals and checks.
        onStart: Called before a proposal starts; raises LungSynthError if it can't.
        onChanged: Called when the panel should be brought up to date.
        onMessage: Called with one line for the user.
    """

    def __init__(
        self,
        ui: Any,  # noqa: ANN401 - a namespace of widgets
        logic: NoduleSynthLogic,
        *,
        onStart: Callable[[], None],
        onChanged: Callable[[], None],
        onMessage: Callable[[str], None],
    ) -> None:
        self.ui = ui
        self.logic = logic
        self.onStart = onStart
        self.onChanged = onChanged
        self.onMessage = onMessage
        self.p: NoduleSynthParameterNode | None = None
        self.selectedId: str | None = None
        self.proposing = False
        self._selectedSpec: Spec | None = None  # of the selected seed, when shown
        self._shownSpec: Spec | None = None  # what the section Nodule showed then
        self._showing = False
        self._typedVariant: int | None = None  # for the next seed; later ones draw theirs
        self.table = SeedTable(
            ui.seedsTable,
            onSelect=self.select,
            onEdit=self.edit,
            onRename=self._rename,
            onRefused=onMessage,
        )
        ui.seedsSelector.nodeAddedByUser.connect(self._prepare)
        ui.placeButton.toggled.connect(self._place)
        ui.proposeButton.clicked.connect(lambda *_: self.propose())
        ui.removeSeedButton.clicked.connect(lambda *_: self.removeSelected())
        ui.drawAnotherButton.clicked.connect(lambda *_: self.drawAnother())

    def begin(self, p: NoduleSynthParameterNode | None) -> None:
        """Work on other settings."""
        self.p = p
        self.selectedId = self._selectedSpec = self._typedVariant = None
        self._shownSpec = specOf(p) if p is not None else None

    # --- reading -------------------------------------------------------------------------------

    def points(self) -> list[SeedPoint]:
        """Return the seeds of the chosen list."""
        if self.p is None or self.p.seeds is None:
            return []
        return SeedList(self.p.seeds).points()

    def selected(self) -> SeedPoint | None:
        """Return the selected seed, if it is still to be inserted."""
        for point in self.points():
            if point.id == self.selectedId and point.state == "new":
                return point
        return None

    # --- placing -------------------------------------------------------------------------------

    def _prepare(self, node: slicer.vtkMRMLMarkupsFiducialNode) -> None:
        """Make of the selector's new list one like those that the panel makes."""
        if self.p is not None:
            prepareSeedList(node, self.p.inputVolume)

    def _place(self, wanted: bool) -> None:
        """Start or stop placing points by clicks in the views."""
        interaction = interactionNode()
        if self.p is None or interaction is None or wanted == self.placing():
            return
        if not wanted:
            interaction.SetCurrentInteractionMode(VIEW)
            return
        if self.p.seeds is None:
            self.p.seeds = makeSeedList(slicer.mrmlScene, self.p.inputVolume)
        selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        selection.SetReferenceActivePlaceNodeClassName(self.p.seeds.GetClassName())
        selection.SetActivePlaceNodeID(self.p.seeds.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(PLACE)

    def placing(self) -> bool:
        """Return whether a click in a view places a seed of this list."""
        interaction = interactionNode()
        selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        return bool(
            self.p is not None
            and self.p.seeds is not None
            and interaction is not None
            and interaction.GetCurrentInteractionMode() == PLACE
            and selection.GetActivePlaceNodeID() == self.p.seeds.GetID()
        )

    def stopPlacing(self) -> None:
        """Make clicks in the views do what they usually do."""
        if self.placing():
            interactionNode().SetCurrentInteractionMode(VIEW)

    def specifyNew(self) -> None:
        """Give points that carry no spec yet the one the panel shows, and select the newest."""
        if self.p is None or self.p.seeds is None:
            return
        seeds = seedsOf(self.p)
        for point in seeds.points():
            if not seeds.isSpecified(point):
                typed, self._typedVariant = self._typedVariant, None
                drawn = drawLatentSeed(point.id, self.p.randomSeed)
                latent = drawn if typed is None else typed
                seeds.setSpec(point.id, replace(specOf(self.p), latent_seed=latent))
                self.selectedId = point.id

    # --- editing -------------------------------------------------------------------------------

    def select(self, pointId: str) -> None:
        """Show a seed: its row, its place in the views, its nodule in the panel."""
        self.selectedId = pointId
        for point in self.points():
            if point.id == pointId:
                jumpTo(slicer.mrmlScene, point.position_ras_mm)
        self.onChanged()

    def edit(self, pointId: str, changes: Mapping[str, Any]) -> None:
        """Change what a seed is to become.

        Raises:
            LungSynthError: If a value is not allowed.
        """
        seeds = SeedList(self.p.seeds)
        seeds.setSpec(pointId, replace(seeds.point(pointId).spec, **changes))
        self.onChanged()

    def _rename(self, pointId: str, name: str) -> None:
        if name:
            SeedList(self.p.seeds).setLabel(pointId, name)
        self.onChanged()

    def removeSelected(self) -> None:
        """Remove the selected seed; one whose nodule is in the output stays."""
        point = self.selected()
        if point is not None:
            SeedList(self.p.seeds).remove(point.id)
            self.selectedId = None
            self.onChanged()

    def drawAnother(self) -> None:
        """Take the next latent seed: another nodule of the same size and kind."""
        self.p.latentSeed = (self.p.latentSeed + 1) % 2**31

    def parameterChanged(self) -> None:
        """Pass on what the user changed in the section Nodule to the selected seed."""
        if self.p is None or self._showing:
            return
        spec, shown = specOf(self.p), self._shownSpec
        self._shownSpec = spec
        point = self.selected()
        if shown is None or spec == shown or type(spec) is not type(shown):
            return
        if point is None or type(point.spec) is not type(spec):
            if spec.latent_seed != shown.latent_seed:
                self._typedVariant = spec.latent_seed
            return
        changed = {
            f.name: getattr(spec, f.name)
            for f in fields(spec)
            if getattr(spec, f.name) != getattr(shown, f.name)
        }
        self._selectedSpec = replace(point.spec, **changed)
        SeedList(self.p.seeds).setSpec(point.id, self._selectedSpec)

    def showSelected(self) -> None:
        """Show the selected seed's nodule in the section Nodule, if it became another."""
        point = self.selected()
        self.ui.noduleForLabel.text = (
            _("{name}; the next seed that you place gets its size and kind:").format(
                name=point.label
            )
            if point is not None
            else _("For the next seed that you place:")
        )
        spec = point.spec if point is not None else None
        stale = self._shownSpec is not None and type(specOf(self.p)) is not type(self._shownSpec)
        if spec == self._selectedSpec and not stale:
            return
        self._selectedSpec = spec
        if spec is not None:
            self._showing = True
            try:
                showSpec(self.p, spec)
            finally:
                self._showing = False
        self._shownSpec = specOf(self.p)

    # --- proposing -----------------------------------------------------------------------------

    def propose(self) -> None:
        """Add seeds in the lungs, or in the lung fields."""
        try:
            self.onStart()
        except LungSynthError as error:
            self.onMessage(str(error))
            return
        self.proposing = True
        self.onMessage(_("Looking for places in the lungs ..."))
        self.onChanged()

        def done(ids: list[str]) -> None:
            self.proposing = False
            self.onMessage(_("{count} seeds proposed.").format(count=len(ids)))
            self.select(ids[0])

        def failed(message: str) -> None:
            self.proposing = False
            self.onMessage(message)
            self.onChanged()

        try:
            self.logic.propose(
                self.p,
                self.p.proposeCount,
                self.p.proposeSite,
                specOf(self.p),
                randomSeed=self.p.randomSeed,
                behindHeart=self.p.behindHeart,
                onDone=done,
                onError=failed,
            )
        except LungSynthError as error:
            failed(str(error))


def interactionNode() -> slicer.vtkMRMLInteractionNode | None:
    """Return the node that says what a click in a view does."""
    return slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
