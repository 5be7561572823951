"""The live preview in the panel: when it is shown, and what is said of it."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from lungsynth.core.nodule import Seed
from lungsynth_slicer.seeds import SeedPoint
from NoduleSynthLib.InsertPanel import InsertPanel
from NoduleSynthLib.LivePreview import LivePreview
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode

STOPPED = ("stopped", "cancelled")


class PreviewPanel:
    """Shows the preview of the selected seed in the views.

    Args:
        ui: The widgets of the .ui file.
        logic: Whose worker makes the nodules.
        insertPanel: Knows what the views show.
    """

    def __init__(
        self,
        ui: Any,  # noqa: ANN401 - a namespace of widgets
        logic: NoduleSynthLogic,
        insertPanel: InsertPanel,
    ) -> None:
        self.ui = ui
        self.logic = logic
        self.insertPanel = insertPanel
        self.live = LivePreview(logic, onShown=self._shown, onError=self._failed)
        self._previewed: Seed | None = None

    def show(self, p: NoduleSynthParameterNode, point: SeedPoint) -> None:
        """Ask for the nodule of a seed."""
        if point.seed != self._previewed:  # faded out, it could not be seen to move
            self._previewed = point.seed
            p.afterPercent = 100
        self.live.request(p, point.seed)

    def hide(self) -> None:
        """Take the preview away; the views show what they showed before it."""
        shown = self.live.node is not None
        self.live.hide()
        if shown:
            self.insertPanel.showLayers()

    def forget(self) -> None:
        """Take the preview and what was said of it away: it was of another volume."""
        self.hide()
        self.ui.previewLabel.setVisible(False)

    def _shown(self) -> None:
        self.ui.previewLabel.setVisible(False)
        self.insertPanel.showLayers(self.live.node)
        self.ui.compareSlider.enabled = self.ui.toggleButton.enabled = True
        if self.logic.session.device:
            self.ui.deviceLabel.text = self.logic.session.device

    def _failed(self, message: str) -> None:
        if message not in STOPPED:
            self.ui.previewLabel.text = _("No preview: {message}").format(message=message)
            self.ui.previewLabel.setVisible(True)
