"""The table of seeds: one row for each point, edited in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import qt
from slicer.i18n import tr as _

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import CxrNoduleSpec
from lungsynth_slicer.seeds import SeedPoint, Spec
from NoduleSynthLib.ParameterNode import ANY, ATTENUATIONS, MALIGNANCIES

NAME, DIAMETER, ATTENUATION, MALIGNANCY, LATENT, CONTRAST = range(6)
ONLY_CT, ONLY_RADIOGRAPH = (ATTENUATION, MALIGNANCY), (CONTRAST,)
INSERTED, PROBLEM, DOUBT = "\u2713 ", "! ", "? "


class SeedTable:
    """Shows seeds and hands on what the user does to them.

    Args:
        table: The QTableWidget.
        onSelect: Called with the point id of the row that the user goes to.
        onEdit: Called with a point id and what of its spec changes; may raise LungSynthError.
        onRename: Called with a point id and its new name.
        onRefused: Called with one line if what was typed is not allowed.
    """

    def __init__(
        self,
        table: qt.QTableWidget,
        *,
        onSelect: Callable[[str], None],
        onEdit: Callable[[str, Mapping[str, object]], None],
        onRename: Callable[[str, str], None],
        onRefused: Callable[[str], None],
    ) -> None:
        self._table = table
        self._onSelect = onSelect
        self._onEdit = onEdit
        self._onRename = onRename
        self._onRefused = onRefused
        self._points: list[SeedPoint] = []
        self._choice: qt.QComboBox | None = None
        self._filling = False
        self._readOnly = False
        self._problems: Mapping[str, str] = {}
        self._notes: Mapping[str, str] = {}
        self._edited: set[int] = set()  # rows that may show what was typed, not what is
        self._sizeColumns(qt.QHeaderView.ResizeToContents)
        table.horizontalHeader().setMinimumSectionSize(24)
        table.verticalHeader().hide()
        table.itemSelectionChanged.connect(self._selected)
        table.cellChanged.connect(self._changed)
        table.cellDoubleClicked.connect(self._offerChoices)
        self.showColumns(inRadiograph=False, unit="mm")

    def showColumns(self, *, inRadiograph: bool, unit: str) -> None:
        """Show the columns that apply.

        Args:
            inRadiograph: Whether the volume is a radiograph.
            unit: Of the diameters: mm or px.
        """
        for column in ONLY_CT:
            self._table.setColumnHidden(column, inRadiograph)
        for column in ONLY_RADIOGRAPH:
            self._table.setColumnHidden(column, not inRadiograph)
        header = self._table.horizontalHeaderItem(DIAMETER)
        header.setText(unit)
        header.setToolTip(
            _("Diameter in mm") if unit == "mm" else _("Diameter in pixels of the radiograph")
        )

    @property
    def selectedId(self) -> str | None:
        """Point id of the selected row."""
        row = self._table.currentRow()
        return self._points[row].id if 0 <= row < len(self._points) else None

    def show(
        self,
        points: Sequence[SeedPoint],
        problems: Mapping[str, str],
        notes: Mapping[str, str],
        *,
        selected: str | None,
        readOnly: bool,
    ) -> None:
        """Fill the table.

        Args:
            points: The seeds.
            problems: Why a point cannot work, by its id.
            notes: What else is to be said of a point, by its id.
            selected: Id of the point whose row is selected.
            readOnly: Whether nothing may be edited now.
        """
        points = list(points)
        said = (dict(problems), dict(notes))
        same = (points, *said, readOnly) == (
            self._points,
            self._problems,
            self._notes,
            self._readOnly,
        )
        self._filling = True
        try:
            if not same or self._edited:
                self._closeChoice()
                self._fillAll(points, said, readOnly)
            ids = [point.id for point in points]
            if selected in ids:
                if self._table.currentRow() != ids.index(selected):
                    self._table.selectRow(ids.index(selected))
            else:
                self._table.clearSelection()
                self._table.setCurrentCell(-1, -1)
        finally:
            self._filling = False

    def _fillAll(
        self,
        points: list[SeedPoint],
        said: tuple[dict[str, str], dict[str, str]],
        readOnly: bool,
    ) -> None:
        """Fill the rows that changed; with a hundred, each change of a cell costs a millisecond."""
        old, oldSaid = self._points, (self._problems, self._notes)
        turned = readOnly != self._readOnly  # the rows of inserted seeds are read-only as it is
        self._points, self._readOnly = points, readOnly
        self._problems, self._notes = said
        self._sizeColumns(qt.QHeaderView.Fixed)  # or each cell would be measured for each other
        self._table.setRowCount(len(points))
        for row, point in enumerate(points):
            known = row < len(old) and old[row] == point
            known = known and all(
                before.get(point.id) == now.get(point.id)
                for before, now in zip(oldSaid, said, strict=True)
            )
            if not known or row in self._edited or (turned and point.state == "new"):
                self._fill(row, point)
        self._edited.clear()
        self._sizeColumns(qt.QHeaderView.ResizeToContents)

    def _sizeColumns(self, mode: object) -> None:
        header = self._table.horizontalHeader()
        header.setSectionResizeMode(mode)
        header.setSectionResizeMode(NAME, qt.QHeaderView.Stretch)

    def _fill(self, row: int, point: SeedPoint) -> None:
        spec = point.spec
        problem, note = self._problems.get(point.id, ""), self._notes.get(point.id, "")
        inserted = point.state == "inserted"
        mark = INSERTED if inserted else PROBLEM if problem else DOUBT if note else ""
        texts = [mark + point.label, *_textsOf(spec)]
        place = _("R {:.1f}, A {:.1f}, S {:.1f} mm").format(*point.position_ras_mm)
        isIn = _("its nodule is in the output; undo takes it out") if inserted else ""
        said = problem or note or isIn
        for column, text in enumerate(texts):
            item = self._table.item(row, column)
            if item is None:
                item = qt.QTableWidgetItem()
                self._table.setItem(row, column, item)
            if item.text() != text:
                item.setText(text)
            item.setToolTip(f"{place}\n{said}" if said else place)
            flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
            typed = column in (NAME, DIAMETER, LATENT, CONTRAST)
            if typed and not inserted and not self._readOnly:
                flags = flags | qt.Qt.ItemIsEditable
            item.setFlags(flags)

    def _selected(self) -> None:
        self._closeChoice()
        if not self._filling and self.selectedId is not None:
            self._onSelect(self.selectedId)

    def _changed(self, row: int, column: int) -> None:
        if self._filling or not 0 <= row < len(self._points):
            return
        point = self._points[row]
        self._edited.add(row)
        text = self._table.item(row, column).text().strip()
        try:
            if column == NAME:
                self._onRename(point.id, text.removeprefix(PROBLEM).removeprefix(DOUBT))
            elif column == DIAMETER:
                self._onEdit(point.id, _diameterIn(text, point.spec))
            elif column == CONTRAST:
                isAny = text.lower() in ("", ANY)
                contrast = None if isAny else _number(text, _("a contrast, or any"), float)
                self._onEdit(point.id, {"contrast": contrast})
            elif column == LATENT:
                latent = _number(text, _("a whole number"), int)
                self._onEdit(point.id, {"latent_seed": latent})
        except LungSynthError as error:
            self._filling = True
            self._fill(row, point)
            self._filling = False
            self._onRefused(f"{point.label}: {error}")

    def _offerChoices(self, row: int, column: int) -> None:
        """Open a list of choices in the cell; a delegate would need a class that Qt calls."""
        self._closeChoice()
        choices = {ATTENUATION: ATTENUATIONS, MALIGNANCY: MALIGNANCIES}.get(column)
        point = self._points[row] if 0 <= row < len(self._points) else None
        if choices is None or point is None or point.state == "inserted" or self._readOnly:
            return
        box = qt.QComboBox()
        for choice in choices:
            box.addItem(choice)
        box.setCurrentIndex(choices.index(self._table.item(row, column).text()))
        box.textActivated.connect(lambda text: self._chosen(row, column, text))
        self._choice = box
        self._table.setCellWidget(row, column, box)
        box.showPopup()

    def _chosen(self, row: int, column: int, text: str) -> None:
        point = self._points[row]
        # Qt is still inside the list's own handler: it goes once that is over
        qt.QTimer.singleShot(0, self._closeChoice)
        if column == ATTENUATION:
            self._onEdit(point.id, {"attenuation": text})
        else:
            malignancy = None if text == ANY else text
            self._onEdit(point.id, {"malignancy": malignancy})

    def _closeChoice(self) -> None:
        box, self._choice = self._choice, None
        if box is None:
            return
        for row in range(self._table.rowCount):
            for column in (ATTENUATION, MALIGNANCY):
                if self._table.cellWidget(row, column) is not None:
                    self._table.removeCellWidget(row, column)


def _textsOf(spec: Spec) -> list[str]:
    """Return the cells from the diameter on."""
    if isinstance(spec, CxrNoduleSpec):
        size = spec.diameter_px if spec.diameter_mm is None else spec.diameter_mm
        contrast = ANY if spec.contrast is None else f"{spec.contrast:g}"
        return [f"{size:g}", "", "", str(spec.latent_seed), contrast]
    malignancy = ANY if spec.malignancy is None else str(spec.malignancy)
    return [
        f"{spec.diameter_mm:g}",
        str(spec.attenuation),
        malignancy,
        str(spec.latent_seed),
        "",
    ]


def _diameterIn(text: str, spec: Spec) -> dict[str, object]:
    """Return the diameter that was typed, in the unit that the seed has.

    Raises:
        LungSynthError: If it is no number.
    """
    if isinstance(spec, CxrNoduleSpec) and spec.diameter_mm is None:
        said = _("a diameter in pixels")
        return {"diameter_px": _number(text.removesuffix("px"), said, float)}
    return {"diameter_mm": _number(text.removesuffix("mm"), _("a diameter in mm"), float)}


def _number(text: str, wanted: str, kind: type) -> float:
    try:
        return kind(text.strip().replace(",", "."))
    except ValueError:
        msg = _("'{text}' is not {wanted}").format(text=text, wanted=wanted)
        raise LungSynthError(msg) from None
