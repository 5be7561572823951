"""What the widgets of modules do alike: parameter node, scene, one refresh for many changes."""

from __future__ import annotations

import sys
from typing import Any

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from lungsynth_slicer.panels import boundWidgets


class ParameterPanel(VTKObservationMixin):
    """Shows a parameter node and follows the scene; a module's widget adds what is its own.

    Attributes:
        ui: The widgets of the .ui file; set before ``beginPanel``.
        logic: Has ``getParameterNode``; set before ``beginPanel``.
        p: The scene's settings; None while a scene is closed or loaded.
        ownPackages: Packages that are loaded anew with the module.
    """

    ownPackages: tuple[str, ...] = ("lungsynth_slicer",)

    def __init__(self) -> None:
        VTKObservationMixin.__init__(self)
        self.ui: Any = None
        self.logic: Any = None
        self.p: Any = None
        self._entered = False
        self._guiTag: Any = None
        self._refreshTimer: Any = None

    # --- what a module adds --------------------------------------------------------------------

    def takeUp(self, p: Any) -> None:  # noqa: ANN401 - a parameter node wrapper
        """Do what new settings need, before the widgets show them."""

    def followParameters(self) -> None:
        """Follow a change of the settings."""

    def sceneCloses(self) -> None:
        """Stop what works on nodes that are about to go."""

    def nodeGoes(self, node: Any) -> None:  # noqa: ANN401 - a node
        """Stop what works on this node."""

    def refresh(self) -> None:
        """Bring the panel up to date."""

    def firstVolume(self) -> Any:  # noqa: ANN401 - a node or None
        """Return the volume that is chosen where none is yet."""
        volume = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        return volume if volume is not None and not volume.GetHideFromEditors() else None

    # --- life ----------------------------------------------------------------------------------

    def beginPanel(self) -> None:
        """Follow the scene; to be called at the end of ``setup``."""
        self._refreshTimer = qt.QTimer()
        self._refreshTimer.setSingleShot(True)
        self._refreshTimer.timeout.connect(self._refreshNow)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEnd)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEnd)
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved)
        self.addObserver(scene, scene.NodeRemovedEvent, self.onSomethingChanged)
        self.initializeParameterNode()

    def enterPanel(self) -> None:
        """Come back to the module."""
        self._entered = True
        self.initializeParameterNode()

    def endPanel(self) -> None:
        """Let go of the scene; to be called in ``cleanup``."""
        if self._refreshTimer is not None:
            self._refreshTimer.stop()
        self.setParameterNode(None)
        self.removeObservers()

    def forgetPackages(self) -> None:
        """Let the module's packages be imported anew, not only its first file."""
        for name in list(sys.modules):
            if name.partition(".")[0] in self.ownPackages:
                del sys.modules[name]

    # --- scene ---------------------------------------------------------------------------------

    def onSceneStartClose(self, _caller: Any, _event: Any) -> None:  # noqa: ANN401
        """Stop what works on nodes that are about to go."""
        self.sceneCloses()
        self.setParameterNode(None)

    def onSceneStartImport(self, _caller: Any, _event: Any) -> None:  # noqa: ANN401
        """Let go of the settings: halfway through a scene, selectors would empty them."""
        self.setParameterNode(None)

    def onSceneEnd(self, _caller: Any, _event: Any) -> None:  # noqa: ANN401
        """Take up the settings of the scene as it is now."""
        if self._entered:
            self.initializeParameterNode()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, _caller: Any, _event: Any, node: Any) -> None:  # noqa: ANN401
        """Hand on which node goes."""
        if self.p is not None and node is not None:
            self.nodeGoes(node)

    def onSomethingChanged(self, _caller: Any = None, _event: Any = None) -> None:  # noqa: ANN401
        """Bring the panel up to date once Qt gets to it."""
        self.refreshSoon()

    # --- settings ------------------------------------------------------------------------------

    def initializeParameterNode(self) -> None:
        """Take the scene's settings, and a volume if none is chosen yet."""
        if self.p is None:  # each binding costs: Slicer keeps an observer of it for good
            self.setParameterNode(self.logic.getParameterNode())
        self.refreshSoon()
        if self.p.inputVolume is None:
            volume = self.firstVolume()
            if volume is not None:
                self.p.inputVolume = volume

    def setParameterNode(self, p: Any) -> None:  # noqa: ANN401 - a wrapper or None
        """Show and follow these settings."""
        modified = vtk.vtkCommand.ModifiedEvent
        if self.p is not None:
            self.p.disconnectGui(self._guiTag)
            self.removeObserver(self.p.parameterNode, modified, self.onParameters)
        self.p = p
        self.takeUp(p)
        if p is None:
            return
        # Not by connectGui: Slicer's gives no tag, so that it could not be taken back
        self._guiTag = p.connectParametersToGui(boundWidgets(self.ui))
        self.addObserver(p.parameterNode, modified, self.onParameters)
        self.refreshSoon()

    def onParameters(self, _caller: Any = None, _event: Any = None) -> None:  # noqa: ANN401
        """Follow a change of the settings, by a widget or by a script."""
        if self.p is not None:
            self.followParameters()
            self.refreshSoon()

    def refreshSoon(self) -> None:
        """Bring the panel up to date once Qt gets to it; many changes, one refresh."""
        if self._refreshTimer is not None:
            self._refreshTimer.start(0)

    def _refreshNow(self) -> None:
        if self.p is not None:
            self.refresh()
