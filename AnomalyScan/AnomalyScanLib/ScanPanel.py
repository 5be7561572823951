"""Scan and Cancel, the score, the heatmap and the regions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from AnomalyScanLib.Logic import AnomalyScanLogic
from AnomalyScanLib.Outputs import Outputs, segmentIdOf
from AnomalyScanLib.Overlay import hideOverlay, showOverlay
from AnomalyScanLib.RegionTable import RegionTable
from AnomalyScanLib.Result import Region, Result
from AnomalyScanLib.ScorePlot import ScorePlot
from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.panels import breakable
from lungsynth_slicer.plots import PlotHolder
from lungsynth_slicer.views import jumpTo

TICK_MS = 1000
FAINT = 0.5  # outlines of the regions that are not the chosen one


class ScanPanel:
    """The tab Scan.

    Args:
        ui: The widgets of the .ui file.
        logic: Scans.
        onStart: Sees to the packages; raises LungSynthError if they are missing.
        onChanged: Called when the panel is to be brought up to date.
    """

    def __init__(
        self,
        ui: Any,  # noqa: ANN401 - a namespace of widgets
        logic: AnomalyScanLogic,
        *,
        onStart: Callable[[], None],
        onChanged: Callable[[], None],
    ) -> None:
        self.ui, self.logic = ui, logic
        self.p: Any = None
        self._onStart, self._onChanged = onStart, onChanged
        self._holder = PlotHolder(ui.scorePlotPlaceholder)
        self.plot = ScorePlot(self._holder.show)
        self.table = RegionTable(ui.regionsTable, self._goTo)
        self._outputs: Outputs | None = None
        self._inViews: tuple[Any, ...] = ()
        self._progress = (0, 0, "")
        self._started = 0.0
        self._clock = qt.QTimer()
        self._clock.setInterval(TICK_MS)
        self._clock.timeout.connect(self._tick)
        ui.scanButton.clicked.connect(lambda *_: self.scan())
        stopped = _("The scan was stopped.")  # out here, for in there _ is what the signal brings
        ui.cancelButton.clicked.connect(lambda *_: self.cancel(stopped))

    def say(self, message: str) -> None:
        """Show one line under the buttons."""
        self.ui.statusLabel.text = breakable(message)
        self.ui.statusLabel.setVisible(bool(message))

    def stop(self) -> None:
        """Stop the clock and take the plot away; the panel goes."""
        self._clock.stop()
        self.forget()

    def forget(self) -> None:
        """Let go of the nodes of a scan."""
        self._outputs, self._inViews = None, ()
        self._holder.hide()
        self.plot.clear()

    # --- running -------------------------------------------------------------------------------

    def scan(self) -> None:
        """Scan the chosen radiograph."""
        if self.p is None or self.logic.running:
            return
        with slicer.util.tryWithErrorDisplay(_("The scan could not be started.")):
            try:
                self._onStart()
            except LungSynthError as error:
                self.say(str(error))
                return
            self._started, self._progress = time.monotonic(), (0, 0, "")
            self.logic.scan(
                self.p.inputVolume,
                self.p,
                onDone=self._done,
                onError=self._ended,
                onProgress=self._progressed,
            )
            if self.logic.running:
                self._clock.start()
                self._tick()
            self._onChanged()
            # at once: the panel as a whole follows only when Slicer is idle
            self.ui.cancelButton.enabled = self.logic.running

    def cancel(self, said: str) -> None:
        """Stop the scan; the scene stays as it was."""
        if self.logic.running:
            self.logic.cancel()
            self._ended(said)

    def _progressed(self, done: int, total: int, stage: str) -> None:
        self._progress = (done, total, stage)
        self._tick()

    def _tick(self) -> None:
        if not self.logic.running:
            return
        done, total, stage = self._progress
        bar = self.ui.progressBar
        bar.maximum = total  # 0: busy, who knows for how long
        bar.value = done
        bar.setVisible(True)
        words = [_("Loading the networks") if not stage else stage.capitalize()]
        if total > 1:
            words.append(_("{done} of {total}").format(done=done, total=total))
        seconds = round(time.monotonic() - self._started)
        words.append(_("{seconds} s elapsed").format(seconds=seconds))
        self.say(" · ".join(words))

    def _ended(self, message: str) -> None:
        self._clock.stop()
        self.ui.progressBar.setVisible(False)
        self.say(message)
        self._onChanged()

    def _done(self, outputs: Outputs) -> None:
        if self.p is not None:
            self.p.threshold = round(outputs.result.regionThreshold, 1)
        seconds = time.monotonic() - self._started
        said = _("'{name}' was scanned in {seconds:.1f} s.")
        name = outputs.heatmap.GetName().removesuffix(" heatmap")
        self._ended(said.format(name=name, seconds=seconds))

    # --- up to date ----------------------------------------------------------------------------

    def refresh(self, problem: str, outputs: Outputs | None, *, inViews: bool) -> None:
        """Show what can be done, and what the last scan of the radiograph found.

        Args:
            problem: What keeps the radiograph from being scanned; empty if nothing does.
            outputs: Of the last scan of it.
            inViews: Whether the slice views may be changed: another module may own them.
        """
        ui, running = self.ui, self.logic.running
        busy = _("A scan is running.") if running else ""
        ui.scanButton.enabled = not (busy or problem)
        ready = _("Look for the nearest normal image, and for what differs.")
        ui.scanButton.toolTip = busy or problem or ready
        ui.cancelButton.enabled = running
        ui.cancelButton.toolTip = _("Stop at once.") if running else _("Nothing is running.")
        ui.problemLabel.text = breakable(problem)
        ui.problemLabel.setVisible(bool(problem) and not running)
        ui.resultWidget.setVisible(outputs is not None)
        before, self._outputs = self._outputs, outputs
        if before is not None and (outputs is None or before.heatmap is not outputs.heatmap):
            hideOverlay(slicer.mrmlScene, before)
        if outputs is None:
            self._holder.hide()
            self.plot.clear()
            self.table.show(None)
            self._inViews = ()
            return
        self._showResult(outputs.result)
        if inViews:
            self._showInViews(outputs)
        else:
            self._inViews = ()

    def _showResult(self, result: Result) -> None:
        verdict = _("above") if result.abnormal else _("below")
        said = _(
            "Score {score:.2f}, p = {p:.2g}: {verdict} the threshold {threshold:.2f} that "
            "{percent:g} % of normals exceed."
        )
        self.ui.resultLabel.text = said.format(
            score=result.score,
            p=result.pValue,
            verdict=verdict,
            threshold=result.threshold,
            percent=100 * result.falsePositiveRate,
        )
        self.ui.noteLabel.text = result.note[:1].upper() + result.note[1:]
        self.ui.noteLabel.setVisible(bool(result.note))
        count = len(result.regions)
        none = _("No region deviates more than in normals.")
        said = none if count == 0 else _("Regions: {count}").format(count=count)
        self.ui.regionsLabel.text = said
        self.table.show(result)
        self.plot.draw(result)

    def _showInViews(self, outputs: Outputs) -> None:
        p = self.p
        wanted = (outputs.heatmap, p.threshold, p.opacityPercent, p.layer, p.showRegions)
        if wanted != self._inViews:
            self._inViews = wanted
            showOverlay(
                p.inputVolume,
                outputs,
                layer=p.layer,
                threshold=p.threshold,
                opacity=p.opacityPercent / 100,
                regions=p.showRegions,
            )

    def _goTo(self, region: Region) -> None:
        """Move the slice views to a region and mark its outline."""
        jumpTo(slicer.mrmlScene, region.ras_mm)
        if self._outputs is None or self._outputs.segmentation is None:
            return
        display = self._outputs.segmentation.GetDisplayNode()
        for other in self._outputs.result.regions:
            opacity = 1.0 if other.label == region.label else FAINT
            display.SetSegmentOpacity2DOutline(segmentIdOf(other), opacity)
