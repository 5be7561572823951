"""``lungsynth models``: which synthesizers there are, and what is known of their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lungsynth.core.errors import LungSynthError
from lungsynth.synthesizers import SYNTHESIZERS

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
    for name in sorted(SYNTHESIZERS):
        weights = shipped(name, ".safetensors")
        megabytes = round(weights.stat().st_size / 1e6, 1) if weights else None
        rows.append({"name": name, "weights": str(weights or ""), "megabytes": megabytes})
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        weights_text = f"weights of {row['megabytes']} MB" if row["weights"] else "no weights"
        typer.echo(f"{row['name']:12}  {weights_text}")


@app.command("show")
def show(name: Annotated[str, typer.Argument(help="One of 'lungsynth models list'.")]) -> None:
    """Print a model's card: data, licence, split, steps, and what it measured."""
    if name not in SYNTHESIZERS:
        msg = f"unknown synthesizer '{name}'; there are {', '.join(sorted(SYNTHESIZERS))}"
        raise LungSynthError(msg)
    card = shipped(name, ".md")
    if card is None:
        typer.echo(f"{name}: works without weights, or none are installed; it has no card")
        return
    typer.echo(card.read_text(encoding="utf-8"))


def shipped(name: str, suffix: str) -> Path | None:
    """Return a file that ships with the library under a model's name, if it is there.

    ``nn.weights.shipped_weights`` finds the same; but that needs torch, and a list does not.
    """
    package = Path(__file__).resolve().parents[1]
    # beside the package in Slicer's layout and in the source tree, inside it in a wheel
    for folder in (package.parent / "Resources" / "Weights", package / "weights"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return path
    return None
