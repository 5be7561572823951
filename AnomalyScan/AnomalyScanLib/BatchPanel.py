"""The tab Batch: a folder of radiographs in; CSV, JSON, a page and pictures out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from AnomalyScanLib.Scanning import scanArguments
from AnomalyScanLib.Weights import weightsProblem
from lungsynth.core.errors import LungSynthError
from lungsynth_slicer.panels import breakable
from lungsynth_slicer.process import PythonProcess

FILE, SCORE, P_VALUE, SAID = range(4)
PATHS = ("batchInputPath", "batchOutputPath")


class BatchPanel:
    """Scans a folder in a process beside Slicer and lists what it finds as it goes.

    Args:
        ui: The widgets of the .ui file.
        onStart: Sees to the packages; raises LungSynthError if they are missing.
        onChanged: Called when the panel is to be brought up to date.
    """

    def __init__(
        self,
        ui: Any,  # noqa: ANN401 - a namespace of widgets
        *,
        onStart: Callable[[], None],
        onChanged: Callable[[], None],
    ) -> None:
        self.ui = ui
        self.p: Any = None
        self._onStart, self._onChanged = onStart, onChanged
        self._process: PythonProcess | None = None
        self._page = ""
        for name in PATHS:
            field = getattr(ui, name)
            field.filters = ctk.ctkPathLineEdit.Dirs
            field.settingKey = f"AnomalyScan{name[0].upper()}{name[1:]}"
            field.currentPathChanged.connect(lambda *_: onChanged())
        header = ui.batchTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(FILE, qt.QHeaderView.Stretch)
        ui.batchTable.verticalHeader().hide()
        ui.batchStartButton.clicked.connect(lambda *_: self.start())
        ui.batchCancelButton.clicked.connect(lambda *_: self.cancel())
        ui.batchOpenButton.clicked.connect(lambda *_: self.openPage())

    @property
    def running(self) -> bool:
        """Whether a folder is being scanned."""
        return self._process is not None

    def say(self, message: str) -> None:
        """Show one line under the buttons."""
        self.ui.batchStatusLabel.text = breakable(message)
        self.ui.batchStatusLabel.setVisible(bool(message))

    def stop(self) -> None:
        """End what runs; the panel goes."""
        process, self._process = self._process, None
        if process is not None:
            process.stop()

    # --- running -------------------------------------------------------------------------------

    def start(self) -> None:
        """Scan all radiographs of the folder."""
        if self.p is None or self.running or self._missing():
            return
        try:
            self._onStart()
        except LungSynthError as error:
            self.say(str(error))
            return
        for name in PATHS:
            getattr(self.ui, name).addCurrentPathToHistory()
        self._page = ""
        self.ui.batchTable.setRowCount(0)
        self.ui.batchTable.setSortingEnabled(False)  # rows are found by their number meanwhile
        self.ui.batchProgressBar.maximum = 0
        self.ui.batchProgressBar.value = 0
        self.ui.batchProgressBar.setVisible(True)
        self.say(_("Loading the networks ..."))
        arguments = scanArguments(
            self.ui.batchInputPath.currentPath, self.ui.batchOutputPath.currentPath, self.p
        )
        self._process = PythonProcess(
            [*arguments, "--no-volumes"],
            onDone=self._done,
            onError=self._ended,
            onEvent=self._heard,
            what=_("the scan"),
        )
        if not self._process.running:
            self._process = None
        self._onChanged()

    def cancel(self) -> None:
        """Stop; the pictures of what was scanned stay where they are."""
        if self.running:
            self.stop()
            done = self.ui.batchTable.rowCount
            said = _("Stopped after {count}; the tables of the output folder were not written.")
            self._ended(said.format(count=done))

    def _heard(self, event: Mapping[str, Any]) -> None:
        if event.get("event") != "progress" or "file" not in event:
            return
        done, total = int(event["done"]), int(event["total"])
        self.ui.batchProgressBar.maximum = total
        self.ui.batchProgressBar.value = done
        self._list(event)
        self.say(_("{done} of {total}").format(done=done, total=total))

    def _list(self, one: Mapping[str, Any]) -> None:
        """Add the row of a file."""
        table = self.ui.batchTable
        row = table.rowCount
        table.setRowCount(row + 1)
        scanned = one["status"] == "scanned"
        if not scanned:
            said = _("not scanned: {why}").format(why=one["note"])
        elif one["note"]:
            said = one["note"]
        else:
            said = _("above") if one["abnormal"] else _("below")
        score = round(one["score"], 3) if scanned else ""
        pValue = float(f"{one['p_value']:.3g}") if scanned else ""
        cells = (Path(one["file"]).name, score, pValue, said)
        for column, value in enumerate(cells):
            item = qt.QTableWidgetItem()
            item.setData(qt.Qt.DisplayRole, value)  # numbers sort as numbers
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
            item.setToolTip(f"{one['file']}\n{said}")
            table.setItem(row, column, item)
        table.setVisible(True)

    def _done(self, event: Mapping[str, Any]) -> None:
        self._page = str(event.get("html", ""))
        table = self.ui.batchTable
        items = [table.item(row, SCORE) for row in range(table.rowCount)]
        failed = sum(not item.text() for item in items)
        said = _("{count} radiographs scanned.").format(count=len(items) - failed)
        if failed:
            said += " " + _("{count} could not be: the table says why.").format(count=failed)
        self._ended(f"{said} {_('Report: {path}').format(path=self._page)}")

    def _ended(self, message: str) -> None:
        self._process = None
        self.ui.batchProgressBar.setVisible(False)
        self.ui.batchTable.setSortingEnabled(True)
        self.say(message)
        self._onChanged()

    def openPage(self) -> None:
        """Show the report in the browser."""
        if self._page:
            qt.QDesktopServices.openUrl(qt.QUrl.fromLocalFile(self._page))

    # --- what can be done ----------------------------------------------------------------------

    def _missing(self) -> str:
        """Return what keeps the folder from being scanned; empty if nothing does."""
        source = self.ui.batchInputPath.currentPath
        if not source:
            return _("Choose a folder of radiographs first.")
        if not Path(source).is_dir():
            return _("There is no folder '{path}'.").format(path=source)
        if not self.ui.batchOutputPath.currentPath:
            return _("Choose an output folder first.")
        return weightsProblem(self.p)

    def refresh(self) -> None:
        """Enable what can be done; what can't says why."""
        ui, missing = self.ui, self._missing()
        busy = _("A scan is running.") if self.running else ""
        idle = "" if self.running else _("Nothing is running.")
        noPage = "" if self._page else _("Scan a folder first.")
        for button, problem, tip in (
            (ui.batchStartButton, busy or missing, _("Scan all radiographs of the folder.")),
            (ui.batchCancelButton, idle, _("Stop at once.")),
            (ui.batchOpenButton, busy or noPage, _("Show the report in the browser.")),
        ):
            button.enabled = not problem
            button.toolTip = problem or tip
        for name in PATHS:
            getattr(ui, name).enabled = not self.running
