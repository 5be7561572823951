"""What the section Fine-tune shows: progress, curves, samples, and which buttons can be pressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
from slicer.i18n import tr as _

from lungsynth_slicer.panels import breakable
from lungsynth_slicer.plots import PlotHolder
from NoduleSynthLib.FineTunePlot import FineTunePlot
from NoduleSynthLib.FineTuneRun import SAMPLES, Run, Stage

PATHS = ("fineTuneDataPath", "fineTuneOutputPath", "fineTuneWeightsPath")
WIDEST_SAMPLES = 528  # pixels: what the picture has
CHECKING, TRAINING, PAUSING = "checking", "training", "pausing"


class FineTuneView:
    """Shows what it is told; decides nothing.

    Args:
        ui: The widgets of the .ui file.
    """

    def __init__(self, ui: Any) -> None:  # noqa: ANN401 - a namespace of widgets
        self.ui = ui
        self._holder = PlotHolder(ui.fineTunePlotPlaceholder)
        self.plot = FineTunePlot(self._holder.show)
        self._samples: tuple[str, float] | None = None

    def say(self, message: str) -> None:
        """Show one line under the buttons."""
        self.ui.fineTuneStatusLabel.text = breakable(message)
        self.ui.fineTuneStatusLabel.setVisible(bool(message))

    def summarise(self, lines: Sequence[str]) -> None:
        """Show what the data folder holds."""
        self.ui.fineTuneSummaryLabel.text = breakable("\n".join(lines))
        self.ui.fineTuneSummaryLabel.setVisible(bool(lines))

    def progress(self, done: int, total: int) -> None:
        """Show how far the training is."""
        bar = self.ui.fineTuneProgressBar
        bar.maximum = total
        bar.value = min(done, total)
        bar.setVisible(True)

    def losses(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Add steps to the curves."""
        self.plot.add(rows)

    def samples(self, folder: Path | None) -> None:
        """Show the newest picture of what the networks draw; None takes it away."""
        label = self.ui.fineTuneSampleLabel
        path = folder / SAMPLES if folder is not None else None
        try:
            written = (str(path), path.stat().st_mtime) if path is not None else None
        except OSError:
            written = None
        if written == self._samples:
            return
        self._samples = written
        picture = qt.QPixmap(str(path)) if written else qt.QPixmap()
        if not picture.isNull():
            width = max(200, min(label.parentWidget().width - 24, WIDEST_SAMPLES))
            label.setPixmap(picture.scaledToWidth(width, qt.Qt.SmoothTransformation))
        label.setVisible(not picture.isNull())

    def ended(self) -> None:
        """Take the progress away; curves and samples stay."""
        self.ui.fineTuneProgressBar.setVisible(False)

    def forgetNodes(self) -> None:
        """Let go of the nodes of a scene that was closed."""
        self._holder.hide()
        self.plot.forget()

    def clear(self) -> None:
        """Take the curves out of the scene."""
        self._holder.hide()
        self.plot.clear()

    def enable(self, run: Run | None, missing: str, busy: str) -> None:
        """Enable what can be done; what can't says why.

        Args:
            run: What the run folder holds.
            missing: What keeps a training from starting; empty if nothing does.
            busy: What is under way: nothing, or one of the words above.
        """
        ui = self.ui
        why = {CHECKING: _("The data are being checked."), "": ""}.get(
            busy, _("The training is running.")
        )
        begun = run is not None and run.stage is not Stage.NONE
        noData = "" if ui.fineTuneDataPath.currentPath else _("Choose a data folder first.")
        finished = run is not None and run.weights is not None
        idle = _("It ends after this step.") if busy == PAUSING else _("Nothing is running.")
        ui.fineTuneStartButton.text = _("Resume") if begun else _("Start")
        for button, problem, tip in (
            (ui.fineTuneCheckButton, why or noData, _("Say what the data folder holds.")),
            (
                ui.fineTuneStartButton,
                why or missing,
                _("Go on with the run in the folder.")
                if begun
                else _("Check the data, then train."),
            ),
            (
                ui.fineTunePauseButton,
                "" if busy == TRAINING else idle,
                _("End after this step, with a checkpoint; Resume goes on from there."),
            ),
            (
                ui.fineTuneCancelButton,
                "" if busy else idle,
                _("Stop at once; Resume goes on from the last checkpoint."),
            ),
            (
                ui.fineTuneUseButton,
                why or ("" if finished else _("Finish a run first.")),
                _("Let Insert use the weights of this run."),
            ),
        ):
            button.enabled = not problem
            button.toolTip = problem or tip
        for name in (*PATHS, "fineTuneStepsSpinBox"):
            getattr(ui, name).enabled = not busy
        ui.fineTuneWeightsPath.enabled = not busy and not begun
