"""A report of a run as one HTML file: what it is, its losses, its samples over time, warnings."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lungsynth.core.temporary import replacing
from lungsynth.training.losses_log import read_losses

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem;
  color: #222; background: #fff; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { color: #555; }
table { border-collapse: collapse; } td, th { padding: .15rem .9rem .15rem 0; text-align: left; }
.warning { border-left: 4px solid #c60; padding: .2rem .8rem; background: #fff4e8; }
"""
_LAST_STEPS = 100


def write_report(path: Path, run: Path, card: Mapping[str, Any]) -> None:
    """Write the report; it holds its pictures, so that it can be sent as it is.

    Args:
        path: Of the HTML file.
        run: Folder of the run: losses, curves, samples, warnings.
        card: Of the run.
    """
    rows = read_losses(run / "losses.jsonl")
    step = int(rows[-1]["step"]) if rows else 0
    title = f"Training of {card.get('system', 'a system')}"
    warnings = [
        f'<p class="warning">step {int(row["step"])}: {html.escape(str(row["message"]))}</p>'
        for row in read_losses(run / "health.jsonl")
    ]
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f"<p>{step} of {card.get('total_steps', '?')} steps, preset "
        f"{html.escape(str(card.get('preset', '')))}.</p>",
        "<h2>Health</h2>",
        *(warnings or ["<p>Nothing to warn of.</p>"]),
        "<h2>Losses</h2>",
        _table(["loss", "now", f"mean of the last {_LAST_STEPS} steps"], _means(rows)),
        *_figure(run / "losses.png", "Each loss over the steps, and its moving mean."),
        "<h2>Samples over time</h2>",
    ]
    for picture in sorted((run / "samples").glob("*.png")):
        parts += _figure(picture, f"After step {int(picture.stem)}.")
    parts += ["<h2>The run</h2>", _table(["setting", "value"], _flat(card))]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>'
        f"{html.escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _means(rows: list[dict[str, float]]) -> Iterable[tuple[str, str, str]]:
    last = rows[-_LAST_STEPS:]
    for name in rows[-1] if rows else ():
        if name != "step":
            values = [row[name] for row in last if name in row]
            yield name, f"{rows[-1][name]:.4g}", f"{sum(values) / len(values):.4g}"


def _flat(card: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in card.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            said = f"{len(value)} of them" if isinstance(value, list) else str(value)
            yield f"{prefix}{name}", said


def _table(head: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["".join(f"<th>{html.escape(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _figure(picture: Path, caption: str) -> list[str]:
    if not picture.is_file():
        return []
    data = base64.b64encode(picture.read_bytes()).decode()
    words = html.escape(caption)
    return [
        f'<figure><img alt="{words}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    ]
