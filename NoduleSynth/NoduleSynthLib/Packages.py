"""The Python packages that a synthesizer needs: looked for once, installed if the user agrees."""

from __future__ import annotations

from lungsynth_slicer import dependencies
from NoduleSynthLib.ParameterNode import WITHOUT_TORCH


class Packages:
    """What is known of the packages that inserting needs."""

    def __init__(self) -> None:
        self._found: dict[bool, bool] = {}  # with torch or without

    def areThere(self, synthesizer: str) -> bool:
        """Return whether a synthesizer can run; looks once, and never asks."""
        torch = synthesizer not in WITHOUT_TORCH
        if torch not in self._found:
            missing = dependencies.missingRequirements() or (torch and dependencies.torchMissing())
            self._found[torch] = not missing
        return self._found[torch]

    def ensure(self, synthesizer: str) -> None:
        """Install what a synthesizer needs, if the user agrees.

        Raises:
            LungSynthError: If something is still missing.
        """
        if not self.areThere(synthesizer):
            self.forget()
            dependencies.ensure(torch=synthesizer not in WITHOUT_TORCH)

    def ensureAll(self) -> None:
        """Install everything that inserting needs.

        Raises:
            LungSynthError: If something is still missing.
        """
        self.forget()
        dependencies.ensure()

    def forget(self) -> None:
        """Look again next time."""
        self._found.clear()
