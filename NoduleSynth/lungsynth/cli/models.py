"""``lungsynth models``: which networks and synthesizers there are, and what is known of them."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Kind
from lungsynth.core.registry import IMAGE_GENERATORS
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import CXR_SYNTHESIZERS, SYNTHESIZERS, TRAINABLE

OTHERS: dict[str, str] = {
    "anogan-encoder": "detector",
    "anomaly-scan": "detector",
    "cxr-classifier": "classifier",
    "faster-rcnn": "detector",
    "lung-fields": "segmenter",
    "retinanet": "detector",
}
"""Networks that draw nothing, and their kind. ``shape-texture-shape`` stands nowhere: it is trained
on its own, and its weights become part of those of ``shape-texture``."""

app = typer.Typer(help="List what there is and show the model cards.", invoke_without_command=True)


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no command is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command("list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List synthesizers, generators, detectors, and which of them have weights here."""
    rows = []
    for kind, name in _known():
        weights = shipped_file(f"{name}.safetensors")
        known = {"name": name, "kind": kind}
        rows.append({**known, "weights": str(weights or ""), "megabytes": _megabytes(name)})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        needs = _needs(str(row["name"]), row["megabytes"])
        typer.echo(f"{row['kind']:10}  {row['name']:14}  {needs}")


def _known() -> list[tuple[str, str]]:
    """Return (kind, name) of all; a name may be there for a CT and for a radiograph."""
    tables = {Kind.CT: SYNTHESIZERS, Kind.RADIOGRAPH: CXR_SYNTHESIZERS}
    rows = [(str(kind), name) for kind, table in tables.items() for name in sorted(table)]
    rows += [("generator", name) for name in sorted(IMAGE_GENERATORS)]
    return rows + sorted((kind, name) for name, kind in OTHERS.items())


def _megabytes(name: str) -> float | None:
    """Return the size of the weights that ship, or None."""
    weights = shipped_file(f"{name}.safetensors")
    return round(weights.stat().st_size / 1e6, 1) if weights else None


def _needs(name: str, megabytes: object) -> str:
    """Return what one needs to work, and whether it is there."""
    if megabytes is not None:
        return f"ready; weights of {megabytes} MB"
    if name == "anomaly-scan":
        return "has no weights yet: 'evaluate anomaly --calibration' makes them"
    if name in OTHERS:
        return f"has no weights yet: 'train {name}' makes them"
    if name in TRAINABLE:
        return "has no weights yet: train it, and give them with --weights"
    if name == "copy-paste":
        return "needs no weights, but nodules to copy: --bank"
    return "ready; needs no weights"


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="One of 'lungsynth models list'.")]) -> None:
    """Print a model's card: data, licence, split, steps, and what it measured."""
    card = shipped_file(f"{name}.md") if name.isprintable() and "/" not in name else None
    known = sorted({one for _, one in _known()})
    if name not in known and (card is None or _megabytes(name) is None):
        msg = f"unknown model '{name}'; there are {', '.join(known)}"
        raise LungSynthError(msg)
    if card is None:
        typer.echo(f"{name}: {_needs(name, _megabytes(name))}; there is no card")
        return
    typer.echo(card.read_text(encoding="utf-8"))
