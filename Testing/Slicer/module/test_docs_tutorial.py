"""The table of all controls in the tutorial, against the panel that it describes."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "Resources" / "Docs" / "tutorial.md"


def listed():
    """Return the rows of the table: (section, control, what it does, values, at first)."""
    text = PAGE.read_text(encoding="utf-8").split("## All controls")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


@pytest.fixture
def panel(open_module, slicer_app):
    widget = open_module("NoduleSynth")
    slicer_app.processEvents()
    return widget


def controls(panel):
    """Return (section, name) of each control that the tab key reaches, from top to bottom."""
    root = ET.parse(panel.resourcePath("UI/NoduleSynth.ui")).getroot()
    stops = {stop.text for stop in root.iter("tabstop")}
    buddies = {}
    for label in root.iter("widget"):
        values = properties(label)
        if "buddy" in values:
            buddies[values["buddy"]] = values["text"]
    found = []
    for section in root.iter("widget"):
        if section.get("class") != "ctkCollapsibleButton":
            continue
        title = properties(section)["text"]
        for widget in section.iter("widget"):
            name = widget.get("name")
            if name in stops:
                values = properties(widget)
                text = buddies.get(name) or values.get("text") or values["accessibleName"]
                found.append((title, text.replace("&", "").rstrip(":"), name))
    assert len(found) == len(stops)
    return found


def properties(widget):
    return {
        p.get("name"): "".join(p.itertext()).strip()
        for p in widget.findall("property")
        if len(p) and p[0].tag in ("string", "cstring")
    }


def test_every_control_has_a_row_in_the_order_of_the_panel(panel):
    assert [tuple(row[:2]) for row in listed()] == [found[:2] for found in controls(panel)]


def test_rows_give_the_ranges_and_choices_that_the_panel_has(panel):
    import qt

    numeric = (qt.QSpinBox, qt.QSlider)
    seen = 0
    for row, (_, _, name) in zip(listed(), controls(panel), strict=True):
        widget = getattr(panel.ui, name)
        said = f"{name}: {row[3]}"
        if isinstance(widget, numeric) or name.endswith("Slider"):
            low, high = re.match(r"([\d.]+) to ([\d.]+)", row[3]).groups()
            assert (float(low), float(high)) == (widget.minimum, widget.maximum), said
            seen += 1
        elif isinstance(widget, qt.QComboBox):
            for n in range(widget.count):
                assert widget.itemText(n) in row[3], said
            seen += 1
        elif isinstance(widget, qt.QCheckBox):
            assert row[3] == "on, off"
            seen += 1
    assert seen >= 16


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("How many seeds to propose", "proposeCount"),
        ("Where in the lungs", "proposeSite"),
        ("Contrast", "contrast"),
        ("Attenuation", "attenuation"),
        ("Malignancy", "malignancy"),
        ("Before/after", "afterPercent"),
        ("Device", "device"),
        ("Random seed", "randomSeed"),
    ],
)
def test_rows_give_the_values_at_first(panel, row, field):
    (first,) = [cells[4] for cells in listed() if cells[1] == row]
    value = getattr(panel.p, field)
    assert first == (value if isinstance(value, str) else f"{value:g}")


def test_diameters_at_first_are_those_of_the_panel(panel):
    p = panel.p
    first = [float(cells[4]) for cells in listed() if cells[1] == "Diameter"]
    assert first == [p.diameterMm, p.cxrDiameterMm, p.cxrDiameterPx]


def test_links_of_the_page_lead_somewhere():
    """Files beside it, and headings of its own."""
    text = PAGE.read_text(encoding="utf-8")
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        if path:
            assert (PAGE.parent / path).exists(), target
        else:
            assert anchor in headings, target
