"""What follows from a choice in the panel: a CT has outputs and seeds, an output its parts."""

from __future__ import annotations

from typing import Any

from NoduleSynthLib.InsertPanel import InsertPanel
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.Outputs import (
    chooseOutput,
    isOutputOf,
    isSeedListOfAny,
    outputsOf,
    seedListOf,
)
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode
from NoduleSynthLib.PreviewPanel import PreviewPanel
from NoduleSynthLib.SeedChecks import restate


class Choices:
    """Remembers what was chosen, and acts where it has become another.

    Args:
        logic: Whether a run is on its way, which makes choices of its own.
        insertPanel: Knows what the views show.
        previewPanel: Has a preview of what was chosen before.
    """

    def __init__(
        self, logic: NoduleSynthLogic, insertPanel: InsertPanel, previewPanel: PreviewPanel
    ) -> None:
        self._logic = logic
        self._insertPanel = insertPanel
        self._previewPanel = previewPanel
        self._inputId: str | None = None
        self._outputId: str | None = None
        self._afterPercent = 100

    def begin(self, p: NoduleSynthParameterNode) -> None:
        """Take the settings as they are."""
        self._inputId, self._outputId = _idOf(p.inputVolume), _idOf(p.outputVolume)
        self._afterPercent = p.afterPercent

    def follow(self, p: NoduleSynthParameterNode) -> None:
        """Act on what was chosen since the last time."""
        self._followInput(p)
        self._followOutput(p)
        if p.afterPercent != self._afterPercent:
            self._afterPercent = p.afterPercent
            self._insertPanel.showLayers(self._previewPanel.live.node)

    def _followInput(self, p: NoduleSynthParameterNode) -> None:
        """Go to the outputs and seeds of a CT that was chosen."""
        volume = p.inputVolume
        if _idOf(volume) == self._inputId:
            return
        self._inputId = _idOf(volume)
        self._previewPanel.forget()
        self._insertPanel.forget()
        if volume is None:
            return
        made = list(outputsOf(volume))
        self._outputId = _idOf(made[-1]) if made else None
        if made or (p.outputVolume and not isOutputOf(p.outputVolume, volume)):
            chooseOutput(p, made[-1] if made else None)
            restate(p)
        own = seedListOf(volume)
        if not made and (own is not None or isSeedListOfAny(p.seeds)):
            p.seeds = own

    def _followOutput(self, p: NoduleSynthParameterNode) -> None:
        """Go to the segmentation and table of an output that was chosen, or forget them."""
        output = p.outputVolume
        if _idOf(output) == self._outputId:
            return
        self._outputId = _idOf(output)
        if self._logic.running:  # it is the run that made it
            return
        self._previewPanel.hide()
        self._insertPanel.forget()
        chooseOutput(p, output)
        restate(p)


def _idOf(node: Any) -> str | None:  # noqa: ANN401 - a MRML node or None
    return node.GetID() if node is not None else None
