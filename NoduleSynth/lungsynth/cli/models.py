"""``lungsynth models``: which synthesizers there are, and what is known of their weights."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lungsynth.core.errors import LungSynthError
from lungsynth.core.radiograph import Kind
from lungsynth.core.shipped import shipped_file
from lungsynth.synthesizers import CXR_SYNTHESIZERS, SYNTHESIZERS, TRAINABLE

app = typer.Typer(
    help="List the synthesizers and show their model cards.", invoke_without_command=True
)


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
    """List the synthesizers, and which of them have weights here."""
    rows = []
    tables = {Kind.CT: SYNTHESIZERS, Kind.RADIOGRAPH: CXR_SYNTHESIZERS}
    for kind, name in ((kind, name) for kind, table in tables.items() for name in sorted(table)):
        weights = shipped_file(f"{name}.safetensors")
        megabytes = round(weights.stat().st_size / 1e6, 1) if weights else None
        known = {"name": name, "kind": str(kind)}
        rows.append({**known, "weights": str(weights or ""), "megabytes": megabytes})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        needs = _needs(str(row["name"]), row["megabytes"])
        typer.echo(f"{row['kind']:10}  {row['name']:13}  {needs}")


def _needs(name: str, megabytes: object) -> str:
    """Return what a synthesizer needs to work, and whether it is there."""
    if megabytes is not None:
        return f"ready; weights of {megabytes} MB"
    if name in TRAINABLE:
        return "has no weights yet: train it, and give them with --weights"
    if name == "copy-paste":
        return "needs no weights, but nodules to copy: --bank"
    return "ready; needs no weights"


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="One of 'lungsynth models list'.")]) -> None:
    """Print a model's card: data, licence, split, steps, and what it measured."""
    card = shipped_file(f"{name}.md") if name.isprintable() and "/" not in name else None
    known = sorted({*SYNTHESIZERS, *CXR_SYNTHESIZERS})
    if name not in known and (card is None or shipped_file(f"{name}.safetensors") is None):
        msg = f"unknown synthesizer '{name}'; there are {', '.join(known)}"
        raise LungSynthError(msg)
    if card is None:
        typer.echo(f"{name}: {_needs(name, None)}; there is no card")
        return
    typer.echo(card.read_text(encoding="utf-8"))
