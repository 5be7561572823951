"""The tab Latent: a slider for each axis of a generator, and the image that it draws there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.panels import breakable
from lungsynth_slicer.sessionfolder import SessionFolder
from lungsynth_slicer.worker import Worker, waitForEnded

REACH = 4.0  # quarters of the usual length of latents, as walks go
STEP = 0.1
NARROWEST, WIDEST = 200, 512  # of the picture, in pixels


class LatentPanel:
    """Draws by a worker of its own; where sliders move faster than it draws, the last counts.

    Args:
        ui: The widgets of the .ui file.
        onStart: Sees to the packages; raises LungSynthError if they are missing.
    """

    def __init__(self, ui: Any, onStart: Callable[[], None]) -> None:  # noqa: ANN401
        self.ui, self._onStart = ui, onStart
        self.p: Any = None
        self.worker = Worker()
        self._folder: SessionFolder | None = None
        self._labels: list[Any] = []
        self._sliders: list[Any] = []
        self._count = 0
        self._drawing = self._again = False
        ui.axesPath.filters = ctk.ctkPathLineEdit.Files
        ui.axesPath.nameFilters = [_("Axes (*.safetensors)")]
        ui.axesPath.settingKey = "AnomalyScanAxesPath"
        ui.axesPath.currentPathChanged.connect(lambda *_: self.refresh())
        ui.latentStartButton.clicked.connect(lambda *_: self.start())
        ui.latentResetButton.clicked.connect(lambda *_: self.reset())
        ui.latentSeedSpinBox.valueChanged.connect(lambda *_: self.draw())
        self.refresh()

    def say(self, message: str) -> None:
        """Show one line under the buttons."""
        self.ui.latentStatusLabel.text = breakable(message)
        self.ui.latentStatusLabel.setVisible(bool(message))

    def stop(self) -> None:
        """End the worker and remove the files; the panel goes."""
        self.worker.shutdown()
        waitForEnded()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def refresh(self) -> None:
        """Enable what can be done; what can't says why."""
        path = self.ui.axesPath.currentPath
        missing = ""
        if not path:
            missing = _("Choose a file of axes first.")
        elif not Path(path).is_file():
            missing = _("There is no file '{path}'.").format(path=path)
        button, reset = self.ui.latentStartButton, self.ui.latentResetButton
        button.enabled = not missing
        button.toolTip = missing or _("Load the generator and its axes.")
        reset.enabled = bool(self._sliders)
        reset.toolTip = _("Put all sliders to 0.") if self._sliders else _("Load axes first.")

    # --- axes ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Load the generator and the axes."""
        if self.p is None:
            return
        try:
            self._onStart()
            if self._folder is None or not self._folder.path.is_dir():
                self._folder = SessionFolder()
        except (LungSynthError, OSError) as error:
            self.say(str(error))
            return
        self._show([])
        self.worker.cancel()
        self._drawing = self._again = False
        self.say(_("Loading the generator ..."))
        self.worker.request(
            "load-axes",
            onDone=lambda answer: self._loaded(answer["names"]),
            onError=self._failed,
            onCancelled=lambda: None,
            axes=self.ui.axesPath.currentPath,
            weights=self.p.generator,
            device=self.p.device,
        )

    def _loaded(self, names: Sequence[str]) -> None:
        self._show(names)
        none = _("The file holds no axis: none was found for this generator.")
        self.say("" if names else none)
        self.draw()

    def _show(self, names: Sequence[str]) -> None:
        """Make one slider for each axis, in place of those before."""
        holder = self.ui.latentSlidersWidget
        for widget in (*self._labels, *self._sliders):
            widget.setParent(None)
            widget.deleteLater()
        layout = holder.layout() or qt.QFormLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        self._labels, self._sliders = [], []
        for name in names:
            slider = ctk.ctkSliderWidget()
            slider.minimum, slider.maximum = -REACH, REACH
            slider.singleStep = STEP
            slider.decimals = 1
            slider.value = 0.0
            slider.toolTip = _("How far along the axis of {name}; 0 is where it starts.").format(
                name=name
            )
            slider.valueChanged.connect(lambda *_: self.draw())
            label = qt.QLabel(f"{name}:")
            layout.addRow(label, slider)
            self._labels.append(label)
            self._sliders.append(slider)
        if not names:
            self.ui.latentImageLabel.setVisible(False)
        self.refresh()

    def reset(self) -> None:
        """Go back to where all axes start."""
        for slider in self._sliders:
            slider.value = 0.0

    # --- the image -----------------------------------------------------------------------------

    def draw(self) -> None:
        """Ask for the image of the sliders as they are."""
        if not self._sliders:
            return
        if self._drawing:
            self._again = True
            return
        self._drawing = True
        self._count += 1
        self.worker.request(
            "draw",
            onDone=self._drawn,
            onError=self._failed,
            onCancelled=lambda: None,
            latent_seed=int(self.ui.latentSeedSpinBox.value),
            amounts=[float(slider.value) for slider in self._sliders],
            output=str(self._folder.path / f"drawn-{self._count}.png"),
        )

    def _drawn(self, answer: Any) -> None:  # noqa: ANN401 - a mapping
        self._drawing = False
        path, label = Path(answer["output"]), self.ui.latentImageLabel
        picture = qt.QPixmap(str(path))
        path.unlink(missing_ok=True)
        if not picture.isNull():
            width = max(NARROWEST, min(label.parentWidget().width - 24, WIDEST))
            label.setPixmap(picture.scaledToWidth(width, qt.Qt.SmoothTransformation))
            label.setVisible(True)
        if self._again:
            self._again = False
            self.draw()

    def _failed(self, message: str) -> None:
        self._drawing = self._again = False
        self._show([])  # a worker that ended knows of no axes any more
        self.say(message)
