"""What a scan leaves: volumes, pictures, tables and a page that shows them all."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lungsynth import __version__
from lungsynth.core.radiograph import Radiograph
from lungsynth.detectors.contracts import Images
from lungsynth.detectors.scan_files import (
    FoundFile,
    on_pixels,
    region_on_pixels,
    stored_difference,
    stored_values,
)
from lungsynth.detectors.scanner import Scan, Scanner
from lungsynth.io.atomic import atomic_path
from lungsynth.io.font import draw_text
from lungsynth.io.writing import write_volume

VOLUMES = ("heatmap", "normal", "difference", "regions")
TILE = 320
_LINE = 26
_COLUMNS = (
    "file", "status", "score", "p_value", "conformal_p_value", "threshold", "abnormal", "regions",
    "highest_peak", "of_known_kind", "kind_p_value", "note",
)  # fmt: skip
_REGION_COLUMNS = (
    "file", "label", "peak", "denser", "row", "column", "area_px", "area_mm2", "r_mm", "a_mm",
    "s_mm", "first_row", "last_row", "first_column", "last_column",
)  # fmt: skip
_STYLE = """body{font:15px system-ui,sans-serif;margin:2em;max-width:80em;color:#222}
table{border-collapse:collapse}td,th{padding:.3em .7em;border-bottom:1px solid #ccc;
text-align:right}td:first-child,th:first-child{text-align:left}img{max-width:100%}
tr.abnormal td{background:#fff2e0}tr.failed td{color:#a00;text-align:left}"""

Picture = NDArray[np.uint8]


def entry(found: FoundFile, side: int) -> dict[str, Any]:
    """Return what ``scan.json`` says of a file."""
    if found.scan is None or found.radiograph is None:
        return {"file": str(found.path), "status": "failed", "note": found.error}
    scan = found.scan
    regions = []
    for region in scan.regions:
        on_own = region_on_pixels(region, side, found.radiograph)
        regions.append(
            {
                "label": on_own.label,
                "peak": round(on_own.peak, 3),
                "denser": on_own.denser,
                "row": round(on_own.row, 1),
                "column": round(on_own.column, 1),
                "box_pixels": [round(x, 1) for x in on_own.box],
                "ras_mm": [round(x, 2) for x in on_own.ras_mm],
                "area_px": round(on_own.area_px, 1),
                "area_mm2": None if on_own.area_mm2 is None else round(on_own.area_mm2, 1),
            }
        )
    return {
        "file": str(found.path),
        "status": "scanned",
        "score": scan.score,
        "p_value": scan.p_value,
        "conformal_p_value": scan.conformal_p_value,
        "threshold": scan.threshold,
        "region_threshold": scan.region_threshold,
        "abnormal": scan.abnormal,
        "regions": regions,
        "highest_peak": scan.regions[0].peak if scan.regions else None,
        "of_known_kind": scan.of_known_kind,
        "kind_p_value": scan.kind_p_value,
        "note": note(scan),
    }


def note(scan: Scan) -> str:
    """Return what is to be said of an image of another kind; empty else."""
    if scan.of_known_kind:
        return ""
    why = scan.reason or f"as a whole unlike the known normals (p {scan.kind_p_value:.1g})"
    return f"{why}: a lateral view, a child, a large device or no chest; its score means nothing"


def write_volumes(found: FoundFile, folder: Path, stem: str, scanner: Scanner) -> dict[str, str]:
    """Write heatmap, normal image, difference and regions on the radiograph's own pixels.

    Heatmap: deviation in standard deviations of normals, positive where denser. The normal image
    and the difference are in stored values. Regions: labels as in the table.

    Returns:
        File names by what they hold.
    """
    scan, radiograph = found.scan, found.radiograph
    assert scan is not None
    assert radiograph is not None
    arrays: Mapping[str, NDArray[Any]] = {
        "heatmap": on_pixels(scan.deviation, radiograph),
        "normal": stored_values(scan.normal, radiograph, scanner.scale),
        "difference": stored_difference(scan.difference, radiograph, scanner.scale),
        "regions": on_pixels(scan.labels, radiograph, nearest=True).astype(np.uint8),
    }
    names = {}
    for name, values in arrays.items():
        names[name] = f"{stem}-{name}.nrrd"
        plain = Radiograph(values, radiograph.ijk_to_ras)
        write_volume(plain.as_volume(), folder / names[name])
    return names


def overview(found: FoundFile) -> Picture:
    """Return a picture: the radiograph, the nearest normal image, the difference, the heatmap."""
    scan, radiograph = found.scan, found.radiograph
    assert scan is not None
    assert radiograph is not None
    tiles = (
        ("radiograph", _grey(scan.image, -1, 1)),
        ("nearest normal", _grey(scan.normal, -1, 1)),
        ("difference", _signed(scan.difference, 0.6)),
        ("regions", heat_overlay(scan.image, scan.deviation, scan.region_threshold)),
    )
    picture = np.zeros((TILE + 2 * _LINE, len(tiles) * (TILE + 6) - 6, 3), np.uint8)
    amber = (255, 190, 60)
    said = f"{found.path.name}: score {scan.score:.2f}, p {scan.p_value:.2g}"
    said += ", above the threshold" if scan.abnormal else ""
    draw_text(picture, said, (4, 4), color=amber if scan.abnormal else (255, 255, 255))
    if not scan.of_known_kind:
        draw_text(picture, "OF ANOTHER KIND", (4, 12 * len(said) + 30), color=amber)
    for n, (name, tile) in enumerate(tiles):
        left = n * (TILE + 6)
        draw_text(picture, name, (_LINE + 4, left + 4), color=(170, 170, 170))
        picture[2 * _LINE :, left : left + TILE] = _enlarged(tile)
    return picture


def heat_overlay(image: Images, deviation: Images, threshold: float) -> Picture:
    """Return an image with what deviates on it: denser in red, less dense in blue, RGB."""
    grey = _grey(image, -1, 1).astype(np.float32)
    strength = np.clip(np.abs(deviation) / max(threshold, 1e-6) - 0.5, 0, 1)[..., None] * 0.7
    color = np.where((deviation > 0)[..., None], (255.0, 60.0, 30.0), (40.0, 120.0, 255.0))
    return np.asarray(((1 - strength) * grey + strength * color).round(), dtype=np.uint8)


def _grey(image: Images, low: float, high: float) -> Picture:
    levels = np.clip((image - low) / (high - low) * 255, 0, 255).round()
    return np.asarray(np.repeat(levels[..., None], 3, axis=2), dtype=np.uint8)


def _signed(image: Images, most: float) -> Picture:
    part = np.clip(image / most, -1, 1)[..., None]
    white = np.full(3, 255.0)
    color = np.where(part > 0, (200.0, 40.0, 20.0), (30.0, 80.0, 220.0))
    mixed = (1 - np.abs(part)) * white + np.abs(part) * color
    return np.asarray(mixed.round(), dtype=np.uint8)


def _enlarged(tile: Picture) -> Picture:
    side = tile.shape[0]
    at = np.minimum((np.arange(TILE) + 0.5) * side / TILE, side - 1).astype(int)
    enlarged: Picture = tile[at][:, at]
    return enlarged


def png(picture: Picture, folder: Path) -> bytes:
    """Return a picture as PNG.

    Args:
        picture: RGB.
        folder: Where a file may lie for a moment.
    """
    path = folder / "picture.png"
    with atomic_path(path) as temporary:
        sitk.WriteImage(sitk.GetImageFromArray(picture, isVector=True), str(temporary))
    data = path.read_bytes()
    path.unlink()
    return data


def summary(
    entries: Sequence[Mapping[str, Any]], scanner: Scanner, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return ``scan.json``."""
    return {
        "version": __version__,
        **about,
        "detector": scanner.detector.name,
        "reference_scores": scanner.scores.scores.tolist(),
        "reference_peaks": scanner.peaks.scores.tolist(),
        "files": list(entries),
    }


def tables(entries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Return ``scan.csv``, a row for each file, and ``regions.csv``, a row for each region."""
    files, regions = io.StringIO(), io.StringIO()
    rows = csv.DictWriter(files, _COLUMNS, extrasaction="ignore", lineterminator="\n")
    parts = csv.writer(regions, lineterminator="\n")
    rows.writeheader()
    parts.writerow(_REGION_COLUMNS)
    for one in entries:
        rows.writerow({**one, "regions": len(one.get("regions", ()))})
        for r in one.get("regions", ()):
            named = [r[key] for key in _REGION_COLUMNS[1:8]]
            parts.writerow([one["file"], *named, *r["ras_mm"], *r["box_pixels"]])
    return files.getvalue(), regions.getvalue()


def page(values: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Return a page of its own: the table, the scores among those of normals, the pictures.

    Args:
        values: What ``summary`` returns.
        pictures: PNG by file.
    """
    escape = html.escape
    cells = ("score", "p_value", "highest_peak", "kind_p_value")
    rows = []
    for one in sorted(values["files"], key=lambda e: e.get("p_value", 2.0)):
        if one["status"] == "failed":
            rows.append(
                f"<tr class='failed'><td>{escape(one['file'])}</td>"
                f"<td colspan='6'>{escape(one['note'])}</td></tr>"
            )
            continue
        shown = "".join(
            f"<td>{'-' if one[key] is None else format(one[key], '.3g')}</td>" for key in cells
        )
        kind = "abnormal" if one["abnormal"] else ""
        rows.append(
            f"<tr class='{kind}'><td>{escape(one['file'])}</td>{shown}"
            f"<td>{len(one['regions'])}</td><td>{escape(one['note'])}</td></tr>"
        )
    head = "<tr><th>file</th><th>score</th><th>p</th><th>peak</th><th>p of its kind</th>"
    parts = [
        "<!doctype html><meta charset='utf-8'><title>Scan</title>",
        f"<style>{_STYLE}</style><h1>What does not fit a normal radiograph</h1>",
        f"<p>For research only, not for diagnosis. lungsynth {values['version']}; detector "
        f"{escape(values['detector'])}; false-positive rate asked: "
        f"{values['false_positive_rate']:g}.</p>",
        distribution(values),
        f"<table>{head}<th>regions</th><th></th></tr>{''.join(rows)}</table>",
    ]
    for file, picture in pictures.items():
        data = base64.b64encode(picture).decode()
        parts.append(f"<h3>{escape(file)}</h3><img src='data:image/png;base64,{data}' alt=''>")
    return "\n".join(parts)


def distribution(values: Mapping[str, Any]) -> str:
    """Return the scores among those of the held normals, as an SVG."""
    normals = sorted(values["reference_scores"])
    scanned = [e for e in values["files"] if e["status"] == "scanned"]
    every = [*normals, *(e["score"] for e in scanned), *(e["threshold"] for e in scanned[:1])]
    low, high = min(every), max(every)
    span = max(high - low, 1e-9)

    def x(score: float) -> float:
        return float(20 + 760 * (score - low) / span)

    marks = [f"<circle cx='{x(s):.1f}' cy='60' r='4' fill='#0a7' opacity='.5'/>" for s in normals]
    for one in scanned:
        color = "#d40" if one["abnormal"] else "#06c"
        marks.append(
            f"<circle cx='{x(one['score']):.1f}' cy='30' r='4' fill='{color}' opacity='.7'>"
            f"<title>{html.escape(one['file'])}</title></circle>"
        )
    for one in scanned[:1]:
        at = x(one["threshold"])
        marks.append(f"<line x1='{at:.1f}' x2='{at:.1f}' y1='10' y2='80' stroke='#888'/>")
    return (
        "<svg viewBox='0 0 800 100' width='800' role='img'>"
        f"{''.join(marks)}<text x='20' y='95' font-size='12'>above: scanned; below: held normals; "
        f"line: threshold; from {low:.3g} to {high:.3g}</text></svg>"
    )


def as_json(values: Mapping[str, Any]) -> str:
    """Return JSON text; a number that is none is null."""
    return json.dumps(values, indent=1, allow_nan=False) + "\n"
