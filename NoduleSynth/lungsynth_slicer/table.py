"""What was asked and what was measured, one row for each nodule, in a table node."""

from __future__ import annotations

from collections.abc import Mapping

import slicer
import vtk

from lungsynth.core.insertion import Insertion
from lungsynth.core.radiograph_insertion import CxrInsertion

COLUMNS: dict[str, type[vtk.vtkAbstractArray]] = {
    "name": vtk.vtkStringArray,
    "R (mm)": vtk.vtkDoubleArray,
    "A (mm)": vtk.vtkDoubleArray,
    "S (mm)": vtk.vtkDoubleArray,
    "asked (mm)": vtk.vtkDoubleArray,
    "measured (mm)": vtk.vtkDoubleArray,
    "attenuation": vtk.vtkStringArray,
    "mean (HU)": vtk.vtkDoubleArray,
    "volume (mm3)": vtk.vtkDoubleArray,
    "within tolerance": vtk.vtkStringArray,
    "note": vtk.vtkStringArray,
}

CXR_COLUMNS: dict[str, type[vtk.vtkAbstractArray]] = {
    "name": vtk.vtkStringArray,
    "R (mm)": vtk.vtkDoubleArray,
    "A (mm)": vtk.vtkDoubleArray,
    "S (mm)": vtk.vtkDoubleArray,
    "asked": vtk.vtkStringArray,
    "measured (mm)": vtk.vtkDoubleArray,
    "measured (px)": vtk.vtkDoubleArray,
    "contrast asked": vtk.vtkStringArray,
    "contrast": vtk.vtkDoubleArray,
    "area (px)": vtk.vtkDoubleArray,
    "within tolerance": vtk.vtkStringArray,
    "note": vtk.vtkStringArray,
}
"""Of a radiograph; measured in mm is NaN where the pixel spacing is not known."""


def addRow(tableNode: slicer.vtkMRMLTableNode, insertion: Insertion | CxrInsertion) -> int:
    """Add a nodule's row at the end and return its index; makes the columns where there are none.

    Numbers are rounded as a person reads them; the report of a batch has all digits.
    """
    right, anterior, superior = insertion.seed.position_ras_mm
    values: dict[str, str | float] = {
        "name": insertion.seed.name,
        "R (mm)": round(right, 2),
        "A (mm)": round(anterior, 2),
        "S (mm)": round(superior, 2),
        "within tolerance": "yes" if insertion.within_tolerance else "no",
        "note": insertion.note,
    }
    inRadiograph = isinstance(insertion, CxrInsertion)
    values |= _cxrValues(insertion) if inRadiograph else _ctValues(insertion)
    return addValues(tableNode, CXR_COLUMNS if inRadiograph else COLUMNS, values)


def addValues(
    tableNode: slicer.vtkMRMLTableNode,
    columns: Mapping[str, type[vtk.vtkAbstractArray]],
    values: Mapping[str, str | float],
) -> int:
    """Add a row at the end and return its index; makes the columns where there are none.

    Args:
        tableNode: Gets the row.
        columns: What columns a new table has.
        values: Of the row, by column.
    """
    table = tableNode.GetTable()
    if table.GetNumberOfColumns() == 0:
        for name, kind in columns.items():
            column = kind()
            column.SetName(name)
            tableNode.AddColumn(column)
    row = int(table.InsertNextBlankRow())
    for name, value in values.items():
        column = table.GetColumnByName(name)
        if column is not None:  # the user may have removed it
            column.SetValue(row, value)
    table.Modified()
    tableNode.Modified()
    return row


def _ctValues(insertion: Insertion) -> dict[str, str | float]:
    measured = insertion.measured
    return {
        "asked (mm)": insertion.spec.diameter_mm,
        "measured (mm)": round(measured.diameter_mm, 2),
        "attenuation": str(insertion.spec.attenuation),
        "mean (HU)": round(measured.mean_hu, 1),
        "volume (mm3)": round(measured.volume_mm3, 1),
    }


def _cxrValues(insertion: CxrInsertion) -> dict[str, str | float]:
    measured, asked = insertion.measured, insertion.spec.contrast
    inMm = float("nan") if measured.diameter_mm is None else round(measured.diameter_mm, 2)
    return {
        "asked": insertion.spec.size,
        "measured (mm)": inMm,
        "measured (px)": round(measured.diameter_px, 1),
        "contrast asked": "any" if asked is None else f"{asked:g}",
        "contrast": round(measured.contrast, 4),
        "area (px)": measured.area_px,
    }


def removeRow(tableNode: slicer.vtkMRMLTableNode, row: int = -1) -> None:
    """Remove a row, the last one by default; nothing happens if it is not there."""
    count = tableNode.GetNumberOfRows()
    row = row if row >= 0 else count + row
    if 0 <= row < count:
        tableNode.RemoveRow(row)
