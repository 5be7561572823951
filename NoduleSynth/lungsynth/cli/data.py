"""``lungsynth data``: what a folder of training data holds, before training."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lungsynth.cli.options import DATA_HELP, ProgressOption, whole
from lungsynth.cli.progress import ProgressMode, Reporter
from lungsynth.core.errors import LungSynthError
from lungsynth.io.atomic import atomic_path

if TYPE_CHECKING:
    from lungsynth.data.report import DataReport


class Space(StrEnum):
    """Directions of the axes of a table's points."""

    LPS = "LPS"
    RAS = "RAS"


app = typer.Typer(help="Check training data.", invoke_without_command=True)


@app.callback()
def root(context: typer.Context) -> None:
    """Show the help where no command is named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command("check")
def check(
    data: Annotated[Path, typer.Option("--data", help=DATA_HELP)],
    space: Annotated[
        Space | None,
        typer.Option("--space", help="What x, y, z of a table mean, if it does not say so."),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", parser=whole(1), metavar="N", help="Processes that read.")
    ] = 1,
    report: Annotated[
        Path | None, typer.Option("--json", help="Write the whole report here as JSON.")
    ] = None,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Say how many nodules training can use, of which kinds, and why not the others."""
    with Reporter(progress) as reporter:
        on_case = reporter.stage("reading")
        from lungsynth.data.prepare import has_cubes
        from lungsynth.data.sources import recognise

        if has_cubes(data) or recognise(data) is None:
            _check_cubes(data, report, reporter)
        else:
            from lungsynth.data.validation import validate

            found = validate(
                data, space=space.value if space else None, workers=workers, on_progress=on_case
            )
            _write(report, found.to_json())
            _tell(found, reporter)


def _tell(found: DataReport, reporter: Reporter) -> None:
    """Print a report; one without anything usable ends the command with status 2."""
    lines = list(found.lines())
    if not found.usable:
        for line in lines:
            reporter.info(line)
        first, *more = [problem.message for problem in found.problems] or ["it holds none"]
        others = f"; {len(more)} more problems" if more else ""
        msg = f"{found.path}: no nodule can be used: {first}{others}"
        raise LungSynthError(msg)
    values = found.to_json()
    values["format"] = values.pop("form")
    values["attenuation"] = values.pop("attenuations")
    reporter.done("\n".join(lines), **values)


def _check_cubes(data: Path, report: Path | None, reporter: Reporter) -> None:
    """Sum up a folder of nodule cubes."""
    from lungsynth.data.check import check_training_data

    found = check_training_data(data)
    lines = list(found.lines())
    values = {
        "format": found.form,
        "nodules": found.nodules,
        "usable": found.usable,
        "left_out": dict(found.left_out),
        "attenuation": {name.value: count for name, count in found.attenuations.items()},
        "patients": found.patients,
        "diameter_mm": [round(value, 2) for value in found.diameter_mm],
        "notes": list(found.notes),
        "summary": lines,
    }
    _write(report, values)
    reporter.done("\n".join(lines), **values)


def _write(path: Path | None, values: dict[str, Any]) -> None:
    if path is not None:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
