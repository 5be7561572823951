"""The section Insert: Insert, Cancel, Undo, Redo, before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph_insertion import CxrInsertion
from lungsynth_slicer.views import showLayers
from NoduleSynthLib.Logic import NoduleSynthLogic
from NoduleSynthLib.ParameterNode import NoduleSynthParameterNode

if TYPE_CHECKING:
    from lungsynth.core.insertion import Insertion
    from lungsynth_slicer.history import Step

MOST_RESULTS = 6
"""Nodules whose measurements are listed in the panel; the table has all."""


class InsertPanel:
    """Runs insertions and shows how they go.

    Args:
        ui: The widgets of the .ui file.
        logic: Does the work.
        onStart: Called before an insertion starts; raises LungSynthError if it can't.
        onChanged: Called when the panel should be brought up to date.
    """

    def __init__(
        self,
        ui: Any,  # noqa: ANN401 - a namespace of widgets
        logic: NoduleSynthLogic,
        *,
        onStart: Callable[[], None],
        onChanged: Callable[[], None],
    ) -> None:
        self.ui = ui
        self.logic = logic
        self.onStart = onStart
        self.onChanged = onChanged
        self.p: NoduleSynthParameterNode | None = None
        self.previewShown = False
        self._progress = (0, 0, "")
        self._words = self._info = ""
        self._told = ""  # of nodules in the output
        self._started = 0.0
        self._firstDone = 0.0
        self._asked: slicer.vtkMRMLScalarVolumeNode | None = None
        self._clock = qt.QTimer()
        self._clock.setInterval(250)
        self._clock.timeout.connect(self._tick)
        ui.insertButton.clicked.connect(lambda *_: self.insert())
        ui.cancelButton.clicked.connect(lambda *_: self.logic.cancel())
        takenOut, putBack = _("{name} was taken out."), _("{name} was put back.")
        ui.undoButton.clicked.connect(lambda *_: self._step(self.logic.undo, takenOut))
        ui.redoButton.clicked.connect(lambda *_: self._step(self.logic.redo, putBack))
        ui.toggleButton.clicked.connect(lambda *_: self.flip())

    def say(self, message: str) -> None:
        """Show one line under the buttons, and what must not be lost."""
        self._words = message
        lines = [line for line in (message, self._info) if line]
        self.ui.statusLabel.text = "\n".join(lines)
        self.ui.statusLabel.setVisible(bool(lines))

    def inform(self, message: str) -> None:
        """Show a line that must not be lost among the progress: it stays until the next start."""
        self._info = message
        self.say(self._words)

    def forget(self) -> None:
        """Say nothing more of the last insertion: another volume or output was chosen."""
        self._list([])
        if self._words == self._told:
            self._info = self._told = ""
            self.say("")

    def stop(self) -> None:
        """Stop the clock; the panel goes."""
        self._clock.stop()

    # --- running -------------------------------------------------------------------------------

    def insert(self) -> None:
        """Insert a nodule at each new seed."""
        if self.p is None:
            return
        with slicer.util.tryWithErrorDisplay(_("The insertion could not be started.")):
            self._insert()

    def _insert(self) -> None:
        try:
            self.onStart()
        except LungSynthError as error:
            self.say(str(error))
            return
        self._started = time.monotonic()
        self._firstDone = 0.0
        self._progress = (0, 0, "starting")
        self._info = ""
        self._asked = self.p.inputVolume
        self.logic.insert(
            self.p, onDone=self._done, onError=self._failed, onProgress=self._progressed
        )
        if self.logic.running:
            self._clock.start()
        self._tick()
        self.onChanged()

    def _progressed(self, done: int, total: int, words: str) -> None:
        if words == "inserting" and not self._firstDone:
            self._firstDone = time.monotonic()
        self._progress = (done, total, words)
        self._tick()

    def _tick(self) -> None:
        """Show how far it is."""
        if not self.logic.running:
            return
        done, total, words = self._progress
        bar = self.ui.progressBar
        bar.maximum = total
        bar.value = done
        bar.setVisible(True)
        elapsed = time.monotonic() - self._started
        parts = [_("{done} of {total}").format(done=done, total=total)]
        if words != "inserting":
            known = {"starting": _("Starting"), "preparing": _("Preparing")}
            parts = [known.get(words, words.capitalize())]
        parts.append(_("{seconds} s elapsed").format(seconds=round(elapsed)))
        if words == "inserting" and 0 < done < total:
            left = (time.monotonic() - self._firstDone) / done * (total - done)
            parts.append(_("about {seconds} s left").format(seconds=round(max(left, 1))))
        self.say(" · ".join(parts))

    def _ended(self, message: str) -> None:
        self._clock.stop()
        self.ui.progressBar.setVisible(False)
        self.say(message)
        self.onChanged()

    def _failed(self, message: str) -> None:
        self._ended(message)

    def _done(self, steps: Sequence[Step]) -> None:
        said = _("{count} nodules inserted in {seconds} s.")
        if len(steps) == 1:
            said = _("1 nodule inserted in {seconds} s.")
        seconds = f"{time.monotonic() - self._started:.1f}"
        said = said.format(count=len(steps), seconds=seconds)
        asked, self._asked = self._asked, None
        if self.p is None or self.p.inputVolume is not asked:
            name = asked.GetName() if asked is not None else ""
            self._ended(_("'{name}': {said}").format(name=name, said=said))
            return
        self._ended(said)
        self._told = said
        self._list([step.insertion for step in steps])
        self.p.afterPercent = 100
        self.showLayers()

    def _list(self, insertions: Sequence[Insertion]) -> None:
        lines = [_inWords(insertion) for insertion in insertions[:MOST_RESULTS]]
        if len(insertions) > MOST_RESULTS:
            more = _("... and {count} more in the table")
            lines.append(more.format(count=len(insertions) - MOST_RESULTS))
        self.ui.resultLabel.text = "\n".join(lines)
        self.ui.resultLabel.setVisible(bool(lines))

    def _step(self, action: Callable[[Any], Step], said: str) -> None:
        try:
            step = action(self.p)
        except LungSynthError as error:
            self.say(str(error))
        else:
            self._list([])
            self._told = said.format(name=step.insertion.seed.name or _("The nodule"))
            self.say(self._told)
        self.onChanged()

    # --- before and after ----------------------------------------------------------------------

    def flip(self) -> None:
        """Show the CT where the output is shown, and the other way round."""
        if self.p is not None:
            self.p.afterPercent = 0 if self.p.afterPercent >= 50 else 100

    def showLayers(self, preview: slicer.vtkMRMLScalarVolumeNode | None = None) -> None:
        """Show the CT with the output in front, or with a preview in front of both."""
        p = self.p
        if p is None or p.inputVolume is None:
            return
        scene = p.inputVolume.GetScene()
        opacity = p.afterPercent / 100
        if preview is not None:
            behind = p.outputVolume if p.outputVolume is not None else p.inputVolume
            showLayers(scene, behind, preview, opacity)
        elif p.outputVolume is not None:
            showLayers(scene, p.inputVolume, p.outputVolume, opacity)
        elif self.previewShown:
            showLayers(scene, p.inputVolume, None, opacity)
        self.previewShown = preview is not None

    # --- what can be done ----------------------------------------------------------------------

    def check(self, missing: str, newSeeds: int) -> None:
        """Enable the buttons; a disabled one says why.

        Args:
            missing: What keeps Insert from working; empty if nothing does.
            newSeeds: How many nodules Insert would make.
        """
        ui, running = self.ui, self.logic.running
        many = _("Insert {count} nodules").format(count=newSeeds)
        ui.insertButton.text = many if newSeeds > 1 else _("Insert nodule")
        ui.insertButton.enabled = not running and not missing
        ui.insertButton.toolTip = (
            _("An insertion is running.")
            if running
            else missing or _("Put the nodules into the output.")
        )
        ui.cancelButton.enabled = running
        ui.cancelButton.toolTip = (
            _("Stop; the scene stays as it was before.") if running else _("Nothing is running.")
        )
        busy = _("An insertion is running.") if running else ""
        noUndo, noRedo = _("Nothing to undo."), _("Nothing to redo.")
        if self.p is not None and not running:
            noUndo = self.logic.whyNotUndo(self.p)
            noRedo = "" if self.logic.history(self.p).canRedo else noRedo
        for button, why, tip in (
            (ui.undoButton, busy or noUndo, _("Take the last nodule out again.")),
            (ui.redoButton, busy or noRedo, _("Put it back.")),
        ):
            button.enabled = not why
            button.toolTip = why or tip
        comparable = self.p is not None and (self.p.outputVolume is not None or self.previewShown)
        for widget, tip in (
            (ui.compareSlider, _("Fade between the input (left) and the output (right).")),
            (ui.toggleButton, _("Flip between the input and the output.")),
        ):
            widget.enabled = comparable
            widget.toolTip = tip if comparable else _("Insert a nodule first.")


def _inWords(insertion: Insertion | CxrInsertion) -> str:
    measured, spec = insertion.measured, insertion.spec
    if isinstance(insertion, CxrInsertion):
        inMm = spec.diameter_mm is not None
        size = measured.diameter_mm if inMm else measured.diameter_px
        words = _("{name}: {measured:.1f} {unit} of {asked} asked, contrast {contrast:.3f}").format(
            name=insertion.seed.name,
            measured=size,
            unit="mm" if inMm else "px",
            asked=f"{spec.diameter_mm if inMm else spec.diameter_px:g}",
            contrast=measured.contrast,
        )
        return _withNotes(words, insertion)
    words = _("{name}: {measured:.1f} mm of {asked:g} asked, {hu:.0f} HU").format(
        name=insertion.seed.name,
        measured=measured.diameter_mm,
        asked=spec.diameter_mm,
        hu=measured.mean_hu,
    )
    return _withNotes(words, insertion)


def _withNotes(words: str, insertion: Insertion | CxrInsertion) -> str:
    if not insertion.within_tolerance:
        words += _(", not within tolerance")
    return f"{words}; {insertion.note}" if insertion.note else words
