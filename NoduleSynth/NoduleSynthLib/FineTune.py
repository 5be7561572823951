"""The section Fine-tune: training on the user's own nodules, beside Slicer and not in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ctk
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.process import PythonProcess, stoppedIds, waitForStopped
from NoduleSynthLib.FineTunePlot import STEP
from NoduleSynthLib.FineTuneRun import (
    Run,
    Stage,
    askToPause,
    checkArguments,
    notePanel,
    readLosses,
    readRun,
    takeBackPause,
    trainArguments,
)
from NoduleSynthLib.FineTuneView import CHECKING, PATHS, PAUSING, TRAINING, FineTuneView

DRAW_EVERY_MS = 500


class FineTunePanel(VTKObservationMixin):
    """Checks data, trains, shows how it goes, and hands over the weights.

    What it shows follows from the run's folder, so that a run is found again after Slicer was
    closed, whatever ended it.

    Args:
        ui: The widgets of the .ui file.
        owner: Has ``useWeights(path)``, and the panel's settings as ``p``, of which it needs
            ``device``.
        ensurePackages: Sees to what training needs, asking first; raises LungSynthError or
            RuntimeError with one line if that cannot be.
    """

    preset = "default"

    def __init__(
        self,
        ui: Any,  # noqa: ANN401 - a namespace of widgets
        owner: Any,  # noqa: ANN401 - the module's widget
        ensurePackages: Callable[[], None] = lambda: None,
    ) -> None:
        VTKObservationMixin.__init__(self)
        self.ui, self.owner, self.ensurePackages = ui, owner, ensurePackages
        self.view = FineTuneView(ui)
        self._process: PythonProcess | None = None
        self._busy = ""  # or one of the words of FineTuneView
        self._thenTrain = False
        self._checked = ""  # the data folder whose check came out well
        self._run: Run | None = None
        self._folderProblem = ""
        self._fresh: list[Mapping[str, float]] = []
        self._progress = (0, 0)
        self._since: tuple[float, int] | None = None  # when which step was done: the first heard
        self._clock = qt.QTimer()
        self._clock.setInterval(DRAW_EVERY_MS)
        self._clock.timeout.connect(self._draw)

    # --- life of the panel ---------------------------------------------------------------------

    def setup(self) -> None:
        """Wire the widgets and show the run of the folder that was used last."""
        ui = self.ui
        for name in ("fineTuneDataPath", "fineTuneOutputPath"):
            getattr(ui, name).filters = ctk.ctkPathLineEdit.Dirs
        ui.fineTuneWeightsPath.filters = ctk.ctkPathLineEdit.Files
        ui.fineTuneWeightsPath.nameFilters = [_("Weights (*.safetensors)")]
        for name in PATHS:  # remembered from one start of Slicer to the next
            getattr(ui, name).settingKey = f"NoduleSynth{name[0].upper()}{name[1:]}"
        ui.fineTuneDataPath.currentPathChanged.connect(lambda *_: self._dataChanged())
        ui.fineTuneOutputPath.currentPathChanged.connect(lambda *_: self.lookAtFolder())
        ui.fineTuneStepsSpinBox.valueChanged.connect(lambda *_: self.check())
        ui.fineTuneCheckButton.clicked.connect(lambda *_: self.checkData())
        ui.fineTuneStartButton.clicked.connect(lambda *_: self.start())
        ui.fineTunePauseButton.clicked.connect(lambda *_: self.pause())
        ui.fineTuneCancelButton.clicked.connect(lambda *_: self.cancel())
        ui.fineTuneUseButton.clicked.connect(lambda *_: self.use())
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneClosed)
        self.lookAtFolder()

    def cleanup(self) -> None:
        """End what runs; the panel goes. The run's last checkpoint stays to be resumed."""
        self._clock.stop()
        self.removeObservers()
        if self._process is not None:
            self._process.stop()
            self._process, self._busy = None, ""
        waitForStopped()
        self.view.clear()

    @property
    def running(self) -> bool:
        """Whether data are being checked or a training runs."""
        return bool(self._busy)

    def onSceneClosed(self, _caller: Any, _event: Any) -> None:  # noqa: ANN401
        """Let go of the nodes; a training goes on, and its curves come back."""
        self.view.forgetNodes()
        if self._busy in (TRAINING, PAUSING) and self._run is not None:
            self._fresh = list(readLosses(self._run.folder))

    # --- checking data -------------------------------------------------------------------------

    def checkData(self, *, thenTrain: bool = False) -> None:
        """Sum up the data folder in a process of its own.

        Args:
            thenTrain: Start training if the data can be used.
        """
        data = self.ui.fineTuneDataPath.currentPath
        if self.running or not data:
            return
        try:
            self.ensurePackages()
        except (LungSynthError, RuntimeError) as error:
            self.view.say(str(error))
            return
        self.ui.fineTuneDataPath.addCurrentPathToHistory()
        self.view.say(_("Checking the data ..."))
        self.view.summarise([])
        self._checked, self._thenTrain, self._busy = "", thenTrain, CHECKING
        self._process = PythonProcess(
            checkArguments(data),
            onDone=lambda event: self._dataChecked(data, event),
            onError=self._failed,
            onEvent=self._heard,
            what=_("the check of the data"),
        )
        self.check()

    def _dataChecked(self, data: str, event: Mapping[str, Any]) -> None:
        self._process, self._busy, self._checked = None, "", data
        self.view.summarise(event.get("summary", ()))
        self.view.say(_("The data can be used."))
        if self._thenTrain:
            self.start()
        self.check()

    def _dataChanged(self) -> None:
        if self._checked != self.ui.fineTuneDataPath.currentPath:
            self._checked = ""
            self.view.summarise([])
        self.check()

    # --- training ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin or go on with the run of the folder, after a look at the data."""
        self.lookAtFolder()
        run, data = self._run, self.ui.fineTuneDataPath.currentPath
        if self.running or run is None or self._missing():
            return
        if run.busy:  # not a reason to disable the button: nothing tells when it ends
            self.view.say(run.busy)
            return
        if self._checked != data:
            self.checkData(thenTrain=True)
            return
        steps = int(self.ui.fineTuneStepsSpinBox.value)
        try:
            notePanel(run.folder, data, steps)
        except LungSynthError as error:
            self.view.say(str(error))
            return
        for name in ("fineTuneOutputPath", "fineTuneWeightsPath"):
            getattr(self.ui, name).addCurrentPathToHistory()
        weights = self.ui.fineTuneWeightsPath.currentPath
        device = self.owner.p.device if self.owner.p is not None else "auto"
        self._busy, self._since, self._progress = TRAINING, None, (run.doneSteps, steps)
        if run.stage is not Stage.NONE:
            self._fresh = list(readLosses(run.folder))
        self.view.say(_("Starting: loading the data and the networks ..."))
        self._process = PythonProcess(
            trainArguments(run, data, weights, steps, device=device, preset=self.preset),
            onDone=self._trained,
            onError=self._failed,
            onEvent=self._heard,
            what=_("the training"),
        )
        if self.running:
            self._clock.start()
        self.check()

    def _heard(self, event: Mapping[str, Any]) -> None:
        """Take up a line of progress; drawing waits for the clock."""
        if "losses" not in event:
            if int(event.get("total", 0)) > 1:  # reading whole CTs, say
                stage = str(event.get("stage", "")).capitalize()
                words = _("{stage}: {done} of {total}")
                done, total = event.get("done"), event.get("total")
                self.view.say(words.format(stage=stage, done=done, total=total))
            return
        self._progress = (int(event["done"]), int(event["total"]))
        if self._since is None:
            self._since = (time.monotonic(), self._progress[0])
        if self._busy == PAUSING and self._run is not None:
            askToPause(
                self._run.folder
            )  # again: a run that is just starting took it for an old one
        self._fresh.append({STEP: event["done"], **event["losses"]})

    def _draw(self) -> None:
        """Show what has come since the last time."""
        fresh, self._fresh = self._fresh, []
        self.view.losses(fresh)
        self.view.samples(self._run.folder if self._run is not None else None)
        if self._busy not in (TRAINING, PAUSING):
            return
        done, total = self._progress
        self.view.progress(done, total)
        if self._since is None or self._busy == PAUSING:
            return
        since, first = self._since
        words = [_("Step {done} of {total}").format(done=done, total=total)]
        if done > first:
            seconds = (time.monotonic() - since) / (done - first)
            left = seconds * (total - done)
            words.append(_("{time} a step").format(time=inWords(seconds)))
            words.append(_("{time} left").format(time=inWords(left)))
        self.view.say(" · ".join(words))

    def pause(self) -> None:
        """Ask the training to end after its step, with a checkpoint."""
        if self._busy != TRAINING or self._run is None:
            return
        try:
            askToPause(self._run.folder)
        except LungSynthError as error:
            self.view.say(str(error))
            return
        self._busy = PAUSING
        self.view.say(_("Pausing after this step ..."))
        self.check()

    def cancel(self) -> None:
        """Stop at once; what the last checkpoint holds can be resumed."""
        if self._process is None:
            return
        trained = self._busy in (TRAINING, PAUSING)
        self._process.stop()
        self._ended()
        if not trained:
            self.view.say(_("Stopped."))
            return
        self.view.clear()
        begun = self._run is not None and self._run.stage is Stage.UNFINISHED
        resumable = _("Stopped. Resume goes on from the last checkpoint.")
        self.view.say(resumable if begun else _("Stopped. Nothing was trained."))

    def _trained(self, event: Mapping[str, Any]) -> None:
        self._ended()
        if event.get("paused"):
            words = _("Paused after step {step}. Resume goes on from there.")
            self.view.say(words.format(step=event.get("steps")))
        elif self._run is not None and self._run.weights is not None:
            self.view.say(_("Finished: {path}").format(path=self._run.weights))
        else:
            self.view.say(_("The training ended without weights; Resume goes on."))

    def _failed(self, message: str) -> None:
        trained = self._busy in (TRAINING, PAUSING)
        self._ended()
        if trained and self._run is not None and self._run.stage is Stage.UNFINISHED:
            message += _(". Resume goes on from the last checkpoint")
        self.view.say(message)

    def _ended(self) -> None:
        """Bring everything up to date after the end of a process."""
        self._clock.stop()
        self._process = None
        if self._busy == PAUSING and self._run is not None:
            takeBackPause(self._run.folder)
        self._draw()
        self._busy, self._thenTrain = "", False
        self.view.ended()
        self.lookAtFolder()

    # --- what the folder holds -----------------------------------------------------------------

    def lookAtFolder(self) -> None:
        """Show the run that the chosen folder holds."""
        if self.running:
            return
        path = self.ui.fineTuneOutputPath.currentPath
        before, self._run, self._folderProblem = self._run, None, ""
        if path:
            try:
                self._run = readRun(Path(path), stoppedIds())
            except LungSynthError as error:
                self._folderProblem = str(error)
        if self._run is None or before is None or self._run.folder != before.folder:
            self._show(self._run)
        self.check()

    def _show(self, run: Run | None) -> None:
        """Fill the panel with a run that was begun before."""
        self.view.say(self._folderProblem)
        self.view.samples(run.folder if run is not None else None)
        if run is not None and run.busy:
            self.view.say(run.busy)
        if run is None or run.stage is Stage.NONE:
            return
        if run.data and not self.ui.fineTuneDataPath.currentPath:
            self.ui.fineTuneDataPath.currentPath = run.data
        self.ui.fineTuneStepsSpinBox.value = max(run.totalSteps, 1)
        if run.busy:
            return
        if run.stage is Stage.FINISHED:
            words = _("The folder holds a finished run of {steps} steps.")
            self.view.say(words.format(steps=run.doneSteps))
        else:
            words = _(
                "The folder holds a run that stopped at step {done} of {total}; "
                "Resume goes on from its last checkpoint."
            )
            self.view.say(words.format(done=run.doneSteps, total=run.totalSteps))

    def use(self) -> None:
        """Let Insert use the weights of the run."""
        if self._run is not None and self._run.weights is not None:
            self.owner.useWeights(str(self._run.weights))
            self.view.say(_("Insert uses these weights now; Advanced shows which."))

    # --- what can be done ----------------------------------------------------------------------

    def _missing(self) -> str:
        """Return why a training cannot start; empty if it can."""
        if not self.ui.fineTuneDataPath.currentPath:
            return _("Choose a data folder first.")
        if not self.ui.fineTuneOutputPath.currentPath:
            return _("Choose a run folder first.")
        if self._run is None:
            return self._folderProblem
        finished = self._run.stage is Stage.FINISHED
        if finished and int(self.ui.fineTuneStepsSpinBox.value) <= self._run.doneSteps:
            return _("This run is finished; raise the steps, or choose another run folder.")
        return ""

    def check(self) -> None:
        """Enable the buttons; a disabled one says why."""
        self.view.enable(self._run, self._missing(), self._busy)


def inWords(seconds: float) -> str:
    """Return a time in words, short."""
    if seconds < 10:
        return _("{time:.1f} s").format(time=seconds)
    if seconds < 100:
        return _("{time:.0f} s").format(time=seconds)
    if seconds < 6000:
        return _("{time:.0f} min").format(time=seconds / 60)
    return _("{time:.1f} h").format(time=seconds / 3600)
