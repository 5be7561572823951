"""Stand-in of the PyTorch extension's PyTorchUtils: installs nothing, records what was asked for.

A test looks at ``requested`` and sets ``available`` and ``failure``.
"""

from __future__ import annotations

import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

available = True
failure = None
requested = []


class PyTorchUtilsLogic(ScriptedLoadableModuleLogic):
    """The logic that extensions use to get torch."""

    @staticmethod
    def torchInstalled():
        """Return whether torch is there."""
        return available

    def installTorch(
        self,
        askConfirmation=False,
        forceComputationBackend=None,
        torchVersionRequirement=None,
        torchvisionVersionRequirement=None,
    ):
        """Record the request; None when the user says no, else something that stands for torch."""
        if (
            askConfirmation
            and not slicer.app.commandOptions().testingEnabled
            and not slicer.util.confirmOkCancelDisplay("PyTorch will be downloaded and installed")
        ):
            return None
        if failure is not None:
            raise failure
        requested.append(
            (forceComputationBackend, torchVersionRequirement, torchvisionVersionRequirement)
        )
        return object()
