"""The table of regions: sorted by any column, a row jumps to its region."""

from __future__ import annotations

from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from AnomalyScanLib.Result import Region, Result

NUMBER, PEAK, KIND, AREA = range(4)


class RegionTable:
    """Shows the regions of a result.

    Args:
        table: The QTableWidget.
        onSelect: Called with the region of the row that the user goes to.
    """

    def __init__(self, table: qt.QTableWidget, onSelect: Callable[[Region], None]) -> None:
        self._table, self._onSelect = table, onSelect
        self._regions: dict[int, Region] = {}
        self._shown: Result | None = None
        self._filling = False
        header = table.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(KIND, qt.QHeaderView.Stretch)
        table.verticalHeader().hide()
        table.setSortingEnabled(True)
        table.sortByColumn(NUMBER, qt.Qt.AscendingOrder)
        table.itemSelectionChanged.connect(self._selected)

    def show(self, result: Result | None) -> None:
        """Fill the table; None empties it."""
        if result == self._shown:
            return
        self._shown = result
        regions = result.regions if result is not None else ()
        self._regions = {region.label: region for region in regions}
        self._filling = True
        self._table.setSortingEnabled(False)  # or a row moves while it is filled
        self._table.setRowCount(len(regions))
        inMm = all(region.areaMm2 is not None for region in regions)
        self._table.horizontalHeaderItem(AREA).setText(_("mm²") if inMm else _("px"))
        for row, region in enumerate(regions):
            area = region.areaMm2 if inMm else region.areaPx
            kind = _("denser") if region.denser else _("less dense")
            cells = (region.label, round(abs(region.peak), 1), kind, round(area))
            for column, value in enumerate(cells):
                item = qt.QTableWidgetItem()
                item.setData(qt.Qt.DisplayRole, value)  # numbers sort as numbers
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                item.setToolTip(_("R {:.1f}, A {:.1f}, S {:.1f} mm").format(*region.ras_mm))
                self._table.setItem(row, column, item)
        self._table.setSortingEnabled(True)
        self._table.clearSelection()
        self._table.setCurrentCell(-1, -1)
        self._table.setVisible(bool(regions))
        self._filling = False

    def _selected(self) -> None:
        row = self._table.currentRow()
        item = self._table.item(row, NUMBER) if row >= 0 else None
        if not self._filling and item is not None:
            self._onSelect(self._regions[int(item.text())])
