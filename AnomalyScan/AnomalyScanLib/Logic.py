"""Scans without a panel: for the panel itself, and for scripts."""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from AnomalyScanLib.Outputs import Maps, Outputs, addOutputs
from AnomalyScanLib.ParameterNode import AnomalyScanParameterNode
from AnomalyScanLib.Result import Result
from AnomalyScanLib.Scanning import Failed, Progress, Scanning, Settings
from AnomalyScanLib.Weights import weightsProblem
from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.checks import VolumeChecks
from lungsynth_slicer.radiographs import isRadiograph


class AnomalyScanLogic(ScriptedLoadableModuleLogic):
    """Scans radiographs of a scene, one at a time."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._scanning = Scanning()
        self._checks = VolumeChecks()
        self.volume: slicer.vtkMRMLScalarVolumeNode | None = None  # that is being scanned

    def getParameterNode(self) -> AnomalyScanParameterNode:
        """Return the scene's settings of this module."""
        return AnomalyScanParameterNode(super().getParameterNode())

    @property
    def running(self) -> bool:
        """Whether a scan runs."""
        return self._scanning.running

    @property
    def processId(self) -> int:
        """The system's number of the process that scans; 0 while there is none."""
        return self._scanning.processId

    def problem(self, volume: slicer.vtkMRMLScalarVolumeNode | None, settings: Settings) -> str:
        """Return what keeps a volume from being scanned, as a sentence; empty if nothing does."""
        if volume is None:
            return _("Choose a chest radiograph first.")
        if not isRadiograph(volume):
            said = _("'{name}' is no radiograph: a volume of one slice is needed.")
            return said.format(name=volume.GetName())
        return self._checks.problemOf(volume) or weightsProblem(settings)

    def scan(
        self,
        volume: slicer.vtkMRMLScalarVolumeNode,
        settings: Settings,
        *,
        onDone: Callable[[Outputs], None],
        onError: Failed,
        onProgress: Progress = lambda *_: None,
    ) -> None:
        """Scan a radiograph in a process beside Slicer; returns at once.

        Args:
            volume: The radiograph.
            settings: How; the parameter node, or what has its fields.
            onDone: Called with the nodes that came out.
            onError: Called with one line, and nothing was changed.
            onProgress: Called with how many are done, of how many, and the stage.
        """
        problem = self.problem(volume, settings)
        if problem:
            onError(problem)
            return

        def found(result: Result, maps: Maps) -> None:
            self.volume = None
            if volume.GetScene() is None:
                onError(_("The radiograph was removed from the scene."))
                return
            shape = volume.GetImageData().GetDimensions()[::-1]
            if any(values.shape != shape for values in maps.values()):
                onError(_("The radiograph was changed during the scan; scan it again."))
                return
            onDone(addOutputs(volume, result, maps))

        def failed(message: str) -> None:
            self.volume = None
            onError(message)

        try:
            self._scanning.start(
                volume, settings, onDone=found, onError=failed, onProgress=onProgress
            )
        except (LungSynthError, OSError) as error:
            onError(str(error))
            return
        if self.running:
            self.volume = volume

    def cancel(self) -> None:
        """Stop; nothing is called any more, and the scene stays as it was."""
        self.volume = None
        self._scanning.cancel()

    def cleanup(self) -> None:
        """Stop what runs and remove the files."""
        self.volume = None
        self._scanning.close()
