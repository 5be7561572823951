"""``lungsynth data``: what a folder of training data holds, before training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lungsynth.cli.options import ProgressOption
from lungsynth.cli.progress import ProgressMode, Reporter

app = typer.Typer(help="Check training data.", invoke_without_command=True)


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no command is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command("check")
def check(
    data: Annotated[
        Path, typer.Option("--data", help="Folder with train.npz and train.csv: nodule cubes.")
    ],
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how many nodules of a folder training can use, of which kinds, and why not the others."""
    with Reporter(progress) as reporter:
        reporter.stage("reading")
        from lungsynth.data.check import check_training_data

        found = check_training_data(data)
        lines = list(found.lines())
        reporter.done(
            "\n".join(lines),
            format=found.form,
            nodules=found.nodules,
            usable=found.usable,
            left_out=dict(found.left_out),
            attenuation={name.value: count for name, count in found.attenuations.items()},
            patients=found.patients,
            diameter_mm=[round(value, 2) for value in found.diameter_mm],
            notes=list(found.notes),
            summary=lines,
        )
